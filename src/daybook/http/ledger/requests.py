"""The fields, parameter values and keys of a request to the ledger, checked by type."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import flask
from bson import ObjectId

from daybook import display
from daybook.errors import BadRequest
from daybook.export.rendering.cells.money import CURRENCIES, is_currency
from daybook.http.callers import verified_account
from daybook.http.dispatcher import Parameter
from daybook.http.schema import Schema
from daybook.ledger_app import LedgerApp
from daybook.wallets.context import MAX_PAISE
from daybook.wallets.idempotency import IdempotencyKey

IDEMPOTENCY_KEY = "Idempotency-Key"

MAX_KEY_LENGTH = 255
MAX_ROLES = 20
EARLIEST_YEAR = 1970
_ID = re.compile(r"[0-9a-fA-F]{24}")
_KEY = re.compile(rf"[!-~](?:[ -~]{{0,{MAX_KEY_LENGTH - 2}}}[!-~])?")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_COUNT = re.compile(r"[1-9][0-9]{0,3}")


def _form(pattern: re.Pattern[str]) -> Schema:
    return {"type": "string", "pattern": f"^{pattern.pattern}$"}


# What the functions of these names accept, as JSON Schemas.
ID = _form(_ID)
WORD = _form(_WORD)
CODE = _form(_CODE)
AMOUNT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_PAISE}
CURRENCY: Schema = {"type": "string", "enum": sorted(CURRENCIES)}
WORDS: Schema = {
    "type": "array",
    "items": WORD,
    "minItems": 1,
    "maxItems": MAX_ROLES,
    "uniqueItems": True,
}
MOMENT: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": (
        r"^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
        r"T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
    ),
    "examples": ["2026-01-18T18:00:00Z"],
}
KEY = {
    IDEMPOTENCY_KEY: Parameter(
        schema=_form(_KEY),
        description="Names the request: repeated under the same key, it is carried out once.",
        required=True,
    )
}
KEY_IF_GIVEN = {IDEMPOTENCY_KEY: replace(KEY[IDEMPOTENCY_KEY], required=False)}

_CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_SPACES = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"


def line_of(longest: int) -> Schema:
    """What `line` accepts."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": longest,
        "pattern": f"^[^{_CONTROL}]*[^{_CONTROL}{_SPACES}][^{_CONTROL}]*$",
    }


def limit_of(*, usual: int, most: int) -> Parameter:
    """What `limit` accepts."""
    return Parameter(
        schema={"type": "integer", "minimum": 1, "maximum": most, "default": usual},
        description="How many results at most.",
    )


def idempotency_key(
    app: LedgerApp, request: flask.Request, path: Sequence[str], body: Mapping[str, Any]
) -> IdempotencyKey:
    """The header's key with its caller and the request it is for; raises `BadRequest`."""
    wanted = idempotency_key_if_given(app, request, path, body)
    if wanted is None:
        raise BadRequest(
            "is missing: money moves only under a key, so that a repeated request moves it once",
            where=IDEMPOTENCY_KEY,
        )
    return wanted


def idempotency_key_if_given(
    app: LedgerApp, request: flask.Request, path: Sequence[str], body: Mapping[str, Any]
) -> IdempotencyKey | None:
    """The same, or None without the header; raises `BadRequest` for a malformed key."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadRequest(
            f"must be 1 to {MAX_KEY_LENGTH} characters of ASCII, not {display.quoted(key)}",
            where=IDEMPOTENCY_KEY,
        )
    caller = verified_account(app.settings.callers, request)
    return IdempotencyKey.of(key, "/".join(path), body, caller=caller)


def amount(body: Mapping[str, Any], name: str) -> int:
    """A positive whole number of minor units that JSON represents exactly."""
    value = body.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_PAISE:
        return value
    raise BadRequest(
        f"must be a whole number of minor units from 1 to {MAX_PAISE}, {_unlike(value)}",
        where=name,
    )


def _unlike(value: Any) -> str:
    if value is None:
        return "and is missing"
    if isinstance(value, str):
        return f"not text, {display.quoted(value)}"
    if isinstance(value, float):
        return f"not one with a point or an exponent, {display.quoted(value)}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"not {value if abs(value) < 10**40 else 'one of so many digits'}"
    return f"not {display.quoted(value)}"


def object_id(value: Any, name: str) -> ObjectId:
    """An ID as responses show it: 24 hexadecimal digits."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadRequest(
            f"must be an ID of 24 hexadecimal digits, not {display.quoted(value)}", where=name
        )
    return ObjectId(value)


def word(value: Any, name: str) -> str:
    """A type, role or status."""
    return _matching(_WORD, value, name, "1 to 40 letters, digits, _ . - with a letter first")


def code(value: Any, name: str) -> str:
    """A brand's, mediator's or invite's code."""
    return _matching(_CODE, value, name, "1 to 64 letters, digits, _ . -")


def currency(value: Any, name: str) -> str:
    """A code that the daily file accepts: entries in another would be rejected, day after day."""
    if not isinstance(value, str) or not is_currency(value, {}):
        raise BadRequest(
            f"must be an active ISO 4217 code such as INR, not {display.quoted(value)}", where=name
        )
    return value


def _matching(pattern: re.Pattern[str], value: Any, name: str, form: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BadRequest(f"must be {form}, not {display.quoted(value)}", where=name)
    return value


def line(value: Any, name: str, *, longest: int) -> str:
    """One line of text for people."""
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.strip():
        raise BadRequest(
            f"must be text of 1 to {longest} characters, not {display.quoted(value)}", where=name
        )
    odd = next((c for c in value if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    if odd is not None:
        raise BadRequest(f"must not contain the character U+{ord(odd):04X}", where=name)
    return value


def words(value: Any, name: str) -> tuple[str, ...]:
    """One or several different words."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ROLES:
        raise BadRequest(
            f"must be a list of 1 to {MAX_ROLES} words, not {display.quoted(value)}", where=name
        )
    found = tuple(word(item, f"{name}[{number}]") for number, item in enumerate(value))
    if len(set(found)) < len(found):
        raise BadRequest("names one of its words twice", where=name)
    return found


def moment(value: Any, name: str) -> datetime:
    """A time with its offset from UTC, in whole milliseconds."""
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("no offset")  # noqa: TRY301  (one message for every wrong form)
        utc = found.astimezone(UTC)
        if utc.year < EARLIEST_YEAR:
            raise ValueError("too early")  # noqa: TRY301
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(
            f"must be a time like 2026-01-18T18:00:00Z, not {display.quoted(value)}", where=name
        ) from error
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def limit(given: Mapping[str, str], *, usual: int, most: int) -> int:
    """How many results the caller asks for."""
    text = given.get("limit")
    if text is None:
        return usual
    if not _COUNT.fullmatch(text) or int(text) > most:
        raise BadRequest(
            f"must be a whole number from 1 to {most}, not {display.quoted(text)}", where="limit"
        )
    return int(text)
