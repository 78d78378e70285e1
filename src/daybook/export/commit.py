"""The commit: record, batch, items and slot in one transaction that never waits for Drive."""

from __future__ import annotations

import logging
from datetime import datetime
from enum import Enum, auto
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from daybook.destinations.base import DeliveredFile
from daybook.errors import DatabaseError, FencedOut
from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export import orphans, records, transitions
from daybook.export.batch import Batch
from daybook.export.context import Context
from daybook.export.mark import Delivery, Discrepancies, mark_copies, mark_part
from daybook.export.notice import AlertEvent
from daybook.export.part import Part
from daybook.export.profile import Profile
from daybook.export.records import LogAction
from daybook.export.seal import Seal
from daybook.export.slot import Slot
from daybook.export.slot_state import EMPTIED

LISTED = 1000
"""Discrepant items named in a record; beyond that only their number grows."""


class Committed(Enum):
    OURS = auto()  # the day's record names this file
    ANOTHER = auto()  # the day's record names another file; this one is an orphan


def commit(
    database: Database[dict[str, Any]],
    slot: Slot,
    profile: Profile,
    seal: Seal,
    file: DeliveredFile,
    *,
    hidden_at: str | None,
    now: datetime,
) -> Committed:
    """Record a sealed file that stands at the slot's id as delivered, and empty the slot.

    Marks the first part of the manifest; `finish` marks the rest. `hidden_at` is the
    identity of a destination that has still to publish the file.
    Raises `FencedOut`, or `DatabaseError` when nothing was committed.
    """
    rejected = manifests.read_rejected(database[manifests.COLLECTION], seal.rejected_id)
    delivery = Delivery.of_seal(
        seal, profile=profile, rejected=rejected, file_id=file.id, link=file.link
    )
    first = next(manifests.read(database[manifests.COLLECTION], seal.manifest))
    record = records.delivered(seal, profile=profile.name, file_id=file.id, link=file.link, now=now)

    def work(session: ClientSession) -> None:
        database[records.COLLECTION].insert_one(dict(record), session=session)
        transitions.record_commit(
            database[batches.COLLECTION],
            session,
            seal,
            rejected=rejected,
            file_id=file.id,
            link=file.link,
            hidden_at=hidden_at,
            record_id=record["_id"],
            now=now,
        )
        _mark(database, session, delivery, first, record_id=record["_id"], now=now)

    try:
        slot.transaction(work, sets=EMPTIED)
    except FencedOut:
        raise
    except PyMongoError as error:
        return _read_back(database, slot, profile, seal, file, error, now=now)
    return Committed.OURS


def finish(ctx: Context, batch: Batch) -> None:
    """Mark what the commit left unmarked, part by part, then sign the marking off.

    Parts that are marked are passed over, so it may be repeated after a crash. Raises
    `Interrupted` between two parts when the process has to end.
    """
    database, now = ctx.database, ctx.now()
    delivery = Delivery.of_batch(batch.doc, profile=ctx.exporter.profile)
    marked = {
        doc["_id"]
        for doc in database[manifests.COLLECTION].find(
            {
                "_id": {"$gte": delivery.manifest.prefix, "$lt": delivery.manifest.prefix + "~"},
                "markedAt": {"$exists": True},
            },
            {"_id": 1},
        )
    }
    record_id = batch.doc["recordId"]
    for number in range(delivery.manifest.part_count):
        if delivery.manifest.part_id(number) in marked:
            continue
        ctx.halt.check_process()
        part = next(manifests.read(database[manifests.COLLECTION], delivery.manifest, first=number))

        def work(session: ClientSession, part: Part = part) -> None:
            _mark(database, session, delivery, part, record_id=record_id, now=now)

        ctx.slot.transaction(work)
    _alert_discrepancies(ctx, batch)
    ctx.slot.transaction(
        lambda session: transitions.record_marked(
            database[batches.COLLECTION], session, batch.id, now=now
        )
    )


def _mark(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    record_id: Any,
    now: datetime,
) -> None:
    if delivery.batch_date is None:
        mark_copies(database, session, delivery, part, now=now)
    else:
        found = mark_part(database, session, delivery, part, now=now)
        _list_discrepancies(database, session, record_id, found)


def _read_back(
    database: Database[dict[str, Any]],
    slot: Slot,
    profile: Profile,
    seal: Seal,
    file: DeliveredFile,
    error: PyMongoError,
    *,
    now: datetime,
) -> Committed:
    """Learn from what is stored how a doubtful or refused commit ended.

    Writing to the slot first waits for a transaction that is still on its way, and
    makes one that has not begun to commit fail: what is read then is final.
    """
    slot.transaction(lambda _session: None)
    batch = database[batches.COLLECTION].find_one({"_id": ObjectId(seal.manifest.batch_id)})
    if batch is not None and batch.get("fileId") == file.id:
        return Committed.OURS
    found = seal.batch_date and database[records.COLLECTION].find_one(
        records.day_filter(profile.name, seal.batch_date, LogAction.CSV_GENERATED)
    )
    if not found or not isinstance(error, DuplicateKeyError):
        raise DatabaseError.of(f"commit of {seal.filename}", error) from error

    def give_up(session: ClientSession) -> None:
        orphans.insert(
            database,
            session,
            slot.state,
            profile=profile.name,
            reason=orphans.Reason.DAY_RECORDED_ELSEWHERE,
            file_id=file.id,
            now=now,
        )
        transitions.adopt(
            database[batches.COLLECTION], session, ObjectId(seal.manifest.batch_id), found, now=now
        )

    slot.transaction(give_up, sets=EMPTIED)
    return Committed.ANOTHER


def _list_discrepancies(
    database: Database[dict[str, Any]], session: ClientSession, record_id: Any, found: Discrepancies
) -> None:
    if not found:
        return
    database[records.COLLECTION].update_one(
        {"_id": record_id},
        {
            "$push": {
                "metadata.goneItems": {"$each": list(found.gone), "$slice": LISTED},
                "metadata.completedElsewhereItems": {
                    "$each": list(found.completed_elsewhere),
                    "$slice": LISTED,
                },
            },
            "$inc": {
                "metadata.goneCount": len(found.gone),
                "metadata.completedElsewhereCount": len(found.completed_elsewhere),
            },
        },
        session=session,
    )


def _alert_discrepancies(ctx: Context, batch: Batch) -> None:
    record = ctx.logs.find_one({"_id": batch.doc["recordId"]})
    metadata = {} if record is None else record["metadata"]
    gone = metadata.get("goneCount", 0)
    elsewhere = metadata.get("completedElsewhereCount", 0)
    if gone or elsewhere:
        ctx.alert(
            AlertEvent.ITEMS_CHANGED_AFTER_SEAL,
            logging.CRITICAL,
            batch,
            filename=metadata["filename"],
            file_id=metadata["fileId"],
            gone_count=gone,
            completed_elsewhere_count=elsewhere,
        )
