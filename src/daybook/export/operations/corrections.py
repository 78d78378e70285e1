"""Rejected entries that wait for a correction: their reference, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pymongo.database import Database

from daybook.export.batch.batch import COLLECTION
from daybook.export.model.figures import EntryFault, Rejected
from daybook.export.model.ids import LENIENT, addressable, hashable
from daybook.export.model.profile import Profile
from daybook.export.queue import named_entries
from daybook.export.rendering.entry_id import displayed

DAYS = 30
"""How many days back rejected entries are listed by the overview."""
_OF_A_DAY = 20
_BATCHES = 10
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class StillRejected:
    """An entry that a file leaves out."""

    profile: str
    day: date
    entry_id: str
    """As the file would show it."""
    reference: str | None
    faults: tuple[EntryFault, ...]
    fault_count: int
    field_names: Mapping[str, str]
    """`Profile.field_names` of its profile."""
    waiting: bool
    """Its queue item is still rejected: it has not been queued again."""


def of_batches(
    database: Database[dict[str, Any]],
    profile: Profile,
    days: Mapping[str, date],
    *,
    limit: int = _OF_A_DAY,
) -> list[StillRejected]:
    """The first rejected entries of the batches, given as `batch_id` → day, in three queries."""
    from bson import ObjectId

    ids = [ObjectId(batch_id) for batch_id in list(days)[:_BATCHES]]
    if not ids:
        return []
    found = database.get_collection(COLLECTION, codec_options=LENIENT).find(
        {"_id": {"$in": ids}}, {"rejected": {"$slice": limit}, "_id": 1}
    )
    listed = [
        (days[str(doc["_id"])], item) for doc in found for item in _items(doc.get("rejected"))
    ]
    listed.sort(key=lambda one: one[0], reverse=True)
    waiting = _waiting(database, profile, [item.queue_id for _, item in listed])
    names = named_entries.references_of(
        database, profile, [item.entry_id for _, item in listed if addressable(item.entry_id)]
    )
    field_names = profile.field_names
    return [
        StillRejected(
            profile=profile.name,
            day=day,
            entry_id=displayed(item.entry_id),
            reference=names.get(hashable(item.entry_id)),
            faults=item.faults,
            fault_count=item.fault_count,
            field_names=field_names,
            waiting=hashable(item.queue_id) in waiting,
        )
        for day, item in listed
    ]


def _items(docs: Any) -> Iterator[Rejected]:
    """Those that can be read; the day's page names a damaged batch."""
    for doc in docs if isinstance(docs, list) else ():
        try:
            yield Rejected.from_doc(doc)
        except _UNREADABLE:
            continue


def _waiting(
    database: Database[dict[str, Any]], profile: Profile, queue_ids: Sequence[Any]
) -> set[Any]:
    """`hashable` IDs of the items that are still rejected."""
    wanted = [queue_id for queue_id in queue_ids if addressable(queue_id)]
    queue = database.get_collection(profile.source.queue, codec_options=LENIENT)
    found: Iterable[Mapping[str, Any]] = queue.find(
        {"_id": {"$in": wanted}}, {"_id": 1, "status": 1}
    )
    return {hashable(doc["_id"]) for doc in found if doc.get("status") == "failed"}
