"""Refused runs: a call for a day's run that was answered with an error before it became one.

Stored in the profile's slot, whose `_id` is unique by nature. A batch is not made for it:
without its unique index, which is one of the causes, the repeated call would make a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

import pymongo
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.export import slot
from daybook.export.batch_key import BatchKey

STORING_SECONDS = 3.0
"""How long storing may take: the caller waits for its answer, and MongoDB may be the cause."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The latest day of a profile whose run was refused."""

    batch_date: str
    type: str
    """An error's `type`."""
    message: str
    first_at: datetime
    last_at: datetime
    count: int
    alerted_at: datetime | None
    """When people were told of this type of error on this day."""

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        return cls(
            batch_date=doc["batchDate"],
            type=doc["type"],
            message=doc["message"],
            first_at=doc["firstAt"],
            last_at=doc["lastAt"],
            count=doc["count"],
            alerted_at=doc.get("alertedAt"),
        )

    def to_doc(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "message": self.message,
            "firstAt": self.first_at,
            "lastAt": self.last_at,
            "count": self.count,
        }

    def still_stands(self, *, started_at: datetime | None, done: bool) -> bool:
        """False once an attempt of the day has begun after it, or the day is done."""
        return not done and (started_at is None or started_at < self.last_at)


def record(
    database: Database[dict[str, Any]],
    profile: str,
    day: date,
    *,
    kind: str,
    message: str,
    now: datetime,
) -> Refused:
    """Count a refused call; returns what is stored then."""
    same_day = {"$eq": ["$refused.batchDate", day.isoformat()]}
    same = {"$and": [same_day, {"$eq": ["$refused.type", kind]}]}
    refused = {
        "batchDate": day.isoformat(),
        "type": {"$literal": kind},
        "message": {"$literal": message},
        "firstAt": {"$cond": [same_day, "$refused.firstAt", now]},
        "lastAt": now,
        "count": {"$add": [1, {"$cond": [same_day, "$refused.count", 0]}]},
        "alertedAt": {"$cond": [same, "$refused.alertedAt", None]},
    }
    slots = database[slot.COLLECTION]
    slot_id = _slot_id(profile)
    with pymongo.timeout(STORING_SECONDS):
        slot.insert_if_absent(slots, slot_id)
        doc = slots.find_one_and_update(
            {"_id": slot_id},
            [{"$set": {"refused": refused}}],
            return_document=ReturnDocument.AFTER,
        )
    assert doc is not None  # noqa: S101  (inserted just now, and never deleted)
    return Refused.from_doc(doc["refused"])


def record_alerted(
    database: Database[dict[str, Any]], profile: str, refused: Refused, *, now: datetime
) -> None:
    told = {"refused.batchDate": refused.batch_date, "refused.type": refused.type}
    with pymongo.timeout(STORING_SECONDS):
        database[slot.COLLECTION].update_one(
            {"_id": _slot_id(profile), **told}, {"$set": {"refused.alertedAt": now}}
        )


def of_day(
    database: Database[dict[str, Any]],
    profile: str,
    day: str,
    *,
    session: ClientSession | None = None,
) -> Refused | None:
    """What was stored of the day's refused runs; None when there were none."""
    doc = database[slot.COLLECTION].find_one(
        {"_id": _slot_id(profile)}, {"refused": 1}, session=session
    )
    found = (doc or {}).get("refused")
    return Refused.from_doc(found) if found and found["batchDate"] == day else None


def _slot_id(profile: str) -> str:
    return BatchKey(profile=profile).slot_id
