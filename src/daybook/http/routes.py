"""HTTP: what is answered at which path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import flask

from daybook import log
from daybook.app import App
from daybook.errors import BadRequest, KeyReused, TooLarge
from daybook.http import admin, health, runs
from daybook.http.body import MAX_BYTES, MAX_EXPORT_BYTES, receive
from daybook.http.callers import refusal
from daybook.http.requests import problem
from daybook.text.display import shortened

Handler = Callable[[App, flask.Request], flask.Response]


def answer(app: App, request: flask.Request) -> flask.Response:
    """Answer one request; whatever goes wrong becomes an answer that says what and where."""
    path = request.path.rstrip("/") or "/"
    try:
        receive(request, longest=MAX_EXPORT_BYTES if path == EXPORTS else MAX_BYTES)
    except BadRequest as error:
        return _misunderstood(error)
    methods = ROUTES.get(path)
    if methods is None:
        return problem(404, f"there is nothing at {shortened(request.path)}")
    # The server leaves out the body: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        response = problem(405, f"{shortened(request.method)} is not possible at {path}")
        allowed = {*methods, "HEAD"} if "GET" in methods else methods
        response.headers["Allow"] = ", ".join(sorted(allowed))
        return response
    with log.traced(dict(request.headers)):
        refused = refusal(app.settings.callers, path, request)
        if refused is not None:
            log.event(logging.WARNING, "caller_refused", refused)
            return problem(403, refused)
        try:
            return handler(app, request)
        except BadRequest as error:
            return _misunderstood(error)
        except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
            log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
            return problem(500, f"{type(error).__name__}: {error}")


def _misunderstood(error: BadRequest) -> flask.Response:
    status = {KeyReused: 422, TooLarge: 413}.get(type(error), 400)
    return problem(status, str(error), where=error.where)


EXPORTS = "/exports"

ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/": {"POST": runs.run},
    "/run": {"POST": runs.run},
    "/tasks/run": {"POST": runs.task},
    EXPORTS: {"POST": runs.export},
    "/watchdog": {"POST": admin.watchdog},
    "/sweep": {"POST": admin.sweeping},
    "/admin/retry": {"POST": admin.retry},
    "/admin/release": {"POST": admin.release},
    "/admin/requeue": {"POST": admin.requeueing},
    "/admin/verify": {"POST": admin.verification},
    "/admin/doctor": {"POST": admin.examination},
    "/admin/migrate": {"POST": admin.migration},
    "/health": {"GET": health.health},
    "/api/health": {"GET": health.health},
    "/health/cron": {"GET": health.cron},
    "/api/health/cron": {"GET": health.cron},
    "/metrics": {"GET": health.measurements},
}
"""Path → method → handler. No path may end in `z`: Cloud Run keeps those for itself."""
