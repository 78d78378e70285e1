"""All changes of a batch's state. Each runs in a transaction of the slot, under its fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from daybook import display
from daybook.errors import DaybookError, RecordsDisagree
from daybook.export.batch import attempts
from daybook.export.batch.batch import COLLECTION, Batch, has_ended, rejected_fields
from daybook.export.model.figures import NOTHING, Rejected
from daybook.export.model.lifecycle import BatchState, Task
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.model.seal import ManifestRef, Seal, figures_to_doc

NOTHING_FOLLOWS: Mapping[str, Any] = {"nextAttemptAt": None, "pendingTask": None}
NOTHING_COUNTED: Mapping[str, int] = {}


@dataclass(frozen=True, kw_only=True)
class RejectedDay:
    """The manifest of a day whose items are all rejected, with the rejections."""

    manifest: ManifestRef
    rejected: tuple[Rejected, ...]
    rejected_id: str | None
    """ID of the stored list; see `read_rejected`."""
    record_id: Any
    """ID of the day's `batch_empty` record."""


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
    """Count an attempt at its start, so that a crash counts too."""
    changes: dict[str, Any] = {
        "state": BatchState.OPEN.value,
        "attempt": attempt,
        "endedAttempt": attempt - 1,
        "fence": fence,
        "continuations": 0,
        "uploadSessions": 0,
        **NOTHING_FOLLOWS,
        "startedAt": now,
        "attempts": attempts.to_docs(attempts.with_begun(batch, number=attempt, now=now)),
        "updatedAt": now,
    }
    if batch.state is BatchState.EMPTY:
        changes["committedAt"] = None
    if schedule_time is not None:
        changes["scheduleTime"] = schedule_time
    _change(batches, session, batch, changes, counts={"attemptCount": 1})


def resume_attempt(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    fence: int,
    now: datetime,
) -> None:
    """Resume an attempt that was handed back; from here a crash counts again."""
    changes = {"fence": fence, **NOTHING_FOLLOWS, "updatedAt": now}
    _change(batches, session, batch, changes, counts={"continuations": 1})


def store_profile(
    batches: Collection[dict[str, Any]], batch: Batch, profile: Profile, *, now: datetime
) -> None:
    """Store the form of the profile that a manifest is planned for, under its digest.

    It only adds what a digest says already, so it needs no fence. A batch has several when its
    profile was edited between two plans: each of its seals names one of them.
    """
    if profile.digest not in batch.doc.get("profiles", {}):
        batches.update_one(
            {"_id": batch.id},
            {"$set": {f"profiles.{profile.digest}": profile.form, "updatedAt": now}},
        )


def count_session(
    batches: Collection[dict[str, Any]], session: ClientSession, batch: Batch, *, now: datetime
) -> None:
    """Count an upload session of the current attempt."""
    _change(batches, session, batch, {"updatedAt": now}, counts={"uploadSessions": 1})


def record_follow_up(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    task: Task,
    now: datetime,
) -> None:
    """Record that a call has to follow, without ending the attempt.

    Nothing follows a batch that has ended by now; the caller sees that in what is stored.
    """
    stored = batches.find_one({"_id": batch.id}, {"state": 1, "markedAt": 1}, session=session)
    if stored is None:
        raise _deleted(batch.id)
    if has_ended(stored):
        return
    changes = {"nextAttemptAt": task.due, "pendingTask": task.to_doc(), "updatedAt": now}
    batches.update_one({"_id": batch.id}, {"$set": changes}, session=session)


