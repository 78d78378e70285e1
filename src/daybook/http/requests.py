"""The fields of a request, checked by type, and who asked for what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import flask
from pymongo.errors import PyMongoError

from daybook import display
from daybook.app import App
from daybook.errors import BadRequest, DatabaseError
from daybook.export.batch import export_log
from daybook.export.model.profile import DAILY, EVERY, Profile
from daybook.export.queue import manual
from daybook.http.callers import verified_account
from daybook.http.schema import DAY, TRUTH, Schema, or_null

PROFILE: Schema = {"$ref": "#/components/schemas/Profile"}
"""The names of the profiles that the function has."""
PROFILE_OR_EVERY: Schema = {"anyOf": [PROFILE, {"const": EVERY}]}
BATCH_DATE = or_null(DAY)
FLAG = TRUTH

MAX_TEXT_LENGTH = 255
MAX_COUNT = 2**31 - 1
ORDINAL: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}
"""What `count` accepts."""


def ordinal_to(largest: int) -> Schema:
    """A whole number from 1 to `largest`."""
    return {**ORDINAL, "maximum": largest}


def text_of(longest: int = MAX_TEXT_LENGTH) -> Schema:
    """What `text` accepts."""
    return {"type": "string", "minLength": 1, "maxLength": longest}


def profile_of(app: App, body: Mapping[str, Any]) -> Profile:
    name = body.get("profile", DAILY)
    if not isinstance(name, str):
        raise BadRequest(f"must be a string, not {display.quoted(name)}", where="profile")
    return app.profile(name)


def for_every(body: Mapping[str, Any]) -> bool:
    """Whether the request is for all enabled profiles."""
    return body.get("profile") == EVERY


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false; false when missing."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"must be true or false, not {display.quoted(value)}", where=name)
    return value


def text(body: Mapping[str, Any], name: str, *, longest: int = MAX_TEXT_LENGTH) -> str:
    """A required field of 1 to `longest` characters."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise BadRequest(
            f"must be text of 1 to {longest} characters, not {display.quoted(value)}", where=name
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            "has half of a surrogate pair, which is no character", where=name
        ) from error
    return value


def count(body: Mapping[str, Any], name: str) -> int:
    """A required field: a whole number from 1."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_COUNT:
        raise BadRequest(f"must be a whole number from 1, not {display.quoted(value)}", where=name)
    return value


def batch_date(body: Mapping[str, Any]) -> date | None:
    """The ISO date that was given, or None."""
    if body.get("batchDate") is None:
        return None
    return manual.parse_date(body, "batchDate")


def moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """An instant in ISO 8601 with its offset from UTC, or None when missing."""
    value = body.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadRequest(
        f"must be a time like 2026-01-19T06:30:00+07:00, not {display.quoted(value)}", where=name
    )


def performed_by(app: App, request: flask.Request) -> str:
    """The account that Cloud Run has verified; `operator` without `DAYBOOK_CALLERS`."""
    return verified_account(app.settings.callers, request) or export_log.OPERATOR


def record_request(
    app: App, request: flask.Request, operation: str, profile: str, day: date
) -> None:
    """Store who asked for it, before it is done: what cannot be recorded is not done.

    Raises `DatabaseError`.
    """
    record = export_log.requested(
        operation,
        profile=profile,
        batch_date=day.isoformat(),
        performed_by=performed_by(app, request),
        now=app.now(),
    )
    try:
        app.database[export_log.COLLECTION].insert_one(record)
    except PyMongoError as error:
        raise DatabaseError.of(f"recording the {operation} of {day}", error) from error
