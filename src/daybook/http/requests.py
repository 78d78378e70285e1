"""What requests carry, checked by type, and what they are answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date
from http import HTTPStatus
from typing import Any

import flask

from daybook import log
from daybook.app import App
from daybook.errors import BadRequest, DatabaseError, DaybookError
from daybook.export.model.profile import DAILY
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manual
from daybook.text import display
from daybook.text.scrub import scrubbed


def profile_name(app: App, body: Mapping[str, Any]) -> str:
    name = body.get("profile", DAILY)
    if not isinstance(name, str):
        raise BadRequest(f"must be a string, not {display.quoted(name)}", where="profile")
    return app.profile(name).name


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false; false when it is not there."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"must be true or false, not {display.quoted(value)}", where=name)
    return value


def text(body: Mapping[str, Any], name: str, *, longest: int = 255) -> str:
    """A field that has to be there, with 1 to `longest` characters."""
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
    """A field that has to be a whole number from 1."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise BadRequest(f"must be a whole number from 1, not {display.quoted(value)}", where=name)
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
        final = final_is_ok and outcome.status is Status.FAILED and not outcome.task_missing
        return json_answer(200 if final else outcome.http_status, outcome.to_doc())
    except BadRequest:
        raise
    except DaybookError as error:
        log.event(logging.ERROR, "run_failed", str(error), error_type=error.type, exc_info=error)
        status = 503 if isinstance(error, DatabaseError) and not error.permanent else 500
        if refused is not None:
            refused(error.type, scrubbed(str(error)))
        return json_answer(status, _failed(profile, day, error.type, str(error)).to_doc())
    except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
        log.event(logging.ERROR, "run_crashed", str(error), exc_info=error)
        message = scrubbed(f"{type(error).__name__}: {error}")
        if refused is not None:
            refused("unknown", message)
        return json_answer(500, _failed(profile, day, "unknown", message).to_doc())


def _failed(profile: str, day: date | None, kind: str, message: str) -> Outcome:
    return Outcome(
        status=Status.FAILED,
        profile=profile,
        batch_date=None if day is None else day.isoformat(),
        error={"type": kind, "message": scrubbed(message)},
    )


def json_answer(status: int, doc: Mapping[str, Any]) -> flask.Response:
    return flask.Response(
        json.dumps(display.document(doc), ensure_ascii=False, allow_nan=False),
        status=status,
        mimetype="application/json",
    )


def problem(status: int, detail: str, *, where: str | None = None) -> flask.Response:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # what failed is not of the caller
        detail = scrubbed(detail)
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
    413: "Content too large",
    422: "Idempotency key reused",
    500: "Internal error",
    502: "The destination or the queue failed",
    503: "The database is away",
}
