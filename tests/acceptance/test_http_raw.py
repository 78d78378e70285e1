"""What a client can put on the wire: every route of both functions, behind their real server.

Requests go out byte by byte. Each is answered by the server or by the function with a status
that blames the client, and none reaches the function as an exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.acceptance.wire import (
    EVERY,
    SHOWING,
    Server,
    both,
    method_of,
    path_of,
    request,
)

UNWANTED = b'{"unwanted": 1}'
"""A body that every route refuses, so that no case does any work."""


@pytest.fixture(scope="module")
def servers(
    mongo_uri: str,
    mongo_client: MongoClient[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Server]]:
    with both(mongo_uri, mongo_client, tmp_path_factory.mktemp("raw")) as servers:
        yield servers


BROKEN_CHUNKS = {
    "size is not a number": b"zz\r\n{}\r\n0\r\n\r\n",
    "negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "size with a prefix": b"0x2\r\n{}\r\n0\r\n\r\n",
    "size missing": b"\r\n{}\r\n0\r\n\r\n",
    "chunk longer than its size": b"2\r\n{}XX0\r\n\r\n",
    "cut in a size": b"2",
    "cut in a chunk": b'20\r\n{"a',
    "cut between chunks": b"2\r\n{}\r\n",
    "nothing at all": b"",
    "trailer without a name": b"2\r\n{}\r\n0\r\nbad\r\n\r\n",
    "too many trailers": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "extension with control characters": b"2;a=\x01\r\n{}\r\n0\r\n\r\n",
}
CUT = {"empty": (b"", 15), "in the middle": (UNWANTED[:8], len(UNWANTED)), "huge": (b"{}", 10**23)}
ODD_HEADERS: dict[str, tuple[str | bytes, ...]] = {
    "script name": ("SCRIPT_NAME: /admin",),
    "script name that fits": ("SCRIPT_NAME: /",),
    "script name in bytes": (b"SCRIPT_NAME: \xff",),
    "script name with a dash": ("Script-Name: /admin",),
    "path info": ("PATH_INFO: /run",),
    "length is not a number": ("Content-Length: abc",),
    "negative length": ("Content-Length: -5",),
    "length with a sign": ("Content-Length: +15",),
    "length in other digits": ("Content-Length: \xb2",),
    "two lengths": ("Content-Length: 15", "Content-Length: 3"),
    "length and chunks": ("Content-Length: 15", "Transfer-Encoding: chunked"),
    "length of thousands of digits": ("Content-Length: " + "9" * 5_000,),
    "length in full-width digits": ("Content-Length: １５".encode(),),
    "length with an underscore": ("Content-Length: 1_5",),
    "unknown transfer coding": ("Transfer-Encoding: xchunked",),
    "transfer coding in bytes": (b"Transfer-Encoding: \xff",),
    "empty transfer coding": ("Transfer-Encoding: ",),
    "chunked with a parameter": ("Transfer-Encoding: chunked;a=b",),
    "compressed transfer": ("Transfer-Encoding: gzip",),
    "chunked twice": ("Transfer-Encoding: chunked, chunked",),
    "compressed content": ("Content-Encoding: gzip", "Content-Length: 15"),
    "unknown charset": ("Content-Type: application/json; charset=none", "Content-Length: 15"),
    "broken type": (b"Content-Type: \xff/\xfe;;=", "Content-Length: 15"),
    "form without a boundary": ("Content-Type: multipart/form-data", "Content-Length: 15"),
    "cloud event": ("Ce-Id: 1", "Ce-Type: t", "Ce-Source: s", "Ce-Specversion: 1.0"),
    "expectation": ("Expect: magic",),
    "expectation in bytes": (b"Expect: \xff",),
    "expectation to continue": ("Expect: 100-continue, magic",),
    "scheme": ("X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"),
    "proxy protocol": ("PROXY_PROTOCOL: TCP4", "REMOTE_ADDR: x", "REMOTE_USER: y"),
    "trace": (b"traceparent: \xff", b"X-Cloud-Trace-Context: \xfe/1;o=1"),
    "token": (b"Authorization: Bearer \xff.\xfe.\xfd",),
    "schedule": (
        b"X-CloudScheduler-ScheduleTime: \xff",
        "X-CloudTasks-TaskETA: 1e400",
        b"X-CloudTasks-TaskName: \xff",
    ),
    "key": (b"Idempotency-Key: \xff", "Content-Length: 15"),
    "forwarded": (b"X-Forwarded-For: \xff,,", b"X-Forwarded-Host: \xff", b"Forwarded: \xff"),
    "host": (b"Host: \xff[::",),
    "upgrade": ("Connection: Upgrade", "Upgrade: websocket"),
    "no name": (": x",),
    "space in the name": ("X Y: z",),
    "folded": ("X-A: b\r\n c",),
    "NUL": ("X-A: \0",),
    "long": ("X-A: " + "b" * 20_000,),
    "many": tuple(f"X-{number}: 1" for number in range(300)),
}
ODD_PATHS: dict[str, bytes] = {
    "raw bytes": b"%s\xff\xfe",
    "not UTF-8": b"%s%%FF%%C3",
    "not UTF-8 within": b"/%%FF%s",
    "NUL": b"%s%%00",
    "raw NUL": b"%s\0",
    "line break": b"%s%%0d%%0aX:%%20y",
    "half an escape": b"%s%%",
    "surrogate": b"%s%%ED%%A0%%80",
    "backslash": b"%s\\..\\",
    "dots": b"%s/../../etc/passwd",
    "two slashes": b"/%s",
    "two slashes within": b"%s//",
    "slashes alone": b"////%.0s",
    "a million slashes": b"%s" + b"/" * 1_000_000,
    "whole address of another": b"http://other.example%s",
    "whole address with a port": b"http://other.example:x%s",
    "whole address without a path": b"http://other.example%.0s",
    "unknown scheme": b"gopher:%s",
    "star": b"*%.0s",
    "empty": b"%.0s",
    "long": b"%s" + b"a" * 20_000,
    "whole address": b"http://[%s",
    "query is not UTF-8": b"%s?limit=%%FF&%%FE=1&code=%%00",
    "query in raw bytes": b"%s?limit=\xff\xfe",
    "query with NUL": b"%s?code=%%00",
    "query of separators": b"%s?&&==&;&=%%",
    "cursor": b"%s?cursor=%%FF%%00",
    "query twice": b"%s?code=a&code=b",
}
ODD_METHODS = ("FOO", "get", "TRACE", "CONNECT", "PROPFIND", "OPTIONS", "G\xcb", "GET\t", "")


@pytest.mark.parametrize(("target", "route"), [*EVERY, ("daybook", "/no"), ("ledger", "/no")])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT"])
def test_a_body_that_cannot_be_read_is_a_400(
    servers: dict[str, Server], target: str, route: str, method: str
) -> None:
    """Also where no body is wanted: functions-framework reads it after the answer."""
    path = path_of(route)
    chunked = {
        name: request(method, path, "Transfer-Encoding: chunked", body=body)
        for name, body in BROKEN_CHUNKS.items()
    }
    cut = {
        name: request(method, path, f"Content-Length: {announced}", body=body)
        for name, (body, announced) in CUT.items()
    }
    answers = {
        name: servers[target].send(sent, method=method) for name, sent in (chunked | cut).items()
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 400)
    assert method == "HEAD" or all(b"body: " in answers[name].body for name in answers)
    assert servers[target].errors() == []


@pytest.mark.parametrize(("target", "route"), SHOWING)
def test_head_is_answered_wherever_get_is(
    servers: dict[str, Server], target: str, route: str
) -> None:
    path = path_of(route)
    get = servers[target].send(request("GET", path))
    head = servers[target].send(request("HEAD", path), method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    refused = servers[target].send(request("DELETE", path))
    assert refused.status == 405
    assert refused.allow is not None
    assert {"GET", "HEAD"} <= set(refused.allow.split(", "))


@pytest.mark.parametrize(("target", "route"), EVERY)
def test_no_request_reaches_the_function_as_an_exception(
    servers: dict[str, Server], target: str, route: str
) -> None:
    server, path, method = servers[target], path_of(route), method_of(target, route)
    body = UNWANTED if method == "POST" else b""
    length = (f"Content-Length: {len(body)}",) if body else ()
    usual = server.send(request(method, path, *length, body=body), method=method).status
    odd = {
        **{
            f"header: {name}": request(
                method,
                path,
                *headers,
                *(length if not any(_frames(line) for line in headers) else ()),
                body=body,
            )
            for name, headers in ODD_HEADERS.items()
        },
        **{
            f"path: {name}": request(method, odd_path % path.encode(), *length, body=body)
            for name, odd_path in ODD_PATHS.items()
        },
        **{
            f"method: {odd_method}": request(odd_method, path, *length, body=body)
            for odd_method in ODD_METHODS
        },
        **{
            f"version: {version}": request(method, path, *length, body=body, version=version)
            for version in ("1.0", "9.1", "x")
        },
        "no version": f"{method} {path}\r\n\r\n".encode(),
        "nothing but a line break": b"\r\n\r\n\r\n" + request(method, path, *length, body=body),
    }
    found = {name: server.send(sent, method=method).status for name, sent in odd.items()}
    root = server.send(request(method, "/", *length, body=body), method=method).status
    assert found.pop("path: slashes alone") == root
    # 501: gunicorn's answer to a transfer coding that it does not know; 308: Flask's to an
    # address without a path.
    blamed = {
        name: status
        for name, status in found.items()
        if not (status == usual or 400 <= status < 500 or status in (308, 501))
    }
    assert blamed == {}
    assert server.errors() == []


def _frames(header: str | bytes) -> bool:
    """Whether the header says where the body ends."""
    text = header if isinstance(header, str) else header.decode("latin-1")
    return text.lower().startswith(("content-length", "transfer-encoding"))
