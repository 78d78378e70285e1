"""The next step for a batch: what a run has to do when it begins, and which call follows it.

The next call is recorded in a transaction of the slot while the run still holds it, and created as
a task once the slot is free. After a crash in between, a later call creates it from the record.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from daybook import log
from daybook.display import moment, scrubbed
from daybook.errors import CircuitOpen, DaybookError, Interrupted, RunTimeout, TaskError
from daybook.export.batch import transitions
from daybook.export.batch.batch import Batch
from daybook.export.context import Context, Exporter, Job
from daybook.export.model.lifecycle import (
    BatchState,
    Next,
    Step,
    Task,
    TaskKind,
    TaskQueue,
    attempt_to_recheck,
    next_attempt_at,
    next_step,
    task_applies,
)
from daybook.export.model.profile import command
from daybook.export.outcome import Outcome, Status
from daybook.export.slot.slot import COLLECTION
from daybook.export.slot.state import lease_of

MAX_CONTINUATIONS = 100
"""Continuations of one attempt. Each sends at least one chunk; more mean no progress."""

AFTER_LEASE = timedelta(seconds=5)
"""How long after the lease's end a run that may have died is checked again."""

RECHECK_PAUSE = timedelta(seconds=30)
"""How long a run waits that gives way to a later day while the slot is free."""


def call_applies(job: Job, batch: Batch) -> bool:
    """Whether a task that called this run, if one did, still has something to do."""
    return job.task is None or task_applies(
        job.task,
        state=batch.state,
        finished=batch.finished,
        generation=batch.generation,
        attempt=batch.attempt,
        ended_attempt=batch.ended_attempt,
    )


def decide(job: Job, batch: Batch, *, attempts: int) -> Step:
    """The next step for the batch; `attempts` is how many a batch gets."""
    if not call_applies(job, batch):
        return Step(next=Next.REPORT, attempt=batch.attempt)
    trigger = job.schedule_time
    return next_step(
        state=batch.state,
        attempt=batch.attempt,
        ended_attempt=batch.ended_attempt,
        continued=batch.continued,
        same_delivery=trigger is not None and batch.schedule_time == trigger,
        max_attempts=attempts,
    )


def report(batch: Batch, *, error: DaybookError | None = None) -> Outcome:
    """The outcome of a run that has nothing to do: the batch as it is stored."""
    status = _status(batch)
    # A repeated call finds out only through the recheck that the run has died.
    at_work = status is Status.IN_PROGRESS
    return replace(Outcome.of_batch(status, batch, error=error), needs_recheck=at_work)


def _status(batch: Batch) -> Status:
    match batch.state:
        case BatchState.COMMITTED:
            return Status.ALREADY_EXPORTED if batch.finished else Status.RETRY_SCHEDULED
        case BatchState.EMPTY:
            return Status.EMPTY
        case BatchState.FAILED:
            return Status.FAILED
    if batch.pending is None:
        return Status.IN_PROGRESS if batch.attempt > batch.ended_attempt else Status.RETRY_SCHEDULED
    match batch.pending.kind:
        case TaskKind.CONTINUATION:
            return Status.CONTINUED
        case TaskKind.HALF_OPEN:
            return Status.CIRCUIT_OPEN
    return Status.RETRY_SCHEDULED


def retry_after(ctx: Context, batch: Batch, error: DaybookError) -> Task | None:
    """The retry after an attempt that failed with `error`; None when the batch has failed."""
    due = next_attempt_at(
        attempt=batch.attempt,
        permanent=error.permanent,
        delays_seconds=ctx.exporter.limits.retry_delays_seconds,
        now=ctx.now(),
    )
    if due is None:
        return None
    return _task(ctx, batch, TaskKind.RETRY, attempt=batch.attempt + 1, due=due)


def suspend(ctx: Context, interrupted: Interrupted) -> Outcome:
    """Record that another invocation continues the attempt, which does not count as ended.

    An attempt of an earlier run that crashed is not continued; the next attempt starts instead.
    Raises `RunTimeout` when the attempt was continued too often.
    """
    batch = ctx.batch()
    step = decide(ctx.job, batch, attempts=ctx.exporter.limits.attempts)
    begun = batch.attempt > batch.ended_attempt  # whichever attempt the task named
    unwanted = step.next is Next.REPORT and not batch.unmarked
    if batch.finished or (unwanted and not begun):
        return report(batch)
    if batch.continuations >= MAX_CONTINUATIONS:
        raise RunTimeout(
            f"{ctx.job.filename}: {batch.continuations} continuations did not complete it: "
            "raise DAYBOOK_RUN_DEADLINE_SECONDS"
        ) from interrupted
    crashed = begun and not batch.continued and batch.fence < ctx.first_fence
    kind = TaskKind.RETRY if crashed else TaskKind.CONTINUATION
    _record(ctx, batch, kind, due=ctx.now())
    with log.bound(step="pause", attempt=batch.attempt):
        log.event(
            logging.INFO,
            "run_continued",
            f"Another invocation continues {ctx.job.filename}: {interrupted}.",
            continuations=batch.continuations,
        )
    return Outcome.of_batch(Status.CONTINUED, ctx.batch())


