"""Planning: the parts of a manifest, from what is queued now."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from typing import Any, cast

import bson
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from daybook import log
from daybook.export.batch import batches
from daybook.export.batch.batch import rejected_of
from daybook.export.model.budgets import wait_for
from daybook.export.model.ids import (
    BY_ID,
    LENIENT,
    addressable,
    decode_items,
    hashable,
    read_items,
    size_of,
)
from daybook.export.model.part import FIRST_PART_SIZE, PART_BYTES, PART_SIZE, Part, PartId
from daybook.export.model.profile import DAILY, MatchValue, Profile
from daybook.export.queue import manifest as manifests
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query

UNREADABLE_ID = "is not valid text, no possible date, or longer than 1,024 bytes"
"""What is wrong with an `_id` that is not `addressable`; the end of a sentence."""

_IN_ORDER = (("_id", 1),)
# The bytes before each ID in the BSON of an item whose two IDs are ObjectIds, as nearly all are.
_BEFORE_ID, _BEFORE_ENTRY_ID = b"\x2b\0\0\0\x07_id\0", b"\x07entryId\0"
_BEFORE_ENTRY_ID_ALONE = b"\x1a\0\0\0\x07entryId\0"
_PAIR_BYTES = 2 * size_of(None)


def queued(profile: Profile) -> dict[str, Any]:
    """The filter for the items that the profile's scheduled batch takes."""
    return {"exportPath": "scheduled", "status": "queued", **matching(profile)}


def matching(profile: Profile) -> dict[str, Any]:
    """The filter for the items of the profile, in whatever state."""
    if profile.match is None:
        if profile.name == DAILY:
            return {"profile": {"$in": [None, DAILY]}}
        return {"profile": _equal(profile.name)}
    return {field: _equal(value) for field, value in profile.match.items()}


def _equal(value: MatchValue) -> dict[str, Any]:
    """A condition that an array containing the value does not meet: it could meet two profiles'."""
    return {"$eq": value, "$not": {"$type": "array"}}


def planned(profile: Profile) -> Query:
    """Everything queued, in the order of the file."""
    return Query(
        name="plan",
        collection=profile.source.queue,
        filter=lambda: queued(profile),
        arguments=lambda _: {},
        sort=_IN_ORDER,
        projection={"entryId": 1},
        among=queued(profile),
    )


def still_queued(profile: Profile) -> Query:
    """Of given items those that are queued."""
    return Query(
        name="queued_still",
        collection=profile.source.queue,
        filter=lambda queue_ids: {"_id": {"$in": queue_ids}, **queued(profile)},
        arguments=lambda doc: {"queue_ids": [doc["_id"]]},
        sort=_IN_ORDER,
        projection={"entryId": 1},
        hint=BY_ID,
    )


def _of_entries(profile: Profile) -> Query:
    """All items of entries, in whatever state; the index alone answers it."""
    return Query(
        name="items_of_entries",
        collection=profile.source.queue,
        filter=lambda entry_ids: {"entryId": {"$in": entry_ids}},
        arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        projection={"_id": 0, "entryId": 1},
    )


def _queued_of_entries(profile: Profile) -> Query:
    return Query(
        name="first_items_of_doubles",
        collection=profile.source.queue,
        filter=lambda entry_ids: {**queued(profile), "entryId": {"$in": entry_ids}},
        arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        sort=_IN_ORDER,
        projection={"entryId": 1},
        excused="sorts the items of entries that a part has twice",
    )


def _completed_of_entries(profile: Profile) -> Query:
    return Query(
        name="completed_items_of_doubles",
        collection=profile.source.queue,
        filter=lambda entry_ids: {
            **queued(profile),
            "entryId": {"$in": entry_ids},
            "status": "completed",
        },
        arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        projection={"entryId": 1},
    )


_DELIVERED = Query(
    name="delivered_before",
    collection=manifests.COLLECTION,
    filter=lambda profile, entry_ids: {
        "entryIds": {"$in": entry_ids},
        "markedAt": {"$exists": True},
        "profile": profile,
    },
    arguments=lambda doc: {"profile": doc["profile"], "entry_ids": doc["entryIds"][:1]},
)


def queries(profile: Profile) -> Sequence[Query]:
    return (
        *(planned(profile), still_queued(profile), _of_entries(profile)),
        *(_queued_of_entries(profile), _completed_of_entries(profile), _DELIVERED),
    )


