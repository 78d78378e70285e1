"""Attempts: how they start, and how a batch ends without a file."""

from __future__ import annotations

import logging

from pymongo.client_session import ClientSession

from daybook import log
from daybook.errors import DaybookError, DestinationError
from daybook.export import pause, records, transitions
from daybook.export.batch import Batch
from daybook.export.context import Context
from daybook.export.notice import AlertEvent
from daybook.export.outcome import Outcome, Status
from daybook.export.records import LogAction
from daybook.export.retry import BatchState, Next, Step, next_attempt_at
from daybook.export.standing import report
from daybook.export.task import TaskKind


def begin(ctx: Context, batch: Batch, step: Step) -> None:
    """Count the attempt before it does anything, or go on with one that is counted already."""

    def work(session: ClientSession) -> None:
        if step.next is Next.RESUME:
            transitions.resume_attempt(
                ctx.batches, session, batch, fence=ctx.slot.fence, now=ctx.now()
            )
        else:
            transitions.start_attempt(
                ctx.batches,
                session,
                batch,
                attempt=step.attempt,
                fence=ctx.slot.fence,
                schedule_time=ctx.job.schedule_time,
                now=ctx.now(),
            )

    ctx.slot.transaction(work)


def fail(ctx: Context, error: DaybookError) -> Outcome:
    """Record how the attempt ended and when the next one is due; its entries stay queued."""
    batch, now = ctx.batch(), ctx.now()
    if batch.state is BatchState.COMMITTED:  # delivered, but not yet published or marked
        return pause.finish_later(ctx, batch, error)
    due = next_attempt_at(
        attempt=batch.attempt,
        permanent=error.permanent,
        delays_seconds=ctx.exporter.limits.retry_delays_seconds,
        now=now,
    )
    retry = None
    if due is not None:
        retry = pause.task_of(ctx, batch, TaskKind.RETRY, attempt=batch.attempt + 1, due=due)
    kind = ctx.destination.kind if isinstance(error, DestinationError) else error.type
    counts = isinstance(error, DestinationError) and not error.permanent

    def work(session: ClientSession) -> None:
        told = {"type": kind, "message": str(error), "at": now}
        transitions.record_failure(ctx.batches, session, batch, error=told, retry=retry, now=now)

    ctx.slot.transaction(work)
    opened = ctx.breaker.record_failure(now) if counts else None
    if due is not None:
        ctx.alert(
            AlertEvent.ATTEMPT_FAILED,
            logging.WARNING,
            batch,
            attempt=batch.attempt,
            max_attempts=ctx.exporter.limits.attempts,
            error_type=kind,
            error=str(error),
            next_attempt_at=due,
        )
    if opened is not None:
        ctx.alert(
            AlertEvent.BREAKER_OPENED,
            logging.WARNING,
            batch,
            destination=ctx.destination.kind,
            failures=opened.failures,
            open_until=opened.open_until,
        )
    return report(ctx.batch())


def give_up(ctx: Context, batch: Batch, unsettled: DaybookError | None) -> Outcome:
    """All attempts are used up: the last one's process died, or there were more once."""
    if unsettled is not None:
        return fail(ctx, unsettled)
    if batch.attempt == batch.ended_attempt:
        known = batch.doc.get("error") or {}
        return fail(
            ctx,
            DaybookError(
                f"attempt {batch.attempt} was the last one, since DAYBOOK_RETRY_DELAYS_SECONDS "
                f"allows {ctx.exporter.limits.attempts} by now; it failed: {known.get('message')}"
            ),
        )
    return fail(
        ctx,
        DaybookError(
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