def wait_for_breaker(ctx: Context, error: CircuitOpen) -> Outcome:
    """Record when to try again; the destination was not called, and no attempt is used up."""
    batch = ctx.batch()
    step = decide(ctx.job, batch, attempts=ctx.exporter.limits.attempts)
    open_again = batch.state in (BatchState.OPEN, BatchState.EMPTY)
    wanted = open_again and step.next is not Next.REPORT
    if not (batch.unmarked or wanted):
        return report(batch)
    due = moment(error.until, ctx.exporter.profile.time_zone)
    waiting = CircuitOpen(
        f"{error}; the next call is due at {due}. {_at_once(batch)}", until=error.until
    )
    kind = TaskKind.CONTINUATION if batch.continued else TaskKind.HALF_OPEN
    pending = batch.pending
    same = pending is not None and (pending.kind, pending.due) == (kind, error.until)
    # A queue refuses the name of the task that it is currently delivering.
    if pending is None or not same or pending.name == ctx.job.task_name:
        _record(ctx, batch, kind, due=error.until)
    with log.bound(step="pause", attempt=batch.attempt):
        log.event(
            logging.WARNING,
            "circuit_open",
            f"{ctx.job.filename} waits: {waiting}.",
            next_attempt_at=error.until,
        )
    return Outcome.of_batch(Status.CIRCUIT_OPEN, ctx.batch(), error=waiting)


def _at_once(batch: Batch) -> str:
    """How to try the destination at once, although the circuit is open."""
    if batch.key.batch_date is None:
        return (
            f"Once the destination works: `{command('retry', batch.key.profile)}` or POST "
            "/admin/retry for any day, then the same request"
        )
    retry = command("retry", batch.key.profile, batch.key.batch_date)
    return f"Once the destination works, `{retry}` or POST /admin/retry tries it at once"


def finish_later(ctx: Context, batch: Batch, error: DaybookError) -> Outcome:
    """Record when to complete a batch that has ended but is not published or marked.

    After the first delay, or after the last one when an operator has to act first.
    """
    delays = ctx.exporter.limits.retry_delays_seconds or (300,)
    delay = timedelta(seconds=delays[-1 if error.permanent else 0])
    _record(ctx, batch, TaskKind.RETRY, due=ctx.now() + delay)
    return Outcome.of_batch(Status.RETRY_SCHEDULED, ctx.batch(), error=error)


def _record(ctx: Context, batch: Batch, kind: TaskKind, *, due: datetime) -> None:
    attempt = attempt_to_recheck(attempt=batch.attempt, ended_attempt=batch.ended_attempt)
    task = _task(ctx, batch, kind, attempt=attempt, due=due)
    ctx.slot.transaction(
        lambda session: transitions.record_follow_up(
            ctx.batches, session, batch, task=task, now=ctx.now()
        )
    )


def _task(ctx: Context, batch: Batch, kind: TaskKind, *, attempt: int, due: datetime) -> Task:
    return Task(
        key=batch.key,
        kind=kind,
        generation=batch.generation,
        attempt=attempt,
        fence=ctx.slot.fence,
        due=due,
    )


def ensure_task(exporter: Exporter, job: Job, outcome: Outcome) -> Outcome:
    """Create the task that the outcome needs, if any.

    Its name makes creating it twice harmless. If it cannot be created, the response is 503, so
    that the caller repeats the request.
    """
    if exporter.tasks is None or outcome.batch is None:
        return outcome
    task = outcome.pending
    if outcome.needs_recheck:
        task = _recheck_task(exporter, job, outcome.batch)
    if task is None:
        return outcome
    try:
        create(exporter.tasks, task, zone=exporter.profile.time_zone, batch_id=outcome.batch_id)
    except TaskError as error:
        return replace(
            outcome, task_missing=True, error={"type": error.type, "message": scrubbed(str(error))}
        )
    return outcome


def create(queue: TaskQueue, task: Task, *, zone: ZoneInfo, batch_id: str | None = None) -> None:
    """Put the task into the queue and log it, with times in `zone`. Raises `TaskError`."""
    with log.bound(
        profile=task.key.profile,
        batch_date=task.key.batch_date,
        batch_id=batch_id,
        attempt=task.attempt,
        fence=task.fence,
        step="follow_up",
    ):
        fields: dict[str, Any] = {"kind": task.kind.value, "due": task.due}
        try:
            queue.create(task)
        except TaskError as error:
            message = f"The {task.kind.value} task is not in the queue: {error}"
            log.event(logging.ERROR, "task_not_created", message, **fields)
            raise
        message = f"A {task.kind.value} task is due at {moment(task.due, zone)}."
        log.event(logging.INFO, "task_created", message, **fields)


def _recheck_task(exporter: Exporter, job: Job, batch: Batch) -> Task | None:
    """The task that checks, after the lease, on the run that holds the slot.

    It names the attempt as it was before the slot was refused: that run may have failed since,
    and naming the present attempt would start its retry too early.
    """
    lease = lease_of(exporter.database[COLLECTION], job.key.slot_id)
    if lease is None:
        return None
    return Task(
        key=job.key,
        kind=TaskKind.RECHECK,
        generation=batch.generation,
        attempt=attempt_to_recheck(attempt=batch.attempt, ended_attempt=batch.ended_attempt),
        fence=lease.fence,
        due=exporter.clock()
        + (lease.left + AFTER_LEASE if lease.left > timedelta() else RECHECK_PAUSE),
        after=job.task_name,
    )
