"""One run of a batch: take, settle, plan, render and upload, seal, verify, commit.

Whatever stops a run, wherever, the next one takes the slot and settles what this
one left. The steps are in `settle.py`, `attempt.py`, `deliver.py` and `commit.py`.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from datetime import timedelta

from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import (
    DatabaseError,
    DaybookError,
    DestinationError,
    FencedOut,
    IdInvalid,
    KeyReused,
    QueueChanging,
)
from daybook.export import attempt, orphans
from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export.commit import Committed
from daybook.export.context import Context, Exporter, Job
from daybook.export.deliver import QueueChanged, deliver
from daybook.export.outcome import Outcome, Status
from daybook.export.patience import Patience
from daybook.export.retry import BatchState, Next
from daybook.export.seal import ManifestRef
from daybook.export.settle import finish_marking, give_up_id, settle, take_over
from daybook.export.slot import COLLECTION, Slot
from daybook.export.stopwatch import Stopwatch

PLANS_PER_RUN = 3
"""How often one run starts over because the queue or the id changed under it."""

REFUSALS = 3
"""Runs that an id may be refused to, unseen, however soon after one another."""


def run(exporter: Exporter, job: Job) -> Outcome:
    """Bring the job's batch to its end, or record why it did not get there.

    Safe to repeat and to call at the same time from anywhere: one caller works, the
    others get `in_progress`. Raises `DatabaseError` when MongoDB fails so that not
    even the failure could be recorded.
    """
    started = time.monotonic()
    try:
        outcome = _run(exporter, job)
    except PyMongoError as error:
        raise DatabaseError.of(f"run of {job.filename}", error) from error
    return replace(outcome, duration_seconds=time.monotonic() - started)


def _run(exporter: Exporter, job: Job) -> Outcome:
    batch = batches.ensure(
        exporter.database[batches.COLLECTION], job.key, now=exporter.clock(), request=job.request
    )
    if job.request is not None and batch.doc.get("request") != job.request:
        raise KeyReused("the key was used for another request before", where="Idempotency-Key")
    if batch.finished:
        return Outcome.of_batch(Status.ALREADY_EXPORTED, batch)
    slot = Slot.take(
        exporter.database[COLLECTION],
        job.key.slot_id,
        owner=uuid.uuid4().hex,
        lease_seconds=exporter.limits.lease_seconds,
    )
    if slot is None:
        return Outcome.of_batch(Status.IN_PROGRESS, batch)
    ctx = Context(
        exporter=exporter,
        job=job,
        slot=slot,
        patience=Patience(exporter.sleep),
        rendering=Stopwatch(exporter.limits.csv_timeout_seconds),
    )
    with log.bound(
        profile=job.key.profile,
        batch_date=job.key.batch_date,
        batch_id=str(batch.id),
        fence=slot.fence,
    ):
        try:
            with slot.kept(stop_after_seconds=exporter.limits.run_deadline_seconds + 60):
                return _hold(ctx)
        except FencedOut as error:
            log.event(logging.WARNING, "fenced_out", f"{error}; it goes on from here.")
            return Outcome.of_batch(Status.IN_PROGRESS, ctx.batch())
        finally:
            _release(slot)


def _hold(ctx: Context) -> Outcome:
    """The road of a run that holds the slot."""
    unsettled: DaybookError | None = None
    try:
        settle(ctx)
        finish_marking(ctx)
    except FencedOut:
        raise
    except DaybookError as error:
        unsettled = error  # nothing new is planned; the attempt ends with this
        log.event(
            logging.WARNING,
            "not_settled",
            f"What an earlier run left could not be settled: {error}",
            error_type=error.type,
        )

    batch = ctx.batch()
    committed = batch.state is BatchState.COMMITTED
    if batch.finished or (not committed and attempt.recorded_elsewhere(ctx, batch)):
        return Outcome.of_batch(Status.ALREADY_EXPORTED, ctx.batch())
    step = attempt.decide(ctx, batch)
    if step.next is Next.REPORT:
        failed = batch.state is BatchState.FAILED
        status = Status.FAILED if failed else Status.RETRY_SCHEDULED
        return Outcome.of_batch(status, batch, error=unsettled)
    if step.next is Next.GIVE_UP:
        return attempt.give_up(ctx, batch, unsettled)

    attempt.start(ctx, batch, step.attempt)
    with log.bound(attempt=step.attempt):
        try:
            return _export(ctx) if unsettled is None else attempt.fail(ctx, unsettled)
        except FencedOut:
            raise
        except DaybookError as error:
            return attempt.fail(ctx, error)
        except PyMongoError as error:
            return attempt.fail(ctx, DatabaseError.of(f"run of {ctx.job.filename}", error))
        except Exception as error:  # noqa: BLE001  (the run's boundary: no end goes unrecorded)
            log.event(logging.ERROR, "run_crashed", f"{ctx.job.filename}: {error}", exc_info=error)
            return attempt.fail(ctx, DaybookError(f"{type(error).__name__}: {error}"))


def _export(ctx: Context) -> Outcome:
    """One attempt: until the day's file stands and is committed."""
    deadline = time.monotonic() + ctx.exporter.limits.run_deadline_seconds
    for _ in range(PLANS_PER_RUN):
        manifest = _plan(ctx)
        if manifest is None:
            return attempt.close_empty(ctx)
        try:
            file = deliver(ctx, manifest, deadline=deadline)
        except QueueChanged:
            ctx.slot.raise_fence()
            continue
        except IdInvalid:
            give_up_id(ctx, orphans.Reason.ID_INVALID)
            continue
        if file is None:
            _refused(ctx)
            continue
        committed = take_over(ctx, file)
        if committed is not None:
            finish_marking(ctx)
        batch = ctx.batch()
        if batch.finished:
            if committed is not Committed.OURS:
                return Outcome.of_batch(Status.ALREADY_EXPORTED, batch)
            _describe(ctx, batch)
            return Outcome.of_batch(Status.EXPORTED, batch)
        # What stood at the id was another day's file, or nobody's: again, with a new id.
        ctx.slot.raise_fence()
    raise QueueChanging(
        f"{ctx.job.filename}: the queue or the destination changed under "
        f"{PLANS_PER_RUN} plans in a row"
    )


