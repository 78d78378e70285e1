"""What schemathesis loads beside its own checks, in its process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import schemathesis

from daybook.http.requests import MAX_TEXT_LENGTH

ENTRIES = "OPENAPI_ENTRIES"
"""Names the variable with the IDs of entries that were rejected and are correct now."""
OWNERS = "OPENAPI_OWNERS"
"""Names the variable with the IDs of users who have money in a wallet."""
AFFORDABLE = 10**6
"""In minor units; owners have more."""
TOKEN = "t" * 43
"""Of the page's forms: the cookie and the form have the same."""
DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(20)]
DELIVERED = date(2025, 12, 30)
"""A day with a delivered file."""
OPEN_DAYS = [date(2026, 2, 1) + timedelta(days=number) for number in range(10)]
"""Days with an attempt that failed."""

BEYOND_SCHEMAS = {
    "batchDate": "still to come|not a plausible date|not due yet",
    "from": "is after to",
    "entryIds": "no journal entry has the id",
    "role": "is missing: give role, brandCode or mediatorCode",
    "toUserId": "is the payer's own",
    "cursor": "nextCursor of an answer|another wallet",
    "expiresAt": "must be a time like",  # in 1970 by its offset, and not in UTC
}
"""Field → what a problem says of a value that no schema of the field alone can exclude."""
NOT_WHOLE = "not one with a point or an exponent|must be a whole number from 1, not [0-9.e+]+$"
"""For a JSON Schema 1.0 is an integer, and for an amount of money it is not."""


