"""Abandoning the slot's file ID, so that the next file gets a new one."""

from __future__ import annotations

from datetime import timedelta

from pymongo.client_session import ClientSession

from daybook.errors import DestinationError
from daybook.export.context import Context
from daybook.export.slot import orphans
from daybook.export.slot.state import ABANDONED

MAX_REFUSALS = 3
"""Refusals without a visible file after which an ID is abandoned, however close together."""


def abandon_id(ctx: Context, reason: orphans.OrphanReason, *, seen: bool = False) -> None:
    """Remove the ID from the slot; the sweep watches it if a file is, or may appear, under it."""
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


def count_refusal(ctx: Context) -> None:
    """Count a refusal of the ID as taken while no file is visible; abandon the ID if they last.

    They last when a later run is refused a lease after the first refusal, or for the third
    time: by then no request of an earlier run can still be in flight.
    Raises `DestinationError` until then.
    """
    refusal = ctx.slot.store_refusal()
    lease = timedelta(seconds=ctx.exporter.limits.lease_seconds)
    lasted = refusal.count > 1 and refusal.last_at - refusal.first_at >= lease
    if not lasted and refusal.count < MAX_REFUSALS:
        raise DestinationError(
            f"upload of {ctx.job.filename}: the destination says that ID "
            f"{ctx.slot.state.file_id} is taken, but shows no file under it"
        )
    abandon_id(ctx, orphans.OrphanReason.REFUSED_UNSEEN)
