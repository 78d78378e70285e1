"""Requests for a run: from the scheduler, from a task, and for a manual export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import flask

from daybook.app import App
from daybook.errors import BadRequest
from daybook.export.model.ids import LONGEST_BYTES
from daybook.export.model.lifecycle import TaskCall, is_current, parse_schedule_time
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.operations.dry_run import plan_day
from daybook.export.outcome import Outcome
from daybook.export.queue import manual
from daybook.export.run import run_day, run_manual, run_task
from daybook.http.answers import FANNED_OUT, RUN
from daybook.http.callers import verified_account
from daybook.http.dispatcher import MAX_EXPORT_BYTES, Body, Parameter, operation
from daybook.http.fan_out import Call, fan_out
from daybook.http.requests import (
    BATCH_DATE,
    FLAG,
    ORDINAL,
    PROFILE,
    PROFILE_OR_EVERY,
    batch_date,
    count,
    flag,
    for_every,
    profile_of,
    text,
    text_of,
)
from daybook.http.responses import OnError, run_response
from daybook.http.schema import DAY, TEXT, Schema
from daybook.profiles.configured import DueDay, due

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
TASK_NAME = "X-CloudTasks-TaskName"
TASK_ETA = "X-CloudTasks-TaskETA"
"""When the task was due, in seconds since 1970 (https://cloud.google.com/tasks/docs/creating-http-target-tasks)."""
IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_KIND_LENGTH = 40

_OF_A_RUN = {200: RUN, 202: RUN, 500: RUN, 503: RUN}
_OF_RUNS = {status: {"anyOf": [RUN, FANNED_OUT]} if status > 200 else RUN for status in _OF_A_RUN}
_KEY: Schema = {
    "type": "string",
    "pattern": "^[!-~\u00a1-\u00ff]([ -~\u00a0-\u00ff]{0,253}[!-~\u00a1-\u00ff])?$",
}
_ENTRY_ID: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_BYTES,
    "pattern": "^[^\u0000]*$",
}

RUN_BODY = Body(
    fields={"profile": PROFILE_OR_EVERY, "batchDate": BATCH_DATE, "dryRun": FLAG},
    rules={
        "anyOf": [
            {"properties": {"profile": PROFILE}},
            {"properties": {"dryRun": {"const": False}}},
        ]
    },
)
TASK_BODY = Body(
    fields={
        "profile": PROFILE,
        "batchDate": BATCH_DATE,
        "manualKey": text_of(manual.MAX_STORED_KEY_LENGTH),
        "generation": ORDINAL,
        "attempt": ORDINAL,
        "kind": text_of(MAX_KIND_LENGTH),
    },
    required=("generation", "attempt", "kind"),
    rules={
        "oneOf": [
            {"required": ["batchDate"], "properties": {"batchDate": TEXT, "manualKey": False}},
            {"required": ["manualKey"], "properties": {"batchDate": {"type": "null"}}},
        ]
    },
)
EXPORT_BODY = Body(
    fields={
        "profile": PROFILE,
        "entryIds": {
            "type": "array",
            "items": _ENTRY_ID,
            "minItems": 1,
            "maxItems": manual.MAX_ENTRIES,
        },
        "from": DAY,
        "to": DAY,
    },
    rules={
        "oneOf": [
            {"required": ["entryIds"], "properties": {"from": False, "to": False}},
            {"required": ["from", "to"], "properties": {"entryIds": False}},
        ]
    },
    longest=MAX_EXPORT_BYTES,
)


@operation(
    summary="one run of a day's batch, or a dry run; with profile * the runs of all that are due",
    body=RUN_BODY,
    headers={
        SCHEDULE_TIME: Parameter(
            schema=TEXT,
            description="The time at which the schedule was due; counts as absent unless RFC 3339.",
        ),
        TASK_NAME: Parameter(schema=TEXT, description="The task's name, which Cloud Tasks sends."),
    },
    answers=_OF_RUNS,
)
def run(app: App, request: flask.Request) -> flask.Response:
    """`POST /run`: one run of a day's batch, a dry run, or the runs of all profiles."""
    body = RUN_BODY.read(request)
    dry_run = flag(body, "dryRun")
    header = request.headers.get(SCHEDULE_TIME)
    schedule_time = parse_schedule_time(header) if header else None
    if schedule_time is not None and not is_current(app.now(), schedule_time):
        schedule_time = None
    if for_every(body):
        if dry_run:
            raise BadRequest("is for one profile, not for '*'", where="dryRun")
        return _run_every(app, batch_date(body), schedule_time)
    profile = app.enabled(profile_of(app, body).name)
    schedule = app.schedule_of(profile.name)
    day = schedule.requested_day(batch_date(body), app.now(), schedule_time)
    if dry_run:
        return run_response(
            profile.name, day, lambda: plan_day(app.database, profile, day, schedule_time)
        )
    return run_response(
        profile.name,
        day,
        lambda: _run_day(app, profile, day, schedule_time),
        final_is_ok=TASK_NAME in request.headers,
        on_error=_alert(app, profile.name, day),
    )


