"""A batch as stored: one document with its state per profile and day, or per manual export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bson import ObjectId

from daybook.export.model.fields import Fields
from daybook.export.model.figures import Rejected
from daybook.export.model.lifecycle import BatchState, Task, TaskKind
from daybook.export.model.profile import BatchKey, Profile, before_profiles
from daybook.export.model.seal import ManifestRef, months_from, totals_from

COLLECTION = "exportbatches"


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
