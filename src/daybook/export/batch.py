"""Batches: one document per profile and day (or per manual export) with its state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from daybook.errors import DaybookError
from daybook.export.retry import BatchState
from daybook.export.seal import ManifestRef

COLLECTION = "exportbatches"


@dataclass(frozen=True, kw_only=True)
class BatchKey:
    """What makes a batch one of its kind: a day of a profile, or a manual export's key."""

    profile: str
    batch_date: str | None = None
    """ISO date."""
    manual_key: str | None = None

    @property
    def slot_id(self) -> str:
        return self.profile if self.manual_key is None else f"{self.profile}/manual"

    def filter(self) -> dict[str, Any]:
        if self.manual_key is None:
            return {"profile": self.profile, "batchDate": self.batch_date}
        return {"profile": self.profile, "manualKey": self.manual_key}


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as stored; `doc` is what `exportbatches` holds, for answers."""

    id: ObjectId
    key: BatchKey
    state: BatchState
    generation: int
    attempt: int
    ended_attempt: int
    schedule_time: datetime | None
    manifest: ManifestRef | None
    """Of the committed file."""
    marked_at: datetime | None
    doc: Mapping[str, Any]

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        manifest = doc.get("manifest")
        return cls(
            id=doc["_id"],
            key=BatchKey(
                profile=doc["profile"],
                batch_date=doc.get("batchDate"),
                manual_key=doc.get("manualKey"),
            ),
            state=BatchState(doc["state"]),
            generation=doc["generation"],
            attempt=doc["attempt"],
            ended_attempt=doc.get("endedAttempt", 0),
            schedule_time=doc.get("scheduleTime"),
            manifest=None if manifest is None else ManifestRef.from_doc(manifest),
            marked_at=doc.get("markedAt"),
            doc=doc,
        )

    @property
    def finished(self) -> bool:
        """Committed, and every one of its items marked."""
        return self.state is BatchState.COMMITTED and self.marked_at is not None


def find(batches: Collection[dict[str, Any]], key: BatchKey) -> Batch | None:
    doc = batches.find_one(key.filter())
    return None if doc is None else Batch.from_doc(doc)


def ensure(
    batches: Collection[dict[str, Any]],
    key: BatchKey,
    *,
    now: datetime,
    request: Mapping[str, Any] | None = None,
) -> Batch:
    """The batch of the key, made when it is not there yet; `request` is kept with a new one."""
    found = find(batches, key)
    if found is not None:
        return found
    doc = {
        "_id": ObjectId(),
        **key.filter(),
        "state": BatchState.OPEN.value,
        "generation": 1,
        "attempt": 0,
        "endedAttempt": 0,
        "nextAttemptAt": None,
        "alertedAt": None,
        "createdAt": now,
        "updatedAt": now,
    }
    if request is not None:
        doc["request"] = dict(request)
    with suppress(DuplicateKeyError):  # another run inserted it at the same moment
        batches.insert_one(doc)
    stored = find(batches, key)
    if stored is None:
        raise DaybookError(f"batch {key.filter()} disappeared from {COLLECTION} while it was made")
    return stored


def committed_unmarked(batches: Collection[dict[str, Any]], key: BatchKey) -> list[Batch]:
    """Committed batches of the key's slot whose items are not all marked."""
    kind = "batchDate" if key.manual_key is None else "manualKey"
    found = batches.find(
        {
            "profile": key.profile,
            "state": BatchState.COMMITTED.value,
            "markedAt": None,
            kind: {"$type": "string"},
        }
    )
    return [Batch.from_doc(doc) for doc in found]
