"""Pausing: what is begun goes on in another call, which is recorded with the batch."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from daybook import log
from daybook.errors import CircuitOpen, DaybookError, Interrupted, RunTimeout
from daybook.export.batch import transitions
from daybook.export.batch.batch import Batch
from daybook.export.context import Context
from daybook.export.decision import decide, report
from daybook.export.model.lifecycle import BatchState, Next, attempt_to_recheck
from daybook.export.model.task import Task, TaskKind
from daybook.export.outcome import Outcome, Status

MAX_CONTINUATIONS = 100
"""Of one attempt. Each sends a chunk at least, so more means that it never gets further."""


def suspend(ctx: Context, interrupted: Interrupted) -> Outcome:
    """Record that the attempt goes on in another invocation; it does not count as ended.

    An earlier run's attempt that crashed does not go on: the next one begins there.
    Raises `RunTimeout` when it was continued too often.
    """
    batch = ctx.batch()
    step = decide(ctx.job, batch, attempts=ctx.exporter.limits.attempts)
    begun = batch.attempt > batch.ended_attempt  # whatever the task that began it was about
    unwanted = step.next is Next.REPORT and not batch.unmarked
    if batch.finished or (unwanted and not begun):
        return report(batch)
    if batch.continuations >= MAX_CONTINUATIONS:
        raise RunTimeout(
            f"{ctx.job.filename}: {batch.continuations} continuations did not bring it to an "
            "end: raise DAYBOOK_RUN_DEADLINE_SECONDS"
        ) from interrupted
    crashed = begun and not batch.continued and batch.fence < ctx.first_fence
    kind = TaskKind.RETRY if crashed else TaskKind.CONTINUATION
    _follow_up(ctx, batch, kind, due=ctx.now())
    with log.bound(step="pause", attempt=batch.attempt):
        log.event(
            logging.INFO,
            "run_continued",
            f"{ctx.job.filename} goes on in another invocation: {interrupted}.",
            continuations=batch.continuations,
        )
    return Outcome.of_batch(Status.CONTINUED, ctx.batch())


def wait_for_breaker(ctx: Context, error: CircuitOpen) -> Outcome:
    """Record when to ask again; the destination was not touched and no attempt is used up."""
    batch = ctx.batch()
    step = decide(ctx.job, batch, attempts=ctx.exporter.limits.attempts)
    open_again = batch.state in (BatchState.OPEN, BatchState.EMPTY)
    wanted = open_again and step.next is not Next.REPORT
    if not (batch.unmarked or wanted):
        return report(batch)
    kind = TaskKind.CONTINUATION if batch.continued else TaskKind.HALF_OPEN
    known = batch.pending
    same = known is not None and (known.kind, known.due) == (kind, error.until)
    # A queue refuses the name of the task that it is just delivering.
    if known is None or not same or known.name == ctx.job.task_name:
        _follow_up(ctx, batch, kind, due=error.until)
    with log.bound(step="pause", attempt=batch.attempt):
        log.event(
            logging.WARNING,
            "circuit_open",
            f"{ctx.job.filename} waits: {error}.",
            next_attempt_at=error.until,
        )
    return Outcome.of_batch(Status.CIRCUIT_OPEN, ctx.batch(), error=error)


def finish_later(ctx: Context, batch: Batch, error: DaybookError) -> Outcome:
    """The day's end is recorded: what is left to publish and mark is tried again until done.

    After the first delay; after the last one when somebody has to change something first.
    """
    delays = ctx.exporter.limits.retry_delays_seconds or (300,)
    delay = timedelta(seconds=delays[-1 if error.permanent else 0])
    _follow_up(ctx, batch, TaskKind.RETRY, due=ctx.now() + delay)
    return Outcome.of_batch(Status.RETRY_SCHEDULED, ctx.batch(), error=error)


def _follow_up(ctx: Context, batch: Batch, kind: TaskKind, *, due: datetime) -> None:
    attempt = attempt_to_recheck(attempt=batch.attempt, ended_attempt=batch.ended_attempt)
    task = task_of(ctx, batch, kind, attempt=attempt, due=due)
    ctx.slot.transaction(
        lambda session: transitions.record_follow_up(
            ctx.batches, session, batch, task=task, now=ctx.now()
        )
    )


def task_of(ctx: Context, batch: Batch, kind: TaskKind, *, attempt: int, due: datetime) -> Task:
    return Task(
        key=batch.key,
        kind=kind,
        generation=batch.generation,
        attempt=attempt,
        fence=ctx.slot.fence,
        due=due,
    )
