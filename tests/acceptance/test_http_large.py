"""What large and odd bodies cost: every field of every route, behind the real server.

A case that costs something is sent in two sizes, one four times the other. Work that grows with
the square of the size takes sixteen times as long for the larger one, and fails here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import quote_plus

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.http.dispatcher import MAX_BYTES, MAX_EXPORT_BYTES
from tests.acceptance.wire import (
    EVERY,
    MAKING,
    SHOWING,
    UNKNOWN_ID,
    Answer,
    Server,
    both,
    path_of,
    request,
)

TRIES = 3
"""Other threads of the worker compute as well."""
ALWAYS_ALLOWED_SECONDS = 0.05

WELL_FORMED: dict[str, dict[str, Any]] = {
    "/": {"profile": "daily", "batchDate": "2026-01-18", "dryRun": True},
    "/run": {"profile": "daily", "batchDate": "2026-01-18", "dryRun": True},
    "/tasks/run": {
        "profile": "daily",
        "batchDate": "2026-01-18",
        "generation": 1,
        "attempt": 1,
        "kind": "retry",
    },
    "/exports": {"profile": "daily", "from": "2026-01-01", "to": "2026-01-31"},
    "/watchdog": {"profile": "daily"},
    "/sweep": {"profile": "daily"},
    "/audit": {"profile": "daily", "days": 7, "since": "2026-01-18T18:00:00Z"},
    "/admin/retry": {"profile": "daily", "batchDate": "2026-01-18"},
    "/admin/release": {"profile": "daily", "batchDate": "2026-01-18"},
    "/admin/requeue": {"profile": "daily", "entryId": "A-1"},
    "/admin/verify": {"profile": "daily", "batchDate": "2026-01-18"},
    "/admin/doctor": {},
    "/admin/migrate": {},
    "/users": {
        "name": "Ananya",
        "roles": ["brand"],
        "status": "active",
        "brandCode": "B-17",
        "mediatorCode": "M-1",
    },
    "/wallets": {"ownerUserId": UNKNOWN_ID, "currency": "INR"},
    "/wallets/{ownerUserId}/credits": {"amountPaise": 1, "type": "topup", "description": "x"},
    "/wallets/{ownerUserId}/debits": {"amountPaise": 1, "type": "payout", "description": "x"},
    "/transfers": {
        "fromUserId": UNKNOWN_ID,
        "toUserId": UNKNOWN_ID[::-1],
        "amountPaise": 1,
        "type": "cashback",
        "description": "x",
    },
    "/transactions/{transactionId}/reversals": {"description": "x"},
    "/invites": {"parentCode": "AG-7", "code": "SUMMER26", "expiresAt": "2030-01-01T00:00:00Z"},
    "/invites/{code}/accept": {"userId": UNKNOWN_ID},
}
"""Each field is replaced in turn, so that what follows it in the checks is reached as well."""

TOKEN = "t" * 43
"""Of the page's forms: the cookie and the form have the same."""
FORMS: dict[str, dict[str, str]] = {
    "/days/{date}/retry": {"token": TOKEN, "profile": "daily"},
    "/days/{date}/release": {"token": TOKEN, "profile": "daily"},
    "/days/{date}/verify": {"token": TOKEN, "profile": "daily"},
    "/days/{date}/audit": {"token": TOKEN, "profile": "daily"},
    "/requeue": {"token": TOKEN, "profile": "daily", "entry": "A-1"},
}
"""Each field is replaced in turn here, too."""
FROM_THE_PAGE = ("Sec-Fetch-Site: same-origin", f"Cookie: daybook_token={TOKEN}")


