"""The sweep: what crashes left unfinished is completed, removed, or watched."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import Any

from daybook import log
from daybook.errors import CircuitOpen, DatabaseError, DestinationError, DocumentDamaged, IdInvalid
from daybook.export.announce import announce
from daybook.export.batch import batches
from daybook.export.context import Context, Exporter, Job
from daybook.export.follow_up import create
from daybook.export.model.budgets import RetryBudget, StopToken
from daybook.export.model.notice import Alert, AlertEvent
from daybook.export.model.profile import BatchKey
from daybook.export.queue import manifest as manifests
from daybook.export.settle import settle
from daybook.export.slot import orphans
from daybook.export.slot.slot import COLLECTION, Slot
from daybook.export.upload.upload import find_file

_STOP_AFTER_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class SweptSlot:
    """What the sweep did in one slot; all zero when there was nothing to do."""

    slot: str
    in_progress: bool = False
    """True when a run holds the slot; nothing was done then."""
    circuit_open: bool = False
    """True when the circuit is open; only what needs no destination was done then."""
    settled: int = 0
    """Files, sealed but not recorded, that are now known to exist or not to exist."""
    marked: int = 0
    """Committed batches whose marking was completed."""
    parts_deleted: int = 0
    """Parts of manifests that no file is, or can still be, made of."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "slot": self.slot,
            "inProgress": self.in_progress,
            "circuitOpen": self.circuit_open,
            "settled": self.settled,
            "marked": self.marked,
            "partsDeleted": self.parts_deleted,
        }


@dataclass(frozen=True, kw_only=True)
class OrphanWatch:
    """The abandoned IDs under which a file might still appear."""

    watched: int
    unreachable: int
    """Of these, IDs that could not be looked up: issued to another identity, refused, or all of
    them while the circuit is open.
    """
    seen: tuple[str, ...]
    """IDs under which a file was found for the first time."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "watched": self.watched,
            "unreachable": self.unreachable,
            "seen": list(self.seen),
        }


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep found and did."""

    slots: tuple[SweptSlot, ...]
    orphans: OrphanWatch

    @property
    def in_progress(self) -> bool:
        """True when a run kept the sweep out of a slot; sweep again later."""
        return any(slot.in_progress for slot in self.slots)

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "in_progress" if self.in_progress else "swept",
            "slots": [slot.to_doc() for slot in self.slots],
            "orphans": self.orphans.to_doc(),
        }


def sweep(exporter: Exporter) -> Sweep:
    """Sweep the profile's two slots, that of its days and that of its manual exports.

    It also announces what is not announced yet, and creates the tasks that have to follow. Safe
    to repeat, and at any time. Raises `DestinationError` when the destination cannot be reached,
    `DatabaseError` when MongoDB refuses a commit or a mark, `FencedOut` when another run took
    over a slot, and `TaskError` when the queue cannot be reached.
    """
    name = exporter.profile.name
    keys = (BatchKey(profile=name), BatchKey(profile=name, manual_key=""))
    slots: list[SweptSlot] = []
    failures: list[DestinationError | DatabaseError] = []
    if exporter.tasks is not None:
        pending, damaged = batches.pending(exporter.database[batches.COLLECTION], name)
        failures += damaged  # the other tasks are still created, and the slots swept
        for task in pending:
            create(exporter.tasks, task, zone=exporter.profile.time_zone)
    for key in keys:
        try:
            slots.append(_sweep_slot(exporter, key))
        except (DestinationError, DatabaseError) as error:
            failures.append(error)  # the other slot is still swept
    if failures:
        raise failures[0]
    circuit_open = any(slot.circuit_open for slot in slots)
    return Sweep(slots=tuple(slots), orphans=_watch(exporter, circuit_open=circuit_open))


def _sweep_slot(exporter: Exporter, key: BatchKey) -> SweptSlot:
    slot = Slot.take(
        exporter.database[COLLECTION],
        key.slot_id,
        owner=uuid.uuid4().hex,
        lease_seconds=exporter.limits.lease_seconds,
    )
    if slot is None:
        return SweptSlot(slot=key.slot_id, in_progress=True)
    job = Job(key=key, filename=f"sweep of {key.slot_id}", scan=lambda: iter(()))
    ctx = Context.of(exporter, job, slot)
    with log.bound(profile=key.profile, fence=slot.fence):
        try:
            with slot.keep_lease(stop_after_seconds=_STOP_AFTER_SECONDS):
                return _sweep_in_slot(ctx)
        finally:
            slot.release()


def _sweep_in_slot(ctx: Context) -> SweptSlot:
    sealed = len(ctx.slot.state.seals)
    unmarked = _unmarked_count(ctx)
    circuit_open, failure = False, None
    try:
        settle(ctx)
    except CircuitOpen as error:
        log.event(logging.WARNING, "circuit_open", f"The sweep leaves out what needs it: {error}.")
        circuit_open = True
    except (DestinationError, DatabaseError) as error:
        failure = error
    announce(ctx)
    if failure is not None:
        raise failure
    state = ctx.slot.state
    parts_deleted = manifests.sweep(ctx.database, ctx.job.key, state)
    return SweptSlot(
        slot=ctx.job.key.slot_id,
        circuit_open=circuit_open,
        settled=sealed - len(state.seals),
        marked=unmarked - _unmarked_count(ctx),
        parts_deleted=parts_deleted,
    )


def _unmarked_count(ctx: Context) -> int:
    return len(batches.unmarked(ctx.batches, ctx.job.key))


def _watch(exporter: Exporter, *, circuit_open: bool) -> OrphanWatch:
    """Look up each watched ID, and alert once when a file is found under it."""
    collection, now = exporter.database[orphans.COLLECTION], exporter.clock()
    watched = unreachable = 0
    seen = []
    stop_token = StopToken(exporter.stopping, deadline_seconds=exporter.limits.run_deadline_seconds)
    retry_budget = RetryBudget(exporter.sleep, stop_token)
    watching = orphans.WATCHED.find(collection, profile=exporter.profile.name, now=now)
    damaged: DocumentDamaged | None = None
    for doc in orphans.own(watching):
        try:
            orphan = orphans.Orphan.from_doc(doc)
        except DocumentDamaged as error:
            damaged = error  # the others are still looked up
            continue
        watched += 1
        if circuit_open or orphan.identity != exporter.destination.identity:
            unreachable += 1
            continue
        try:
            file = find_file(exporter.destination, orphan.file_id, retry_budget)
        except IdInvalid:
            unreachable += 1
            continue
        if file is None:
            continue
        seen.append(file.id)
        reason = orphan.reason
        exporter.messenger.alert(
            Alert(
                event=AlertEvent.ORPHAN_LEFT_BEHIND,
                severity=logging.CRITICAL,
                profile=exporter.profile.name,
                facts={
                    "file_id": file.id,
                    "filename": file.name,
                    "link": file.link,
                    "reason": reason.value,
                    "explanation": reason.explanation,
                },
            )
        )
        if not exporter.reaches_operator:
            continue
        collection.update_one({"_id": file.id}, {"$set": {"seenAt": now, "updatedAt": now}})
    if damaged is not None:
        raise damaged
    return OrphanWatch(watched=watched, unreachable=unreachable, seen=tuple(seen))
