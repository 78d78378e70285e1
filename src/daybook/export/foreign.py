"""What others put into Daybook's collections, or made unreadable there. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pymongo.database import Database

from daybook import display
from daybook.errors import DocumentDamaged
from daybook.export import batch as batches
from daybook.export import breaker, orphans, part, slot
from daybook.export.batch_key import BatchKey
from daybook.export.breaker import BreakerState
from daybook.export.orphans import Orphan
from daybook.export.part import Part
from daybook.export.profile import Profile
from daybook.export.slot_state import SlotState

_NAMED = 3
_NOT_TEXT = {"_id": {"$not": {"$type": "string"}}}
_FOREIGN = {
    slot.COLLECTION: _NOT_TEXT,
    batches.COLLECTION: {"_id": {"$not": {"$type": "objectId"}}},
    part.COLLECTION: {"_id": {"$not": {"$regex": part.ID_PATTERN}}},
    orphans.COLLECTION: _NOT_TEXT,
    breaker.COLLECTION: {"_id": {"$nin": sorted(breaker.KINDS)}},
}


def unread(database: Database[dict[str, Any]], profile: Profile) -> list[str]:
    """Sentences on documents that are not Daybook's, and on its own that cannot be read.

    Of the profile's own those are read that its next run, or the sweep, reads.
    """
    return [*_foreign(database), *_damaged(database, profile)]


def _foreign(database: Database[dict[str, Any]]) -> Iterator[str]:
    for name, filters in _FOREIGN.items():
        found = [doc["_id"] for doc in database[name].find(filters, {"_id": 1}).limit(_NAMED)]
        if found:
            ids = ", ".join(map(display.quoted, found))
            yield f"{name} has documents that are not Daybook's, and that it ignores, such as {ids}"


def _damaged(database: Database[dict[str, Any]], profile: Profile) -> Iterator[str]:
    slots = [BatchKey(profile=profile.name).slot_id]
    slots.append(BatchKey(profile=profile.name, manual_key="").slot_id)
    reads: list[tuple[str, dict[str, Any], Callable[[Any], Any]]] = [
        (slot.COLLECTION, {"_id": {"$in": slots}}, SlotState.from_doc),
        (batches.COLLECTION, {"_id": {"$type": "objectId"}}, batches.Batch.from_doc),
        (
            part.COLLECTION,
            {"profile": {"$in": slots}, "markedAt": {"$exists": False}, "rejected": None},
            Part.from_doc,
        ),
        (orphans.COLLECTION, {"profile": profile.name, **_TEXT}, Orphan.from_doc),
        (breaker.COLLECTION, {"_id": {"$in": sorted(breaker.KINDS)}}, BreakerState.from_doc),
    ]
    for name, filters, reader in reads:
        for doc in database[name].find(filters):
            if name == part.COLLECTION and part.PartId.parse(doc["_id"]) is None:
                continue
            try:
                reader(doc)
            except DocumentDamaged as error:
                yield str(error)


_TEXT = {"_id": {"$type": "string"}}
