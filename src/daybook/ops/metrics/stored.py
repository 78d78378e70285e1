"""Figures from MongoDB: a profile's days, its queue, the breaker and the orphans.

Every instance reads the same. Figures are sums over the batches that are stored now, so
nothing is lost when an instance ends, and a deleted batch is missing from them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.database import Database

from daybook import display
from daybook.errors import DocumentDamaged
from daybook.export.batch import batches
from daybook.export.model.ids import LENIENT, hashable
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import Profile
from daybook.export.queue import manifest, plan, waiting
from daybook.export.queue.waiting import Unclaimed
from daybook.export.slot import orphans
from daybook.export.upload import breaker
from daybook.export.upload.breaker import BreakerRecord, BreakerState
from daybook.mongo.query import Query

DURATION_BOUNDS_SECONDS: Final = (1.0, 5.0, 10.0, 30.0, 60.0)

_ENDED: Final = [BatchState.COMMITTED.value, BatchState.EMPTY.value]

Doc = dict[str, Any]

_ORPHANS_OF_LATE = Query(
    name="orphans_of_late",
    collection=orphans.COLLECTION,
    filter=lambda profile, now: {"profile": profile, "watchUntil": {"$gt": now}},
    arguments=lambda doc: {"profile": doc["profile"], "now": doc["createdAt"]},
)

QUERIES = (_ORPHANS_OF_LATE,)


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long delivered days took, from the start of the last attempt to the commit."""

    buckets: tuple[int, ...]
    """Batches per interval of `DURATION_BOUNDS_SECONDS`; the last is for longer ones."""
    total_seconds: float
    last_seconds: float
    """Duration of the latest day; 0 before the first."""


@dataclass(frozen=True, kw_only=True)
class BatchFigures:
    """All days of a profile; manual exports are left out."""

    batches: Mapping[BatchState, int]
    durations: Durations
    entries: int
    rows: int
    size_bytes: int
    rejected: int
    attempts: int
    conflicts: int
    errors: Mapping[str, float]
    """Failed attempts by type of error, in a form that can be encoded."""
    last_entries: int
    """Entries of the day that ended last; 0 when it was empty or there is none."""
    damaged: int
    """Days with an invalid state."""
    last_success_timestamp_seconds: float
    """When a day was last delivered or signed off, in Unix time; 0 when none ever was."""


@dataclass(frozen=True, kw_only=True)
class QueueFigures:
    """Entries that the next run would take."""

    entries: int
    oldest_age_seconds: float
    """Age of the first item by `_id`; 0 without one, or when its age is not known."""
    damaged: tuple[DocumentDamaged, ...]
    """Batches and manifest parts that cannot be read; their items count as queued."""


@dataclass(frozen=True, kw_only=True)
class OrphanFigures:
    """IDs that were abandoned in the last 8 days."""

    watched: int
    """IDs under which no file has been seen."""
    seen: int


def batch_figures(database: Database[Doc], profile: Profile) -> BatchFigures:
    """One aggregation over the profile's days; raises `PyMongoError`."""
    stored = database.get_collection(batches.COLLECTION, codec_options=LENIENT)
    (found,) = stored.aggregate(_pipeline(profile))
    # A damaged state may be of any type, and have no key.
    known = [doc for doc in found["states"] if doc["_id"] in list(BatchState)]
    states = {doc["_id"]: doc for doc in known}
    committed = states.get(BatchState.COMMITTED.value, {})
    ends = [states[state]["endedMs"] or 0 for state in _ENDED if state in states]
    return BatchFigures(
        batches={state: states.get(state.value, {}).get("batches", 0) for state in BatchState},
        durations=_durations(found["durations"], found["lastDuration"]),
        entries=committed.get("entries", 0),
        rows=committed.get("rows", 0),
        size_bytes=committed.get("bytes", 0),
        rejected=sum(states[state]["rejected"] for state in _ENDED if state in states),
        attempts=sum(doc["attempts"] for doc in states.values()),
        conflicts=sum(doc["conflicts"] for doc in states.values()),
        errors=_by_label(found["errors"]),
        last_entries=next((doc["entryCount"] for doc in found["lastEnded"]), 0),
        damaged=sum(doc["batches"] for doc in found["states"] if doc not in known),
        last_success_timestamp_seconds=max(ends, default=0) / 1000,
    )


def queue_figures(database: Database[Doc], profile: Profile, now: datetime) -> QueueFigures:
    """Read by `idx_queue_plan`; raises `PyMongoError`."""
    queue = database.get_collection(profile.source.queue, codec_options=LENIENT)
    ended, damaged = manifest.readable_unmarked_parts(database, profile)
    gone = {hashable(queue_id) for _, part in ended for queue_id in part.queue_ids}
    with plan.planned(profile).find(queue, projection={"createdAt": 1}) as found:
        first = next((item for item in found if hashable(item["_id"]) not in gone), None)
    return QueueFigures(
        entries=waiting.count(database, profile, ended),
        oldest_age_seconds=0.0 if first is None else _age_seconds(first, now),
        damaged=tuple(damaged),
    )


def unclaimed(database: Database[Doc], profiles: Sequence[Profile]) -> Mapping[Unclaimed, int]:
    """Items that no run ever takes, by each reason that is counted; raises `PyMongoError`.

    Of each queue once: several profiles may take their items from the same one.
    """
    counts: Counter[Unclaimed] = Counter()
    for profile in {one.source.queue: one for one in profiles}.values():
        counts.update(dict.fromkeys(waiting.items_unclaimed(profile), 0))
        counts.update(waiting.unclaimed(database, profile))
    return counts