def scan(database: Database[dict[str, Any]], profile: Profile) -> Iterator[Part]:
    """Everything queued, in parts, in the order of the queue's `_id`; reads only.

    An item is named as a duplicate when its entry has an earlier item in the queue or is in a
    delivered file. The duplicates of a part are looked up while the next part is read.
    """
    duplicates = _Duplicates(database, profile)
    # A single thread, since each look-up has to know what the one before it found.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plan")
    # One cursor, not ranges by _id: a range only matches IDs of the same BSON type.
    cursor = read_items(_queue(database, profile), planned(profile), batch_size=PART_SIZE)
    try:
        with closing(cursor):
            ahead: tuple[Part, Future[dict[int, str]]] | None = None
            for number, (queue_ids, entry_ids) in enumerate(_pages(cursor)):
                part = Part(number=number, queue_ids=queue_ids, entry_ids=entry_ids, duplicates={})
                looking = pool.submit(copy_context().run, duplicates.of, queue_ids, entry_ids)
                if ahead is not None:
                    yield _with_duplicates(*ahead)
                ahead = (part, looking)
            if ahead is not None:
                yield _with_duplicates(*ahead)
    finally:
        # A query that hangs must not hold up a run that has to end.
        pool.shutdown(wait=False, cancel_futures=True)


def _with_duplicates(part: Part, looking: Future[dict[int, str]]) -> Part:
    wait_for(looking)
    return replace(part, duplicates=looking.result())


def _pages(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[list[Any], list[Any]]]:
    """The IDs of each part's items, and of their entries, without the items that nothing can mark.

    They are as many as one transaction can mark, however long the IDs are.
    """
    queue_ids: list[Any] = []
    entry_ids: list[Any] = []
    size_bytes, most = 0, FIRST_PART_SIZE
    for item in items:
        queue_id, entry_id = item["_id"], item.get("entryId")
        if type(queue_id) is ObjectId and type(entry_id) is ObjectId:  # nearly all, and cheap
            size_bytes += _PAIR_BYTES
        elif _can_be_marked(item):
            entry_id = _entry_id(item)
            size_bytes += size_of(queue_id) + size_of(entry_id)
        else:
            continue
        queue_ids.append(queue_id)
        entry_ids.append(entry_id)
        if len(queue_ids) == most or size_bytes >= PART_BYTES:
            yield queue_ids, entry_ids
            queue_ids, entry_ids, size_bytes, most = [], [], 0, PART_SIZE
    if queue_ids:
        yield queue_ids, entry_ids


def no_longer_queued(database: Database[dict[str, Any]], profile: Profile, part: Part) -> list[Any]:
    """IDs of items that were removed from the queue, or given another entry, since the plan."""
    now = still_queued(profile).find_raw(
        _queue(database, profile), queue_ids=part.queue_ids, batch_size=PART_SIZE + 1
    )
    content = b"".join(cast("Iterable[bytes]", now))
    if content == _as_queued(part):
        return []
    still = {(hashable(item["_id"]), hashable(_entry_id(item))) for item in decode_items(content)}
    return [
        queue_id
        for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
        if (hashable(queue_id), hashable(entry_id)) not in still
    ]


def _as_queued(part: Part) -> bytes:
    """The part's items as MongoDB returns them as long as nothing has changed."""
    if set(map(type, part.queue_ids)) == set(map(type, part.entry_ids)) == {ObjectId}:
        pairs = zip(part.queue_ids, part.entry_ids, strict=True)
        return b"".join(
            b"%b%b%b%b\0" % (_BEFORE_ID, queue_id.binary, _BEFORE_ENTRY_ID, entry_id.binary)
            for queue_id, entry_id in pairs
        )
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
        f"A queue item's _id, {displayed(item['_id']):.100}, {UNREADABLE_ID}: "
        "it stays in the queue and is never exported; give it another _id.",
    )
    return False


def _entry_id(item: Mapping[str, Any]) -> Any:
    """The entry that the item points to; None when no document can have such an ID."""
    entry_id = item.get("entryId")
    return entry_id if addressable(entry_id) else None


