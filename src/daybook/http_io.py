"""What requests carry, checked by type, and what they are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import flask
from werkzeug.exceptions import BadRequest as UnreadableBody

from daybook import display, log
from daybook.app import App
from daybook.errors import BadRequest, DatabaseError, DaybookError
from daybook.export import manual
from daybook.export.outcome import Outcome, Status
from daybook.export.profile import DAILY

MAX_BODY_BYTES = 8 * 1024 * 1024


def body_of(request: flask.Request, *, allowed: set[str] | None = None) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty object. Raises `BadRequest`."""
    try:
        # Read before it is judged: the framework reads the rest of a body in any case.
        text = request.get_data(cache=True)
    except UnreadableBody as error:
        raise BadRequest(f"cannot be read: {error.description}", where="body") from error
    except Exception as error:
        raise BadRequest(f"cannot be read: {error}", where="body") from error
    # gunicorn ends a body where the connection ends; nothing at all would be an empty object.
    announced = request.content_length
    if announced is not None and len(text) < announced:
        raise BadRequest(f"ends after {len(text)} of {announced} bytes", where="body")
    if len(text) > MAX_BODY_BYTES:
        raise BadRequest(f"has more than {MAX_BODY_BYTES} bytes", where="body")
    if not text.strip():
        return {}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"is not JSON: {error}", where="body") from error
    if not isinstance(body, dict):
        raise BadRequest(f"must be a JSON object, not {type(body).__name__}", where="body")
    for name in body:
        if allowed is not None and name not in allowed:
            raise BadRequest(
                f"unknown field {name!r:.80}; known are {', '.join(sorted(allowed))}", where=name
            )
    return body


def profile_name(app: App, body: Mapping[str, Any]) -> str:
    name = body.get("profile", DAILY)
    if not isinstance(name, str):
        raise BadRequest(f"must be a string, not {name!r:.80}", where="profile")
    return app.profile(name).name


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false; false when it is not there."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"must be true or false, not {value!r:.80}", where=name)
    return value


def text(body: Mapping[str, Any], name: str, *, longest: int = 255) -> str:
    """A field that has to be there, with 1 to `longest` characters."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise BadRequest(
            f"must be text of 1 to {longest} characters, not {value!r:.80}", where=name
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            "has half of a surrogate pair, which is no character", where=name
        ) from error
    return value


def count(body: Mapping[str, Any], name: str) -> int:
    """A field that has to be a whole number from 1."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise BadRequest(f"must be a whole number from 1, not {value!r:.80}", where=name)
    return value


def batch_date(body: Mapping[str, Any]) -> date | None:
    """The ISO date that was given, or None."""
    if body.get("batchDate") is None:
        return None
    return manual.parse_date(body, "batchDate")


Refusal = Callable[[str, str], None]
"""Gets the type and the message of an error."""


def run_answer(
    profile: str,
    day: date | None,
    call: Callable[[], Outcome],
    *,
    final_is_ok: bool = False,
    refused: Refusal | None = None,
) -> flask.Response:
    """A run's answer, always the run's JSON, also for what went wrong in it.

    `final_is_ok`: a final failure is answered 200, since another delivery would not help.
    `refused` is told of an error instead of a run, for which no batch can answer.
    """
    try:
        outcome = call()
        final = final_is_ok and outcome.status is Status.FAILED and not outcome.unensured
        return json_answer(200 if final else outcome.http_status, outcome.to_doc())
    except BadRequest:
        raise
    except DaybookError as error:
        log.event(logging.ERROR, "run_failed", str(error), error_type=error.type, exc_info=error)
        status = 503 if isinstance(error, DatabaseError) and not error.permanent else 500
        if refused is not None:
            refused(error.type, str(error))
        return json_answer(status, _failed(profile, day, error.type, str(error)).to_doc())
    except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
        log.event(logging.ERROR, "run_crashed", str(error), exc_info=error)
        message = f"{type(error).__name__}: {error}"
        if refused is not None:
            refused("unknown", message)
        return json_answer(500, _failed(profile, day, "unknown", message).to_doc())


def _failed(profile: str, day: date | None, kind: str, message: str) -> Outcome:
    return Outcome(
        status=Status.FAILED,
        profile=profile,
        batch_date=None if day is None else day.isoformat(),
        error={"type": kind, "message": message},
    )


def json_answer(status: int, doc: Mapping[str, Any]) -> flask.Response:
    return flask.Response(
        json.dumps(display.document(doc), ensure_ascii=False, allow_nan=False),
        status=status,
        mimetype="application/json",
    )


def problem(status: int, detail: str, *, where: str | None = None) -> flask.Response:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    doc: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": detail if where is None else f"{where}: {detail}",
    }
    if where is not None:
        doc["where"] = where
    return flask.Response(
        json.dumps(display.document(doc)), status=status, mimetype="application/problem+json"
    )


_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Not possible now",
    422: "Idempotency key reused",
    500: "Internal error",
    502: "The destination or the queue failed",
    503: "The database is away",
}
