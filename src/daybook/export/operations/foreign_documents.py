"""Documents in Daybook's collections that are not Daybook's, or unreadable. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from daybook import display
from daybook.errors import DocumentDamaged
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model import part
from daybook.export.model.part import Part, PartId
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.queue import manifest as manifests
from daybook.export.slot import orphans, slot
from daybook.export.slot.orphans import Orphan
from daybook.export.slot.state import SlotState
from daybook.export.upload import breaker
from daybook.export.upload.breaker import BreakerRecord

BATCHES_READ = 400
"""The newest days, more than a year's, and as many manual exports."""
PARTS_READ = 100
"""Unmarked parts of manifests; each has up to 5,000 IDs."""
_OTHERS_READ = 1000
_NAMED = 3

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Read:
    collection: str
    docs: Sequence[Document]
    is_own: Callable[[Any], bool]
    """Whether Daybook could have created a document with this `_id`."""
    reader: Callable[[Document], Any]


def unread(database: Database[dict[str, Any]], profile: Profile) -> list[str]:
    """Sentences about documents that are not Daybook's, and about its own that are unreadable.

    It reads what the profile's next run or the sweep would read, and the newest batches. It
    names at most three documents of each kind per collection.
    """
    keys = (BatchKey(profile=profile.name), BatchKey(profile=profile.name, manual_key=""))
    parts = _parts(database, keys)
    reads = (
        _Read(
            collection=slot.COLLECTION,
            docs=_slots(database, keys),
            is_own=lambda _: True,
            reader=SlotState.from_doc,
        ),
        _Read(
            collection=batches.COLLECTION,
            docs=_batches(database, keys, parts),
            is_own=lambda doc_id: isinstance(doc_id, ObjectId),
            reader=Batch.from_doc,
        ),
        _Read(
            collection=part.COLLECTION,
            docs=parts,
            is_own=lambda doc_id: PartId.parse(doc_id) is not None,
            reader=lambda doc: None if "rejected" in doc else Part.from_doc(doc),
        ),
        _Read(
            collection=orphans.COLLECTION,
            docs=orphans.unannounced(database, profile.name),
            is_own=lambda doc_id: isinstance(doc_id, str),
            reader=Orphan.from_doc,
        ),
        _Read(
            collection=breaker.COLLECTION,
            docs=breaker.ALL.find(database, limit=_OTHERS_READ).to_list(),
            is_own=breaker.is_own,
            reader=BreakerRecord.from_doc,
        ),
    )
    return [sentence for read in reads for sentence in _sentences(read)]


def _sentences(read: _Read) -> Iterator[str]:
    others = [doc["_id"] for doc in read.docs if not read.is_own(doc["_id"])][:_NAMED]
    if others:
        ids = ", ".join(map(display.quoted, others))
        yield (
            f"{read.collection} has documents that are not Daybook's, and that it ignores, "
            f"such as {ids}"
        )
    yield from islice(_errors(read), _NAMED)


def _errors(read: _Read) -> Iterator[str]:
    for doc in read.docs:
        if read.is_own(doc["_id"]):
            try:
                read.reader(doc)
            except DocumentDamaged as error:
                yield str(error)


def _slots(database: Database[dict[str, Any]], keys: Sequence[BatchKey]) -> list[Document]:
    found = [database[slot.COLLECTION].find_one({"_id": key.slot_id}) for key in keys]
    return [doc for doc in found if doc is not None]


def _parts(database: Database[dict[str, Any]], keys: Sequence[BatchKey]) -> list[Document]:
    """The parts that the sweeps read."""
    return [
        doc
        for key in keys
        for doc in manifests.UNMARKED.find(database, slot_id=key.slot_id, limit=PARTS_READ)
    ]


def _batches(
    database: Database[dict[str, Any]], keys: Sequence[BatchKey], parts: Sequence[Document]
) -> list[Document]:
    """The newest batches, the unmarked ones, and those that the unmarked parts belong to."""
    collection = database[batches.COLLECTION]
    profile = keys[0].profile
    found = batches.NEWEST_DAYS.find(database, profile=profile, limit=BATCHES_READ).to_list()
    found += batches.ALL["manualKey"].find(database, profile=profile, limit=BATCHES_READ)
    for key in keys:
        found += batches.unmarked_documents(collection, key)
    part_ids = (PartId.parse(doc["_id"]) for doc in parts)
    for batch_id in {part_id.batch_id for part_id in part_ids if part_id is not None}:
        found += collection.find({"_id": ObjectId(batch_id)})
    return list({repr(doc["_id"]): doc for doc in found}.values())
