"""The routes of `daybook`: the daily batch, manual exports, what operators ask for, health."""

from __future__ import annotations

import logging

import flask
from pymongo.errors import PyMongoError

from daybook import log
from daybook.app import App
from daybook.audit.lineage import EntryUnknown
from daybook.audit.verify import NotDelivered
from daybook.errors import (
    ConfigurationError,
    DatabaseError,
    DaybookError,
    DestinationError,
    FencedOut,
    Interrupted,
    TaskError,
)
from daybook.export.operations.reopen import NotPossible, SlotBusy
from daybook.export.operations.requeue import NotRequeued
from daybook.http import admin, health, runs
from daybook.http.dispatcher import MAX_EXPORT_BYTES, Dispatcher
from daybook.http.openapi import PROBLEM_MEDIA, Operations, with_description
from daybook.http.page import actions, pages, view
from daybook.http.requests import text_of
from daybook.http.responses import problem
from daybook.http.schema import DAY, one_of
from daybook.mongo.migrate import DuplicatesFound

EXPORTS = "/exports"

_OPERATIONS: Operations[App] = {
    "/": {"GET": pages.index, "POST": runs.run},
    "/days/{date}": {"GET": pages.day},
    "/days/{date}/retry": {"GET": actions.ask_retry, "POST": actions.do_retry},
    "/days/{date}/release": {"GET": actions.ask_release, "POST": actions.do_release},
    "/days/{date}/verify": {"GET": actions.ask_verify, "POST": actions.do_verify},
    "/days/{date}/audit": {"GET": actions.ask_audit, "POST": actions.do_audit},
    "/entries": {"GET": pages.entries},
    "/entries/{id}": {"GET": pages.entry},
    "/requeue": {"GET": actions.ask_requeue, "POST": actions.do_requeue},
    "/run": {"POST": runs.run},
    "/tasks/run": {"POST": runs.task},
    EXPORTS: {"POST": runs.export},
    "/watchdog": {"POST": admin.watchdog},
    "/sweep": {"POST": admin.sweeping},
    "/audit": {"POST": admin.auditing},
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

ROUTES = with_description(
    _OPERATIONS,
    title="Daybook: the daily batch",
    problems={
        "DUPLICATES": 409,
        "CONFIGURATION": 500,
        "DESTINATION_UNAVAILABLE": 502,
        "QUEUE_UNAVAILABLE": 502,
        "INTERRUPTED": 503,
    },
    schemas=lambda app: {"Profile": one_of(list(app.profiles))},
    segments={"date": DAY, "id": text_of()},
)
"""No path may end in `z`: Cloud Run reserves those."""


_PAGES = ("/", "/days/{date}", "/entries", "/entries/{id}")
_FORMS = {
    "/days/{date}/retry": "retry",
    "/days/{date}/release": "release",
    "/days/{date}/verify": "verify",
    "/days/{date}/audit": "audit",
    "/requeue": "requeue",
}
PERMISSIONS = {
    **{(path, "GET"): view.PERMISSION for path in _PAGES},
    **{
        (path, method): view.ACTIONS[name]
        for path, name in _FORMS.items()
        for method in ("GET", "POST")
    },
}
"""Path and method → the name in `DAYBOOK_CALLERS`, where that is not the path itself."""


def answer(app: App, request: flask.Request) -> flask.Response:
    """A problem is a page for a client that asked for a page."""
    response = _dispatcher.answer(app, request)
    if response.mimetype == PROBLEM_MEDIA and view.wants_html(request):
        return view.problem_page(app, request, response)
    return response


def _problem_of(_app: App, request: flask.Request, error: Exception) -> flask.Response | None:
    """A conflict is answered 409, since another delivery would not help."""
    match error:
        case NotPossible() | NotRequeued() | NotDelivered() | SlotBusy() | FencedOut():
            return problem(409, str(error))
        case DuplicatesFound():
            return _duplicates(error)
        case EntryUnknown():
            return problem(404, str(error))
        case DestinationError():
            return _failed(502, "DESTINATION_UNAVAILABLE", error)
        case TaskError():
            return _failed(502, "QUEUE_UNAVAILABLE", error)
        case DatabaseError():
            return _database_failed(error)
        case PyMongoError():
            return _database_failed(DatabaseError.of(request.path, error))
        case Interrupted():
            return _failed(503, "INTERRUPTED", error)
        case ConfigurationError():
            return _failed(500, "CONFIGURATION", error)
    return None


def _duplicates(error: DuplicatesFound) -> flask.Response:
    """The database conflicts with what was asked for; which documents is for programs, too."""
    log.event(logging.ERROR, "request_failed", str(error), error_type=error.type)
    more = {"duplicates": [group.to_doc() for group in error.groups]}
    return problem(409, str(error), code="DUPLICATES", more=more)


def _database_failed(error: DatabaseError) -> flask.Response:
    """503 asks the sender to repeat, which is useless until an operator has acted."""
    if error.permanent:
        return _failed(500, "CONFIGURATION", error)
    return _failed(503, "DATABASE_UNAVAILABLE", error)


def _failed(status: int, code: str, error: DaybookError) -> flask.Response:
    log.event(logging.ERROR, "request_failed", str(error), error_type=error.type)
    return problem(status, str(error), code=code)


_dispatcher = Dispatcher(
    routes=ROUTES,
    problem_of=_problem_of,
    body_limits={EXPORTS: MAX_EXPORT_BYTES},
    permissions=PERMISSIONS,
)