def breaker_position(database: Database[Doc], destination: str, now: datetime) -> BreakerState:
    """State of the breaker of that name; raises `PyMongoError`, `DocumentDamaged`."""
    found = database[breaker.COLLECTION].find_one({"_id": destination})
    return BreakerRecord.from_doc(found).state_at(now)


def orphan_figures(database: Database[Doc], profile: Profile, now: datetime) -> OrphanFigures:
    """Read by `idx_orphan_watched`; raises `PyMongoError`."""
    found = database[orphans.COLLECTION].aggregate(
        [
            {"$match": _ORPHANS_OF_LATE.filter(profile=profile.name, now=now)},
            {"$group": {"_id": {"$gt": ["$seenAt", None]}, "ids": {"$sum": 1}}},
        ]
    )
    by_seen = {doc["_id"]: doc["ids"] for doc in found}
    return OrphanFigures(watched=by_seen.get(False, 0), seen=by_seen.get(True, 0))


def _pipeline(profile: Profile) -> list[Doc]:
    ended = {"state": {"$in": _ENDED}}
    latest: list[Doc] = [{"$sort": {"endedMs": -1, "_id": -1}}, {"$limit": 1}]
    timed = {"$match": {"millis": {"$ne": None}}}
    sums = {
        "entries": "$entryCount",
        "rows": "$rowCount",
        "bytes": "$sizeBytes",
        "rejected": "$rejectedCount",
        "attempts": "$attempts",
        "conflicts": "$conflictCount",
    }
    counts = ("entryCount", "rowCount", "sizeBytes", "rejectedCount", "conflictCount")
    return [
        {"$match": batches.ALL["batchDate"].filter(profile=profile.name)},
        {
            "$project": {
                "state": 1,
                **{name: _count(f"${name}") for name in counts},
                "counted": {"$isNumber": "$entryCount"},
                "attempts": _count({"$ifNull": ["$attemptCount", "$attempt"]}),
                "errors": {"$objectToArray": _if_type("object", "$errorCounts", {})},
                # Another application's record may have any value for a date.
                "endedMs": {"$toLong": _if_type("date", "$committedAt", None)},
                "millis": _MILLIS,
            }
        },
        {
            "$facet": {
                "states": [
                    {
                        "$group": {
                            "_id": "$state",
                            "batches": {"$sum": 1},
                            "endedMs": {"$max": "$endedMs"},
                            **{name: {"$sum": path} for name, path in sums.items()},
                        }
                    }
                ],
                "durations": [
                    timed,
                    {
                        "$group": {
                            "_id": _BUCKET,
                            "batches": {"$sum": 1},
                            "millis": {"$sum": "$millis"},
                        }
                    },
                ],
                "lastDuration": [timed, *latest],
                "lastEnded": [{"$match": {**ended, "counted": True}}, *latest],
                "errors": [
                    {"$unwind": "$errors"},
                    {"$group": {"_id": "$errors.k", "attempts": {"$sum": _count("$errors.v")}}},
                ],
            }
        },
    ]


def _if_type(bson_type: str, path: str, otherwise: Any) -> Doc:
    return {"$cond": [{"$eq": [{"$type": path}, bson_type]}, path, otherwise]}


def _count(path: Any) -> Doc:
    """The number as a double; 0 for anything else, so that an altered one spoils no sum."""
    number = {"$convert": {"input": path, "to": "double", "onError": 0.0, "onNull": 0.0}}
    in_range = {"$and": [{"$gte": ["$$number", 0]}, {"$lte": ["$$number", _MOST]}]}
    return {
        "$let": {
            "vars": {"number": {"$cond": [{"$isNumber": path}, number, 0.0]}},
            "in": {"$cond": [in_range, "$$number", 0.0]},  # NaN compares lower than any number
        }
    }


_MOST: Final = 2.0**53
"""Doubles count no further."""


_MILLIS: Final = {
    "$cond": [
        {
            "$and": [
                {"$eq": ["$state", BatchState.COMMITTED.value]},
                {"$ne": ["$recordedElsewhere", True]},
                {"$eq": [{"$type": "$startedAt"}, "date"]},
                {"$eq": [{"$type": "$committedAt"}, "date"]},
            ]
        },
        # Never below 0: two instances may have written the two times, with different clocks.
        {"$max": [0, {"$subtract": ["$committedAt", "$startedAt"]}]},
        None,
    ]
}

_BUCKET: Final = {
    "$switch": {
        "branches": [
            {"case": {"$lte": ["$millis", bound * 1000]}, "then": at}
            for at, bound in enumerate(DURATION_BOUNDS_SECONDS)
        ],
        "default": len(DURATION_BOUNDS_SECONDS),
    }
}


def _by_label(groups: list[Doc]) -> Mapping[str, float]:
    """Types of errors that differ only in what cannot be encoded have one label."""
    counts: dict[str, float] = defaultdict(float)
    for doc in groups:
        counts[display.shortened(display.text(doc["_id"]))] += doc["attempts"]
    return counts


def _durations(groups: list[Doc], latest: list[Doc]) -> Durations:
    by_bucket = {doc["_id"]: doc["batches"] for doc in groups}
    return Durations(
        buckets=tuple(by_bucket.get(at, 0) for at in range(len(DURATION_BOUNDS_SECONDS) + 1)),
        total_seconds=sum(doc["millis"] for doc in groups) / 1000,
        last_seconds=next((doc["millis"] for doc in latest), 0) / 1000,
    )


def _age_seconds(item: Mapping[str, Any], now: datetime) -> float:
    created, item_id = item.get("createdAt"), item["_id"]
    if isinstance(created, DatetimeMS):
        since = int(created) / 1000
    elif isinstance(item_id, ObjectId):
        since = item_id.generation_time.timestamp()
    else:
        return 0.0
    return max(0.0, now.timestamp() - since)