def _run_every(app: App, given: date | None, schedule_time: datetime | None) -> flask.Response:
    """A run of each profile that is due: the request that its own schedule would have sent."""
    found = due(app.database, app.profiles, given=given, now=app.now(), schedule_time=schedule_time)

    def call(one: DueDay) -> Call:
        profile = one.configured.profile
        return Call(
            profile=profile.name,
            body={"profile": profile.name, "batchDate": one.day.isoformat()},
            here=lambda: run_response(
                profile.name,
                one.day,
                lambda: _run_day(app, profile, one.day, found.trigger),
                on_error=_alert(app, profile.name, one.day),
            ),
        )

    return fan_out(
        app,
        "/run",
        [call(one) for one in found.days],
        trigger=found.trigger,
        headers={SCHEDULE_TIME: found.trigger.isoformat()},
    )


@operation(
    summary="what a task of the queue asks for: a retry, a continuation, a look",
    body=TASK_BODY,
    headers={
        TASK_NAME: Parameter(schema=TEXT, description="The task's name, which Cloud Tasks sends."),
        TASK_ETA: Parameter(
            schema=TEXT,
            description="When the task was due, in seconds since 1970; else counts as absent.",
        ),
    },
    answers=_OF_A_RUN,
)
def task(app: App, request: flask.Request) -> flask.Response:
    """`POST /tasks/run`: what a task of the queue asks for."""
    body = TASK_BODY.read(request)
    key = _task_key(app, body)
    call = TaskCall(generation=count(body, "generation"), attempt=count(body, "attempt"))
    text(body, "kind", longest=MAX_KIND_LENGTH)  # only for readers: the attempt decides
    day = None
    if key.batch_date is not None:
        schedule = app.schedule_of(key.profile)
        day = schedule.requested_day(date.fromisoformat(key.batch_date), app.now())
    return run_response(
        key.profile,
        day,
        lambda: run_task(
            app.exporter(app.profile(key.profile)),
            key,
            call,
            task_name=request.headers.get(TASK_NAME, ""),
            scheduled_at=_eta(request.headers.get(TASK_ETA)),
        ),
        final_is_ok=True,
        on_error=None if day is None else _alert(app, key.profile, day),
    )


@operation(
    summary="one manual export",
    body=EXPORT_BODY,
    headers={
        IDEMPOTENCY_KEY: Parameter(
            schema=_KEY,
            description="Names the export; without it, a hash of the body does.",
        )
    },
    answers=_OF_A_RUN,
    problems=frozenset({"IDEMPOTENCY_KEY_REUSED"}),
)
def export(app: App, request: flask.Request) -> flask.Response:
    """`POST /exports`: a copy of chosen entries, in a file of its own."""
    body = EXPORT_BODY.read(request)
    profile = app.enabled(profile_of(app, body).name)
    body.pop("profile", None)
    wanted = manual.parse(body, key=request.headers.get(IDEMPOTENCY_KEY))
    caller = verified_account(app.settings.callers, request)
    return run_response(
        profile.name,
        None,
        lambda: run_manual(app.exporter(profile), wanted, caller=caller),
    )


def _task_key(app: App, body: Mapping[str, Any]) -> BatchKey:
    name = profile_of(app, body).name
    day = batch_date(body)
    if "manualKey" in body:
        if day is not None:
            raise BadRequest("give either batchDate or manualKey", where="manualKey")
        return BatchKey(
            profile=name, manual_key=text(body, "manualKey", longest=manual.MAX_STORED_KEY_LENGTH)
        )
    if day is None:
        raise BadRequest("is missing", where="batchDate")
    return BatchKey(profile=name, batch_date=day.isoformat())


def _run_day(app: App, profile: Profile, day: date, schedule_time: datetime | None) -> Outcome:
    app.refused_runs.store_missed(profile.name, day)
    return run_day(app.exporter(profile), day, schedule_time)


def _alert(app: App, profile: str, day: date) -> OnError:
    return lambda kind, message: app.refused_runs.announce(
        profile, day, kind=kind, message=message, now=app.now()
    )


def _eta(header: str | None) -> datetime | None:
    """None for a header that is missing or not a time; then only the clock counts."""
    try:
        return None if header is None else datetime.fromtimestamp(float(header), UTC)
    except (ValueError, OverflowError, OSError):
        return None