def repeated(part: str, size: int, *, ends: str = "") -> str:
    return part * ((size - len(ends)) // len(part)) + ends


def names(size: int, *, last_twice: bool = False) -> str:
    """Different names; a search that compares each with all others ends at the last one."""
    count = (size - 10) // len('"n00000":1,')
    return ",".join(f'"n{number:05x}":1' for number in (*range(count), count - last_twice))


VALUES: dict[str, Callable[[int], str]] = {
    "text": lambda size: f'"{repeated("x", size)}"',
    "text of control characters": lambda size: f'"{repeated(chr(92) + "u202e", size)}"',
    "text of half surrogate pairs": lambda size: f'"{repeated(chr(92) + "ud800", size)}"',
    "text of spaces": lambda size: f'"{repeated(" ", size)}"',
    "text of digits": lambda size: f'"{repeated("1", size)}"',
    "digits": lambda size: repeated("1", size),
    "decimals": lambda size: "0." + repeated("1", size),
    "exponent": lambda size: "1e" + repeated("9", size),
    "names": lambda size: "{" + names(size) + "}",
    "names, the last twice": lambda size: "{" + names(size, last_twice=True) + "}",
    "one name again and again": lambda size: "{" + repeated('"a":1,', size, ends='"b":1') + "}",
    "name": lambda size: '{"' + repeated("x", size) + '": 1}',
    "lists": lambda size: "[" + repeated("[],", size, ends="1") + "]",
    "objects": lambda size: "[" + repeated("{},", size, ends="1") + "]",
    "numbers": lambda size: "[" + repeated("1,", size, ends="1") + "]",
    "nested lists": lambda size: repeated("[", size // 2) + repeated("]", size // 2),
    "nested objects": lambda size: repeated('{"a":', size // 2) + "1" + repeated("}", size // 12),
    "moderately nested": lambda _size: "[" * 100 + "]" * 100,
    "nested, never closed": lambda size: repeated("[", size),
}
BODIES: dict[str, Callable[[int], str]] = {
    **{f"value: {name}": value for name, value in VALUES.items()},
    "unknown names": lambda size: "{" + names(size) + "}",
    "white space": lambda size: repeated(" ", size, ends="x"),
    "line breaks": lambda size: repeated("\n", size, ends="x"),
    "text cut off": lambda size: '{"' + repeated("x", size),
    "not UTF-8": lambda size: repeated("\udcff", size),
    "zeros": lambda size: repeated("\0", size),
    "backslashes": lambda size: '{"' + repeated("\\", size),
}
FORM_VALUES: dict[str, Callable[[int], str]] = {
    **{
        name: lambda size, value=value: quote_plus(value(size // 3), errors="surrogateescape")
        for name, value in VALUES.items()
        if name != "moderately nested"
    },
    "text, unescaped": lambda size: repeated("x", size),
    "spaces": lambda size: repeated("+", size),
    "escapes": lambda size: repeated("%41", size),
    "escapes that are not UTF-8": lambda size: repeated("%FF", size),
    "half escapes": lambda size: repeated("%", size),
    "equals signs": lambda size: repeated("=", size),
    "one field again and again": lambda size: repeated("x&token=", size),
}
"""A form knows no nesting: what is moderately nested is a short text there."""
FORM_BODIES: dict[str, Callable[[int], str]] = {
    **BODIES,
    "many fields": lambda size: repeated("n=1&", size),
    "separators": lambda size: repeated("&", size, ends="x"),
    "name of escapes": lambda size: repeated("%41", size),
    "name of escapes that are not UTF-8": lambda size: repeated("%FF", size),
}


@pytest.fixture(scope="module")
def servers(
    mongo_uri: str,
    mongo_client: MongoClient[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Server]]:
    with both(mongo_uri, mongo_client, tmp_path_factory.mktemp("large")) as servers:
        yield servers


def post(server: Server, route: str, body: str) -> tuple[Answer, float]:
    """The answer, and the seconds of computing that it took."""
    data = body.encode(errors="surrogateescape")
    sent = request(
        "POST",
        path_of(route),
        f"Content-Length: {len(data)}",
        f"Idempotency-Key: {ObjectId()}",
        *(FROM_THE_PAGE if route in FORMS else ()),
        body=data,
    )
    before = server.cpu_seconds()
    answer = server.send(sent, method="POST")
    return answer, server.cpu_seconds() - before


def assert_clear(answer: Answer, what: str) -> None:
    """A problem that blames the client and quotes little."""
    assert 400 <= answer.status < 500, (what, answer.status, answer.body[:300])
    assert answer.kind == "application/problem+json", what
    problem = json.loads(answer.body)
    assert problem["where"], (what, problem)
    assert len(problem["where"]) <= 80, (what, problem)
    assert len(problem["detail"]) <= 400, (what, problem)


def cases(route: str) -> dict[str, Callable[[int], str]]:
    if route in FORMS:
        return form_cases(FORMS[route])
    found = dict(BODIES)
    for field in WELL_FORMED[route]:
        rest = {name: value for name, value in WELL_FORMED[route].items() if name != field}
        start = json.dumps(rest)[:-1] + (", " if rest else "")
        for name, value in VALUES.items():
            found[f"{field}: {name}"] = lambda size, start=start, field=field, value=value: (
                f'{start}"{field}": {value(size)}}}'
            )
    return found


def form_cases(form: dict[str, str]) -> dict[str, Callable[[int], str]]:
    found = dict(FORM_BODIES)
    for field in form:
        start = "".join(f"{name}={text}&" for name, text in form.items() if name != field)
        for name, value in FORM_VALUES.items():
            found[f"{field}: {name}"] = lambda size, start=start, field=field, value=value: (
                f"{start}{field}={value(size)}"
            )
    return found


def assert_no_square(seconds: Callable[[int], float], small: int, name: str) -> None:
    """The smaller one is sent only if what the larger one took is not always allowed."""
    for _ in range(TRIES):
        large_took = seconds(4 * small)
        if large_took <= ALWAYS_ALLOWED_SECONDS:
            return
        small_took = seconds(small)
        if large_took <= 8 * small_took + ALWAYS_ALLOWED_SECONDS:
            return
    pytest.fail(f"{name}: {small_took} and {large_took}")


@pytest.mark.parametrize(("target", "route"), MAKING)
def test_what_a_body_costs_grows_with_its_size_at_most(
    servers: dict[str, Server], target: str, route: str
) -> None:
    server = servers[target]
    small = 512 * 1024 if route == "/exports" else 15 * 1024

    def seconds(name: str, body: Callable[[int], str], size: int) -> float:
        answer, seconds = post(server, route, body(size))
        assert_clear(answer, f"{name}, {size}")
        return seconds

    for name, body in cases(route).items():
        assert_no_square(partial(seconds, name, body), small, name)
    assert server.errors() == []


QUERIES: dict[str, Callable[[int], str]] = {
    "digits": lambda size: "limit=" + repeated("1", size),
    "one parameter again and again": lambda size: repeated("role=a&", size),
    "many parameters": lambda size: "&".join(f"n{number}=1" for number in range(size // 8)),
    "unknown name": lambda size: repeated("x", size),
    "separators": lambda size: "status=" + repeated("&", size),
    "escapes": lambda size: "role=" + repeated("%41", size),
    "escapes that are not UTF-8": lambda size: "parentCode=" + repeated("%FF", size),
    "cursor": lambda size: "cursor=" + repeated("A", size),
    "path": lambda size: "limit=0&/" + repeated("/..", size),
}


@pytest.mark.parametrize(("target", "route"), SHOWING)
def test_what_a_query_costs_grows_with_its_size_at_most(
    servers: dict[str, Server], target: str, route: str
) -> None:
    server = servers[target]

    def seconds(name: str, query: Callable[[int], str], size: int) -> float:
        sent = request("GET", f"{path_of(route)}?{query(size)}")
        before = server.cpu_seconds()
        answer = server.send(sent)
        seconds = server.cpu_seconds() - before
        assert answer.status < 500, (name, answer.body[:300])
        if answer.status >= 400:
            assert len(json.loads(answer.body)["detail"]) <= 400, name
        return seconds

    for name, query in QUERIES.items():
        assert_no_square(partial(seconds, name, query), 16 * 1024, name)
    assert server.errors() == []


HEADERS = (
    *("Idempotency-Key", "traceparent", "X-Cloud-Trace-Context"),
    *("X-CloudScheduler-ScheduleTime", "X-CloudTasks-TaskETA", "X-CloudTasks-TaskName"),
    *("Authorization", "X-Serverless-Authorization"),
)
HEADER_VALUES = ("1", "9." * 2, "-", ".", "\xff", "a,", "2026-01-18T18:00:00.1")
LONGEST_HEADER = 8_000
"""gunicorn refuses longer ones, and more than a hundred."""


@pytest.mark.parametrize(("target", "route"), MAKING)
def test_long_headers_cost_little(servers: dict[str, Server], target: str, route: str) -> None:
    server = servers[target]
    body = json.dumps({"unwanted": 1}).encode()
    for header in HEADERS:
        for value in HEADER_VALUES:
            sent = request(
                "POST",
                path_of(route),
                f"Content-Length: {len(body)}",
                f"{header}: {repeated(value, LONGEST_HEADER)}",
                body=body,
            )
            before = server.cpu_seconds()
            answer = server.send(sent, method="POST")
            assert 400 <= answer.status < 500, (header, answer.body[:300])
            assert server.cpu_seconds() - before < 0.2, (header, value)
    assert server.errors() == []


@dataclass(frozen=True, kw_only=True)
class Framed:
    header: str
    data: bytes


@cache
def beyond(limit: int) -> list[Framed]:
    """Bodies that are longer, each with its length and in a chunk."""
    found = []
    for text in ("[" * (limit + 1), "[" * (MAX_EXPORT_BYTES + 1), '{"a":{' + names(2_000_000)):
        if len(text) > limit:
            body = text.encode()
            found.append(Framed(header=f"Content-Length: {len(body)}", data=body))
            chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            found.append(Framed(header="Transfer-Encoding: chunked", data=chunk))
    return found


@pytest.mark.parametrize(("target", "route"), EVERY)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_body_beyond_the_limit_is_a_413_that_costs_little(
    servers: dict[str, Server], target: str, route: str, method: str
) -> None:
    """Also where no body is wanted: functions-framework reads it after the answer."""
    server, path = servers[target], path_of(route)
    limit = MAX_EXPORT_BYTES if route == "/exports" else MAX_BYTES
    for framed in beyond(limit):
        before = server.cpu_seconds()
        answer = server.send(request(method, path, framed.header, body=framed.data), method=method)
        assert answer.status == 413, (framed.header, answer.body)
        assert json.loads(answer.body)["where"] == "body"
        assert server.cpu_seconds() - before < 1
    assert server.errors() == []


def test_an_export_of_many_ids_in_odd_forms_is_a_clear_400(servers: dict[str, Server]) -> None:
    server = servers["daybook"]
    for ids in (
        [str(ObjectId()) for _ in range(100_000)],
        ["1" * 1_000, "1e" + "9" * 1_000, "-" * 1_000, "0." + "1" * 1_000, "ab" * 500],
        ["[,{" * 100] * 1_000,
    ):
        answer, _ = post(server, "/exports", json.dumps({"entryIds": ids}))
        assert_clear(answer, ids[0][:20])
        assert b"no journal entry has the ID" in answer.body
    for entry_id in ("x" * 4_000_000, "1" * 4_000_000):
        answer, _ = post(server, "/exports", json.dumps({"entryIds": [entry_id]}))
        assert_clear(answer, entry_id[:20])
        assert json.loads(answer.body)["where"] == "entryIds[0]"
    answer, _ = post(server, "/exports", json.dumps({"entryIds": ["x"] * 100_001}))
    assert b"at most 100000" in answer.body
    assert server.errors() == []
