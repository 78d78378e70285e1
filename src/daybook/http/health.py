"""Health of database and schedule, and metrics."""

from __future__ import annotations

import logging

import flask
from pymongo.errors import PyMongoError

from daybook import log
from daybook.app import App
from daybook.errors import ConfigurationError, DatabaseError
from daybook.export.model.profile import DAILY
from daybook.http.answers import HEALTH, METRICS, SCHEDULE_HEALTH
from daybook.http.operation import operation
from daybook.http.responses import json_response, problem
from daybook.ledger_app import LedgerApp
from daybook.ops.health import DatabaseHealth, database_health
from daybook.ops.metrics import metrics
from daybook.ops.schedule_health import ScheduleHealth, schedule_health


@operation(summary="whether MongoDB answers", answers={200: HEALTH, 503: HEALTH})
def health(app: App | LedgerApp, _request: flask.Request) -> flask.Response:
    """`GET /health`: whether the database answers."""
    try:
        found = database_health(app.client, app.clock())
    except ConfigurationError as error:  # an address that the driver cannot read
        log.event(logging.WARNING, "health_degraded", str(error))
        found = DatabaseHealth(at=app.clock(), connected=False)
    return json_response(found.http_status, found.to_doc())


@operation(
    summary="whether the batch was done when it was due",
    answers={200: SCHEDULE_HEALTH, 503: SCHEDULE_HEALTH},
)
def cron(app: App, _request: flask.Request) -> flask.Response:
    """`GET /health/cron`: whether the batch was done when it was due."""
    now = app.now()
    try:
        found = schedule_health(app.database, DAILY, app.schedule, now)
    except ConfigurationError as error:
        log.event(logging.WARNING, "health_degraded", str(error))
        next_run = app.schedule.next_slot(now)
        found = ScheduleHealth(at=now, healthy=False, last_run=None, next_run=next_run)
    return json_response(found.http_status, found.to_doc())


@operation(
    summary="figures for Prometheus",
    answers={200: METRICS},
    media="text/plain",
    problems=frozenset({"CONFIGURATION", "DATABASE_UNAVAILABLE"}),
)
def measurements(app: App, _request: flask.Request) -> flask.Response:
    """`GET /metrics`: in Prometheus' text format."""
    try:
        kind, body = metrics.render(
            app.database,
            profile=app.profile(),
            destination=app.settings.destination.kind,
            now=app.now(),
        )
    except PyMongoError as error:  # not logged: scrapers repeat the request all day
        return problem(503, str(DatabaseError.of("metrics", error)))
    return flask.Response(body, content_type=kind)


@operation(
    summary="commands to MongoDB and use of the pool, of this process",
    answers={200: METRICS},
    media="text/plain",
    problems=frozenset({"CONFIGURATION"}),
)
def client_measurements(app: LedgerApp, _request: flask.Request) -> flask.Response:
    """`GET /metrics` of the ledger: this process's commands and connections."""
    kind, body = metrics.render_client(app.client)
    return flask.Response(body, content_type=kind)
