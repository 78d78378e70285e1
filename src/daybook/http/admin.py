"""Requests from schedules and operators: watchdog, sweep, and the operator's commands."""

from __future__ import annotations

import logging
import os
from datetime import date

import flask

from daybook import log
from daybook.app import App
from daybook.audit.verify import verify
from daybook.errors import BadRequest, ConfigurationError
from daybook.export.operations.history import summary
from daybook.export.operations.reopen import release_day, reopen_day
from daybook.export.operations.requeue import requeue
from daybook.export.operations.runs import run_day
from daybook.http.body import body_of
from daybook.http.requests import batch_date, profile_of, text
from daybook.http.responses import json_response, run_response
from daybook.mongo import migrate
from daybook.ops import doctor
from daybook.ops.maintenance import maintain
from daybook.ops.watchdog import cannot_look, watch


def watchdog(app: App, request: flask.Request) -> flask.Response:
    """`POST /watchdog`: alert when the last due day is not done."""
    name = profile_of(app, body_of(request, allowed={"profile"})).name
    try:
        database = app.database
    except ConfigurationError as error:  # an address that the driver cannot read
        cannot_look(name, app.schedule, app.now(), app.messenger, error)
        raise
    seen = watch(database, name, app.schedule, app.now(), app.messenger)
    return json_response(seen.http_status, seen.to_doc())


def sweeping(app: App, request: flask.Request) -> flask.Response:
    """`POST /sweep`: finish, remove or report what crashes left behind."""
    profile = profile_of(app, body_of(request, allowed={"profile"}))
    found = maintain(
        app.exporter(profile),
        queue=app.cloud_tasks,
        answer_days=app.settings.answer_days,
    )
    return json_response(202 if found.in_progress else 200, found.to_doc())


def retry(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/retry`: reopen a failed day and run it."""
    body = body_of(request, allowed={"profile", "batchDate"})
    profile = profile_of(app, body)
    day = app.schedule.requested_day(batch_date(body), app.now())
    reopen_day(app.exporter(profile), day)
    return run_response(profile.name, day, lambda: run_day(app.exporter(profile), day))


def release(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/release`: close a failed day for good."""
    body = body_of(request, allowed={"profile", "batchDate"})
    profile = profile_of(app, body)
    day = app.schedule.due_day(_day(batch_date(body)), app.now())
    batch = release_day(app.exporter(profile), day)
    return json_response(200, {"status": "released", **summary(batch)})


def requeueing(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/requeue`: put a corrected entry back in the queue."""
    body = body_of(request, allowed={"profile", "entryId"})
    profile = profile_of(app, body)
    done = requeue(app.database, profile, text(body, "entryId"), now=app.now())
    return json_response(200, done.to_doc())


def verification(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/verify`: compare a delivered file with its record and the entries."""
    body = body_of(request, allowed={"profile", "batchDate"})
    profile = profile_of(app, body)
    day = batch_date(body) or app.schedule.requested_day(None, app.now())
    found = verify(app.database, app.destination, profile, day)
    return json_response(200, found.to_doc())


def examination(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/doctor`: what is wrong with the installation."""
    body_of(request, allowed=set())
    findings = list(doctor.examine(app.installation(os.environ)))
    named = [one for one in findings if one.warning or not one.ok]
    faults = [f"{one.name}: {one.detail}" for one in named]
    # When a schedule calls, nobody reads the response: the log has to say it too.
    log.event(
        logging.WARNING if faults else logging.INFO,
        "examined",
        "; ".join(faults) or "Nothing is wrong with the set-up.",
        status=doctor.status(findings),
    )
    return json_response(200, doctor.to_doc(findings))


def migration(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/migrate`: build the indexes and apply what else is pending."""
    body_of(request, allowed=set())
    steps = migrate.migrate(app.database, now=app.now())
    obstacles = migrate.obstacles(app.database)
    return json_response(200, migrate.to_doc(app.settings.database, steps, obstacles))


def _day(day: date | None) -> date:
    if day is None:
        raise BadRequest("is missing", where="batchDate")
    return day
