"""The runs that callers ask for: of a day, of a manual export, of a task.

They raise `DatabaseError` when MongoDB cannot be asked before the run begins.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from pymongo.errors import PyMongoError

from daybook.errors import DatabaseError
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.context import Exporter, daily_job, job_of_batch, manual_job
from daybook.export.model.lifecycle import TaskCall
from daybook.export.model.profile import BatchKey
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manual
from daybook.export.queue.manual import ManualRequest
from daybook.export.run import run

TASK_CLOCK_BEHIND = timedelta(minutes=1)
"""By how much a task's time may correct a clock: a task can be forced long before it is due."""


def run_day(exporter: Exporter, day: date, schedule_time: datetime | None = None) -> Outcome:
    """One run of a day's batch. `schedule_time` is the trigger's, if it has one."""
    return run(exporter, daily_job(exporter.database, exporter.profile, day, schedule_time))


def run_manual(exporter: Exporter, request: ManualRequest, *, caller: str | None = None) -> Outcome:
    """One manual export: a copy of chosen entries, in a file of its own.

    Its key belongs to `caller`, a verified account. An export that was stored under the
    key without a caller, by an earlier version, is the same one and is finished.
    """
    try:
        known = _stored(exporter, request)
        if caller is not None and (known is None or manual.caller_of(known.doc) is not None):
            request = request.for_caller(caller)
            known = _stored(exporter, request)
        if known is None:
            manual.check_entries(exporter.database, exporter.profile, request)
    except PyMongoError as error:
        raise DatabaseError.of(request.file_name(exporter.profile), error) from error
    return run(exporter, manual_job(exporter.database, exporter.profile, request))


def _stored(exporter: Exporter, request: ManualRequest) -> Batch | None:
    key = BatchKey(profile=exporter.profile.name, manual_key=request.key)
    return batches.find(exporter.database[batches.COLLECTION], key)


def run_task(
    exporter: Exporter,
    key: BatchKey,
    call: TaskCall,
    *,
    task_name: str = "",
    scheduled_at: datetime | None = None,
) -> Outcome:
    """What a task asks for; a late, repeated or unknown one changes nothing.

    `scheduled_at` is when the queue had it due. A clock that shows a little less counts
    as behind the queue's, by `TASK_CLOCK_BEHIND` at most.
    """
    try:
        batch = batches.find(exporter.database[batches.COLLECTION], key)
    except PyMongoError as error:
        raise DatabaseError.of("a task's batch", error) from error
    if batch is None:
        return Outcome(
            status=Status.FAILED,
            profile=key.profile,
            batch_date=key.batch_date,
            error={"type": "unknown_batch", "message": "no run ever began for it"},
        )
    job = job_of_batch(exporter.database, exporter.profile, batch)
    return run(_not_behind(exporter, scheduled_at), replace(job, task=call, task_name=task_name))


def _not_behind(exporter: Exporter, scheduled_at: datetime | None) -> Exporter:
    if scheduled_at is None:
        return exporter
    clock = exporter.clock
    behind = min(max(scheduled_at - clock(), timedelta()), TASK_CLOCK_BEHIND)
    return replace(exporter, clock=lambda: clock() + behind)
