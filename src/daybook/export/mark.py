"""Marking: what a committed file means for the queue items of its manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.export import manifest as manifests
from daybook.export import records
from daybook.export.figures import Rejected
from daybook.export.part import Part
from daybook.export.profile import Profile
from daybook.export.seal import ManifestRef, Seal


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A committed file, as far as its queue items need to know it."""

    profile: Profile
    batch_date: str | None
    """None for a manual export, which never touches scheduled items."""
    file_id: str
    link: str
    manifest: ManifestRef
    rejected: Mapping[Any, Rejected]
    """By queue id."""

    @classmethod
    def of_seal(cls, seal: Seal, *, profile: Profile, file_id: str, link: str) -> Self:
        return cls(
            profile=profile,
            batch_date=seal.batch_date,
            file_id=file_id,
            link=link,
            manifest=seal.manifest,
            rejected={item.queue_id: item for item in seal.figures.rejected},
        )

    @classmethod
    def of_batch(cls, doc: Mapping[str, Any], *, profile: Profile) -> Self:
        rejected = [Rejected.from_doc(item) for item in doc["rejected"]]
        return cls(
            profile=profile,
            batch_date=doc.get("batchDate"),
            file_id=doc["fileId"],
            link=doc["webViewLink"],
            manifest=ManifestRef.from_doc(doc["manifest"]),
            rejected={item.queue_id: item for item in rejected},
        )


@dataclass(frozen=True, kw_only=True)
class Discrepancies:
    """Items that another application changed although a file already contained them."""

    gone: tuple[Any, ...] = ()
    completed_elsewhere: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gone or self.completed_elsewhere)


def mark_part(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    now: datetime,
) -> Discrepancies:
    """Mark the part's items whatever their status: the file exists, so the manifest wins.

    Runs inside the caller's transaction; a part is marked once.
    """
    queue = database[delivery.profile.source.queue]
    ids = [queue_id for queue_id in part.queue_ids if queue_id is not None]
    rejected = [delivery.rejected[queue_id] for queue_id in ids if queue_id in delivery.rejected]
    exported = [queue_id for queue_id in ids if queue_id not in delivery.rejected]
    elsewhere = [
        item["_id"]
        for item in queue.find(
            {
                "_id": {"$in": ids},
                "status": "completed",
                "metadata.fileId": {"$ne": delivery.file_id},
            },
            {"_id": 1},
            session=session,
        )
    ]
    matched = 0
    if exported:
        matched += queue.update_many(
            {"_id": {"$in": exported}}, _completed(delivery, now), session=session
        ).matched_count
    by_reason: dict[str, list[Any]] = defaultdict(list)
    for item in rejected:
        by_reason[item.reason.value].append(item.queue_id)
    for reason, queue_ids in by_reason.items():
        matched += queue.update_many(
            {"_id": {"$in": queue_ids}}, _failed(delivery, reason, now), session=session
        ).matched_count
    if rejected:
        _insert_rejected(database, session, delivery, rejected, now)
    database[manifests.COLLECTION].update_one(
        {"_id": delivery.manifest.part_id(part.number)},
        {"$set": {"markedAt": now}},
        session=session,
    )
    gone = [] if matched == len(ids) else _gone(database, session, delivery, ids)
    return Discrepancies(gone=tuple(gone), completed_elsewhere=tuple(elsewhere))


def _completed(delivery: Delivery, now: datetime) -> list[dict[str, Any]]:
    # A pipeline, because metadata may be null or absent, and what else it holds stays.
    facts = {"fileId": delivery.file_id, "webViewLink": delivery.link}
    if delivery.batch_date is not None:
        facts["batchDate"] = delivery.batch_date
    known = {"$cond": [{"$eq": [{"$type": "$metadata"}, "object"]}, "$metadata", {}]}
    return [
        {
            "$set": {
                "status": "completed",
                "metadata": {"$mergeObjects": [known, {"$literal": facts}]},
                "updatedAt": now,
            }
        }
    ]


def _failed(delivery: Delivery, reason: str, now: datetime) -> dict[str, Any]:
    error = {"reason": reason}
    if delivery.batch_date is not None:
        error["batchDate"] = delivery.batch_date
    return {"$set": {"status": "failed", "error": error, "updatedAt": now}}


def _insert_rejected(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    rejected: Sequence[Rejected],
    now: datetime,
) -> None:
    database[records.COLLECTION].insert_many(
        [
            records.rejected(
                item, profile=delivery.profile.name, batch_date=delivery.batch_date, now=now
            )
            for item in rejected
        ],
        session=session,
    )


def _gone(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    ids: Sequence[Any],
) -> list[Any]:
    there = {
        item["_id"]
        for item in database[delivery.profile.source.queue].find(
            {"_id": {"$in": list(ids)}}, {"_id": 1}, session=session
        )
    }
    return [queue_id for queue_id in ids if queue_id not in there]
