"""Batches: one document with its state per profile and day, or per manual export."""

from __future__ import annotations

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
from daybook.export.model.seal import ManifestRef, totals_from
from daybook.export.model.task import Task, TaskKind

COLLECTION = "exportbatches"

UNMARKED = [
    {"state": BatchState.COMMITTED.value},
    {"state": BatchState.EMPTY.value, "rejectedManifest": {"$type": "object"}},
]
"""Conditions under which a batch without `markedAt` has items still to be marked."""


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


_TIMES = (
    *("nextAttemptAt", "startedAt", "committedAt", "alertedAt", "releasedAt", "publishAlertedAt"),
    *("markingAlertedAt", "createdAt", "updatedAt"),
)
_TEXTS = ("filename", "fileId", "webViewLink", "md5", "sha256", "rejectedId", "hiddenAt")
_COUNTS = (
    *("sizeBytes", "entryCount", "rowCount", "rejectedCount", "normalisedCount"),
    *("otherMonthCount", "attemptCount", "conflictCount"),
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
    for name in ("request", "errorCounts", "rejectedManifest", "manifest"):
        fields.inner_or_none(name)
    if fields.has("totals"):
        totals_from(fields)
    if fields.has("rejected"):
        fields.read("rejected", lambda items: [*map(Rejected.from_doc, items)])
    if fields.has("rejectedReasons"):
        reasons = fields.inner("rejectedReasons")
        for reason in fields.read("rejectedReasons", list[str]):
            reasons.whole(reason)
    error = fields.inner_or_none("error")
    if error is not None:
        error.text("type")
        error.text("message")


def _object_id(value: object) -> ObjectId:
    if not isinstance(value, ObjectId):
        raise TypeError("it must be an ObjectId")
    return value


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
    doc = batches.find_one(key.filter(), session=session)
    return None if doc is None else Batch.from_doc(doc)


def of_manifest(batches: Collection[dict[str, Any]], profile: str, batch_id: str) -> Batch | None:
    """The batch of the file whose manifest was planned for `batch_id`.

    It has another ID only if it was deleted by hand and created again before the commit.
    """
    doc = batches.find_one({"_id": ObjectId(batch_id)}) or batches.find_one(
        {"profile": profile, "manifest.batchId": batch_id, "_id": {"$type": "objectId"}}
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
    kind = "batchDate" if key.manual_key is None else "manualKey"
    found = batches.find(
        {
            "profile": key.profile,
            "alertedAt": {"$type": "null"},
            kind: {"$type": "string"},
            "$or": [
                {"state": {"$in": [BatchState.EMPTY.value, BatchState.FAILED.value]}},
                {"state": BatchState.COMMITTED.value, "markedAt": {"$ne": None}},
            ],
        }
    )
    return [doc for doc in found if isinstance(doc["_id"], ObjectId)]


def pending(
    batches: Collection[dict[str, Any]], profile: str
) -> tuple[list[Task], list[DocumentDamaged]]:
    """The calls that have to follow, of days and manual exports, and the batches left unread."""
    tasks: list[Task] = []
    damaged: list[DocumentDamaged] = []
    for doc in batches.find({"profile": profile, "pendingTask.due": {"$type": "date"}}):
        try:
            tasks += [batch.pending for batch in own([doc]) if batch.pending is not None]
        except DocumentDamaged as error:
            damaged.append(error)
    return tasks, damaged


def started_in(batches: Collection[dict[str, Any]], slot_id: str) -> list[Batch]:
    """All batches of a slot that have started an attempt; raises `DocumentDamaged`."""
    profile, slash, _ = slot_id.partition("/")
    kind = "manualKey" if slash else "batchDate"
    found = batches.find({"profile": profile, kind: {"$type": "string"}}, {"rejected": 0})
    return [batch for batch in own(found) if batch.fence]


def possibly_sealed(begun: Iterable[Batch]) -> list[Batch]:
    """Of a slot's batches, those whose seal it may hold: later commits would have emptied it."""
    begun = list(begun)
    ours = [batch for batch in begun if batch.finished and "recordedElsewhere" not in batch.doc]
    emptied = max((batch.fence for batch in ours), default=0)
    open_ones = (BatchState.OPEN, BatchState.FAILED)
    return [batch for batch in begun if batch.state in open_ones and batch.fence > emptied]


def later_day_continues(
    batches: Collection[dict[str, Any]], batch: Batch, *, since: datetime, until: datetime
) -> bool:
    """Whether a later day, or a later manual export, is due to be resumed in that time."""
    later: dict[str, Any] = {"batchDate": {"$gt": batch.key.batch_date, "$type": "string"}}
    if batch.key.batch_date is None:
        later = {"_id": {"$gt": batch.id}, "manualKey": {"$type": "string"}}
    filters = {
        "profile": batch.key.profile,
        "pendingTask.due": {"$type": "date", "$gte": since, "$lte": until},
        "pendingTask.kind": TaskKind.CONTINUATION.value,
        **later,
    }
    found = batches.find(filters, {"state": 1, "markedAt": 1})
    return any(isinstance(doc["_id"], ObjectId) and not has_ended(doc) for doc in found)


def unmarked(batches: Collection[dict[str, Any]], key: BatchKey) -> list[Batch]:
    """Batches of the key's slot that are `Batch.unmarked`; raises `DocumentDamaged`."""
    return [Batch.from_doc(doc) for doc in unmarked_documents(batches, key)]


def unmarked_documents(batches: Collection[dict[str, Any]], key: BatchKey) -> list[dict[str, Any]]:
    """The same as stored, for callers that have to work despite a damaged one."""
    kind = "batchDate" if key.manual_key is None else "manualKey"
    found = batches.find(
        {
            "profile": key.profile,
            "markedAt": None,
            kind: {"$type": "string"},
            "$or": UNMARKED,
        }
    )
    return [doc for doc in found if isinstance(doc["_id"], ObjectId)]