def record_failure(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    error: Mapping[str, Any],
    retry: Task | None,
    now: datetime,
) -> None:
    """Record how the last attempt failed; without a retry the batch has failed for good."""
    state = BatchState.FAILED if retry is None else BatchState.OPEN
    changes: dict[str, Any] = {
        "state": state.value,
        "endedAttempt": batch.attempt,
        "nextAttemptAt": None if retry is None else retry.due,
        "pendingTask": None if retry is None else retry.to_doc(),
        "error": dict(error),
        "attempts": attempts.to_docs(
            attempts.with_failed(
                batch, error=error, next_at=None if retry is None else retry.due, now=now
            )
        ),
        "updatedAt": now,
    }
    if retry is None:
        changes["alertedAt"] = None
    _change(batches, session, batch, changes, counts={f"errorCounts.{error['type']}": 1})


def reopen(
    batches: Collection[dict[str, Any]], session: ClientSession, batch: Batch, *, now: datetime
) -> None:
    """Reopen a failed day: a new generation with all of its attempts."""
    _change(batches, session, batch, _reopened(batch, now))


def _reopened(batch: Batch, now: datetime) -> dict[str, Any]:
    return {
        "state": BatchState.OPEN.value,
        "generation": batch.generation + 1,
        "attempt": 0,
        "endedAttempt": 0,
        **NOTHING_FOLLOWS,
        "alertedAt": None,
        "updatedAt": now,
    }


def reopen_manual(batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime) -> None:
    """Reopen a failed manual export, unless another call has already done so.

    It needs no fence: no run works on a failed batch, and a file of it that appears later
    is committed whatever the batch's state.
    """
    batches.update_one(
        {
            "_id": batch.id,
            "state": BatchState.FAILED.value,
            "generation": batch.generation,
        },
        {"$set": _reopened(batch, now)},
    )


def release(
    batches: Collection[dict[str, Any]], session: ClientSession, batch: Batch, *, now: datetime
) -> None:
    """Close a day for good: no attempt follows, and the operator who closed it needs no alert."""
    changes = {
        "state": BatchState.FAILED.value,
        "endedAttempt": batch.attempt,
        **NOTHING_FOLLOWS,
        "releasedAt": now,
        "alertedAt": now,
        "updatedAt": now,
    }
    if batch.doc.get("error") is None:
        message = "an operator closed the day; its entries go with the next one"
        changes["error"] = {"type": "released", "message": message, "at": now}
    _change(batches, session, batch, changes)


def record_empty(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    *,
    now: datetime,
    rejected_day: RejectedDay | None = None,
) -> None:
    """Sign off an empty day; `rejected_day` when it had items, and all of them are rejected.

    What an earlier sign-off of the same day rejected stays counted.
    """
    changes = {
        "state": BatchState.EMPTY.value,
        **figures_to_doc(NOTHING),
        "rejectedCount": batch.doc.get("rejectedCount", 0),
        "endedAttempt": batch.attempt,
        **NOTHING_FOLLOWS,
        "error": None,
        "committedAt": now,
        "markedAt": now,
        "updatedAt": now,
    }
    if rejected_day is not None:
        changes["rejectedCount"] += len(rejected_day.rejected)
        changes |= rejected_fields(
            rejected_day.rejected, rejected_day.rejected_id, before=batch.doc
        )
        changes |= {
            "rejectedManifest": rejected_day.manifest.to_doc(),
            "recordId": rejected_day.record_id,
            "markedAt": None,
            "alertedAt": None,
        }
    _change(batches, session, batch, changes)


def _change(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch: Batch,
    changes: Mapping[str, Any],
    *,
    counts: Mapping[str, int] = NOTHING_COUNTED,
) -> None:
    """Change a batch that is not committed: a commit, even one found late, is never undone."""
    filters = {"_id": batch.id, "state": {"$ne": BatchState.COMMITTED.value}}
    change: dict[str, Any] = {"$set": changes}
    if counts:
        change["$inc"] = counts
    if not batches.update_one(filters, change, session=session).matched_count:
        raise DaybookError(
            f"batch {batch.key.fields()} was committed, or deleted, while it was worked on"
        )


