"""Settling: what an earlier run left, a file at the slot's id or items unmarked, is brought home.

Whoever holds the slot does this first; nothing new is planned before.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from daybook import log
from daybook.destinations.base import DeliveredFile
from daybook.errors import (
    CircuitOpen,
    DatabaseError,
    DaybookError,
    DestinationError,
    DestinationRefused,
    FencedOut,
)
from daybook.export.batch import transitions
from daybook.export.batch.batch import Batch, unmarked
from daybook.export.commit import Committed, commit, finish
from daybook.export.context import Context
from daybook.export.model import settlement
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.notice import Alert, AlertEvent
from daybook.export.model.seal import Seal
from daybook.export.model.settlement import SettlementAction
from daybook.export.restore import restore_deleted
from daybook.export.slot import orphans
from daybook.export.slot.state import ABANDONED
from daybook.export.upload.lookup import find_file

REFUSALS = 3
"""Runs that an id may be refused to, unseen, however soon after one another."""


def settle_slot(ctx: Context) -> None:
    """Settle the slot and finish what was committed.

    While the destination rests only what needs none is done, then `CircuitOpen` is raised.
    """
    restore_deleted(
        ctx.database,
        ctx.slot,
        ctx.job.key,
        hidden_at=ctx.destination.identity if ctx.destination.publishes else None,
        now=ctx.now(),
    )
    try:
        ctx.breaker.admit(ctx.slot, ctx.now())
    except CircuitOpen:
        if not ctx.destination.publishes:
            finish_marking(ctx)
        raise
    with log.bound(step="settle"):
        settle(ctx)
        finish_marking(ctx)


def settle(ctx: Context) -> None:
    """Ask the destination for the slot's id, if a seal says that a file may stand there.

    Raises `DestinationError` when it cannot be asked.
    """
    state = ctx.slot.state
    if state.file_id is None:
        return
    file = find_file(ctx.destination, state.file_id, ctx.retry_budget) if state.seals else None
    if file is not None:
        commit_file(ctx, file)
    elif state.identity != ctx.destination.identity:
        abandon_id(ctx, orphans.OrphanReason.IDENTITY_CHANGED)


def commit_file(ctx: Context, file: DeliveredFile) -> Committed | None:
    """Commit the file at the slot's id for the day of its seal; None when nobody sealed it.

    Raises `DestinationRefused` when nothing tells for which of several days it was made, and
    `DatabaseError` when MongoDB refuses the commit, with an alert if only an operator can help.
    """
    settled = settlement.settle(ctx.slot.state.seals, file)
    if settled.action is SettlementAction.UNCLEAR:
        alike = {seal.filename for seal in ctx.slot.state.seals if seal.content.md5 == file.md5}
        raise DestinationRefused(
            f"file {file.id} is named {file.name}, and its properties are hidden from this "
            f"account: its content was sealed as {' and as '.join(sorted(alike))}. "
            "Rename it back to the name it had, then retry"
        )
    if settled.action is not SettlementAction.COMMIT or settled.seal is None:
        abandon_id(ctx, orphans.OrphanReason.UNSEALED, seen=True)
        return None
    seal = settled.seal
    with log.bound(
        step="commit",
        batch_date=seal.batch_date,
        batch_id=seal.manifest.batch_id,
        attempt=seal.attempt,
    ):
        try:
            committed = commit(
                ctx.database,
                ctx.slot,
                ctx.exporter.profile,
                seal,
                file,
                hidden_at=ctx.destination.identity if ctx.destination.publishes else None,
                now=ctx.now(),
            )
        except FencedOut:
            raise
        except PyMongoError as error:
            told = DatabaseError.of(f"commit of {seal.filename}", error)
            _alert_unrecorded(ctx, seal, file, told)
            raise told from error
        except DaybookError as error:
            _alert_unrecorded(ctx, seal, file, error)
            raise
        ctx.breaker.close(ctx.now())
        if committed is Committed.OURS:
            _log_commit(ctx, seal, file)
    return committed


def _alert_unrecorded(ctx: Context, seal: Seal, file: DeliveredFile, error: DaybookError) -> None:
    """Tell that the file is there without a record, unless a later run may well record it."""
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


def abandon_id(ctx: Context, reason: orphans.OrphanReason, *, seen: bool = False) -> None:
    """Part with the slot's id; where a file stands or may yet come, it goes on being watched."""
    state = ctx.slot.state
    file_id = state.file_id
    if file_id is None:
        return
    watched = seen or bool(state.seals) or reason is orphans.OrphanReason.REFUSED_UNSEEN

    def remember(session: ClientSession) -> None:
        if watched:
            orphans.insert(
                ctx.database,
                session,
                state,
                profile=ctx.job.key.profile,
                reason=reason,
                file_id=file_id,
                now=ctx.now(),
            )

    ctx.slot.transaction(remember, sets=ABANDONED)


