"""The commit: record, batch, items and slot in one transaction that never waits for Drive.

`rehearse` tries the same before the file can become visible.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from daybook import write_errors
from daybook.destinations.base import DeliveredFile
from daybook.errors import DatabaseError, FencedOut
from daybook.export.batch import batch as batches
from daybook.export.batch import export_log, rejections, transitions
from daybook.export.batch.batch import Batch
from daybook.export.batch.export_log import LogAction
from daybook.export.context import Context
from daybook.export.model.ids import hashable
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.notice import AlertEvent
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.seal import Seal
from daybook.export.queue import manifest as manifests
from daybook.export.queue.mark import Delivery, Discrepancies, mark_copies, mark_part
from daybook.export.slot import orphans
from daybook.export.slot.slot import Slot
from daybook.export.slot.state import EMPTIED
from daybook.mongo import indexes
from daybook.mongo.objects import may_refuse_some
from daybook.write_errors import Cause


class RecordedElsewhere(Exception):
    """Another application has recorded the day as delivered while the file was made."""


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
    recording = _Recording.of(
        database, profile, seal, file_id=file.id, link=file.link, hidden_at=hidden_at, now=now
    )
    try:
        slot.transaction(recording.write, sets=EMPTIED)
    except FencedOut:
        raise
    except PyMongoError as error:
        return _read_back(
            database, slot, profile, seal, file, recording.record["_id"], error, now=now
        )
    return Committed.OURS


def rehearse(ctx: Context, seal: Seal) -> None:
    """Try everything that the commit of `seal` will write, and undo it, before it is stored.

    So MongoDB refuses a validator's, an index's or a privilege's case while no file is
    visible. The first part is tried, and one rejected item of those that follow; all parts,
    where a validator or another application's index could refuse a single document.
    Raises `DatabaseError` naming the collection, `RecordedElsewhere`, `FencedOut`, and
    `Interrupted` between two parts.
    """
    database, now = ctx.database, ctx.now()
    file_id = ctx.slot.state.file_id
    assert file_id is not None  # noqa: S101  (stored before any byte was sent)
    destination = ctx.destination
    recording = _Recording.of(
        database,
        ctx.exporter.profile,
        seal,
        file_id=file_id,
        link=destination.link(file_id, seal.filename),
        hidden_at=destination.identity if destination.publishes else None,
        now=now,
    )

    def work(session: ClientSession) -> None:
        recording.write(session)
        recording.mark_later_rejected(session)
        transitions.record_marked(
            database[batches.COLLECTION], session, ObjectId(seal.manifest.batch_id), now=now
        )

    try:
        ctx.slot.rehearse(work, sets=EMPTIED)
        if seal.manifest.part_count > 1 and _single_documents_matter(ctx):
            for part in manifests.read(ctx.manifests, seal.manifest, first=1):
                ctx.stop_token.check_process()
                ctx.slot.rehearse(partial(recording.mark, part))
    except PyMongoError as error:
        told = DatabaseError.of(f"rehearsal of the commit of {seal.filename}", error)
        if told.refused is not None and told.refused.is_by(indexes.ONE_FILE_A_DAY.collection):
            raise RecordedElsewhere(str(told)) from error
        raise told from error


def _single_documents_matter(ctx: Context) -> bool:
    """Whether MongoDB may accept one item's mark and refuse another's, as far as can be seen."""
    written = (ctx.exporter.profile.source.queue, export_log.COLLECTION)
    try:
        return any(may_refuse_some(ctx.database, name) for name in written)
    except OperationFailure as error:
        if write_errors.describe(error).cause is not Cause.PRIVILEGE:
            raise
        return True  # it cannot be seen, so all parts are tried


def finish(ctx: Context, batch: Batch) -> None:
    """Mark what the commit left unmarked, part by part, then sign the marking off.

    Parts that are marked are passed over, so it may be repeated after a crash. Raises
    `Interrupted` between two parts when the process has to end.
    """
    database, now = ctx.database, ctx.now()
    delivery = Delivery.of_batch(
        batch.doc,
        profile=ctx.exporter.profile,
        rejected=rejections.of_batch(ctx.manifests, batch.doc),
    )
    parts = {
        doc["_id"]: delivery.closing_field in doc
        for doc in database[manifests.COLLECTION].find(
            {"_id": {"$gte": delivery.manifest.prefix, "$lt": delivery.manifest.prefix + "~"}},
            {delivery.closing_field: 1},
        )
    }
    # Without a file nothing is lost with a part: its items are queued still.
    dispensable = delivery.file_id is None
    record_id = batch.doc["recordId"]
    for number in range(delivery.manifest.part_count):
        if parts.get(delivery.manifest.part_id(number), dispensable):
            continue
        ctx.stop_token.check_process()
        part = next(manifests.read(database[manifests.COLLECTION], delivery.manifest, first=number))

        def work(session: ClientSession, part: Part = part) -> None:
            mark(database, session, delivery, part, record_id=record_id, now=now)

        ctx.slot.transaction(work)
    if batch.state is BatchState.COMMITTED:
        _alert_discrepancies(ctx, batch)
    ctx.slot.transaction(
        lambda session: transitions.record_marked(
            database[batches.COLLECTION], session, batch.id, now=now
        )
    )


@dataclass(frozen=True, kw_only=True)
class _Recording:
    """What the commit's transaction writes, beside the slot; the rehearsal writes the same."""

    database: Database[dict[str, Any]]
    seal: Seal
    delivery: Delivery
    first: Part
    record: Mapping[str, Any]
    file_id: str
    link: str
    hidden_at: str | None
    now: datetime

    @classmethod
    def of(
        cls,
        database: Database[dict[str, Any]],
        profile: Profile,
        seal: Seal,
        *,
        file_id: str,
        link: str,
        hidden_at: str | None,
        now: datetime,
    ) -> Self:
        stored = database[manifests.COLLECTION]
        return cls(
            database=database,
            seal=seal,
            delivery=Delivery.of_seal(
                seal,
                profile=profile,
                rejected=rejections.read(stored, seal.rejected_id),
                file_id=file_id,
                link=link,
            ),
            first=next(manifests.read(stored, seal.manifest)),
            record=export_log.delivered(
                seal, profile=profile.name, file_id=file_id, link=link, now=now
            ),
            file_id=file_id,
            link=link,
            hidden_at=hidden_at,
            now=now,
        )

    def write(self, session: ClientSession) -> None:
        """The record, the batch, and the marks of the first part."""
        self.database[export_log.COLLECTION].insert_one(dict(self.record), session=session)
        transitions.record_commit(
            self.database[batches.COLLECTION],
            session,
            self.seal,
            rejected=self.delivery.rejected,
            file_id=self.file_id,
            link=self.link,
            profile=self.delivery.profile.name,
            hidden_at=self.hidden_at,
            record_id=self.record["_id"],
            now=self.now,
        )
        rejections.keep(
            self.database[manifests.COLLECTION], session, self.seal.rejected_id, now=self.now
        )
        self.mark(self.first, session)

    def mark(self, part: Part, session: ClientSession) -> None:
        mark(
            self.database,
            session,
            self.delivery,
            part,
            record_id=self.record["_id"],
            now=self.now,
        )

    def mark_later_rejected(self, session: ClientSession) -> None:
        """Mark one rejected item that is not in the first part, if there is one."""
        here = {
            (hashable(item.queue_id), hashable(item.entry_id))
            for item in self.delivery.rejected_of(self.first)
        }
        later = next(
            (
                item
                for item in self.delivery.rejected
                if (hashable(item.queue_id), hashable(item.entry_id)) not in here
            ),
            None,
        )
        if later is not None:
            self.mark(
                Part(
                    number=self.first.number,
                    queue_ids=[later.queue_id],
                    entry_ids=[later.entry_id],
                    duplicates={},
                ),
                session,
            )


