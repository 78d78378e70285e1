"""Requests from schedules and operators: watchdog, sweep, and the operator's commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

import flask
import pymongo

from daybook import log
from daybook.app import App
from daybook.audit import audit as audits
from daybook.audit.daily import audit_daily, audit_task_name, not_since
from daybook.audit.verify import verify
from daybook.errors import BadRequest, ConfigurationError
from daybook.export.model.budgets import StopToken
from daybook.export.model.profile import Profile
from daybook.export.operations.history import summary
from daybook.export.operations.reopen import release_day, reopen_day
from daybook.export.operations.requeue import requeue
from daybook.export.run import run_day
from daybook.http.answers import (
    AUDITED,
    EXAMINED,
    FANNED_OUT,
    MIGRATED,
    RELEASED,
    REQUEUED,
    RUN,
    SWEPT,
    VERIFIED,
    WATCH,
)
from daybook.http.dispatcher import NOTHING, Body, operation
from daybook.http.fan_out import Call, fan_out, one_after_the_other
from daybook.http.requests import (
    BATCH_DATE,
    PROFILE,
    PROFILE_OR_EVERY,
    batch_date,
    count,
    for_every,
    moment,
    ordinal_to,
    performed_by,
    profile_of,
    record_request,
    text,
    text_of,
)
from daybook.http.responses import json_response, run_response
from daybook.http.schema import DAY, TIME, or_null
from daybook.mongo import migrate
from daybook.ops import doctor
from daybook.ops.maintenance import maintain
from daybook.ops.watchdog import ASKING_SECONDS, cannot_look, watch
from daybook.profiles.configured import enabled

OF_PROFILE = Body(fields={"profile": PROFILE_OR_EVERY})
OF_DAYS = Body(
    fields={
        "profile": PROFILE_OR_EVERY,
        "days": ordinal_to(audits.MAX_DAYS),
        "since": or_null(TIME),
    }
)
OF_DAY = Body(fields={"profile": PROFILE, "batchDate": BATCH_DATE})
OF_GIVEN_DAY = Body(fields={"profile": PROFILE, "batchDate": DAY}, required=("batchDate",))
OF_ENTRY = Body(fields={"profile": PROFILE, "entryId": text_of()}, required=("entryId",))

_SWEPT_OR_FANNED_OUT = {"anyOf": [SWEPT, FANNED_OUT]}
_AUDITED_OR_FANNED_OUT = {"anyOf": [AUDITED, FANNED_OUT]}

_OF_DATABASE = frozenset({"CONFIGURATION", "DATABASE_UNAVAILABLE"})
_OF_OPERATOR = _OF_DATABASE | {
    *("NOT_POSSIBLE", "DESTINATION_UNAVAILABLE", "QUEUE_UNAVAILABLE", "INTERRUPTED"),
}


@operation(
    summary="an alert when the last due day is not done",
    body=OF_PROFILE,
    answers={200: WATCH, 202: FANNED_OUT, 500: FANNED_OUT, 503: FANNED_OUT},
    problems=_OF_DATABASE,
)
def watchdog(app: App, request: flask.Request) -> flask.Response:
    """`POST /watchdog`: alert when the last due day is not done."""
    body = OF_PROFILE.read(request)
    if for_every(body):  # MongoDB answers for all of them within seconds
        names = [each.name for each in enabled(app.profiles)]
        return one_after_the_other(
            app, [Call(profile=name, body={}, here=partial(_watch, app, name)) for name in names]
        )
    return _watch(app, profile_of(app, body).name)


def _watch(app: App, name: str) -> flask.Response:
    try:
        database = app.database
    except ConfigurationError as error:  # an address that the driver cannot read
        cannot_look(name, app.schedule_of(name), app.now(), app.messenger_of(name), error)
        raise
    with pymongo.timeout(ASKING_SECONDS):  # for the comparison of the clocks as well
        seen = watch(
            database,
            name,
            app.schedule_of(name),
            app.now(),
            app.messenger_of(name),
            profile=app.profile(name),
        )
    return json_response(seen.http_status, seen.to_doc())


@operation(
    summary="finishes, removes or reports what crashes left behind",
    body=OF_PROFILE,
    answers={200: SWEPT, 202: _SWEPT_OR_FANNED_OUT, 500: FANNED_OUT, 503: FANNED_OUT},
    problems=_OF_OPERATOR,
)
def sweeping(app: App, request: flask.Request) -> flask.Response:
    """`POST /sweep`: finish, remove or report what crashes left behind."""
    body = OF_PROFILE.read(request)
    if for_every(body):
        return _each(app, "/sweep", {}, lambda profile: _sweep(app, profile))
    return _sweep(app, profile_of(app, body))


def _sweep(app: App, profile: Profile) -> flask.Response:
    found = maintain(
        app.exporter(profile),
        queue=app.cloud_tasks,
        answer_days=app.settings.answer_days,
    )
    return json_response(202 if found.in_progress else 200, found.to_doc())


@operation(
    summary="compares the files delivered in the last days with the destination and the entries",
    body=OF_DAYS,
    answers={200: AUDITED, 202: _AUDITED_OR_FANNED_OUT, 500: FANNED_OUT, 503: FANNED_OUT},
    problems=_OF_OPERATOR,
)
def auditing(app: App, request: flask.Request) -> flask.Response:
    """`POST /audit`: check the delivered files of the last days; the rest in another call."""
    body = OF_DAYS.read(request)
    span = count(body, "days") if "days" in body else audits.DAYS
    if span > audits.MAX_DAYS:
        raise BadRequest(f"must be at most {audits.MAX_DAYS}, not {span}", where="days")
    since = moment(body, "since") or app.now()
    if for_every(body):
        return _each(
            app, "/audit", {"days": span}, lambda profile: _audit(app, profile, span, since)
        )
    return _audit(app, profile_of(app, body), span, since)


def _audit(app: App, profile: Profile, span: int, since: datetime) -> flask.Response:
    now = app.now()
    first = audits.first_day(app.schedule_of(profile.name).today(now), span)
    days = audits.delivered_days(app.database, profile.name, since=first)
    stop_token = StopToken(
        app.shutdown.requested, deadline_seconds=app.settings.run_deadline_seconds
    )
    found = audit_daily(
        app.database,
        app.destination_of(profile.name),
        profile,
        not_since(days, since),
        messenger=app.messenger_of(profile.name),
        now=app.now,
        check=stop_token.check,
    )
    if found.remaining and app.cloud_tasks is not None:
        rest = {"profile": profile.name, "days": span, "since": since.isoformat()}
        app.cloud_tasks.create(
            name=audit_task_name(rest, found.remaining), body=rest, due=now, path="/audit"
        )
    return json_response(202 if found.remaining else 200, found.to_doc())


@operation(
    summary="opens a failed day again and runs it",
    body=OF_DAY,
    answers={200: RUN, 202: RUN, 500: RUN, 503: RUN},
    problems=_OF_OPERATOR,
)
def retry(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/retry`: reopen a failed day and run it."""
    body = OF_DAY.read(request)
    profile = app.enabled(profile_of(app, body).name)
    day = app.schedule_of(profile.name).requested_day(batch_date(body), app.now())
    record_request(app, request, "retry", profile.name, day)
    reopen_day(app.exporter(profile), day)
    return run_response(profile.name, day, lambda: run_day(app.exporter(profile), day))


