"""Orphans: abandoned IDs under which a file exists or may yet appear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.export.model.fields import Fields
from daybook.export.slot.state import SlotState
from daybook.mongo.query import Query

COLLECTION = "exportorphans"

WATCHED_FOR = timedelta(days=8)
"""An upload session lives a week; after eight days no file can appear any more."""

_UNANNOUNCED = Query(
    name="orphans_unannounced",
    collection=COLLECTION,
    filter=lambda profile: {"profile": profile, "alertedAt": {"$type": "null"}},
    arguments=lambda doc: {"profile": doc["profile"]},
)
WATCHED = Query(
    name="orphans_watched",
    collection=COLLECTION,
    filter=lambda profile, now: {"profile": profile, "watchUntil": {"$gt": now}, "seenAt": None},
    arguments=lambda doc: {"profile": doc["profile"], "now": doc["createdAt"]},
)
"""The orphans under whose ID a file may yet appear."""

QUERIES = (_UNANNOUNCED, WATCHED)


class OrphanReason(StrEnum):
    UNSEALED = "unsealed"  # the file under the ID matches no seal: it was changed
    REFUSED_UNSEEN = "refused_unseen"  # 409 for the ID, but no file is visible under it
    ID_INVALID = "id_invalid"  # the destination no longer accepts an ID that has a seal
    IDENTITY_CHANGED = "identity_changed"  # sealed under another identity; we cannot look there
    DAY_RECORDED_ELSEWHERE = "day_recorded_elsewhere"  # the day's record names another file

    @property
    def explanation(self) -> str:
        """The explanation for the operator."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    OrphanReason.UNSEALED: "the file under it is not what Daybook sent: it was changed. "
    "Compare it with the delivered file of the day and remove one of the two",
    OrphanReason.REFUSED_UNSEEN: "the destination calls it taken, but shows no file; it is watched "
    "for 8 days in case one appears",
    OrphanReason.ID_INVALID: "the destination no longer accepts it, although a file may have been "
    "sent under it; it is watched for 8 days",
    OrphanReason.IDENTITY_CHANGED: "it was issued to another account, under which a file may have "
    "been sent; look into that account's folder for a file without a record",
    OrphanReason.DAY_RECORDED_ELSEWHERE: "the day is recorded with another file; "
    "remove one of the two",
}


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """An abandoned file ID."""

    file_id: str
    reason: OrphanReason
    filename: str | None
    """The name last sealed for it; None when nothing was sealed."""
    identity: str | None
    """The identity that the ID was issued to."""

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        fields.array("seals")
        seals = fields.inner_list("seals")
        return cls(
            file_id=fields.text("_id"),
            reason=fields.one_of("reason", OrphanReason),
            filename=seals[-1].text("filename") if seals else None,
            identity=fields.text_or_none("identity"),
        )


def unannounced(database: Database[dict[str, Any]], profile: str) -> list[dict[str, Any]]:
    """Orphans not yet announced, as stored; documents of others may be among them."""
    return list(_UNANNOUNCED.find(database, profile=profile))


def own(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents whose `_id` can be a file's ID; others are not Daybook's."""
    return [doc for doc in found if isinstance(doc["_id"], str)]


def record_announced(database: Database[dict[str, Any]], file_id: str, *, now: datetime) -> None:
    database[COLLECTION].update_one(
        {"_id": file_id}, {"$set": {"alertedAt": now, "updatedAt": now}}
    )


def insert(
    database: Database[dict[str, Any]],
    session: ClientSession,
    slot: SlotState,
    *,
    profile: str,
    reason: OrphanReason,
    file_id: str,
    now: datetime,
) -> None:
    """Store an abandoned ID with the seals that were stored for it. Repeating is harmless."""
    database[COLLECTION].update_one(
        {"_id": file_id},
        {
            "$setOnInsert": {
                "profile": profile,
                "identity": slot.identity,
                "reason": reason.value,
                "seals": [_summary(seal.to_doc()) for seal in slot.seals],
                "seenAt": None,
                "alertedAt": None,
                "watchUntil": now + WATCHED_FOR,
                "createdAt": now,
            },
            "$set": {"updatedAt": now},
        },
        upsert=True,
        session=session,
    )


def _summary(seal: dict[str, Any]) -> dict[str, Any]:
    names = ("batchDate", "filename", "sizeBytes", "md5", "sha256", "entryCount")
    return {name: seal[name] for name in names}
