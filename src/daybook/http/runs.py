"""Requests for a run: from the scheduler, from a task, and for a manual export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import flask

from daybook.app import App
from daybook.errors import BadRequest
from daybook.export.batch.schedule import is_current, parse_schedule_time
from daybook.export.model.batch_key import BatchKey
from daybook.export.model.lifecycle import TaskCall
from daybook.export.operations.dry_run import plan_day
from daybook.export.operations.runs import run_day, run_manual, run_task
from daybook.export.queue import manual
from daybook.http.body import body_of
from daybook.http.callers import verified_account
from daybook.http.requests import batch_date, count, flag, profile_of, text
from daybook.http.responses import OnError, run_response

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
TASK_NAME = "X-CloudTasks-TaskName"
TASK_ETA = "X-CloudTasks-TaskETA"
"""When the task was due, in seconds since 1970 (https://cloud.google.com/tasks/docs/creating-http-target-tasks)."""
IDEMPOTENCY_KEY = "Idempotency-Key"


def run(app: App, request: flask.Request) -> flask.Response:
    """`POST /run`: one run of a day's batch, or a dry run."""
    body = body_of(request, allowed={"profile", "batchDate", "dryRun"})
    profile = profile_of(app, body)
    dry_run = flag(body, "dryRun")
    header = request.headers.get(SCHEDULE_TIME)
    schedule_time = parse_schedule_time(header) if header else None
    if schedule_time is not None and not is_current(app.now(), schedule_time):
        schedule_time = None
    day = app.schedule.requested_day(batch_date(body), app.now(), schedule_time)
    if dry_run:
        return run_response(
            profile.name, day, lambda: plan_day(app.database, profile, day, schedule_time)
        )
    return run_response(
        profile.name,
        day,
        lambda: run_day(app.exporter(profile), day, schedule_time),
        on_error=_alert(app, profile.name, day),
    )


def task(app: App, request: flask.Request) -> flask.Response:
    """`POST /tasks/run`: what a task of the queue asks for."""
    body = body_of(
        request,
        allowed={"profile", "batchDate", "manualKey", "generation", "attempt", "kind"},
    )
    key = _task_key(app, body)
    call = TaskCall(generation=count(body, "generation"), attempt=count(body, "attempt"))
    text(body, "kind", longest=40)  # only for readers: the attempt decides
    day = None
    if key.batch_date is not None:
        day = app.schedule.requested_day(date.fromisoformat(key.batch_date), app.now())
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


def export(app: App, request: flask.Request) -> flask.Response:
    """`POST /exports`: a copy of chosen entries, in a file of its own."""
    body = body_of(request, allowed={"profile", *manual.FIELDS})
    profile = profile_of(app, body)
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
