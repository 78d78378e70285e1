"""The ledger over HTTP: what is answered at which path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import flask
import pymongo
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import BadRequest, ConfigurationError, DatabaseError, Forbidden, TooLarge
from daybook.http.body import MAX_BYTES, receive
from daybook.http.callers import refusal, verified_account
from daybook.http.ledger import money, people
from daybook.http.ledger.requests import STATUS, problem
from daybook.http.requests import json_answer
from daybook.ledger_app import LedgerApp
from daybook.ops.health import DatabaseHealth, database_health
from daybook.ops.metrics import metrics
from daybook.text.display import shortened
from daybook.wallets.refusal import Refused
from daybook.wallets.stored import DocumentInvalid
from daybook.wallets.striped_locks import TooContended
from daybook.write_errors import Cause

RETRY_AFTER_SECONDS = 1

Path = Mapping[str, str]
Handler = Callable[[LedgerApp, flask.Request, Path], flask.Response]


def answer(app: LedgerApp, request: flask.Request) -> flask.Response:
    """Answer one request; whatever goes wrong becomes a problem with a code."""
    try:
        receive(request, longest=MAX_BYTES)
    except TooLarge as error:
        return problem(413, "BODY_TOO_LARGE", str(error), where=error.where)
    except BadRequest as error:
        return problem(400, "BAD_REQUEST", str(error), where=error.where)
    found = _found(request.path)
    if found is None:
        return problem(404, "NOT_FOUND", f"there is nothing at {shortened(request.path)}")
    route, path = found
    methods = ROUTES[route]
    # The server leaves out the body: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        response = problem(
            405,
            "METHOD_NOT_ALLOWED",
            f"{shortened(request.method)} is not possible at {shortened(request.path)}",
        )
        allowed = {*methods, "HEAD"} if "GET" in methods else methods
        response.headers["Allow"] = ", ".join(sorted(allowed))
        return response
    with log.traced(dict(request.headers)):
        refused = refusal(app.settings.callers, route, request)
        if refused is not None:
            log.event(logging.WARNING, "caller_refused", refused)
            return problem(403, "FORBIDDEN", refused)
        return _handled(handler, app, request, path)


def _handled(
    handler: Handler, app: LedgerApp, request: flask.Request, path: Path
) -> flask.Response:
    try:
        if handler in MOVING:
            return handler(app, request, path)
        with pymongo.timeout(app.look_seconds):
            return handler(app, request, path)
    except Forbidden as error:
        log.event(logging.WARNING, "caller_refused", str(error))
        return problem(403, "FORBIDDEN", str(error))
    except Refused as error:
        return problem(STATUS[error.code], error.code, str(error), where=error.where)
    except DocumentInvalid as error:
        log.event(logging.ERROR, "document_invalid", error.without_value)
        return problem(409, "DOCUMENT_INVALID", _told(app, request, error))
    except BadRequest as error:
        return problem(400, "BAD_REQUEST", str(error), where=error.where)
    except DatabaseError as error:
        return _away(error)
    except PyMongoError as error:
        return _away(DatabaseError.of(request.path, error))
    except ConfigurationError as error:
        log.event(logging.ERROR, "request_crashed", str(error))
        return problem(500, "CONFIGURATION", str(error))
    except Exception as error:  # noqa: BLE001  (the HTTP boundary: nothing may go unanswered)
        log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
        return problem(500, "INTERNAL", f"{type(error).__name__}: {error}")


def _told(app: LedgerApp, request: flask.Request, error: DocumentInvalid) -> str:
    """What is wrong, without the value for a caller bound to some wallets: it may be another's."""
    rights = app.settings.ledger_wallets
    account = verified_account(app.settings.callers, request)
    return str(error) if rights is None or rights.allow_all(account) else error.without_value


def _away(error: DatabaseError) -> flask.Response:
    if error.permanent:
        return _refused_by_database(error)
    if isinstance(error, TooContended):
        log.event(logging.WARNING, "request_contended", str(error))
    else:
        log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
    response = problem(503, "DATABASE_UNAVAILABLE", str(error))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _refused_by_database(error: DatabaseError) -> flask.Response:
    """What no repetition helps: the database holds an object that refuses the write."""
    log.event(logging.ERROR, "request_crashed", str(error), exc_info=error)
    foreign = error.refused is not None and error.refused.cause is Cause.FOREIGN_INDEX
    if foreign:
        return problem(409, "FOREIGN_INDEX", str(error))
    return problem(500, "CONFIGURATION", str(error))


def health(app: LedgerApp, _request: flask.Request, _path: Path) -> flask.Response:
    """`GET /health`: whether the database answers."""
    try:
        found = database_health(app.client, app.clock())
    except ConfigurationError as error:  # an address that the driver cannot read
        log.event(logging.WARNING, "health_degraded", str(error))
        found = DatabaseHealth(at=app.clock(), connected=False)
    return json_answer(found.http_status, found.to_doc())


def measurements(app: LedgerApp, _request: flask.Request, _path: Path) -> flask.Response:
    """`GET /metrics`: this process's commands and connections, in Prometheus' text format."""
    kind, body = metrics.render_client(app.client)
    return flask.Response(body, content_type=kind)


ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/users": {"POST": people.create_user, "GET": people.find_users},
    "/wallets": {"POST": money.open_wallet},
    "/wallets/{ownerUserId}": {"GET": money.show_wallet},
    "/wallets/{ownerUserId}/credits": {"POST": money.credit},
    "/wallets/{ownerUserId}/debits": {"POST": money.debit},
    "/wallets/{ownerUserId}/transactions": {"GET": money.show_history},
    "/transfers": {"POST": money.transfer},
    "/transactions/{transactionId}/reversals": {"POST": money.reverse},
    "/invites": {"POST": people.create_invite, "GET": people.find_invites},
    "/invites/{code}/accept": {"POST": people.accept_invite},
    "/health": {"GET": health},
    "/api/health": {"GET": health},
    "/metrics": {"GET": measurements},
}
"""Path → method → handler. A name in braces stands for one segment."""

MOVING = frozenset({money.credit, money.debit, money.transfer, money.reverse, health, measurements})
"""What sets itself a time limit."""

_SEGMENTS = {route: route.split("/") for route in ROUTES}


def _found(path: str) -> tuple[str, Path] | None:
    """The route that a path follows, and what stands where it has names."""
    given = (path.rstrip("/") or "/").split("/")
    for route, segments in _SEGMENTS.items():
        named = _named(segments, given)
        if named is not None:
            return route, named
    return None


def _named(segments: list[str], given: list[str]) -> Path | None:
    if len(segments) != len(given):
        return None
    named = {}
    for segment, text in zip(segments, given, strict=True):
        if segment.startswith("{"):
            named[segment.strip("{}")] = text
        elif segment != text:
            return None
    return named
