"""HTTP: what is answered at which path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import flask

from daybook import http_admin, http_health, http_runs, log
from daybook.app import App
from daybook.display import shortened
from daybook.errors import BadRequest, KeyReused, TooLarge
from daybook.http_body import MAX_BYTES, MAX_EXPORT_BYTES, receive
from daybook.http_callers import refusal
from daybook.http_io import problem

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
    "/": {"POST": http_runs.run},
    "/run": {"POST": http_runs.run},
    "/tasks/run": {"POST": http_runs.task},
    EXPORTS: {"POST": http_runs.export},
    "/watchdog": {"POST": http_admin.watchdog},
    "/sweep": {"POST": http_admin.sweeping},
    "/admin/retry": {"POST": http_admin.retry},
    "/admin/release": {"POST": http_admin.release},
    "/admin/requeue": {"POST": http_admin.requeueing},
    "/admin/verify": {"POST": http_admin.verification},
    "/admin/doctor": {"POST": http_admin.examination},
    "/admin/migrate": {"POST": http_admin.migration},
    "/health": {"GET": http_health.health},
    "/api/health": {"GET": http_health.health},
    "/health/cron": {"GET": http_health.cron},
    "/api/health/cron": {"GET": http_health.cron},
    "/metrics": {"GET": http_health.measurements},
}
"""Path → method → handler. No path may end in `z`: Cloud Run keeps those for itself."""
