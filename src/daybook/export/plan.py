"""Planning: from what is queued now to the parts of a manifest."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, cast

import bson
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from daybook import log
from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export.keys import BY_ID, LENIENT, addressable, hashable
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

    An item whose entry has an earlier item in the queue, or stands in a file that was
    delivered, is named as a duplicate.
    """
    # One cursor, not ranges by _id: a range only finds ids of the same BSON type.
    cursor = (
        _queue(database, profile)
        .find(queued(profile), {"entryId": 1})
        .sort("_id", 1)
        .batch_size(PART_SIZE)
    )
    with cursor:
        items = (item for item in cursor if _can_be_marked(item))
        for number in count():
            page = list(islice(items, PART_SIZE))
            if not page:
                return
            queue_ids = [item["_id"] for item in page]
            entry_ids = [_entry_id(item) for item in page]
            yield Part(
                number=number,
                queue_ids=queue_ids,
                entry_ids=entry_ids,
                duplicates=_duplicates(database, profile, queue_ids, entry_ids),
            )


def no_longer_queued(database: Database[dict[str, Any]], profile: Profile, part: Part) -> list[Any]:
    """Ids of items that were taken out of the queue, or given another entry, since the plan."""
    queue = _queue(database, profile)
    now = queue.find_raw_batches(
        {"_id": {"$in": part.queue_ids}, **queued(profile)},
        {"entryId": 1},
        sort=[("_id", 1)],
        hint=BY_ID,
        batch_size=PART_SIZE + 1,
    )
    content = b"".join(cast("Iterable[bytes]", now))
    if content == _as_queued(part):
        return []
    still = {
        (hashable(item["_id"]), hashable(_entry_id(item)))
        for item in bson.decode_all(content, LENIENT)
    }
    return [
        queue_id
        for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
        if (hashable(queue_id), hashable(entry_id)) not in still
    ]


def _as_queued(part: Part) -> bytes:
    """The part's items as MongoDB sends them while nothing has changed."""
    return b"".join(
        bson.encode({"_id": queue_id, "entryId": entry_id}, codec_options=LENIENT)
        for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
    )


def _queue(database: Database[dict[str, Any]], profile: Profile) -> Collection[dict[str, Any]]:
    return database.get_collection(profile.source.queue, codec_options=LENIENT)


def _can_be_marked(item: Mapping[str, Any]) -> bool:
    if addressable(item["_id"]):
        return True
    log.event(
        logging.ERROR,
        "queue_item_unreadable",
        f"A queue item's _id, {item['_id']!r:.100}, is not valid BSON text or no possible date: "
        "it stays in the queue and is never exported; give it another _id.",
    )
    return False


def _entry_id(item: Mapping[str, Any]) -> Any:
    """The entry that the item points to; None when no document can have such an id."""
    entry_id = item.get("entryId")
    return entry_id if addressable(entry_id) else None


def _duplicates(
    database: Database[dict[str, Any]],
    profile: Profile,
    queue_ids: Sequence[Any],
    entry_ids: Sequence[Any],
) -> dict[int, str]:
    """Positions of items whose entry an earlier queued item, or a delivered file, has already."""
    wanted = [entry_id for entry_id in entry_ids if entry_id is not None]
    suspects = [
        group["_id"]
        for group in _queue(database, profile).aggregate(
            [
                {"$match": {"entryId": {"$in": wanted}}},
                {"$group": {"_id": "$entryId", "items": {"$sum": 1}}},
                {"$match": {"items": {"$gt": 1}}},
            ]
        )
    ]
    taken = _delivered(database, profile, wanted)
    first: dict[Hashable, Hashable] = {}
    if suspects:
        taken = {**_completed(database, profile, suspects), **taken}
        first = _first_items(database, profile, suspects)
    duplicates = {}
    for at, (queue_id, entry_id) in enumerate(zip(queue_ids, entry_ids, strict=True)):
        key = hashable(entry_id)
        if key in taken:
            duplicates[at] = taken[key]
        elif first.get(key, hashable(queue_id)) != hashable(queue_id):
            duplicates[at] = "this batch, through an earlier queue item"
    return duplicates


def _first_items(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Hashable, Hashable]:
    """Of each entry the queued item that comes first: that one is exported.

    Asked of the queue as it is now, so an item that was queued behind the scan's back
    is seen. One that has left the queue meanwhile is found out before the seal.
    """
    first: dict[Hashable, Hashable] = {}
    items = _queue(database, profile).find(
        {**queued(profile), "entryId": {"$in": list(entry_ids)}}, {"entryId": 1}
    )
    for item in items.sort("_id", 1):
        first.setdefault(hashable(item["entryId"]), hashable(item["_id"]))
    return first


def _completed(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Hashable, str]:
    """Entries that a completed scheduled item of the queue says are exported."""
    completed = _queue(database, profile).find(
        {**queued(profile), "entryId": {"$in": list(entry_ids)}, "status": "completed"},
        {"entryId": 1},
    )
    return {
        hashable(item["entryId"]): f"a file, says queue item {item['_id']}" for item in completed
    }


def _delivered(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Hashable, str]:
    """Entries that stand in the profile's delivered files, by the manifests themselves.

    The queue alone would not tell: the other application may have deleted an item,
    or set it back to queued.
    """
    wanted = {hashable(entry_id) for entry_id in entry_ids}
    found: dict[Hashable, str] = {}
    rejected_by_batch: dict[str, tuple[str, set[Hashable]]] = {}
    parts = database.get_collection(manifests.COLLECTION, codec_options=LENIENT).find(
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
            key = hashable(entry_id)
            if key in wanted and hashable(queue_id) not in rejected:
                found[key] = filename
    return found


def _rejected_of(database: Database[dict[str, Any]], batch_id: str) -> tuple[str, set[Hashable]]:
    doc = database[batches.COLLECTION].find_one(
        {"_id": ObjectId(batch_id)}, {"filename": 1, "rejected.queueId": 1}
    )
    if doc is None:
        return "a file whose batch document is gone", set()
    return doc["filename"], {hashable(item["queueId"]) for item in doc.get("rejected", ())}
