"""Batches: one document per profile and day (or per manual export) with its state."""

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
"""What a batch without `markedAt` has to be for items to be left to mark."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as stored; `doc` is what `exportbatches` holds, for answers."""

    id: ObjectId
    key: BatchKey
    state: BatchState
    generation: int
    attempt: int
    ended_attempt: int
    pending: Task | None
    """The call that has to follow; recorded with the outcome, before it is asked for."""
    continuations: int
    """How often the present attempt was interrupted and handed back."""
    upload_sessions: int
    """How many upload sessions the present attempt has opened; 0 in earlier versions' batches."""
    fence: int
    """Of the slot when the last attempt began or was resumed; 0 before the first."""
    schedule_time: datetime | None
    manifest: ManifestRef | None
    """Of the committed file."""
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
        pending = None if nothing_follows(doc) else fields.inner_or_none("pendingTask")
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
        return None if nothing_follows(self.doc) else self.doc.get("nextAttemptAt")

    @property
    def finished(self) -> bool:
        """Committed, and every one of its items marked."""
        return self.state is BatchState.COMMITTED and self.marked_at is not None

    @property
    def unmarked(self) -> bool:
        """Committed, or empty with rejected items, and items are still to be marked."""
        if self.marked_at is not None:
            return False
        all_rejected = self.doc.get("rejectedManifest") is not None
        return self.state is BatchState.COMMITTED or (
            self.state is BatchState.EMPTY and all_rejected
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
        """Whether people were told how it ended."""
        return self.doc.get("alertedAt") is not None

    @property
    def continued(self) -> bool:
        """Whether its attempt stopped at a boundary and waits to be gone on with."""
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
    """A day's or a manual export's."""
    profile = fields.text("profile")
    if fields.has("manualKey"):
        return BatchKey(profile=profile, manual_key=fields.text("manualKey"))
    return BatchKey(profile=profile, batch_date=fields.day("batchDate"))


def _check_facts(fields: Fields, state: BatchState) -> None:
    """What answers, receipts and checks take from `Batch.doc`."""
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


def nothing_follows(doc: Mapping[str, Any]) -> bool:
    """Whether a stored batch has ended, so that no call is due, whatever it says.

    The previous version recorded a call with a batch that was finished already, when the
    answer to its last transaction was lost. An empty day may still be asked for again.
    """
    state = doc.get("state")
    finished = state == BatchState.COMMITTED.value and doc.get("markedAt") is not None
    return finished or bool(state == BatchState.FAILED.value)


def own(found: Iterable[Mapping[str, Any]]) -> Iterator[Batch]:
    """The batches among the documents; one that has no ObjectId is not Daybook's.

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

    It has another id only if it was deleted by hand and made again before the commit.
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
    """The batch of the key, made when it is not there yet; `request` is kept with a new one."""
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
    """Batches of the key's slot, as stored, that have ended and were not announced.

    Each has to be read by itself, so that a damaged one does not keep the others back.
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
    """The calls that have to follow, of days and manual exports, and what keeps others unknown."""
    tasks: list[Task] = []
    damaged: list[DocumentDamaged] = []
    for doc in batches.find({"profile": profile, "pendingTask.due": {"$type": "date"}}):
        try:
            tasks += [batch.pending for batch in own([doc]) if batch.pending is not None]
        except DocumentDamaged as error:
            damaged.append(error)
    return tasks, damaged


def begun_in(batches: Collection[dict[str, Any]], slot_id: str) -> list[Batch]:
    """All batches of a slot of which an attempt has begun; raises `DocumentDamaged`."""
    profile, slash, _ = slot_id.partition("/")
    kind = "manualKey" if slash else "batchDate"
    found = batches.find({"profile": profile, kind: {"$type": "string"}}, {"rejected": 0})
    return [batch for batch in own(found) if batch.fence]


def perhaps_sealed(begun: Iterable[Batch]) -> list[Batch]:
    """Of all batches of a slot, those whose seal it may hold: a commit has emptied it before."""
    begun = list(begun)
    ours = [batch for batch in begun if batch.finished and "recordedElsewhere" not in batch.doc]
    emptied = max((batch.fence for batch in ours), default=0)
    open_ones = (BatchState.OPEN, BatchState.FAILED)
    return [batch for batch in begun if batch.state in open_ones and batch.fence > emptied]


def later_day_continues(
    batches: Collection[dict[str, Any]], batch: Batch, *, since: datetime, until: datetime
) -> bool:
    """Whether a later day, or a later manual export, is due to be gone on with in that time."""
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
    return any(isinstance(doc["_id"], ObjectId) and not nothing_follows(doc) for doc in found)


def unmarked(batches: Collection[dict[str, Any]], key: BatchKey) -> list[Batch]:
    """Batches of the key's slot that are `Batch.unmarked`; raises `DocumentDamaged`."""
    return [Batch.from_doc(doc) for doc in unmarked_documents(batches, key)]


def unmarked_documents(batches: Collection[dict[str, Any]], key: BatchKey) -> list[dict[str, Any]]:
    """The same as stored, for what has to go on without a damaged one."""
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