def refused(ctx: Context) -> None:
    """The id is called taken, but no file can be seen at it: give it up when that lasts.

    It lasts when a later run meets it again, a lease's time after the first or for the
    third time: nothing that was on its way then is still to come.
    """
    refusal = ctx.slot.store_refusal()
    lease = timedelta(seconds=ctx.exporter.limits.lease_seconds)
    lasted = refusal.count > 1 and refusal.last_at - refusal.first_at >= lease
    if not lasted and refusal.count < REFUSALS:
        raise DestinationError(
            f"upload of {ctx.job.filename}: the destination calls the id "
            f"{ctx.slot.state.file_id} taken, but shows no file under it"
        )
    abandon_id(ctx, orphans.OrphanReason.REFUSED_UNSEEN)


def finish_marking(ctx: Context) -> None:
    """Publish and mark what a commit, of this run or an earlier one, has left undone.

    Raises `DestinationError` when a committed file cannot be given its name, and
    `DatabaseError` when items cannot be marked.
    """
    for batch in unmarked(ctx.batches, ctx.job.key):
        _publish(ctx, batch)
        with log.bound(step="mark"):
            try:
                finish(ctx, batch)
            except PyMongoError as error:
                told = DatabaseError.of(f"marking the items of {_name(batch)}", error)
                _alert_unmarked(ctx, batch, told)
                raise told from error


def _name(batch: Batch) -> str:
    if batch.state is BatchState.EMPTY:
        return f"{batch.key.batch_date}, which has no file since all of them are rejected"
    return f"{batch.doc['filename']}, which is delivered"


def _alert_unmarked(ctx: Context, batch: Batch, error: DatabaseError) -> None:
    """Tell once that only an operator can have the items marked."""
    if not error.permanent or batch.doc.get("markingAlertedAt") is not None:
        return
    ctx.alert(
        AlertEvent.MARKING_REFUSED,
        logging.CRITICAL,
        batch,
        filename=batch.doc.get("filename"),
        file_id=batch.doc.get("fileId"),
        link=batch.doc.get("webViewLink"),
        error_type=error.type,
        error=str(error),
    )
    if ctx.exporter.tells_operator:
        transitions.record_marking_alert(ctx.batches, batch, now=ctx.now())


def _publish(ctx: Context, batch: Batch) -> None:
    hidden_at = batch.doc.get("hiddenAt")
    if hidden_at is None:
        return
    try:
        if hidden_at != ctx.destination.identity:
            raise DestinationRefused(
                f"the file lies hidden in {hidden_at}, and DAYBOOK_DESTINATION names another "
                "place by now: set it back until the file is published"
            )
        ctx.destination.publish(batch.doc["fileId"], batch.doc["filename"])
    except DestinationError as error:
        if batch.doc.get("publishAlertedAt") is None:  # later tries tell it in the log alone
            ctx.alert(
                AlertEvent.PUBLISH_FAILED,
                logging.CRITICAL,
                batch,
                filename=batch.doc["filename"],
                file_id=batch.doc["fileId"],
                error=str(error),
            )
            if ctx.exporter.tells_operator:
                transitions.record_publish_alert(ctx.batches, batch, now=ctx.now())
        raise