@operation(
    summary="closes an open or failed day for good",
    body=OF_GIVEN_DAY,
    answers={200: RELEASED},
    problems=_OF_OPERATOR,
)
def release(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/release`: close a failed day for good."""
    body = OF_GIVEN_DAY.read(request)
    profile = profile_of(app, body)
    day = app.schedule_of(profile.name).due_day(_day(batch_date(body)), app.now())
    record_request(app, request, "release", profile.name, day)
    batch = release_day(app.exporter(profile), day)
    return json_response(200, {"status": "released", **summary(batch)})


@operation(
    summary="puts a corrected entry back in the queue",
    body=OF_ENTRY,
    answers={200: REQUEUED},
    problems=_OF_OPERATOR,
)
def requeueing(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/requeue`: put a corrected entry back in the queue."""
    body = OF_ENTRY.read(request)
    profile = profile_of(app, body)
    done = requeue(
        app.database,
        profile,
        text(body, "entryId"),
        now=app.now(),
        performed_by=performed_by(app, request),
    )
    return json_response(200, done.to_doc())


@operation(
    summary="compares a delivered file with everything that is known of it",
    body=OF_DAY,
    answers={200: VERIFIED},
    problems=_OF_OPERATOR,
)
def verification(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/verify`: compare a delivered file with its record and the entries."""
    body = OF_DAY.read(request)
    profile = profile_of(app, body)
    day = batch_date(body) or app.schedule_of(profile.name).requested_day(None, app.now())
    record_request(app, request, "verify", profile.name, day)
    found = verify(app.database, app.destination_of(profile.name), profile, day)
    return json_response(200, found.to_doc())


@operation(
    summary="what is wrong with the set-up",
    body=NOTHING,
    answers={200: EXAMINED},
    problems=_OF_OPERATOR,
)
def examination(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/doctor`: what is wrong with the installation."""
    NOTHING.read(request)
    findings = list(doctor.examine(app.installation(os.environ)))
    named = [one for one in findings if one.warning or not one.ok]
    faults = [f"{one.name}: {one.detail}" for one in named]
    # A scheduled call's response is not read by a person: the log has to say it too.
    log.event(
        logging.WARNING if faults else logging.INFO,
        "examined",
        "; ".join(faults) or "Nothing is wrong with the set-up.",
        status=doctor.status(findings),
    )
    return json_response(200, doctor.to_doc(findings))


@operation(
    summary="builds the indexes",
    body=NOTHING,
    answers={200: MIGRATED},
    problems=_OF_OPERATOR | {"DUPLICATES"},
)
def migration(app: App, request: flask.Request) -> flask.Response:
    """`POST /admin/migrate`: build the indexes and apply what else is pending."""
    NOTHING.read(request)
    steps = migrate.migrate(app.database, now=app.now())
    obstacles = migrate.obstacles(app.database)
    return json_response(200, migrate.to_doc(app.settings.database, steps, obstacles))


def _each(
    app: App, path: str, fields: Mapping[str, Any], here: Callable[[Profile], flask.Response]
) -> flask.Response:
    """The same request for each enabled profile; one repeated within its minute is the same."""
    return fan_out(
        app,
        path,
        [
            Call(
                profile=each.name,
                body={"profile": each.name, **fields},
                here=partial(here, each.profile),
            )
            for each in enabled(app.profiles)
        ],
        trigger=app.now().replace(second=0, microsecond=0),
    )


def _day(day: date | None) -> date:
    if day is None:
        raise BadRequest("is missing", where="batchDate")
    return day
