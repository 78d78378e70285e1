"""What is waiting in the queue: items that the next run takes, and items that no run takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pymongo.database import Database

from daybook.export.batch.batch import Batch
from daybook.export.model.ids import BY_ID, addressable
from daybook.export.model.part import Part
from daybook.export.model.profile import DAILY, Profile
from daybook.export.queue import plan, unmarked
from daybook.mongo.indexes import UNKNOWN_STATUS

_PATHS = ("scheduled", "manual")


class Unclaimed(StrEnum):
    """Why no run ever takes a queue item."""

    UNKNOWN_STATUS = "unknown_status"  # neither queued, completed nor failed
    UNKNOWN_PATH = "unknown_path"  # `exportPath` is neither scheduled nor manual, or missing
    UNKNOWN_PROFILE = "unknown_profile"  # `profile` is not the name of a profile
    UNREADABLE_ID = "unreadable_id"  # no query can match the `_id`; not among the counts

    @property
    def explanation(self) -> str:
        """What to correct, as the end of a sentence."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Unclaimed.UNKNOWN_STATUS: "status is neither queued, completed nor failed",
    Unclaimed.UNKNOWN_PATH: "exportPath is neither scheduled nor manual",
    Unclaimed.UNKNOWN_PROFILE: "profile names no profile",
    Unclaimed.UNREADABLE_ID: f"_id {plan.UNREADABLE_ID}",
}


def filters(profile: Profile) -> dict[Unclaimed, dict[str, Any]]:
    """By reason, the filter for the queue items that no run ever takes."""
    profiles = [None, DAILY, profile.name]
    return {
        Unclaimed.UNKNOWN_STATUS: dict(UNKNOWN_STATUS),
        Unclaimed.UNKNOWN_PATH: {"status": "queued", "exportPath": {"$nin": [*_PATHS]}},
        Unclaimed.UNKNOWN_PROFILE: {
            "status": "queued",
            "exportPath": "scheduled",
            "profile": {"$exists": True, "$nin": list(dict.fromkeys(profiles))},
        },
    }


def unclaimed(database: Database[dict[str, Any]], profile: Profile) -> dict[Unclaimed, int]:
    """How many queue items no run ever takes, by reason; reasons without items are left out."""
    queue = database[profile.source.queue]
    counts = {reason: queue.count_documents(found) for reason, found in filters(profile).items()}
    return {reason: count for reason, count in counts.items() if count}


def reason_of(item: Mapping[str, Any], profile: Profile) -> Unclaimed | None:
    """Why no run ever takes the queue item; None when a run has taken it or will."""
    status, path = item.get("status"), item.get("exportPath")
    if status in ("completed", "failed"):
        return None
    if status != "queued":
        return Unclaimed.UNKNOWN_STATUS
    if path not in _PATHS:
        return Unclaimed.UNKNOWN_PATH
    if path == "scheduled" and item.get("profile") not in (None, DAILY, profile.name):
        return Unclaimed.UNKNOWN_PROFILE
    return None if addressable(item["_id"]) else Unclaimed.UNREADABLE_ID


def in_words(counts: Mapping[Unclaimed, int]) -> str:
    """The counts in words: `2: exportPath is neither scheduled nor manual`."""
    return "; ".join(f"{count:,}: {reason.explanation}" for reason, count in counts.items())


def count(
    database: Database[dict[str, Any]],
    profile: Profile,
    ended: Iterable[tuple[Batch, Part]] | None = None,
) -> int:
    """Items that the next run takes; `ended` are the `unmarked.parts`, if already read.

    Items that are already in a delivered file, or rejected, and have yet to be marked do not
    count.
    """
    queue, wanted = database[profile.source.queue], plan.queued(profile)
    queued = queue.count_documents(wanted)
    for _, part in unmarked.parts(database, profile) if ended is None else ended:
        queued -= queue.count_documents({"_id": {"$in": part.queue_ids}, **wanted}, hint=BY_ID)
    return max(0, queued)  # counted one after another, while a run may be marking
