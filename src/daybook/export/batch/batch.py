"""Batches: one document with its state per profile and day, or per manual export."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from daybook.errors import DaybookError, DocumentDamaged
from daybook.export.model.batch_key import BatchKey
from daybook.export.model.fields import Fields
from daybook.export.model.figures import Rejected
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import Profile, before_profiles
from daybook.export.model.seal import ManifestRef, months_from, totals_from
from daybook.export.model.task import Task, TaskKind
from daybook.mongo.query import Document, Query

COLLECTION = "exportbatches"

_STRING = {"$type": "string"}
"""Without this in the filter MongoDB cannot use the partial indexes on day and manual key."""


def _of_kind(
    what: str, kind: str, conditions: Document, *, sort: tuple[tuple[str, int], ...] = ()
) -> Query:
    return Query(
        name=what,
        collection=COLLECTION,
        filter=lambda profile: {"profile": profile, kind: _STRING, **conditions},
        arguments=lambda doc: {"profile": doc["profile"]},
        sort=sort,
    )


def _of_kinds(what: str, conditions: Document) -> Mapping[str, Query]:
    """By `_kind`: a query for a profile's days, and one for its manual exports."""
    return {
        "batchDate": _of_kind(f"days{what}", "batchDate", conditions),
        "manualKey": _of_kind(f"manual_exports{what}", "manualKey", conditions),
    }


def _continued(profile: str, since: datetime, until: datetime, **later: Document) -> Document:
    return {
        "profile": profile,
        "pendingTask.due": {"$type": "date", "$gte": since, "$lte": until},
        "pendingTask.kind": TaskKind.CONTINUATION.value,
        **later,
    }


def _created(doc: Document) -> Document:
    return {"profile": doc["profile"], "since": doc["createdAt"], "until": doc["createdAt"]}


_DAY = Query(
    name="day",
    collection=COLLECTION,
    filter=lambda profile, day: BatchKey(profile=profile, batch_date=day).filter(),
    arguments=lambda doc: {"profile": doc["profile"], "day": doc["batchDate"]},
)
_MANUAL_EXPORT = Query(
    name="manual_export",
    collection=COLLECTION,
    filter=lambda profile, key: BatchKey(profile=profile, manual_key=key).filter(),
    arguments=lambda doc: {"profile": doc["profile"], "key": doc["manualKey"]},
    among={"manualKey": _STRING},
)
_OF_MANIFEST = Query(
    name="batch_of_manifest",
    collection=COLLECTION,
    filter=lambda profile, batch_id: {
        "profile": profile,
        "manifest.batchId": batch_id,
        "_id": {"$type": "objectId"},
    },
    arguments=lambda doc: {"profile": doc["profile"], "batch_id": str(doc["_id"])},
)
ALL = _of_kinds("", {})
NEWEST_DAYS = _of_kind("history", "batchDate", {}, sort=(("batchDate", -1),))
_UNANNOUNCED = _of_kinds(
    "_unannounced",
    {
        "alertedAt": {"$type": "null"},
        "$or": [
            {"state": {"$in": [BatchState.EMPTY.value, BatchState.FAILED.value]}},
            {"state": BatchState.COMMITTED.value, "markedAt": {"$ne": None}},
        ],
    },
)
_UNMARKED = _of_kinds(
    "_unmarked",
    {
        "markedAt": None,
        "$or": [
            {"state": BatchState.COMMITTED.value},
            {"state": BatchState.EMPTY.value, "rejectedManifest": {"$type": "object"}},
        ],
    },
)
_PENDING = Query(
    name="batches_pending",
    collection=COLLECTION,
    filter=lambda profile: {"profile": profile, "pendingTask.due": {"$type": "date"}},
    arguments=lambda doc: {"profile": doc["profile"]},
)
_DAYS_CONTINUED_LATER = Query(
    name="days_continued_later",
    collection=COLLECTION,
    filter=lambda day, **given: _continued(**given, batchDate={"$gt": day, **_STRING}),
    arguments=lambda doc: {"day": doc["batchDate"], **_created(doc)},
    projection={"state": 1, "markedAt": 1},
)
_MANUAL_EXPORTS_CONTINUED_LATER = Query(
    name="manual_exports_continued_later",
    collection=COLLECTION,
    filter=lambda batch_id, **given: _continued(**given, _id={"$gt": batch_id}, manualKey=_STRING),
    arguments=lambda doc: {"batch_id": doc["_id"], **_created(doc)},
    projection={"state": 1, "markedAt": 1},
)

QUERIES = (
    *(_DAY, _MANUAL_EXPORT, _OF_MANIFEST, _PENDING),
    *(*ALL.values(), NEWEST_DAYS, *_UNANNOUNCED.values(), *_UNMARKED.values()),
    *(_DAYS_CONTINUED_LATER, _MANUAL_EXPORTS_CONTINUED_LATER),
)


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


def own(found: Iterable[Mapping[str, Any]]) -> Iterator[Batch]:
    """The batches among the documents; a document without an ObjectId is not Daybook's.

    Raises `DocumentDamaged`.
    """
    return (Batch.from_doc(doc) for doc in found if isinstance(doc["_id"], ObjectId))


