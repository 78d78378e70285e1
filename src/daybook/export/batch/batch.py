"""A batch as stored: one document with its state per profile and day, or per manual export.

The items that its file leaves out are stored in parts next to its manifest: a day can reject more
items than one document can hold. A seal and a batch name the parts by their common ID; the batch
also lists the first `LISTED_REJECTED` of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import bson
from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from daybook.errors import DaybookError
from daybook.export.model.fields import Fields
from daybook.export.model.figures import Rejected
from daybook.export.model.lifecycle import BatchState, Task, TaskKind
from daybook.export.model.profile import BatchKey, Profile, before_profiles
from daybook.export.model.seal import ManifestRef, months_from, totals_from

COLLECTION = "exportbatches"

_TIMES = (
    *("nextAttemptAt", "startedAt", "committedAt", "alertedAt", "releasedAt", "publishAlertedAt"),
    *("markingAlertedAt", "recoveredAt", "createdAt", "updatedAt"),
)
_TEXTS = (
    "filename",
    "fileId",
    "webViewLink",
    "md5",
    "sha256",
    "rejectedId",
    "hiddenAt",
    "deliveredTo",
)
_COUNTS = (
    *("sizeBytes", "entryCount", "rowCount", "rejectedCount", "normalisedCount"),
    *("otherMonthCount", "noCurrencyCount", "attemptCount", "conflictCount"),
)
_FIGURES = ("entryCount", "rowCount", "rejectedCount", "totals", "committedAt")
_FILE = ("filename", "fileId", "webViewLink", "sizeBytes", "md5", "sha256", "manifest")

LISTED_REJECTED = 100
"""Rejected items that the batch document lists itself."""
REJECTED_PART_SIZE = 1000
"""Items per stored part."""

_DIGEST_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as stored; `doc` is the document from `exportbatches`, for responses."""

    id: ObjectId
    key: BatchKey
    state: BatchState
    generation: int
    attempt: int
    ended_attempt: int
    pending: Task | None
    """The call that has to follow; recorded with the outcome, before its task is created."""
    continuations: int
    """How often the current attempt was interrupted and handed back."""
    upload_sessions: int
    """Upload sessions that the current attempt has opened; 0 in earlier versions' batches."""
    fence: int
    """The slot's fence when the last attempt started or was resumed; 0 before the first."""
    schedule_time: datetime | None
    manifest: ManifestRef | None
    """The manifest of the committed file."""
    marked_at: datetime | None
    doc: Mapping[str, Any]

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        if not isinstance(doc["_id"], ObjectId):
            raise fields.damaged("_id", "must be an ObjectId")
        state = fields.one_of("state", BatchState)
        _check_facts(fields, state)
        manifest = fields.inner_or_none("manifest")
        pending = None if has_ended(doc) else fields.inner_or_none("pendingTask")
        key, generation = _key(fields), fields.whole("generation")
        return cls(
            id=doc["_id"],
            key=key,
            state=state,
            generation=generation,
            attempt=fields.whole("attempt"),
            ended_attempt=fields.whole("endedAttempt", 0),
            pending=None
            if pending is None
            else Task.from_fields(pending, key=key, generation=generation),
            continuations=fields.whole("continuations", 0),
            upload_sessions=fields.whole("uploadSessions", 0),
            fence=fields.whole("fence", 0),
            schedule_time=fields.time_or_none("scheduleTime"),
            manifest=None if manifest is None else ManifestRef.from_fields(manifest),
            marked_at=fields.time_or_none("markedAt"),
            doc=doc,
        )

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the call that has to follow is due."""
        return None if has_ended(self.doc) else self.doc.get("nextAttemptAt")

    @property
    def finished(self) -> bool:
        """Whether it is committed and all of its items are marked."""
        return self.state is BatchState.COMMITTED and self.marked_at is not None

    @property
    def unmarked(self) -> bool:
        """Whether it is committed, or empty with rejected items, and items are yet to be marked."""
        if self.marked_at is not None:
            return False
        signed_off_with_items = self.doc.get("rejectedManifest") is not None
        return self.state is BatchState.COMMITTED or (
            self.state is BatchState.EMPTY and signed_off_with_items
        )

    @property
    def marking(self) -> ManifestRef | None:
        """The manifest whose items a commit or a sign-off marks."""
        if self.state is BatchState.EMPTY:
            fields = Fields.of(self.doc, COLLECTION).inner_or_none("rejectedManifest")
            return None if fields is None else ManifestRef.from_fields(fields)
        return self.manifest

    @property
    def announced(self) -> bool:
        """Whether its result was announced."""
        return self.doc.get("alertedAt") is not None

    @property
    def continued(self) -> bool:
        """Whether its attempt stopped at a boundary and is waiting to be resumed."""
        return self.pending is not None and self.pending.kind is TaskKind.CONTINUATION


def delivered_to(doc: Mapping[str, Any]) -> str | None:
    """The identity of the destination that a batch's file was sent to.

    None when it is not known, of a file in Drive that an earlier version has sent.
    """
    return doc.get("deliveredTo") or doc.get("hiddenAt")


def _key(fields: Fields) -> BatchKey:
    """The key of a day or of a manual export."""
    profile = fields.text("profile")
    if fields.has("manualKey"):
        return BatchKey(profile=profile, manual_key=fields.text("manualKey"))
    return BatchKey(profile=profile, batch_date=fields.day("batchDate"))


def _check_facts(fields: Fields, state: BatchState) -> None:
    """Check what responses, receipts and checks take from `Batch.doc`."""
    ended = state in (BatchState.COMMITTED, BatchState.EMPTY)
    if ended and not fields.has("recordedElsewhere"):
        for name in (*_FIGURES, *(_FILE if state is BatchState.COMMITTED else ())):
            if not fields.has(name):
                raise fields.damaged(name, f"is missing, although state is {state}")
    if state is BatchState.COMMITTED and fields.time_or_none("markedAt") is None:
        fields.read("recordId", _object_id)  # of the record that marking completes
        fields.present("hiddenAt")  # without it a hidden file would never be published
    for name in _TIMES:
        fields.time_or_none(name)
    for name in _TEXTS:
        fields.text_or_none(name)
    for name in _COUNTS:
        fields.whole(name, 0)
    for name in ("request", "errorCounts", "rejectedManifest", "manifest", "profiles"):
        fields.inner_or_none(name)
    if fields.has("totals"):
        totals_from(fields)
    months_from(fields)
    if fields.has("rejected"):
        fields.read("rejected", lambda items: [*map(Rejected.from_doc, items)])
    if fields.has("rejectedReasons"):
        reasons = fields.inner("rejectedReasons")
        for reason in fields.names("rejectedReasons"):
            reasons.whole(reason)
    error = fields.inner_or_none("error")
    if error is not None:
        error.text("type")
        error.text("message")


def _object_id(value: object) -> ObjectId:
    if not isinstance(value, ObjectId):
        raise TypeError("it must be an ObjectId")
    return value


def profile_of(batch: Batch | None, manifest: ManifestRef, current: Profile) -> Profile:
    """The profile that a manifest of the batch was planned for, as it was then.

    A batch that was deleted by hand, and restored from its seal or its record, has lost it: then
    it is the current one. Raises `DocumentDamaged` when the stored form was altered.
    """
    if manifest.fits(current):
        return current
    if manifest.profile_digest is None:
        return before_profiles(current)
    stored = None if batch is None else _profiles(batch.doc)
    if stored is None or not stored.has(manifest.profile_digest):
        return current
    form = stored.text(manifest.profile_digest)
    if hashlib.sha256(form.encode()).hexdigest() != manifest.profile_digest:
        raise stored.damaged(manifest.profile_digest, "is not the profile of this digest")
    return stored.read(manifest.profile_digest, Profile.from_form)


def _profiles(doc: Mapping[str, Any]) -> Fields | None:
    return Fields.of(doc, COLLECTION).inner_or_none("profiles")


def has_ended(doc: Mapping[str, Any]) -> bool:
    """Whether a stored batch has ended, so that no call is due, even if one is recorded.

    The previous version recorded a call with a batch that was already finished when the
    response to its last transaction was lost. An empty day may still be requested again.
    """
    state = doc.get("state")
    finished = state == BatchState.COMMITTED.value and doc.get("markedAt") is not None
    return finished or bool(state == BatchState.FAILED.value)


def write_rejected(
    manifests: Collection[dict[str, Any]],
    rejected: Sequence[Rejected],
    *,
    ref: ManifestRef,
    profile: str,
    now: datetime,
) -> str | None:
    """Store the items and return the ID of their parts; None when there are none.

    The ID contains a digest of the list, so writing the same list again changes nothing.
    """
    if not rejected:
        return None
    docs = [item.to_doc() for item in rejected]
    parts = [
        docs[first : first + REJECTED_PART_SIZE]
        for first in range(0, len(docs), REJECTED_PART_SIZE)
    ]
    rejected_id = f"{ref.prefix}rejected-{_rejected_digest(parts)}"
    for number, part in enumerate(parts):
        manifests.update_one(
            {"_id": f"{rejected_id}-{number:06d}"},
            {
                "$setOnInsert": {
                    "profile": profile,
                    "number": number,
                    "rejected": part,
                    "createdAt": now,
                }
            },
            upsert=True,
        )
    return rejected_id


def read_rejected(
    manifests: Collection[dict[str, Any]], rejected_id: str | None
) -> tuple[Rejected, ...]:
    """What `write_rejected` stored, in order.

    Raises `DaybookError` when parts are missing or altered.
    """
    if rejected_id is None:
        return ()
    # The previous version stored one document, under the ID itself and without a number.
    docs = [Fields.of(doc, manifests.name) for doc in manifests.find(_rejected_parts(rejected_id))]
    parts = [doc.array("rejected") for doc in sorted(docs, key=lambda doc: doc.whole("number", 0))]
    if not rejected_id.endswith(f"rejected-{_rejected_digest(parts)}"):
        raise DaybookError(
            f"the list of rejected items {rejected_id} in {manifests.name} is incomplete or was "
            "altered: restore it from a backup"
        )
    return tuple(Rejected.from_doc(item) for part in parts for item in part)


def rejected_of(
    manifests: Collection[dict[str, Any]], batch: Mapping[str, Any]
) -> tuple[Rejected, ...]:
    """All rejected items of a batch document, in which the previous version stored them."""
    if batch.get("rejectedId") is not None:
        return read_rejected(manifests, batch["rejectedId"])
    return tuple(Rejected.from_doc(item) for item in batch.get("rejected", ()))


def keep_rejected(
    manifests: Collection[dict[str, Any]],
    session: ClientSession,
    rejected_id: str | None,
    *,
    now: datetime,
) -> None:
    """Mark the parts as those of a committed file, which no sweep deletes."""
    if rejected_id is not None:
        manifests.update_many(
            _rejected_parts(rejected_id), {"$set": {"markedAt": now}}, session=session
        )


def rejected_fields(
    rejected: Sequence[Rejected], rejected_id: str | None, *, before: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a batch document; the rejected items of `before` count as well."""
    reasons = Counter[str](before.get("rejectedReasons", {}))
    reasons.update(item.reason.value for item in rejected)
    listed = [*before.get("rejected", ()), *(item.to_doc() for item in rejected[:LISTED_REJECTED])]
    return {
        "rejected": listed[:LISTED_REJECTED],
        "rejectedReasons": dict(reasons),
        "rejectedId": rejected_id,
    }


def rejected_reasons(batch: Mapping[str, Any]) -> dict[str, int]:
    """How many items of a batch document were rejected, by reason."""
    if "rejectedReasons" in batch:
        return dict(batch["rejectedReasons"])
    return dict(Counter(item["reason"] for item in batch.get("rejected", ())))


def _rejected_parts(rejected_id: str) -> dict[str, Any]:
    return {"_id": {"$gte": rejected_id, "$lt": f"{rejected_id}~"}}


def _rejected_digest(parts: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(bson.encode({"rejected": part}))
    return digest.hexdigest()[:_DIGEST_LENGTH]
