"""Records in `exportlogs`: what happened, for the Node application, accountants and auditors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.display import number
from daybook.export.model.figures import Rejected
from daybook.export.model.ids import LENIENT
from daybook.export.model.profile import DAILY
from daybook.export.model.seal import Seal, figures_to_doc
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query

COLLECTION = "exportlogs"


class LogAction(StrEnum):
    CSV_GENERATED = "csv_generated"  # a day's file is delivered; one per profile and date
    BATCH_EMPTY = "batch_empty"  # a day had nothing to export
    ENTRY_REJECTED = "entry_rejected"  # an entry was rejected, with the reason
    MANUAL_EXPORT = "manual_export"  # a copy was made on request; has no batchDate
    ENTRY_REQUEUED = "entry_requeued"  # an operator put a corrected entry back
    OPERATOR_REQUEST = "operator_request"  # a retry, release, verify or audit was requested


def _day_filter(profile: str, batch_date: str | None, action: LogAction) -> dict[str, Any]:
    """The filter for a day's record. Like the Node application, `daily` leaves its name out."""
    return {
        "metadata.batchDate": batch_date,
        "action": action.value,
        "metadata.profile": None if profile == DAILY else profile,
    }


OF_DAY = Query(
    name="records_of_day",
    collection=COLLECTION,
    filter=_day_filter,
    arguments=lambda doc: {
        "batch_date": doc["metadata"]["batchDate"],
        "profile": doc["metadata"].get("profile", DAILY),
        "action": LogAction(doc["action"]),
    },
)

QUERIES = (OF_DAY,)


def generated(
    database: Database[dict[str, Any]],
    profile: str,
    batch_date: str,
    *,
    session: ClientSession | None = None,
) -> Mapping[str, Any] | None:
    """What the day's `csv_generated` record says about its file; None when there is no record.

    Another application may have written it: the fields may be anything, or missing.
    """
    record = OF_DAY.one(
        database.get_collection(COLLECTION, codec_options=LENIENT),
        profile=profile,
        batch_date=batch_date,
        action=LogAction.CSV_GENERATED,
        session=session,
        projection={"metadata": 1},
    )
    if record is None:
        return None
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def by_another(metadata: Mapping[str, Any] | None, batch_id: str | None) -> bool:
    """Whether another application wrote the day's `csv_generated` record.

    A record that names this batch is Daybook's. So is one that names any, if the batch is gone.
    """
    if metadata is None:
        return False
    named = metadata.get("batchId")
    return named is None or (batch_id is not None and named != batch_id)


def delivered(
    seal: Seal, *, profile: str, file_id: str, link: str, delivered_to: str, now: datetime
) -> dict[str, Any]:
    """The record of a delivered file: `csv_generated`, or `manual_export` without a date.

    `delivered_to` is the destination's identity.
    """
    manual = seal.batch_date is None
    action = LogAction.MANUAL_EXPORT if manual else LogAction.CSV_GENERATED
    metadata = {
        **_day(profile, seal.batch_date),
        "filename": seal.filename,
        "fileId": file_id,
        "webViewLink": link,
        "deliveredTo": delivered_to,
        **figures_to_doc(seal.figures),
        "md5": seal.content.md5,
        "sha256": seal.content.sha256,
        "sizeBytes": seal.content.size_bytes,
        "batchId": seal.manifest.batch_id,
        "generation": seal.manifest.generation,
        "attempt": seal.attempt,
        "manifestDigest": seal.manifest.digest,
        "profileDigest": seal.manifest.profile_digest,
    }
    message = f"{seal.filename}: {number(seal.figures.entry_count, 'entry', 'entries')} delivered"
    return _record(action, message, metadata, now)


def empty(
    *, profile: str, batch_date: str, batch_id: str, rejected_count: int, now: datetime
) -> dict[str, Any]:
    """The record of a day without a file."""
    metadata = {
        **_day(profile, batch_date),
        "batchId": batch_id,
        "entryCount": 0,
        "rejectedCount": rejected_count,
    }
    why = "every queued entry was rejected" if rejected_count else "nothing was queued"
    return _record(LogAction.BATCH_EMPTY, f"{batch_date}: {why}, no file was made", metadata, now)


def rejected(
    item: Rejected, *, profile: str, batch_date: str | None, now: datetime
) -> dict[str, Any]:
    metadata = {
        **_day(profile, batch_date),
        "entryId": item.entry_id,
        **({} if item.reference is None else {"reference": item.reference}),
        **item.why(),
    }
    entry = displayed(item.entry_id)
    name = entry if item.reference is None else f"{item.reference} ({entry})"
    return _record(
        LogAction.ENTRY_REJECTED,
        f"entry {name} rejected: {item.detail}",
        metadata,
        now,
        queue_id=item.queue_id,
    )


OPERATOR = "operator"
"""Who did it, where no account was verified."""


def requested(
    operation: str, *, profile: str, batch_date: str, performed_by: str, now: datetime
) -> dict[str, Any]:
    """The record of what an operator asked for, written before it is done.

    What became of it is in the batch. The protocol does not read it.
    """
    return _record(
        LogAction.OPERATOR_REQUEST,
        f"{operation} of {batch_date} requested",
        {**_day(profile, batch_date), "operation": operation},
        now,
        performed_by=performed_by,
    )


def requeued(
    queue_id: Any, entry_id: Any, *, now: datetime, performed_by: str = OPERATOR
) -> dict[str, Any]:
    return _record(
        LogAction.ENTRY_REQUEUED,
        f"entry {entry_id} queued again",
        {"entryId": entry_id},
        now,
        queue_id=queue_id,
        performed_by=performed_by,
    )


def _day(profile: str, batch_date: str | None) -> dict[str, Any]:
    day: dict[str, Any] = {} if batch_date is None else {"batchDate": batch_date}
    if profile != DAILY:
        day["profile"] = profile
    return day


def _record(
    action: LogAction,
    message: str,
    metadata: Mapping[str, Any],
    now: datetime,
    *,
    queue_id: Any = None,
    performed_by: str = "system",
) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "queueId": queue_id,
        "action": action.value,
        "message": message,
        "performedBy": performed_by,
        "metadata": dict(metadata),
        "createdAt": now,
        "updatedAt": now,
    }
