"""Attempts: how one starts, and how a batch ends without a file."""

from __future__ import annotations

import logging
from typing import Any

from pymongo.client_session import ClientSession

from daybook import display, log
from daybook.errors import DaybookError, DestinationError
from daybook.export import follow_up
from daybook.export.batch import export_log, transitions
from daybook.export.batch.batch import Batch, write_rejected
from daybook.export.batch.export_log import LogAction
from daybook.export.batch.transitions import RejectedDay
from daybook.export.context import Context
from daybook.export.model.figures import Rejected
from daybook.export.model.lifecycle import BatchState, Next, Step
from daybook.export.model.notice import AlertEvent
from daybook.export.model.seal import ManifestRef
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manifest as manifests
from daybook.export.queue.mark import Delivery
from daybook.export.recording import mark


def begin(ctx: Context, batch: Batch, step: Step) -> None:
    """Count the attempt before it does anything, or resume one that is already counted."""

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
    """Record how the attempt failed and when the next one is due; its entries stay queued."""
    batch, now = ctx.batch(), ctx.now()
    if batch.unmarked:  # delivered or signed off, but not yet published or marked
        return follow_up.finish_later(ctx, batch, error)
    if batch.finished or batch.state is BatchState.EMPTY:
        return follow_up.report(batch)  # done: only the response to its last transaction was lost
    retry = follow_up.retry_after(ctx, batch, error)
    kind = ctx.destination.kind if isinstance(error, DestinationError) else error.type
    counts = isinstance(error, DestinationError) and not error.permanent

    def work(session: ClientSession) -> None:
        failure = {"type": kind, "message": display.text(display.scrubbed(str(error))), "at": now}
        transitions.record_failure(ctx.batches, session, batch, error=failure, retry=retry, now=now)

    ctx.slot.transaction(work)
    opened = ctx.breaker.record_failure(now) if counts else None
    if retry is not None:
        ctx.alert(
            AlertEvent.ATTEMPT_FAILED,
            logging.WARNING,
            batch,
            attempt=batch.attempt,
            max_attempts=ctx.exporter.limits.attempts,
            error_type=kind,
            error=str(error),
            next_attempt_at=retry.due,
            file_possible=ctx.slot.state.may_show(batch.key.batch_date),
        )
    if opened is not None:
        ctx.alert(
            AlertEvent.BREAKER_OPENED,
            logging.WARNING,
            batch,
            destination=ctx.breaker_name,
            failures=opened.failures,
            open_until=opened.open_until,
        )
    return follow_up.report(ctx.batch())


def give_up(ctx: Context, batch: Batch, unsettled: DaybookError | None) -> Outcome:
    """Fail the batch: all attempts are used up; the last one died, or more were allowed before."""
    if unsettled is not None:
        return fail(ctx, unsettled)
    if batch.attempt == batch.ended_attempt:
        last_error = batch.doc.get("error") or {}
        return fail(
            ctx,
            DaybookError(
                f"attempt {batch.attempt} was the last one, since DAYBOOK_RETRY_DELAYS_SECONDS "
                f"allows {ctx.exporter.limits.attempts} by now; it failed: "
                f"{last_error.get('message')}"
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
    """Whether another application has recorded the day as delivered; the batch then adopts it."""
    if ctx.job.key.batch_date is None:
        return False
    record = export_log.OF_DAY.one(
        ctx.logs,
        profile=ctx.job.key.profile,
        batch_date=ctx.job.key.batch_date,
        action=LogAction.CSV_GENERATED,
    )
    if record is None:
        return False
    ctx.slot.transaction(
        lambda session: transitions.adopt(ctx.batches, session, batch.id, record, now=ctx.now())
    )
    return True


def close_empty(
    ctx: Context, manifest: ManifestRef | None = None, rejected: tuple[Rejected, ...] = ()
) -> Outcome:
    """Sign off a day without a file; a later run of the day may still export.

    Nothing was queued, or all items of `manifest` are `rejected`. In the latter case the
    transaction also marks the items of the first part, and `marking.finish_marking` marks
    the others.
    """
    batch, now, day = ctx.batch(), ctx.now(), ctx.job.key.batch_date
    first = rejected_id = None
    if manifest is not None:
        first = next(manifests.read(ctx.manifests, manifest))
        rejected_id = write_rejected(
            ctx.manifests, rejected, ref=manifest, profile=ctx.job.key.slot_id, now=now
        )

    def sign_off(session: ClientSession) -> None:
        record_id = _record_empty(ctx, session, batch, rejected_count=len(rejected))
        if manifest is None or first is None:
            transitions.record_empty(ctx.batches, session, batch, now=now)
            return
        rejected_day = RejectedDay(
            manifest=manifest, rejected=rejected, rejected_id=rejected_id, record_id=record_id
        )
        transitions.record_empty(ctx.batches, session, batch, now=now, rejected_day=rejected_day)
        delivery = Delivery(
            profile=ctx.exporter.profile,
            batch_date=day,
            file_id=None,
            link=None,
            manifest=manifest,
            rejected=rejected,
        )
        mark(ctx.database, session, delivery, first, record_id=record_id, now=now)

    # The manifest names items that are no longer queued. Seals stay: their file may yet appear.
    ctx.slot.transaction(sign_off, sets={"manifest": None, "upload": None})
    why = "Every queued entry was rejected" if rejected else "Nothing was queued"
    log.event(
        logging.WARNING if rejected else logging.INFO,
        "batch_empty",
        f"{why}, no file was made.",
        rejected_count=len(rejected),
    )
    return Outcome.of_batch(Status.EMPTY, ctx.batch())


def _record_empty(
    ctx: Context, session: ClientSession, batch: Batch, *, rejected_count: int
) -> Any:
    """Write the day's one record, or add the items that another run of the day rejects to it.

    Returns the record's `_id`, or None for a manual export.
    """
    day = ctx.job.key.batch_date
    if day is None:
        return None
    stored = export_log.OF_DAY.one(
        ctx.logs,
        profile=ctx.job.key.profile,
        batch_date=day,
        action=LogAction.BATCH_EMPTY,
        session=session,
        projection={"_id": 1},
    )
    if stored is None:
        record = export_log.empty(
            profile=ctx.job.key.profile,
            batch_date=day,
            batch_id=str(batch.id),
            rejected_count=rejected_count,
            now=ctx.now(),
        )
        ctx.logs.insert_one(record, session=session)
        return record["_id"]
    if rejected_count:
        ctx.logs.update_one(
            {"_id": stored["_id"]},
            {"$inc": {"metadata.rejectedCount": rejected_count}, "$set": {"updatedAt": ctx.now()}},
            session=session,
        )
    return stored["_id"]