@schemathesis.hook
def before_load_schema(_context: Any, schema: dict[str, Any]) -> None:
    """Clients ignore fields that they do not know; here a field must not be forgotten."""
    for path in schema["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for media in response["content"].values():
                    _close(media["schema"])
    _close(schema["components"]["schemas"]["Problem"])
    for path, example in _movements().items():
        if path in schema["paths"]:
            _show(schema["paths"][path]["post"], path, example)
    # Cloud Run checks tokens, not the function.
    del schema["security"], schema["components"]["securitySchemes"]


def _movements() -> dict[str, dict[str, Any]]:
    """Path → a body that succeeds; few of the generated ones do, and by chance none."""
    owners = os.environ.get(OWNERS, "").split()
    if not owners:
        return {}
    booked = {"amountPaise": 1, "type": "topup"}
    return {
        "/wallets/{ownerUserId}/credits": booked,
        "/wallets/{ownerUserId}/debits": booked,
        "/transfers": {"fromUserId": owners[0], "toUserId": owners[1], **booked},
    }


def _show(operation: dict[str, Any], path: str, body: dict[str, Any]) -> None:
    """Give the operation an example, with a key that no other request has."""
    shown = {"ownerUserId": os.environ[OWNERS].split()[0], "Idempotency-Key": f"example {path}"}
    for parameter in operation["parameters"]:
        if parameter["name"] in shown:
            parameter["example"] = shown[parameter["name"]]
    for media in operation["requestBody"]["content"].values():
        media["example"] = body


def _close(schema: Any) -> None:
    for part in _parts(schema):
        if "properties" in part and "required" in part:
            part["additionalProperties"] = False


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list):
            yield from _parts(part)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Days that are over, and entries that exist, in place of others of the right form."""
    if not isinstance(body, dict):
        return body
    days = OPEN_DAYS if context.operation.path == "/admin/release" else DAYS
    for name in ("batchDate", "from", "to"):
        if _is_day(body.get(name)):
            body[name] = days[sum(map(ord, body[name])) % len(days)].isoformat()
    if isinstance(body.get("entryId"), str) and 0 < len(body["entryId"]) <= MAX_TEXT_LENGTH:
        body["entryId"] = _existing(ENTRIES, body["entryId"])
    if _is_form(context):
        if isinstance(body.get("token"), str) and body["token"]:
            body["token"] = TOKEN
        if isinstance(body.get("entry"), str) and 0 < len(body["entry"]) <= MAX_TEXT_LENGTH:
            body["entry"] = _existing(ENTRIES, body["entry"])
    ids = body.get("entryIds")
    if isinstance(ids, list) and ids and all(isinstance(one, str) and one for one in ids):
        body["entryIds"] = [*ids[:2], _existing(ENTRIES, ids[0])]
    payer, payee = _owner(body, "fromUserId"), _owner(body, "toUserId")
    body |= payer | payee
    if payer and payee and body["fromUserId"] == body["toUserId"]:
        body["toUserId"] = _existing(OWNERS, body["toUserId"] + "\1")
    amount = body.get("amountPaise")
    if type(amount) is int and 0 < amount < 2**53:
        body["amountPaise"] = min(amount, AFFORDABLE) if amount % 4 else amount
    return body


def _is_day(value: Any) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == str(value)
    except (TypeError, ValueError):
        return False


@schemathesis.hook
def map_path_parameters(context: Any, parameters: Any) -> Any:
    """Owners, days and entries that exist, in place of others of the right form."""
    if not parameters:
        return parameters
    found = {**parameters, **_owner(parameters, "ownerUserId")}
    if isinstance(found.get("date"), str) and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"]):
        path = context.operation.path
        days = OPEN_DAYS if path.endswith("/release") else DAYS
        days = [DELIVERED] if path.endswith(("/audit", "/verify")) else days
        found["date"] = days[sum(map(ord, found["date"])) % len(days)].isoformat()
    if isinstance(found.get("id"), str) and ENTRIES in os.environ:
        found["id"] = _existing(ENTRIES, found["id"])
    return found


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    if not isinstance(query, dict):
        return query
    name = {"/entries": "name", "/requeue": "entry"}.get(context.operation.path)
    if isinstance(query.get(name), str) and 0 < len(query[name]) <= MAX_TEXT_LENGTH:
        return {**query, name: _existing(ENTRIES, query[name])}
    return query


def _is_form(context: Any) -> bool:
    path = context.operation.path
    return context.operation.method.upper() == "POST" and (
        path == "/requeue" or path.startswith("/days/")
    )


@schemathesis.hook
def map_headers(context: Any, headers: Any) -> Any:
    """What a browser sends with a form of the page itself."""
    if not _is_form(context):
        return headers
    given = {"Sec-Fetch-Site": "same-origin", "Cookie": f"daybook_token={TOKEN}"}
    return {**(headers or {}), **given}


def _owner(given: Mapping[str, Any], name: str) -> dict[str, str]:
    """An owner in place of three IDs of four; one is left, of a user without a wallet."""
    value = given.get(name)
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{24}", value):
        return {}
    return {} if int(value, 16) % 4 == 3 else {name: _existing(OWNERS, value)}


def _existing(variable: str, seed: str) -> str:
    ids = os.environ[variable].split()
    return ids[sum(map(ord, seed)) % len(ids)]


@schemathesis.check
def accepts_what_its_schema_allows(_context: Any, response: Any, case: Any) -> None:
    """Like `positive_data_acceptance`, but for rules about several fields."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code != 400:
        return
    problem = response.json()
    field = re.sub(r"\[\d+\]$", "", problem.get("where", ""))
    rule = BEYOND_SCHEMAS.get(field)
    known = rule is not None and re.search(rule, problem["detail"])
    assert known or re.search(NOT_WHOLE, problem["detail"]), problem["detail"]


@schemathesis.check
class EveryOperationSucceeds:
    """Fails when an operation was never answered with 2xx: then its answers were not checked."""

    def __init__(self) -> None:
        self._called: set[str] = set()
        self._done: set[str] = set()

    def after_response(self, _context: Any, response: Any, case: Any) -> None:
        self._called.add(case.operation.label)
        if 200 <= response.status_code < 300:
            self._done.add(case.operation.label)

    def after_run(self, _context: Any) -> None:
        never = sorted(self._called - self._done)
        assert not never, f"never answered with success: {never}"
