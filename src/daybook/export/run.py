"""One run of a batch: take the slot, settle, plan, deliver, commit, announce.

A run can be stopped anywhere: the next one takes the slot and settles first. The steps are in
`settle.py`, `attempt.py`, `deliver.py`, `commit.py`, `marking.py`, `announce.py` and
`follow_up.py`. `run_day`, `run_manual` and `run_task` are what callers ask for.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from pymongo.errors import PyMongoError

from daybook import log
from daybook.destinations.base import DeliveredFile
from daybook.errors import (
    CircuitOpen,
    DatabaseError,
    DaybookError,
    DestinationError,
    FencedOut,
    Interrupted,
    KeyReused,
    QueueChanging,
    RecordsDisagree,
    RunTimeout,
)
from daybook.export import attempt, follow_up
from daybook.export.abandon import abandon_id, count_refusal
from daybook.export.announce import announce
from daybook.export.batch import batches, transitions
from daybook.export.batch.batch import Batch
from daybook.export.commit import Committed, commit_file
from daybook.export.context import Context, Exporter, Job, daily_job, job_of_batch, manual_job
from daybook.export.deliver import AllRejected, NoFile, deliver
from daybook.export.marking import finish_marking
from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import BatchState, Next, TaskCall
from daybook.export.model.part import Part
from daybook.export.model.profile import BatchKey
from daybook.export.model.seal import ManifestRef, description, totals_from
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manifest as manifests
from daybook.export.queue import manual
from daybook.export.queue.manual import ManualRequest
from daybook.export.settle import settle
from daybook.export.slot import orphans
from daybook.export.slot.slot import COLLECTION, Slot
from daybook.export.slot.state import end_abandoned
from daybook.mongo.client import primary_watched

PLANS_PER_RUN = 3
"""Plans that one run may make because the queue or the ID changes while it works."""

CONTINUATION_GRACE = timedelta(minutes=10)
"""How long a day waits for the call that continues a later one; after that the call is lost."""

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


def run(exporter: Exporter, job: Job) -> Outcome:
    """Export the job's batch, or record why that failed.

    Safe to repeat, and to call from several processes at once: one of them works, the others
    return `in_progress`. Raises `DatabaseError` when MongoDB fails and not even the failure
    could be recorded.
    """
    started = time.monotonic()
    try:
        outcome = follow_up.ensure_task(exporter, job, _run(exporter, job))
    except PyMongoError as error:
        raise DatabaseError.of(f"run of {job.filename}", error) from error
    return replace(outcome, duration_seconds=time.monotonic() - started)


def _run(exporter: Exporter, job: Job) -> Outcome:
    batch = batches.ensure(
        exporter.database[batches.COLLECTION], job.key, now=exporter.clock(), request=job.request
    )
    stored_request = batch.doc.get("request", job.request)
    if job.request is not None and not manual.same_request(stored_request, job.request):
        raise KeyReused("the key was used for another request before", where="Idempotency-Key")
    if job.key.manual_key is not None and job.task is None and batch.state is BatchState.FAILED:
        # A failed export is requested again, which works even while another run holds the slot.
        collection = exporter.database[batches.COLLECTION]
        end_abandoned(exporter.database[COLLECTION], job.key.slot_id)
        transitions.reopen_manual(collection, batch, now=exporter.clock())
        batch = batches.ensure(collection, job.key, now=exporter.clock(), request=job.request)
    nothing_to_do = batch.finished or not follow_up.call_applies(job, batch)
    if nothing_to_do and (batch.announced or batch.state is BatchState.OPEN):
        return follow_up.report(batch)
    if _later_day_continues(exporter, batch):
        return _slot_is_busy(exporter, job, batch)
    slot = Slot.take(
        exporter.database[COLLECTION],
        job.key.slot_id,
        owner=uuid.uuid4().hex,
        lease_seconds=exporter.limits.lease_seconds,
    )
    if slot is None:
        return _slot_is_busy(exporter, job, batch)
    ctx = Context.of(exporter, job, slot)
    with log.bound(
        profile=job.key.profile,
        batch_date=job.key.batch_date,
        batch_id=str(batch.id),
        fence=slot.fence,
        attempt=batch.attempt,
        step="take",
    ):
        try:
            with (
                primary_watched(exporter.database.client),
                slot.keep_lease(stop_after_seconds=exporter.limits.run_deadline_seconds + 60),
            ):
                return _run_in_slot(ctx)
        except FencedOut as error:
            log.event(logging.WARNING, "fenced_out", f"{error}; the other run continues.")
            # Report the attempt that runs now; if none does, the one that this call was for,
            # which may never have started.
            stored = ctx.batch()
            if stored.pending is None and stored.attempt > stored.ended_attempt:
                batch = stored
            return replace(Outcome.of_batch(Status.IN_PROGRESS, batch), needs_recheck=True)
        finally:
            _release(slot)


def _later_day_continues(exporter: Exporter, batch: Batch) -> bool:
    """Whether a later day is being exported over several invocations, so this one must wait.

    The later day's file contains this day's entries too. Planning this day in between would
    end the later day's upload session, and the next plan of that day would end this day's:
    neither would ever finish.
    """
    now = exporter.clock()
    # It is due at once, or when the breaker may close. If further ahead, a clock was wrong.
    longest = timedelta(seconds=exporter.limits.breaker_reset_seconds) + CONTINUATION_GRACE
    return batches.later_day_continues(
        exporter.database[batches.COLLECTION],
        batch,
        since=now - CONTINUATION_GRACE,
        until=now + longest,
    )


def _slot_is_busy(exporter: Exporter, job: Job, batch: Batch) -> Outcome:
    """The outcome when another run holds the slot, with a recheck where one is needed."""
    step = follow_up.decide(job, batch, attempts=exporter.limits.attempts)
    if batch.finished or (step.next is Next.REPORT and batch.state is not BatchState.COMMITTED):
        outcome = follow_up.report(batch)
        ended = batch.state is not BatchState.OPEN
        # Without the recheck, the result would be announced only by the slot's next run.
        return replace(
            outcome, needs_recheck=outcome.needs_recheck or (ended and not batch.announced)
        )
    return replace(Outcome.of_batch(Status.IN_PROGRESS, batch), needs_recheck=True)


def _run_in_slot(ctx: Context) -> Outcome:
    try:
        outcome = _settle_and_attempt(ctx)
    except Interrupted as interrupted:
        try:
            return follow_up.suspend(ctx, interrupted)
        except RunTimeout as error:
            outcome = attempt.fail(ctx, error)
    announce(ctx)
    return outcome


def _settle_and_attempt(ctx: Context) -> Outcome:
    unsettled: DaybookError | None = None
    try:
        settle(ctx)
    except (FencedOut, Interrupted):
        raise
    except CircuitOpen as error:
        return follow_up.wait_for_breaker(ctx, error)
    except DaybookError as error:
        unsettled = error  # nothing new is planned; the attempt fails with this error
        log.event(
            logging.WARNING,
            "not_settled",
            f"What an earlier run left could not be settled: {error}",
            error_type=error.type,
        )

    batch = ctx.batch()
    committed = batch.state is BatchState.COMMITTED
    try:
        if batch.finished or (not committed and attempt.recorded_elsewhere(ctx, batch)):
            return follow_up.report(ctx.batch())
    except RecordsDisagree as error:
        unsettled = error
    step = follow_up.decide(ctx.job, batch, attempts=ctx.exporter.limits.attempts)
    if (committed or batch.unmarked) and unsettled is not None:
        return attempt.fail(ctx, unsettled)
    if step.next is Next.REPORT:
        return follow_up.report(batch, error=unsettled)
    with log.bound(attempt=step.attempt, step="attempt"):
        if step.next is Next.GIVE_UP:
            return attempt.give_up(ctx, batch, unsettled)
        attempt.begin(ctx, batch, step)
        try:
            return _export(ctx) if unsettled is None else attempt.fail(ctx, unsettled)
        except (FencedOut, Interrupted):
            raise
        except DaybookError as error:
            return attempt.fail(ctx, error)
        except PyMongoError as error:
            return attempt.fail(ctx, DatabaseError.of(f"run of {ctx.job.filename}", error))
        except Exception as error:  # noqa: BLE001  (the run's boundary: every failure is recorded)
            log.event(logging.ERROR, "run_crashed", f"{ctx.job.filename}: {error}", exc_info=error)
            return attempt.fail(ctx, DaybookError(f"{type(error).__name__}: {error}"))


def _export(ctx: Context) -> Outcome:
    """Make one attempt: plan, deliver, commit; plan again if the queue or the ID has changed."""
    for _ in range(PLANS_PER_RUN):
        with log.bound(step="plan"):
            manifest = _plan(ctx)
        if manifest is None:
            return attempt.close_empty(ctx)
        delivered = deliver(ctx, manifest)
        if isinstance(delivered, AllRejected):
            attempt.close_empty(ctx, manifest, delivered.rejected)
            finish_marking(ctx)
            return Outcome.of_batch(Status.EMPTY, ctx.batch())
        if isinstance(delivered, NoFile):
            if delivered is NoFile.RECORDED_ELSEWHERE and attempt.recorded_elsewhere(
                ctx, ctx.batch()
            ):
                return follow_up.report(ctx.batch())
            _prepare_new_plan(ctx, delivered)
            continue
        committed = commit_file(ctx, delivered.file)
        if committed is not None:
            finish_marking(ctx)
        batch = ctx.batch()
        if batch.finished:
            if committed is not Committed.OURS:
                return follow_up.report(batch)
            _describe(ctx, batch, delivered.file)
            return Outcome.of_batch(Status.EXPORTED, batch)
        # The file under the ID was another day's, or matched no seal: try again with a new ID.
        ctx.slot.raise_fence()
    raise QueueChanging(
        f"{ctx.job.filename}: the queue or the destination changed under "
        f"{PLANS_PER_RUN} plans in a row"
    )


def _prepare_new_plan(ctx: Context, why: NoFile) -> None:
    """Raises `DestinationError` while a file may yet appear under the ID."""
    match why:
        case NoFile.QUEUE_CHANGED | NoFile.RECORDED_ELSEWHERE:
            ctx.slot.raise_fence()
        case NoFile.ID_INVALID:
            abandon_id(ctx, orphans.OrphanReason.ID_INVALID)
        case NoFile.ID_REFUSED:
            count_refusal(ctx)


def _plan(ctx: Context) -> ManifestRef | None:
    """The manifest stored for this batch, or a new one; None when nothing is queued.

    A stored one is of no use once the profile has been edited: other items may match, and the
    bytes already sent are of the former layout.
    """
    batch = ctx.batch()
    stored = ctx.slot.state.manifest
    profile = ctx.exporter.profile
    if (
        stored is not None
        and stored.is_of(str(batch.id), batch.generation)
        and stored.fits(profile)
    ):
        return stored
    manifests.sweep(ctx.database, ctx.job.key, ctx.slot.state)
    fresh = manifests.write(
        ctx.manifests,
        _interruptible(ctx),
        batch_id=str(batch.id),
        generation=batch.generation,
        fence=ctx.slot.fence,
        slot_id=ctx.job.key.slot_id,
        profile=profile,
        now=ctx.now(),
    )
    if fresh.item_count == 0:
        return None
    transitions.store_profile(ctx.batches, batch, profile, now=ctx.now())
    ctx.slot.store_manifest(fresh)
    return fresh


def _interruptible(ctx: Context) -> Iterator[Part]:
    for part in ctx.job.scan():
        ctx.stop_token.check_process()
        yield part


def _describe(ctx: Context, batch: Batch, file: DeliveredFile) -> None:
    """Add totals and digest to a file that was created before they were known; best effort."""
    fields = Fields.of(batch.doc, batches.COLLECTION)
    text = description(
        fields.whole("entryCount"), totals_from(fields), sha256=fields.text("sha256")
    )
    if file.description == text:
        return
    try:
        ctx.destination.describe(batch.doc["fileId"], text)
    except DestinationError as error:
        log.event(logging.WARNING, "describe_failed", f"The file has no note: {error}")


def _release(slot: Slot) -> None:
    """Release the lease; if that fails, it expires on its own."""
    try:
        slot.release()
    except FencedOut:
        return  # another run holds it already
    except PyMongoError as error:
        log.event(
            logging.WARNING, "release_failed", "The lease expires on its own.", error=str(error)
        )
