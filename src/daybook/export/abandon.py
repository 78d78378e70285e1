"""Abandoning the slot's file ID: the next file gets a new one."""

from __future__ import annotations

from datetime import timedelta

from pymongo.client_session import ClientSession

from daybook.errors import DestinationError
from daybook.export.context import Context
from daybook.export.slot import orphans
from daybook.export.slot.state import ABANDONED

REFUSALS = 3
"""Runs that an ID may be refused to, unseen, however soon after one another."""


def abandon_id(ctx: Context, reason: orphans.OrphanReason, *, seen: bool = False) -> None:
    """Remove the ID from the slot; the sweep watches it if a file is, or may yet be, under it."""
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


def id_refused(ctx: Context) -> None:
    """Count that the destination calls the ID taken but shows no file; abandon it when that lasts.

    It lasts when a later run meets it again, a lease's time after the first or for the
    third time: no request of an earlier run can still be in flight then.
    Raises `DestinationError` until then.
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
