"""Responses: JSON, the result of a run, and problems, which are the same in both functions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date
from http import HTTPStatus
from typing import Any

import flask

from daybook import display, log
from daybook.errors import BadRequest, DatabaseError, DaybookError, KeyReused, TooLarge
from daybook.export.outcome import Outcome, Status


def json_response(status: int, doc: Mapping[str, Any]) -> flask.Response:
    return flask.Response(
        json.dumps(display.document(doc), ensure_ascii=False, allow_nan=False),
        status=status,
        mimetype="application/json",
    )


_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Not possible now",
    410: "Not possible any more",
    413: "Content too large",
    422: "Idempotency key reused",
    500: "Internal error",
    502: "The destination or the queue failed",
    503: "The database is away",
}

CODES = {
    400: "BAD_REQUEST",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "NOT_POSSIBLE",
    413: "BODY_TOO_LARGE",
    422: "IDEMPOTENCY_KEY_REUSED",
    500: "INTERNAL",
    503: "DATABASE_UNAVAILABLE",
}
"""The code of a problem that is given none."""


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    where: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> flask.Response:
    """https://www.rfc-editor.org/rfc/rfc9457, with a `code` for programs; `more` are members."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # what failed is not the caller's
        detail = display.scrubbed(detail)
    doc: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "code": code or CODES[status],
        "detail": detail if where is None else f"{where}: {detail}",
    }
    if where is not None:
        doc["where"] = where
    doc |= more or {}
    return flask.Response(
        json.dumps(display.document(doc)), status=status, mimetype="application/problem+json"
    )


def bad_request(error: BadRequest) -> flask.Response:
    status = {KeyReused: 422, TooLarge: 413}.get(type(error), 400)
    return problem(status, str(error), where=error.where)


OnError = Callable[[str, str], None]
"""Gets the type and the message of an error."""


def run_response(
    profile: str,
    day: date | None,
    call: Callable[[], Outcome],
    *,
    final_is_ok: bool = False,
    on_error: OnError | None = None,
) -> flask.Response:
    """The run's JSON, also for an error that ended the run.

    `final_is_ok`: a final failure is answered 200, since another delivery would not help.
    `on_error` is called when an error kept the run from beginning, so that no batch records it.
    """
    try:
        outcome = call()
        final = final_is_ok and outcome.status is Status.FAILED and not outcome.task_missing
        return json_response(200 if final else outcome.http_status, outcome.to_doc())
    except BadRequest:
        raise
    except DaybookError as error:
        log.event(logging.ERROR, "run_failed", str(error), error_type=error.type, exc_info=error)
        status = 503 if isinstance(error, DatabaseError) and not error.permanent else 500
        if on_error is not None:
            on_error(error.type, display.scrubbed(str(error)))
        return json_response(status, _failed(profile, day, error.type, str(error)).to_doc())
    except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
        log.event(logging.ERROR, "run_crashed", str(error), exc_info=error)
        message = display.scrubbed(f"{type(error).__name__}: {error}")
        if on_error is not None:
            on_error("unknown", message)
        return json_response(500, _failed(profile, day, "unknown", message).to_doc())


def _failed(profile: str, day: date | None, kind: str, message: str) -> Outcome:
    return Outcome(
        status=Status.FAILED,
        profile=profile,
        batch_date=None if day is None else day.isoformat(),
        error={"type": kind, "message": display.scrubbed(message)},
    )