def record_commit(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    seal: Seal,
    *,
    rejected: Sequence[Rejected],
    file_id: str,
    link: str,
    profile: str,
    delivered_to: str | None,
    hidden_at: str | None,
    record_id: ObjectId,
    now: datetime,
    recovered: bool = False,
) -> None:
    """Store the seal's figures in its batch, whatever the batch's state was before.

    `recovered`: the run that sent the file ended without recording anything, and a later one
    found it.

    A batch that was deleted by hand is restored from the seal: without it the remaining
    items would never be marked, and the next day would export them again. If the day has
    a new batch by then, that one becomes the batch of the file.
    """
    changes = {
        "state": BatchState.COMMITTED.value,
        "endedAttempt": seal.attempt,
        **NOTHING_FOLLOWS,
        "alertedAt": None,
        "error": None,
        "filename": seal.filename,
        "fileId": file_id,
        "webViewLink": link,
        "sizeBytes": seal.content.size_bytes,
        "md5": seal.content.md5,
        "sha256": seal.content.sha256,
        **figures_to_doc(seal.figures),
        **rejected_fields(rejected, seal.rejected_id, before={}),
        "manifest": seal.manifest.to_doc(),
        "recordId": record_id,
        "deliveredTo": delivered_to,
        "hiddenAt": hidden_at,
        "unrecorded": None,
        "committedAt": now,
        "markedAt": None,
        "updatedAt": now,
    }
    if recovered:
        changes["recoveredAt"] = now
    batch_id = ObjectId(seal.manifest.batch_id)
    if batches.update_one({"_id": batch_id}, {"$set": changes}, session=session).matched_count:
        return
    unknown_key = seal.batch_date is None and seal.manual_key is None
    key = BatchKey(
        profile=profile,
        batch_date=seal.batch_date,
        manual_key=f"deleted {batch_id}" if unknown_key else seal.manual_key,
    )
    batches.update_one(
        key.filter(),
        {
            "$set": changes,
            "$max": {"generation": seal.manifest.generation, "attempt": seal.attempt},
            "$setOnInsert": {
                "_id": batch_id,
                **key.fields(),
                "attemptCount": seal.attempt,
                "continuations": 0,
                "createdAt": now,
            },
        },
        upsert=True,
        session=session,
    )


def record_marked(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch_id: ObjectId,
    *,
    now: datetime,
) -> None:
    found = batches.update_one(
        {"_id": batch_id},
        {"$set": {"markedAt": now, **NOTHING_FOLLOWS, "updatedAt": now}},
        session=session,
    )
    if not found.matched_count:
        raise _deleted(batch_id)


def _deleted(batch_id: ObjectId) -> DaybookError:
    return DaybookError(f"batch {batch_id} was deleted from {COLLECTION} while it was worked on")


_ADOPTED_TEXTS = ("filename", "fileId", "webViewLink")


def adopt(
    batches: Collection[dict[str, Any]],
    session: ClientSession,
    batch_id: ObjectId,
    record: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Take over a day that another application has recorded as delivered.

    Raises `RecordsDisagree` when the record names this very batch.
    """
    found, created = record.get("metadata"), record.get("createdAt")
    metadata = found if isinstance(found, Mapping) else {}
    if metadata.get("batchId") == str(batch_id):
        raise RecordsDisagree(
            f"exportlogs says that this batch, {batch_id}, was delivered, and {COLLECTION} does "
            "not: one of them was restored or edited; nothing is exported for the day before "
            "they agree"
        )
    changes = {
        "state": BatchState.COMMITTED.value,
        "recordedElsewhere": True,
        **NOTHING_FOLLOWS,
        "alertedAt": now,
        "error": None,
        "committedAt": created if isinstance(created, datetime) else now,
        "markedAt": now,
        "updatedAt": now,
        **{name: display.text(str(metadata[name])) for name in _ADOPTED_TEXTS if name in metadata},
    }
    # If the batch was deleted by hand, the day's next run creates it again and then adopts it.
    batches.update_one({"_id": batch_id}, {"$set": changes}, session=session)