def find(
    batches: Collection[dict[str, Any]], key: BatchKey, *, session: ClientSession | None = None
) -> Batch | None:
    if key.manual_key is None:
        doc = _DAY.one(batches, profile=key.profile, day=key.batch_date, session=session)
    else:
        doc = _MANUAL_EXPORT.one(batches, profile=key.profile, key=key.manual_key, session=session)
    return None if doc is None else Batch.from_doc(doc)


def whole(batches: Collection[dict[str, Any]], batch: Batch) -> Batch:
    """The batch with all of its fields, of one that was read without some.

    Raises `DocumentDamaged`, or `DaybookError` when it has been deleted since.
    """
    doc = batches.find_one({"_id": batch.id})
    if doc is None:
        raise DaybookError(f"batch {batch.id} has been deleted from {batches.name}")
    return Batch.from_doc(doc)


def of_manifest(batches: Collection[dict[str, Any]], profile: str, batch_id: str) -> Batch | None:
    """The batch of the file whose manifest was planned for `batch_id`.

    It has another ID only if it was deleted by hand and created again before the commit.
    """
    doc = batches.find_one({"_id": ObjectId(batch_id)}) or _OF_MANIFEST.one(
        batches, profile=profile, batch_id=batch_id
    )
    return None if doc is None else Batch.from_doc(doc)


def ensure(
    batches: Collection[dict[str, Any]],
    key: BatchKey,
    *,
    now: datetime,
    request: Mapping[str, Any] | None = None,
) -> Batch:
    """The batch of the key, created if absent; `request` is stored with a new one."""
    found = find(batches, key)
    if found is not None:
        return found
    doc: dict[str, Any] = {
        "_id": ObjectId(),
        **key.fields(),
        "state": BatchState.OPEN.value,
        "generation": 1,
        "attempt": 0,
        "endedAttempt": 0,
        "attemptCount": 0,
        "continuations": 0,
        "nextAttemptAt": None,
        "pendingTask": None,
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
        raise DaybookError(f"batch {key.fields()} disappeared from {COLLECTION} while it was made")
    return stored


def unannounced(batches: Collection[dict[str, Any]], key: BatchKey) -> list[dict[str, Any]]:
    """Batches of the key's slot, as stored, that have ended and are not announced.

    The caller reads them one by one, so that a damaged one does not hold up the others.
    """
    found = _UNANNOUNCED[_kind(key)].find(batches, profile=key.profile)
    return [doc for doc in found if isinstance(doc["_id"], ObjectId)]


def pending(
    batches: Collection[dict[str, Any]], profile: str
) -> tuple[list[Task], list[DocumentDamaged]]:
    """The calls that have to follow, of days and manual exports, and the batches left unread."""
    tasks: list[Task] = []
    damaged: list[DocumentDamaged] = []
    for doc in _PENDING.find(batches, profile=profile):
        try:
            tasks += [batch.pending for batch in own([doc]) if batch.pending is not None]
        except DocumentDamaged as error:
            damaged.append(error)
    return tasks, damaged


def started_in(batches: Collection[dict[str, Any]], slot_id: str) -> list[Batch]:
    """All batches of a slot that have started an attempt; raises `DocumentDamaged`."""
    profile, slash, _ = slot_id.partition("/")
    found = ALL["manualKey" if slash else "batchDate"].find(
        batches, profile=profile, projection={"rejected": 0}
    )
    return [batch for batch in own(found) if batch.fence]


def possibly_sealed(begun: Iterable[Batch]) -> list[Batch]:
    """Of a slot's batches, those whose seal it may still hold: no commit has emptied it since."""
    begun = list(begun)
    ours = [batch for batch in begun if batch.finished and "recordedElsewhere" not in batch.doc]
    emptied = max((batch.fence for batch in ours), default=0)
    open_ones = (BatchState.OPEN, BatchState.FAILED)
    return [batch for batch in begun if batch.state in open_ones and batch.fence > emptied]


def later_day_continues(
    batches: Collection[dict[str, Any]], batch: Batch, *, since: datetime, until: datetime
) -> bool:
    """Whether a later day, or a later manual export, is due to be resumed in that time."""
    period: dict[str, Any] = {"profile": batch.key.profile, "since": since, "until": until}
    if batch.key.batch_date is None:
        found = _MANUAL_EXPORTS_CONTINUED_LATER.find(batches, batch_id=batch.id, **period)
    else:
        found = _DAYS_CONTINUED_LATER.find(batches, day=batch.key.batch_date, **period)
    return any(isinstance(doc["_id"], ObjectId) and not has_ended(doc) for doc in found)


def unmarked(batches: Collection[dict[str, Any]], key: BatchKey) -> list[Batch]:
    """Batches of the key's slot that are `Batch.unmarked`; raises `DocumentDamaged`."""
    return [Batch.from_doc(doc) for doc in unmarked_documents(batches, key)]


def unmarked_documents(batches: Collection[dict[str, Any]], key: BatchKey) -> list[dict[str, Any]]:
    """The same as stored, for callers that have to work despite a damaged one."""
    found = _UNMARKED[_kind(key)].find(batches, profile=key.profile)
    return [doc for doc in found if isinstance(doc["_id"], ObjectId)]


def _kind(key: BatchKey) -> str:
    """The field that all batches of the key's slot have."""
    return "batchDate" if key.manual_key is None else "manualKey"
