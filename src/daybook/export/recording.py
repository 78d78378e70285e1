"""What a commit writes besides the slot: record, batch, marks. A rehearsal tries the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from daybook import write_errors
from daybook.errors import DatabaseError
from daybook.export.batch import batches, export_log, transitions
from daybook.export.batch.batch import keep_rejected, read_rejected
from daybook.export.context import Context
from daybook.export.model.ids import hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.seal import Seal
from daybook.export.queue import manifest as manifests
from daybook.export.queue.mark import Delivery, Discrepancies, mark_copies, mark_part
from daybook.export.slot.state import EMPTIED
from daybook.mongo import indexes
from daybook.mongo.objects import may_refuse_some
from daybook.write_errors import Cause

LISTED = 1000
"""Discrepant items that a record lists; more are only counted."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What the commit's transaction, and its rehearsal, write besides the slot."""

    database: Database[dict[str, Any]]
    seal: Seal
    delivery: Delivery
    first: Part
    record: Mapping[str, Any]
    file_id: str
    link: str
    delivered_to: str
    """The destination's identity."""
    hidden_at: str | None
    recovered: bool
    """Whether a later run found the file of one that ended without recording anything."""
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
        delivered_to: str,
        hidden_at: str | None,
        now: datetime,
        recovered: bool = False,
    ) -> Self:
        stored = database[manifests.COLLECTION]
        return cls(
            database=database,
            seal=seal,
            delivery=Delivery.of_seal(
                seal,
                profile=profile,
                rejected=read_rejected(stored, seal.rejected_id),
                file_id=file_id,
                link=link,
            ),
            first=next(manifests.read(stored, seal.manifest)),
            record=export_log.delivered(
                seal,
                profile=profile.name,
                file_id=file_id,
                link=link,
                delivered_to=delivered_to,
                now=now,
            ),
            file_id=file_id,
            link=link,
            delivered_to=delivered_to,
            hidden_at=hidden_at,
            recovered=recovered,
            now=now,
        )

    def write(self, session: ClientSession) -> None:
        """Write the record, the batch, and the marks of the first part."""
        self.database[export_log.COLLECTION].insert_one(dict(self.record), session=session)
        transitions.record_commit(
            self.database[batches.COLLECTION],
            session,
            self.seal,
            rejected=self.delivery.rejected,
            file_id=self.file_id,
            link=self.link,
            profile=self.delivery.profile.name,
            delivered_to=self.delivered_to,
            hidden_at=self.hidden_at,
            record_id=self.record["_id"],
            recovered=self.recovered,
            now=self.now,
        )
        keep_rejected(
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
        in_first = {
            (hashable(item.queue_id), hashable(item.entry_id))
            for item in self.delivery.rejected_of(self.first)
        }
        later = next(
            (
                item
                for item in self.delivery.rejected
                if (hashable(item.queue_id), hashable(item.entry_id)) not in in_first
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


def rehearse(ctx: Context, seal: Seal) -> bool:
    """Try everything that the commit of `seal` will write, then abort it.

    Called before the seal is stored, so that a validator, an index or a missing privilege
    refuses the writes while no file is visible. It tries the first part and one rejected
    item of the later parts; it tries every part where a validator or another application's
    index could refuse a single document.

    Returns False when another application has recorded the day as delivered. Raises
    `DatabaseError` naming the collection, `FencedOut`, and `Interrupted` between two parts.
    """
    database, now = ctx.database, ctx.now()
    file_id = ctx.slot.state.file_id
    assert file_id is not None  # noqa: S101  (stored before any byte was sent)
    destination = ctx.destination
    recording = Recording.of(
        database,
        ctx.exporter.profile,
        seal,
        file_id=file_id,
        link=destination.link(file_id, seal.filename),
        delivered_to=destination.identity,
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
        failure = DatabaseError.of(f"rehearsal of the commit of {seal.filename}", error)
        if failure.refused is not None and failure.refused.is_by(indexes.ONE_FILE_A_DAY.collection):
            return False
        raise failure from error
    return True


def _single_documents_matter(ctx: Context) -> bool:
    """Whether MongoDB might accept one item's mark and refuse another's, as far as we can see."""
    written = (ctx.exporter.profile.source.queue, export_log.COLLECTION)
    try:
        return any(may_refuse_some(ctx.database, name) for name in written)
    except OperationFailure as error:
        if write_errors.describe(error).cause is not Cause.PRIVILEGE:
            raise
        return True  # without the right to see it, all parts are tried


def mark(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    record_id: Any,
    now: datetime,
    completed: int | None = None,
) -> None:
    """Mark a part's items; the record lists those that others have changed since the plan.

    `completed` is how many items are completed already, if that was tried; see `mark_part`.
    """
    if delivery.batch_date is None:
        mark_copies(database, session, delivery, part, now=now)
    else:
        found = mark_part(database, session, delivery, part, now=now, completed=completed)
        _list_discrepancies(database, session, record_id, found)


def _list_discrepancies(
    database: Database[dict[str, Any]], session: ClientSession, record_id: Any, found: Discrepancies
) -> None:
    if not found:
        return
    # If the record was deleted by hand, the list is lost; its items are marked all the same.
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
