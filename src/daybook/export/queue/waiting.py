"""What is waiting in the queue: items that the next run takes, and items that no run takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from pymongo.database import Database

from daybook.export.batch.batch import Batch
from daybook.export.model.ids import addressable
from daybook.export.model.part import Part
from daybook.export.model.profile import DAILY, Profile
from daybook.export.queue import manifest, plan
from daybook.mongo.indexes import UNKNOWN_STATUS
from daybook.mongo.query import Query

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


def items_unclaimed(profile: Profile) -> dict[Unclaimed, Query]:
    """By reason, the queue items that no run ever takes."""
    filters = {
        Unclaimed.UNKNOWN_STATUS: dict(UNKNOWN_STATUS),
        Unclaimed.UNKNOWN_PATH: {"status": "queued", "exportPath": {"$nin": [*_PATHS]}},
        Unclaimed.UNKNOWN_PROFILE: {
            "status": "queued",
            "exportPath": "scheduled",
            **_of_no_profile(_all(profile)),
        },
    }
    only_such = "the index holds nothing but such items"
    return {
        reason: Query(
            name=f"items_of_{reason.value}",
            collection=profile.source.queue,
            filter=lambda found=found: found,
            arguments=lambda _: {},
            small=only_such if reason is Unclaimed.UNKNOWN_STATUS else "",
        )
        for reason, found in filters.items()
    }


def _all(profile: Profile) -> list[Profile]:
    """Every profile that takes items from the same queue."""
    queue = profile.source.queue
    return [profile, *(other for other in profile.others if other.source.queue == queue)]


def _of_no_profile(profiles: Sequence[Profile]) -> dict[str, Any]:
    """The condition of items that none of the profiles takes.

    The names of profiles come first, since by them an index leaves out nearly everything.
    """
    by_name = [one.name for one in profiles if one.match is None]
    names: list[str | None] = [None, *by_name] if DAILY in by_name else [*by_name]
    condition: dict[str, Any] = {"$nin": names}
    if DAILY in by_name:
        condition = {"$exists": True, **condition}
    by_fields = [plan.matching(one) for one in profiles if one.match is not None]
    return {"profile": condition, **({"$nor": by_fields} if by_fields else {})}


def _queued(profile: Profile) -> Query:
    return Query(
        name="queued",
        collection=profile.source.queue,
        filter=lambda: plan.queued(profile),
        arguments=lambda _: {},
        among=plan.queued(profile),
    )


def queries(profile: Profile) -> Sequence[Query]:
    return (*items_unclaimed(profile).values(), _queued(profile))


def unclaimed(database: Database[dict[str, Any]], profile: Profile) -> dict[Unclaimed, int]:
    """How many queue items no run ever takes, by reason; reasons without items are left out."""
    counts = {reason: items.count(database) for reason, items in items_unclaimed(profile).items()}
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
    if path == "scheduled" and not any(one.matches(item) for one in _all(profile)):
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
    """Items that the next run takes; `ended` are the `manifest.unmarked_parts`, if already read.

    Items that are already in a delivered file, or rejected, and have yet to be marked do not
    count.
    """
    still_queued = plan.still_queued(profile)
    queued = _queued(profile).count(database)
    for _, part in manifest.unmarked_parts(database, profile) if ended is None else ended:
        queued -= still_queued.count(database, queue_ids=part.queue_ids)
    return max(0, queued)  # counted one after another, while a run may be marking