class _Duplicates:
    """Finds the duplicates of one scan, part by part.

    It looks up an entry with several items only once, however many of them the scan meets.
    """

    def __init__(self, database: Database[dict[str, Any]], profile: Profile) -> None:
        self._database = database
        self._profile = profile
        self._taken: dict[Hashable, str] = {}
        """Entries with several items that are in a delivered file → its name."""
        self._first: dict[Hashable, Hashable] = {}
        """Entry with several items → its first queued item, which is the one exported."""
        self._files: dict[str, tuple[str, set[Hashable]]] = {}
        """Batch → its file's name, and the items that it rejected."""

    def of(self, queue_ids: Sequence[Any], entry_ids: Sequence[Any]) -> dict[int, str]:
        """Positions of items whose entry has an earlier queued item or is in a delivered file."""
        keys = list(map(hashable, entry_ids))
        unknown = {
            key: entry_id
            for key, entry_id in zip(keys, entry_ids, strict=True)
            if entry_id is not None and key not in self._first
        }
        taken = {**self._taken, **self._look_up(list(unknown.values()))}
        duplicates = {}
        for at, (queue_id, key) in enumerate(zip(queue_ids, keys, strict=True)):
            if key in taken:
                duplicates[at] = taken[key]
            elif key in self._first and self._first[key] != hashable(queue_id):
                duplicates[at] = "this batch, through an earlier queue item"
        return duplicates

    def file_of(self, entry_id: Any) -> str | None:
        """The delivered file that contains the entry; None when there is none."""
        key = hashable(entry_id)
        return self._look_up([entry_id]).get(key)

    def _look_up(self, entry_ids: Sequence[Any]) -> dict[Hashable, str]:
        """The entries that are in a file, with its name; caches those that have several items."""
        suspects = _with_several_items(self._database, self._profile, entry_ids)
        taken = self._delivered(entry_ids)
        if suspects:
            first = _first_items(self._database, self._profile, suspects)
            taken = {**_completed(self._database, self._profile, suspects), **taken}
            self._first |= first
            self._taken |= {key: taken[key] for key in first if key in taken}
        return taken

    def _delivered(self, entry_ids: Sequence[Any]) -> dict[Hashable, str]:
        """Entries that are in the profile's delivered files, according to the manifests.

        The queue alone does not show it: the other application may have deleted an item, or set
        it back to queued.
        """
        wanted = {hashable(entry_id) for entry_id in entry_ids}
        found: dict[Hashable, str] = {}
        manifest_parts = self._database.get_collection(manifests.COLLECTION, codec_options=LENIENT)
        parts = _DELIVERED.find(
            manifest_parts, profile=self._profile.name, entry_ids=list(entry_ids)
        )
        for doc in parts:
            part_id = PartId.parse(doc["_id"])
            if part_id is None:
                continue
            part, batch_id = Part.from_doc(doc), part_id.batch_id
            if batch_id not in self._files:
                self._files[batch_id] = _file_of(self._database, self._profile, batch_id)
            filename, rejected = self._files[batch_id]
            for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True):
                key = hashable(entry_id)
                if key in wanted and hashable(queue_id) not in rejected:
                    found[key] = filename
        return found


def delivered_in(database: Database[dict[str, Any]], profile: Profile, entry_id: Any) -> str | None:
    """The file of the profile that already contains the entry; None when there is none."""
    return _Duplicates(database, profile).file_of(entry_id)


def _with_several_items(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> list[Any]:
    """Those of the entries that have more than one queue item, in whatever state."""
    queue, of_entries = _queue(database, profile), _of_entries(profile)
    if set(map(type, entry_ids)) == {ObjectId}:
        # Grouping costs MongoDB three times as much as listing the index.
        listed = of_entries.find_raw(queue, entry_ids=entry_ids, batch_size=len(entry_ids) + 1)
        if b"".join(cast("Iterable[bytes]", listed)) == _as_listed(entry_ids):
            return []
    groups = queue.aggregate(
        [
            {"$match": of_entries.filter(entry_ids=entry_ids)},
            {"$group": {"_id": "$entryId", "items": {"$sum": 1}}},
            {"$match": {"items": {"$gt": 1}}},
        ]
    )
    return [group["_id"] for group in groups]


def _as_listed(entry_ids: Sequence[ObjectId]) -> bytes:
    """What `_of_entries` returns, in the index's order, for entries that have one item each."""
    in_order = sorted(entry_id.binary for entry_id in entry_ids)
    return b"".join(b"%b%b\0" % (_BEFORE_ENTRY_ID_ALONE, one) for one in in_order)


def _first_items(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Hashable, Hashable]:
    """The first queued item of each entry.

    It reads the queue as it is now, and so finds an item that was queued after the scan had
    passed its place. An item that has left the queue since is found before the seal.
    """
    first: dict[Hashable, Hashable] = {}
    queue = _queue(database, profile)
    for item in read_items(queue, _queued_of_entries(profile), entry_ids=list(entry_ids)):
        if addressable(item["_id"]):  # no other is ever exported
            first.setdefault(hashable(item["entryId"]), hashable(item["_id"]))
    return first


def _completed(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Sequence[Any]
) -> dict[Hashable, str]:
    """Entries that a completed scheduled item of the queue records as exported."""
    completed = _completed_of_entries(profile).find(
        _queue(database, profile), entry_ids=list(entry_ids)
    )
    return {
        hashable(item["entryId"]): f"a file, says queue item {displayed(item['_id']):.100}"
        for item in completed
    }


def _file_of(
    database: Database[dict[str, Any]], profile: Profile, batch_id: str
) -> tuple[str, set[Hashable]]:
    """A batch's file, and the queue items that it rejected."""
    batch = batches.of_manifest(database[batches.COLLECTION], profile.name, batch_id)
    if batch is None:
        return "a file whose batch document is gone", set()
    rejected = rejected_of(database[manifests.COLLECTION], batch.doc)
    return str(batch.doc["filename"]), {hashable(item.queue_id) for item in rejected}
