"""HTTP: routes, checks of what comes in, and answers as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import flask
from werkzeug.exceptions import BadRequest as UnreadableBody

from daybook import log
from daybook.app import App
from daybook.errors import (
    BadRequest,
    ConfigurationError,
    DatabaseError,
    DaybookError,
    KeyReused,
)
from daybook.export import manual
from daybook.export.outcome import Outcome, Status
from daybook.export.profile import DAILY
from daybook.export.schedule import is_current, parse_schedule_time
from daybook.ops.health import DatabaseHealth, database_health

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_BODY_BYTES = 8 * 1024 * 1024

Handler = Callable[[App, flask.Request], flask.Response]


def answer(app: App, request: flask.Request) -> flask.Response:
    """Answer one request; whatever goes wrong becomes an answer that says what and where."""
    methods = ROUTES.get(request.path.rstrip("/") or "/")
    if methods is None:
        return _problem(404, f"there is nothing at {request.path}")
    handler = methods.get(request.method)
    if handler is None:
        response = _problem(405, f"{request.method} is not possible at {request.path}")
        response.headers["Allow"] = ", ".join(sorted(methods))
        return response
    with log.traced(dict(request.headers)):
        try:
            return handler(app, request)
        except KeyReused as error:
            return _problem(422, str(error), where=error.where)
        except BadRequest as error:
            return _problem(400, str(error), where=error.where)
        except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
            log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
            return _problem(500, f"{type(error).__name__}: {error}")


def _run(app: App, request: flask.Request) -> flask.Response:
    body = _body(request, allowed={"profile", "batchDate", "dryRun"})
    profile_name = _profile_name(app, body)
    dry_run = _dry_run(body)
    batch_date = _batch_date(body)
    header = request.headers.get(SCHEDULE_TIME)
    schedule_time = parse_schedule_time(header) if header else None
    if schedule_time is not None and not is_current(app.clock(), schedule_time):
        schedule_time = None
    call = app.plan_batch if dry_run else app.run_batch
    day = batch_date or app.schedule.batch_date(app.clock(), schedule_time)
    return _outcome(
        profile_name,
        day,
        lambda: call(profile_name=profile_name, batch_date=day, schedule_time=schedule_time),
    )


def _export(app: App, request: flask.Request) -> flask.Response:
    body = _body(request)
    name = _profile_name(app, body)
    body.pop("profile", None)
    wanted = manual.parse(body, key=request.headers.get(IDEMPOTENCY_KEY))
    return _outcome(name, None, lambda: app.run_manual(wanted, profile_name=name))


def _health(app: App, _request: flask.Request) -> flask.Response:
    try:
        health = database_health(app.client, app.clock())
    except ConfigurationError as error:  # an address that the driver cannot read
        log.event(logging.WARNING, "health_degraded", str(error))
        health = DatabaseHealth(at=app.clock(), connected=False)
    return _json(health.http_status, health.to_doc())


ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/": {"POST": _run},
    "/run": {"POST": _run},
    "/exports": {"POST": _export},
    "/health": {"GET": _health},
    "/api/health": {"GET": _health},
}
"""Path → method → handler. No path may end in `z`: Cloud Run keeps those for itself."""


def _outcome(profile: str, day: date | None, call: Callable[[], Outcome]) -> flask.Response:
    """A run's answer, always the run's JSON, also for what went wrong in it."""
    try:
        outcome = call()
        return _json(outcome.http_status, outcome.to_doc())
    except BadRequest:
        raise
    except DaybookError as error:
        log.event(logging.ERROR, "run_failed", str(error), error_type=error.type, exc_info=error)
        status = 503 if isinstance(error, DatabaseError) else 500
        return _json(status, _failed(profile, day, error.type, str(error)).to_doc())
    except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
        log.event(logging.ERROR, "run_crashed", str(error), exc_info=error)
        message = f"{type(error).__name__}: {error}"
        return _json(500, _failed(profile, day, "unknown", message).to_doc())


def _failed(profile: str, day: date | None, kind: str, message: str) -> Outcome:
    return Outcome(
        status=Status.FAILED,
        profile=profile,
        batch_date=None if day is None else day.isoformat(),
        error={"type": kind, "message": message},
    )


def _body(request: flask.Request, *, allowed: set[str] | None = None) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty object."""
    try:
        # Read before it is judged: the framework reads the rest of a body in any case.
        text = request.get_data(cache=True)
    except UnreadableBody as error:
        raise BadRequest(f"cannot be read: {error.description}", where="body") from error
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


def _profile_name(app: App, body: Mapping[str, Any]) -> str:
    name = body.get("profile", DAILY)
    if not isinstance(name, str):
        raise BadRequest(f"must be a string, not {name!r:.80}", where="profile")
    return app.profile(name).name


def _dry_run(body: Mapping[str, Any]) -> bool:
    value = body.get("dryRun", False)
    if not isinstance(value, bool):
        raise BadRequest(f"must be true or false, not {value!r:.80}", where="dryRun")
    return value


def _batch_date(body: Mapping[str, Any]) -> date | None:
    if body.get("batchDate") is None:
        return None
    return manual.parse_date(body, "batchDate")


def _json(status: int, doc: Mapping[str, Any]) -> flask.Response:
    return flask.Response(
        json.dumps(doc, ensure_ascii=False), status=status, mimetype="application/json"
    )


def _problem(status: int, detail: str, *, where: str | None = None) -> flask.Response:
    """https://www.rfc-editor.org/rfc/rfc9457"""
    doc: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": detail if where is None else f"{where}: {detail}",
    }
    if where is not None:
        doc["where"] = where
    return flask.Response(json.dumps(doc), status=status, mimetype="application/problem+json")


_TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    422: "Idempotency key reused",
    500: "Internal error",
}