def mark(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    record_id: Any,
    now: datetime,
) -> None:
    """Mark a part's items; what others changed meanwhile is listed in the record."""
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
    record_id: ObjectId,
    error: PyMongoError,
    *,
    now: datetime,
) -> Committed:
    """Learn from what is stored how a doubtful or refused commit ended.

    Writing to the slot first waits for a transaction that is still on its way, and
    makes one that has not begun to commit fail: what is read then is final.
    """
    slot.transaction(lambda _session: None)
    if database[export_log.COLLECTION].find_one({"_id": record_id}) is not None:
        return Committed.OURS
    found = seal.batch_date and database[export_log.COLLECTION].find_one(
        export_log.day_filter(profile.name, seal.batch_date, LogAction.CSV_GENERATED)
    )
    if not found or not isinstance(error, DuplicateKeyError):
        raise DatabaseError.of(
            f"commit of {seal.filename}, which exists without a record as {file.id}", error
        ) from error

    def give_up(session: ClientSession) -> None:
        orphans.insert(
            database,
            session,
            slot.state,
            profile=profile.name,
            reason=orphans.OrphanReason.DAY_RECORDED_ELSEWHERE,
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
    # A record that was deleted by hand takes the list with it; its items are marked all the same.
    database[export_log.COLLECTION].update_one(
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
