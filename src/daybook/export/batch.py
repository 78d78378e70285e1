"""Batches: one document per profile and day (or per manual export) with its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from daybook.errors import DaybookError
from daybook.export.figures import NOTHING, Rejected
from daybook.export.retry import BatchState
from daybook.export.seal import ManifestRef, Seal, figures_to_doc

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


def start_attempt(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    attempt: int,
    fence: int,
    schedule_time: datetime | None,
    now: datetime,
) -> None:
    """Count an attempt; it counts from here, so a crash counts too."""
    changes: dict[str, Any] = {
        "state": BatchState.OPEN.value,
        "attempt": attempt,
        "endedAttempt": attempt - 1,
        "fence": fence,
        "nextAttemptAt": None,
        "startedAt": now,
        "updatedAt": now,
    }
    if schedule_time is not None:
        changes["scheduleTime"] = schedule_time
    _change(batches, session, batch, changes)


def record_failure(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    attempt: int,
    error: Mapping[str, Any],
    next_attempt_at: datetime | None,
    now: datetime,
) -> None:
    """Record how an attempt ended; without a next one the batch is given up."""
    state = BatchState.FAILED if next_attempt_at is None else BatchState.OPEN
    changes = {
        "state": state.value,
        "attempt": attempt,
        "endedAttempt": attempt,
        "nextAttemptAt": next_attempt_at,
        "error": dict(error),
        "updatedAt": now,
    }
    _change(batches, session, batch, changes)


def record_empty(
    batches: Collection[dict[str, Any]], session: ClientSession, batch: Batch, *, now: datetime
) -> None:
    """Sign an empty day off."""
    changes = {
        "state": BatchState.EMPTY.value,
        **figures_to_doc(NOTHING),
        "endedAttempt": batch.attempt,
        "nextAttemptAt": None,
        "error": None,
        "committedAt": now,
        "updatedAt": now,
    }
    _change(batches, session, batch, changes)


def _change(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    changes: Mapping[str, Any],
) -> None:
    """Change a batch that is not committed: a commit, even one learnt of late, is never undone."""
    filters = {"_id": batch.id, "state": {"$ne": BatchState.COMMITTED.value}}
    if not batches.update_one(filters, {"$set": changes}, session=session).matched_count:
        raise DaybookError(
            f"batch {batch.key.filter()} was committed, or deleted, while it was worked on"
        )


def record_commit(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    seal: Seal,
    *,
    rejected: Sequence[Rejected],
    file_id: str,
    link: str,
    record_id: ObjectId,
    now: datetime,
) -> None:
    """Store the seal's figures in its batch, whatever the batch was called before."""
    changes = {
        "state": BatchState.COMMITTED.value,
        "endedAttempt": seal.attempt,
        "nextAttemptAt": None,
        "error": None,
        "filename": seal.filename,
        "fileId": file_id,
        "webViewLink": link,
        "sizeBytes": seal.content.size_bytes,
        "md5": seal.content.md5,
        "sha256": seal.content.sha256,
        **figures_to_doc(seal.figures),
        "rejected": [item.to_doc() for item in rejected],
        "manifest": seal.manifest.to_doc(),
        "recordId": record_id,
        "committedAt": now,
        "markedAt": None,
        "updatedAt": now,
    }
    batches.update_one(
        {"_id": ObjectId(seal.manifest.batch_id)}, {"$set": changes}, session=session
    )


def record_marked(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch_id: ObjectId,
    *,
    now: datetime,
) -> None:
    batches.update_one(
        {"_id": batch_id}, {"$set": {"markedAt": now, "updatedAt": now}}, session=session
    )


_ADOPTED_TEXTS = ("filename", "fileId", "webViewLink")


def adopt(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch_id: ObjectId,
    record: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Take over a day that another application has recorded as delivered."""
    metadata = record["metadata"]
    if metadata.get("batchId") == str(batch_id):
        raise DaybookError(
            f"exportlogs says that this batch, {batch_id}, was delivered, and {COLLECTION} does "
            "not: one of them was restored or edited; nothing is exported for the day before "
            "they agree"
        )
    changes = {
        "state": BatchState.COMMITTED.value,
        "recordedElsewhere": True,
        "nextAttemptAt": None,
        "error": None,
        "committedAt": record.get("createdAt", now),
        "markedAt": now,
        "updatedAt": now,
        **{name: str(metadata[name]) for name in _ADOPTED_TEXTS if name in metadata},
    }
    batches.update_one({"_id": batch_id}, {"$set": changes}, session=session)
