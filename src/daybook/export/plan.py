"""Planning: from what is queued now to the parts of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bson import ObjectId
from bson.regex import Regex
from pymongo.database import Database

from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export.part import PART_SIZE, Part
from daybook.export.profile import DAILY, Profile


def queued(profile: Profile) -> dict[str, Any]:
    """The filter for what the profile's scheduled batch takes."""
    return {
        "exportPath": "scheduled",
        "status": "queued",
        "profile": {"$in": [None, DAILY]} if profile.name == DAILY else profile.name,
    }


def scan(database: Database[dict[str, Any]], profile: Profile) -> Iterator[Part]:
    """Everything queued, in the order of the queue's `_id`, in parts; reads only.

    An item whose entry stands earlier in this scan, or in a file that was delivered,
    is named as a duplicate.
    """
    # One cursor, not ranges by _id: a range only finds ids of the same BSON type.
    cursor = (
        database[profile.source.queue]
        .find(queued(profile), {"entryId": 1})
        .sort("_id", 1)
        .batch_size(PART_SIZE)
    )
    repeated: set[Any] = set()
    number = 0
    with cursor:
        while page := _take(cursor, PART_SIZE):
            queue_ids = [item["_id"] for item in page]
            entry_ids = [_entry_id(item) for item in page]
            yield Part(
                number=number,
                queue_ids=queue_ids,
                entry_ids=entry_ids,
                duplicates=_duplicates(database, profile, entry_ids, repeated),
            )
            number += 1


def no_longer_queued(database: Database[dict[str, Any]], profile: Profile, part: Part) -> list[Any]:
    """Ids of the part's items that another application has taken out of the queue."""
    still = {
        item["_id"]
        for item in database[profile.source.queue].find(
            {"_id": {"$in": part.queue_ids}, **queued(profile)},
            {"_id": 1},
            batch_size=PART_SIZE + 1,
        )
    }
    return [queue_id for queue_id in part.queue_ids if queue_id not in still]


def _take(cursor: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    page: list[dict[str, Any]] = []
    for item in cursor:
        page.append(item)
        if len(page) == count:
            break
    return page


def _entry_id(item: dict[str, Any]) -> Any:
    """The entry that the item points to; None for what could act as an operator in a query."""
    entry_id = item.get("entryId")
    return None if isinstance(entry_id, (dict, list, Regex)) else entry_id


def _duplicates(
    database: Database[dict[str, Any]],
    profile: Profile,
    entry_ids: Sequence[Any],
    repeated: set[Any],
) -> dict[int, str]:
    """Positions of entries that the manifest or a delivered file has already.

    `repeated` remembers, across the parts of one scan, the entries met so far that
    have several queue items. Few have, so it stays small however long the queue is.
    """
    queue = database[profile.source.queue]
    items_per_entry = Counter(
        _entry_id(item)
        for item in queue.find(
            {"entryId": {"$in": list(entry_ids)}},
            {"_id": 0, "entryId": 1},
            batch_size=2 * PART_SIZE,
        )
    )
    suspects = {
        entry_id
        for entry_id, count in items_per_entry.items()
        if count > 1 and entry_id is not None
    }
    delivered = _delivered(database, profile, entry_ids)
    if suspects:
        delivered = {**_completed(database, profile, suspects), **delivered}
    duplicates = {}
    for at, entry_id in enumerate(entry_ids):
        if entry_id in delivered:
            duplicates[at] = delivered[entry_id]
        elif entry_id in suspects:
            if entry_id in repeated:
                duplicates[at] = "another queue item of this batch names the same entry"
            repeated.add(entry_id)
    return duplicates


def _completed(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: set[Any]
) -> dict[Any, str]:
    """Entries that a completed scheduled item of the queue says are exported."""
    completed = database[profile.source.queue].find(
        {**queued(profile), "entryId": {"$in": list(entry_ids)}, "status": "completed"},
        {"entryId": 1, "metadata.batchDate": 1},
    )
    return {item["entryId"]: f"exported already by queue item {item['_id']}" for item in completed}


def _delivered(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Any, str]:
    """Entries that stand in the profile's delivered files, by the manifests themselves.

    The queue alone would not tell: the other application may have deleted an item,
    or set it back to queued.
    """
    wanted = set(entry_ids)
    found: dict[Any, str] = {}
    rejected_by_batch: dict[str, tuple[str, set[Any]]] = {}
    parts = database[manifests.COLLECTION].find(
        {
            "entryIds": {"$in": list(entry_ids)},
            "markedAt": {"$exists": True},
            "profile": profile.name,
        }
    )
    for doc in parts:
        batch_id = doc["_id"].partition(":")[0]
        if batch_id not in rejected_by_batch:
            rejected_by_batch[batch_id] = _rejected_of(database, batch_id)
        filename, rejected = rejected_by_batch[batch_id]
        for queue_id, entry_id in zip(doc["queueIds"], doc["entryIds"], strict=True):
            if entry_id in wanted and queue_id not in rejected:
                found[entry_id] = f"exported already in {filename}"
    return found


def _rejected_of(database: Database[dict[str, Any]], batch_id: str) -> tuple[str, set[Any]]:
    doc = database[batches.COLLECTION].find_one(
        {"_id": ObjectId(batch_id)}, {"filename": 1, "rejected.queueId": 1}
    )
    if doc is None:
        return "a file whose batch document is gone", set()
    return doc["filename"], {item["queueId"] for item in doc.get("rejected", ())}
