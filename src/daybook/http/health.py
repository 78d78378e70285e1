"""Health of database and schedule, and metrics."""

from __future__ import annotations

import logging
from datetime import datetime

import flask
from pymongo.errors import PyMongoError

from daybook import log
from daybook.app import App
from daybook.errors import ConfigurationError, DatabaseError
from daybook.export.model.profile import DAILY
from daybook.http.answers import HEALTH, METRICS, SCHEDULE_HEALTH
from daybook.http.dispatcher import Parameter, operation
from daybook.http.requests import PROFILE
from daybook.http.responses import json_response, problem
from daybook.ledger_app import LedgerApp
from daybook.ops.health import DatabaseHealth, ScheduleHealth, database_health, schedule_health
from daybook.ops.metrics import metrics
from daybook.ops.metrics.metrics import Measured
from daybook.profiles.configured import ConfiguredProfile, enabled


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
    query={"profile": Parameter(schema=PROFILE, description="By default every enabled profile.")},
    answers={200: SCHEDULE_HEALTH, 503: SCHEDULE_HEALTH},
)
def cron(app: App, request: flask.Request) -> flask.Response:
    """`GET /health/cron`: whether the batches were done when they were due."""
    name = request.args.get("profile")
    wanted = enabled(app.profiles) if name is None else [app.configured(name)]
    now = app.now()
    found = {each.name: _health_of(app, each, now) for each in wanted}
    unhealthy = [name for name, health in found.items() if not health.healthy]
    if not found:
        found[DAILY] = _health_of(app, app.configured(), now)
    shown = found[unhealthy[0] if unhealthy else next(iter(found))]
    doc = shown.to_doc()
    if len(found) > 1:
        doc["unhealthy"] = unhealthy
    return json_response(shown.http_status, doc)


def _health_of(app: App, configured: ConfiguredProfile, now: datetime) -> ScheduleHealth:
    try:
        return schedule_health(app.database, configured.name, configured.schedule, now)
    except ConfigurationError as error:
        log.event(logging.WARNING, "health_degraded", str(error))
        next_run = configured.schedule.next_slot(now)
        return ScheduleHealth(at=now, healthy=False, last_run=None, next_run=next_run)


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
            [
                Measured(
                    profile=one.profile,
                    destination=one.destination.kind,
                    breaker=app.breaker_of(name),
                )
                for name, one in app.profiles.items()
                if one.enabled
            ],
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
