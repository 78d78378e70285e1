"""What an operator does about a day that failed: open it again, or close it for good."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from pymongo.client_session import ClientSession

from daybook import log
from daybook.errors import DaybookError
from daybook.export.batch import batch as batches
from daybook.export.batch import transitions
from daybook.export.batch.batch import Batch
from daybook.export.context import Exporter
from daybook.export.model.batch_key import BatchKey
from daybook.export.model.lifecycle import BatchState
from daybook.export.slot.slot import COLLECTION, Slot


class NotPossible(DaybookError):
    """The day stands so that the operator's command has no meaning; the message says how."""

    type = "not_possible"
    permanent = True


class SlotBusy(DaybookError):
    """A run holds the slot; ask again when it has ended."""

    type = "in_progress"


def reopen(exporter: Exporter, key: BatchKey) -> Batch | None:
    """Open a failed day again, as a new generation with all of its attempts.

    A day that is not failed is left as it is: running it again is enough. None when there
    is no batch. Raises `NotPossible` for a day that was closed for good, `SlotBusy`.
    """
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


def release(exporter: Exporter, key: BatchKey) -> Batch:
    """Close a day that is open or failed for good: no attempt follows, nobody is alerted.

    Its entries stay queued and go with the next day. A file of it that turns up at the
    destination is committed all the same. Releasing it again changes nothing. Raises
    `NotPossible` when there is no such batch, or when it is done, `SlotBusy`.
    """

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


def _change(
    exporter: Exporter, key: BatchKey, work: Callable[[ClientSession, Batch], None]
) -> Batch:
    """Do `work` on the stored batch under the slot's fence; returns the batch as it is then."""
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
        raise NotPossible(f"the batch of {key.batch_date} was deleted meanwhile")
    return changed
