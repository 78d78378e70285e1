"""The commit: a file under the slot's ID gets its record, and its first items are marked.

The record, the batch, the items and the slot change in one transaction, which never waits for
the destination. The other items are marked directly afterwards, in `marking.py`.
"""

from __future__ import annotations

import logging
from datetime import datetime
from enum import Enum, auto
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from daybook import log
from daybook.destinations.base import DeliveredFile
from daybook.errors import (
    DatabaseError,
    DaybookError,
    DestinationRefused,
    FencedOut,
)
from daybook.export.abandon import abandon_id
from daybook.export.batch import batches, export_log, transitions
from daybook.export.batch.batch import profile_of
from daybook.export.batch.export_log import LogAction
from daybook.export.context import Context
from daybook.export.model.notice import Alert, AlertEvent
from daybook.export.model.profile import Profile
from daybook.export.model.seal import Seal, SettlementAction, settlement_of
from daybook.export.recording import Recording
from daybook.export.slot import orphans
from daybook.export.slot.slot import Slot
from daybook.export.slot.state import EMPTIED


class Committed(Enum):
    OURS = auto()  # the day's record names this file
    ANOTHER = auto()  # the day's record names another file; this one is an orphan


def commit_file(ctx: Context, file: DeliveredFile) -> Committed | None:
    """Commit the file stored under the slot's ID, for the day of the seal that it matches.

    Returns None when it matches no seal: the ID is then abandoned, and the sweep watches it.
    Raises `DestinationRefused` when the file matches seals of several days and nothing tells
    them apart, and `DatabaseError` when MongoDB refuses the commit, with an alert if only an
    operator can help.
    """
    settlement = settlement_of(ctx.slot.state.seals, file)
    if settlement.action is SettlementAction.UNCLEAR:
        alike = {seal.filename for seal in ctx.slot.state.seals if seal.content.md5 == file.md5}
        raise DestinationRefused(
            f"file {file.id} is named {file.name}, and its properties are hidden from this "
            f"account: its content was sealed as {' and as '.join(sorted(alike))}. "
            "Rename it back to the name it had, then retry"
        )
    if settlement.action is not SettlementAction.COMMIT or settlement.seal is None:
        abandon_id(ctx, orphans.OrphanReason.UNSEALED, seen=True)
        return None
    seal = settlement.seal
    profile = _profile_of(ctx, seal)
    with log.bound(
        step="commit",
        batch_date=seal.batch_date,
        batch_id=seal.manifest.batch_id,
        attempt=seal.attempt,
    ):
        try:
            committed = _commit(
                ctx.database,
                ctx.slot,
                profile,
                seal,
                file,
                delivered_to=ctx.destination.identity,
                hidden_at=ctx.destination.identity if ctx.destination.publishes else None,
                recovered=_is_of_dead_run(ctx, seal),
                now=ctx.now(),
            )
        except FencedOut:
            raise
        except PyMongoError as error:
            failure = DatabaseError.of(f"commit of {seal.filename}", error)
            _alert_unrecorded(ctx, seal, file, failure)
            raise failure from error
        except DaybookError as error:
            _alert_unrecorded(ctx, seal, file, error)
            raise
        ctx.breaker.close(ctx.now())
        if committed is Committed.OURS:
            _log_commit(ctx, seal, file)
    return committed


def _profile_of(ctx: Context, seal: Seal) -> Profile:
    """The profile that the sealed file was made for; it may have been edited since."""
    current, manifest = ctx.exporter.profile, seal.manifest
    if manifest.fits(current):
        return current
    batch = batches.of_manifest(ctx.batches, current.name, manifest.batch_id)
    return profile_of(batch, manifest, current)


def _is_of_dead_run(ctx: Context, seal: Seal) -> bool:
    """Whether the run that sent the file neither ended its attempt nor handed it back."""
    batch = batches.of_manifest(ctx.batches, ctx.job.key.profile, seal.manifest.batch_id)
    return (
        batch is not None
        and batch.attempt > batch.ended_attempt
        and not batch.continued
        and batch.fence < ctx.first_fence
    )


def _commit(
    database: Database[dict[str, Any]],
    slot: Slot,
    profile: Profile,
    seal: Seal,
    file: DeliveredFile,
    *,
    delivered_to: str,
    hidden_at: str | None,
    recovered: bool,
    now: datetime,
) -> Committed:
    """Record a sealed file as delivered and empty the slot, in one transaction.

    It marks the first part of the manifest; `marking.finish_marking` marks the rest. `hidden_at` is
    the identity of a destination that has yet to publish the file.
    Raises `FencedOut`, or `DatabaseError` when nothing was committed.
    """
    recording = Recording.of(
        database,
        profile,
        seal,
        file_id=file.id,
        link=file.link,
        delivered_to=delivered_to,
        hidden_at=hidden_at,
        recovered=recovered,
        now=now,
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
    """Find out how an uncertain or refused commit ended.

    The write to the slot comes first: it waits for a transaction that is still committing
    and aborts one that has not started to commit, so what is read afterwards is final.
    """
    slot.transaction(lambda _session: None)
    if database[export_log.COLLECTION].find_one({"_id": record_id}) is not None:
        return Committed.OURS
    found = seal.batch_date and export_log.OF_DAY.one(
        database,
        profile=profile.name,
        batch_date=seal.batch_date,
        action=LogAction.CSV_GENERATED,
    )
    if not found or not isinstance(error, DuplicateKeyError):
        raise DatabaseError.of(
            f"commit of {seal.filename}, which exists without a record as {file.id}", error
        ) from error

    def adopt_other(session: ClientSession) -> None:
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

    slot.transaction(adopt_other, sets=EMPTIED)
    return Committed.ANOTHER


def _alert_unrecorded(ctx: Context, seal: Seal, file: DeliveredFile, error: DaybookError) -> None:
    """Alert that the file has no record, and store it, unless a later run can record it."""
    if not error.permanent:
        return
    ctx.exporter.messenger.alert(
        Alert(
            event=AlertEvent.FILE_UNRECORDED,
            severity=logging.CRITICAL,
            profile=ctx.job.key.profile,
            batch_date=seal.batch_date,
            batch_id=seal.manifest.batch_id,
            facts={
                "filename": seal.filename,
                "file_id": file.id,
                "link": file.link,
                "error_type": error.type,
                "error": str(error),
            },
        )
    )
    try:
        batches.record_unrecorded(
            ctx.batches,
            ObjectId(seal.manifest.batch_id),
            file={"filename": seal.filename, "fileId": file.id, "webViewLink": file.link},
            now=ctx.now(),
        )
    except PyMongoError as unstored:
        # The alert is out, and what the caller raises says more than this would.
        error.add_note(f"The status page will not show it: {unstored}")


def _log_commit(ctx: Context, seal: Seal, file: DeliveredFile) -> None:
    batch = ctx.batches.find_one({"_id": ObjectId(seal.manifest.batch_id)}) or {}
    began, ended = batch.get("startedAt"), batch.get("committedAt")
    took = None if began is None or ended is None else (ended - began).total_seconds()
    log.event(
        logging.INFO,
        "batch_committed",
        f"{seal.filename} is delivered and recorded.",
        file_id=file.id,
        filename=seal.filename,
        entry_count=seal.figures.entry_count,
        row_count=seal.figures.row_count,
        rejected_count=seal.figures.rejected_count,
        size_bytes=seal.content.size_bytes,
        duration_seconds=took,
        sha256=seal.content.sha256,
    )
