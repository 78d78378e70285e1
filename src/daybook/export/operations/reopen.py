"""What an operator can do about a failed day: reopen it, or close it for good."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import date

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import DatabaseError, DaybookError
from daybook.export.batch import batches, transitions
from daybook.export.batch.batch import Batch
from daybook.export.context import Exporter
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import BatchKey
from daybook.export.slot.slot import COLLECTION, Slot


class NotPossible(DaybookError):
    """The command does not apply to the day in its present state; the message says why."""

    type = "not_possible"
    permanent = True


class SlotBusy(DaybookError):
    """A run holds the slot; repeat the command when it has ended."""

    type = "in_progress"


def reopen_day(exporter: Exporter, day: date) -> Batch | None:
    """Reopen a failed day, as a new generation with all of its attempts.

    A day that has not failed is left unchanged: running it again is enough. If the circuit is
    open, the next run may try the destination at once: an operator has asked for it. Returns
    None when there is no batch. Raises `NotPossible` for a day that was closed for good,
    `SlotBusy` and `DatabaseError`.
    """
    try:
        reopened = _reopen(exporter, _key(exporter, day))
        _let_try(exporter, day)
    except PyMongoError as error:
        raise DatabaseError.of(f"retry of {day}", error) from error
    return reopened


def _let_try(exporter: Exporter, day: date) -> None:
    if exporter.circuit.let_try(exporter.clock()):
        log.event(
            logging.INFO,
            "circuit_half_opened",
            f"An operator asked for {day}: the next run tries {exporter.breaker_name} at "
            "once, although the circuit was open.",
            profile=exporter.profile.name,
            batch_date=day.isoformat(),
            destination=exporter.breaker_name,
        )


def _reopen(exporter: Exporter, key: BatchKey) -> Batch | None:
    batch = batches.find(exporter.database[batches.COLLECTION], key)
    if batch is None or batch.state is not BatchState.FAILED:
        return batch

    def work(session: ClientSession, found: Batch) -> None:
        if found.doc.get("releasedAt") is not None:
            raise NotPossible(
                f"{key.batch_date} was released at {found.doc['releasedAt'].isoformat()}: it is "
                "closed for good, and its entries go with the next day"
            )
        if found.state is BatchState.FAILED:
            transitions.reopen(
                exporter.database[batches.COLLECTION], session, found, now=exporter.clock()
            )

    reopened = _change(exporter, key, work)
    log.event(
        logging.INFO,
        "batch_reopened",
        f"{key.batch_date} is open again.",
        profile=key.profile,
        batch_date=key.batch_date,
        batch_id=str(reopened.id),
        generation=reopened.generation,
    )
    return reopened


def release_day(exporter: Exporter, day: date) -> Batch:
    """Close a day that is open or failed for good: no attempt and no alert follow.

    Its entries stay queued and go with the next day. If a file of the day appears at the
    destination later, it is still committed. Releasing it again changes nothing. Raises
    `NotPossible` when there is no such batch or it is done, `SlotBusy` and `DatabaseError`.
    """
    try:
        return _release(exporter, _key(exporter, day))
    except PyMongoError as error:
        raise DatabaseError.of(f"release of {day}", error) from error


def _release(exporter: Exporter, key: BatchKey) -> Batch:

    def work(session: ClientSession, found: Batch) -> None:
        if found.state in (BatchState.COMMITTED, BatchState.EMPTY):
            raise NotPossible(f"{key.batch_date} is {found.state.value}: nothing is to be closed")
        if found.doc.get("releasedAt") is None:
            transitions.release(
                exporter.database[batches.COLLECTION], session, found, now=exporter.clock()
            )

    released = _change(exporter, key, work)
    log.event(
        logging.INFO,
        "batch_released",
        f"{key.batch_date} is closed for good; its entries go with the next day.",
        profile=key.profile,
        batch_date=key.batch_date,
        batch_id=str(released.id),
    )
    return released


def _key(exporter: Exporter, day: date) -> BatchKey:
    return BatchKey(profile=exporter.profile.name, batch_date=day.isoformat())


def _change(
    exporter: Exporter, key: BatchKey, work: Callable[[ClientSession, Batch], None]
) -> Batch:
    """Do `work` on the stored batch under the slot's fence; returns the changed batch."""
    collection = exporter.database[batches.COLLECTION]
    if batches.find(collection, key) is None:
        raise NotPossible(f"there is no batch of {key.batch_date}: nothing was ever run for it")
    slot = Slot.take(
        exporter.database[COLLECTION],
        key.slot_id,
        owner=uuid.uuid4().hex,
        lease_seconds=exporter.limits.lease_seconds,
    )
    if slot is None:
        raise SlotBusy(f"a run is at work in slot {key.slot_id}: ask again when it has ended")

    def on_stored(session: ClientSession) -> None:
        found = batches.find(collection, key, session=session)
        if found is not None:
            work(session, found)

    try:
        slot.transaction(on_stored)
    finally:
        slot.release()
    changed = batches.find(collection, key)
    if changed is None:
        raise NotPossible(f"the batch of {key.batch_date} was deleted in the meantime")
    return changed
