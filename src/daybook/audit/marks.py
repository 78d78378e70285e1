"""Whether the queue items of a delivered file are marked as the file requires."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from pymongo.database import Database

from daybook.audit.difference import VerifyDifference, VerifyKind
from daybook.export.batch import export_log
from daybook.export.batch.batch import Batch
from daybook.export.batch.export_log import LogAction
from daybook.export.model.ids import hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.queue.reference import called, references_of
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query

_REQUEUED = Query(
    name="requeued_entries",
    collection=export_log.COLLECTION,
    filter=lambda entry_ids: {
        "metadata.entryId": {"$in": entry_ids},
        "action": LogAction.ENTRY_REQUEUED.value,
    },
    arguments=lambda doc: {"entry_ids": [doc["metadata"]["entryId"]]},
    projection={"queueId": 1},
)
QUERIES = (_REQUEUED,)


def check_marks(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, part: Part, delivered: Part
) -> Iterator[VerifyDifference]:
    """Each item of `part` that is marked wrongly; `delivered` are the items in the file."""
    found = database[profile.source.queue].find(
        {"_id": {"$in": part.queue_ids}}, {"status": 1, "metadata.fileId": 1}
    )
    items = {hashable(item["_id"]): item for item in found}
    exported = set(map(hashable, delivered.queue_ids))
    requeued: set[Hashable] | None = None
    for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True):
        key = hashable(queue_id)
        item = items.get(key)
        wrong = None
        if item is None:
            wrong = "was deleted"
        elif key in exported:
            wrong = _not_completed(item, batch.doc["fileId"])
        elif item.get("status") != "failed":
            if requeued is None:
                requeued = _requeued(database, part)
            if key not in requeued:
                wrong = f"was rejected, but its status is {displayed(item.get('status'))}"
        if wrong is not None:
            named = references_of(database, profile, [entry_id]).get(hashable(entry_id))
            entry = called(entry_id, named)
            yield VerifyDifference(
                kind=VerifyKind.ITEM,
                detail=f"queue item {displayed(queue_id)} of entry {entry} {wrong}",
                entry_id=entry_id,
            )


def _not_completed(item: Mapping[str, Any], file_id: str) -> str | None:
    if item.get("status") != "completed":
        return f"is in the file, but its status is {displayed(item.get('status'))}"
    metadata = item.get("metadata")
    named = metadata.get("fileId") if isinstance(metadata, Mapping) else None
    return None if named == file_id else f"names file {displayed(named)} instead"


def _requeued(database: Database[dict[str, Any]], part: Part) -> set[Hashable]:
    """Items of the part that an operator has put back into the queue since."""
    found = _REQUEUED.find(database, entry_ids=part.entry_ids)
    return {hashable(record["queueId"]) for record in found}
