"""Attempts: how they start, and how a batch ends without a file."""

from __future__ import annotations

import logging

from pymongo.client_session import ClientSession

from daybook import log
from daybook.errors import DaybookError, DestinationError
from daybook.export import records, transitions
from daybook.export.batch import Batch
from daybook.export.context import Context
from daybook.export.outcome import Outcome, Status
from daybook.export.records import LogAction
from daybook.export.retry import BatchState, Next, Step, next_attempt_at, next_step


def decide(ctx: Context, batch: Batch) -> Step:
    """What this run has to do about its batch, now that the slot is settled."""
    trigger = ctx.job.schedule_time
    if ctx.job.key.manual_key is not None and batch.state is BatchState.FAILED:
        return Step(next=Next.START, attempt=1)  # whoever asks again means it
    return next_step(
        state=batch.state,
        attempt=batch.attempt,
        ended_attempt=batch.ended_attempt,
        same_delivery=trigger is not None and batch.schedule_time == trigger,
        max_attempts=1 + len(ctx.exporter.limits.retry_delays_seconds),
    )


def start(ctx: Context, batch: Batch, attempt: int) -> None:
    """Count the attempt before it does anything."""
    ctx.slot.transaction(
        lambda session: transitions.start_attempt(
            ctx.batches,
            session,
            batch,
            attempt=attempt,
            fence=ctx.slot.fence,
            schedule_time=ctx.job.schedule_time,
            now=ctx.now(),
        )
    )


def fail(ctx: Context, error: DaybookError) -> Outcome:
    """Record how the attempt ended and when the next one is due; its entries stay queued."""
    batch, now = ctx.batch(), ctx.now()
    if batch.state is BatchState.COMMITTED:  # delivered, but not yet published or marked
        return Outcome.of_batch(Status.RETRY_SCHEDULED, batch, error=error)
    due = next_attempt_at(
        attempt=batch.attempt,
        permanent=error.permanent,
        delays_seconds=ctx.exporter.limits.retry_delays_seconds,
        now=now,
    )
    kind = ctx.destination.kind if isinstance(error, DestinationError) else error.type
    ctx.slot.transaction(
        lambda session: transitions.record_failure(
            ctx.batches,
            session,
            batch,
            attempt=batch.attempt,
            error={"type": kind, "message": str(error), "at": now},
            next_attempt_at=due,
            now=now,
        )
    )
    log.event(
        logging.CRITICAL if due is None else logging.WARNING,
        "batch_failed" if due is None else "attempt_failed",
        f"{ctx.job.filename}, attempt {batch.attempt}: {error}",
        error_type=kind,
        next_attempt_at=due,
    )
    status = Status.FAILED if due is None else Status.RETRY_SCHEDULED
    return Outcome.of_batch(status, ctx.batch())


def give_up(ctx: Context, batch: Batch, unsettled: DaybookError | None) -> Outcome:
    """All attempts are used up, and the last one left no outcome: its process died."""
    return fail(
        ctx,
        unsettled
        or DaybookError(
            f"attempt {batch.attempt}, the last one, ended without an answer: "
            "its process was killed or lost its connection"
        ),
    )


def recorded_elsewhere(ctx: Context, batch: Batch) -> bool:
    """True when another application has recorded the day as delivered; its record is kept."""
    if ctx.job.key.batch_date is None:
        return False
    record = ctx.logs.find_one(
        records.day_filter(ctx.job.key.profile, ctx.job.key.batch_date, LogAction.CSV_GENERATED)
    )
    if record is None:
        return False
    ctx.slot.transaction(
        lambda session: transitions.adopt(ctx.batches, session, batch.id, record, now=ctx.now())
    )
    return True


def close_empty(ctx: Context) -> Outcome:
    """Sign off a day on which nothing was queued; a later run of the day may still export."""
    batch, now, day = ctx.batch(), ctx.now(), ctx.job.key.batch_date

    def sign_off(session: ClientSession) -> None:
        if day is not None and not _signed_off(ctx, session, day):
            ctx.logs.insert_one(
                records.empty(
                    profile=ctx.job.key.profile,
                    batch_date=day,
                    batch_id=str(batch.id),
                    now=now,
                ),
                session=session,
            )
        transitions.record_empty(ctx.batches, session, batch, now=now)

    ctx.slot.transaction(sign_off)
    log.event(logging.INFO, "batch_empty", "Nothing was queued, no file was made.")
    return Outcome.of_batch(Status.EMPTY, ctx.batch())


def _signed_off(ctx: Context, session: ClientSession, day: str) -> bool:
    filters = records.day_filter(ctx.job.key.profile, day, LogAction.BATCH_EMPTY)
    return ctx.logs.find_one(filters, session=session) is not None