def _plan(ctx: Context) -> ManifestRef | None:
    """The stored manifest of this batch, or a fresh one; None when nothing is queued."""
    batch = ctx.batch()
    stored = ctx.slot.state.manifest
    if stored is not None and stored.is_of(str(batch.id), batch.generation):
        return stored
    manifests.sweep(ctx.manifests, ctx.job.key.slot_id, ctx.slot.state)
    fresh = manifests.write(
        ctx.manifests,
        ctx.job.scan(),
        batch_id=str(batch.id),
        generation=batch.generation,
        fence=ctx.slot.fence,
        profile=ctx.job.key.slot_id,
        now=ctx.now(),
    )
    if fresh.item_count == 0:
        return None
    ctx.slot.store_manifest(fresh)
    return fresh


def _refused(ctx: Context) -> None:
    """The id is called taken, but no file can be seen at it: give it up when that lasts.

    It lasts when a later run meets it again, a lease's time after the first or for the
    third time: nothing that was on its way then is still to come.
    """
    refusal = ctx.slot.store_refusal()
    lease = timedelta(seconds=ctx.exporter.limits.lease_seconds)
    lasted = refusal.count > 1 and refusal.last_at - refusal.first_at >= lease
    if not lasted and refusal.count < REFUSALS:
        raise DestinationError(
            f"upload of {ctx.job.filename}: the destination calls the id "
            f"{ctx.slot.state.file_id} taken, but shows no file under it"
        )
    give_up_id(ctx, orphans.Reason.REFUSED_UNSEEN)


def _describe(ctx: Context, batch: batches.Batch) -> None:
    """Leave totals and digest with the file, where the accountant sees them; best effort."""
    totals = "".join(
        f" {code}: debit {sums['debit']}, credit {sums['credit']}, amount {sums['amount']}."
        for code, sums in batch.doc.get("totals", {}).items()
    )
    text = f"{batch.doc.get('entryCount')} entries.{totals} SHA-256 {batch.doc.get('sha256')}"
    try:
        ctx.destination.describe(batch.doc["fileId"], text)
    except DestinationError as error:
        log.event(logging.WARNING, "describe_failed", f"The file has no note: {error}")


def _release(slot: Slot) -> None:
    """Give the lease back; when that fails it runs out by itself."""
    try:
        slot.release()
    except FencedOut:
        return  # another run holds it already
    except PyMongoError as error:
        log.event(
            logging.WARNING, "release_failed", "The lease runs out by itself.", error=str(error)
        )
