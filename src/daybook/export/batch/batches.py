"""The batches in their collection: found, read and created.

What is stored of their alerts and receipts only adds fields, without a fence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from daybook.errors import DaybookError, DocumentDamaged
from daybook.export.batch.batch import COLLECTION as COLLECTION
from daybook.export.batch.batch import Batch, has_ended
from daybook.export.model.lifecycle import BatchState, Task, TaskKind
from daybook.export.model.profile import BatchKey
from daybook.mongo.query import Document, Query

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


def record_unrecorded(
    batches: Collection[dict[str, Any]],
    batch_id: ObjectId,
    *,
    file: Mapping[str, Any],
    now: datetime,
) -> None:
    """Store that the file is visible, and MongoDB refuses its record. Only adds a field."""
    batches.update_one(
        {"_id": batch_id, "state": {"$ne": BatchState.COMMITTED.value}},
        {"$set": {"unrecorded": {**file, "at": now}}},
    )


def record_publish_alert(
    batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime
) -> None:
    """Record the alert that the file could not be given its name. Only adds a field."""
    batches.update_one({"_id": batch.id}, {"$set": {"publishAlertedAt": now}})


def record_marking_alert(
    batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime
) -> None:
    """Record the alert that items cannot be marked. Only adds a field."""
    batches.update_one({"_id": batch.id}, {"$set": {"markingAlertedAt": now}})


def record_announced(batches: Collection[dict[str, Any]], batch: Batch, *, now: datetime) -> None:
    """Record that this end of the batch was announced. Needs no fence: it only adds a field."""
    batches.update_one(
        {
            "_id": batch.id,
            "state": batch.state.value,
            "generation": batch.generation,
            "attempt": batch.attempt,
        },
        {"$set": {"alertedAt": now}},
    )


def _kind(key: BatchKey) -> str:
    """The field that all batches of the key's slot have."""
    return "batchDate" if key.manual_key is None else "manualKey"
