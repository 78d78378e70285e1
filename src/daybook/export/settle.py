"""Settling: each run first asks whether an earlier one left a file under the slot's ID."""

from __future__ import annotations

from daybook import log
from daybook.errors import CircuitOpen
from daybook.export.abandon import abandon_id
from daybook.export.commit import commit_file
from daybook.export.context import Context
from daybook.export.marking import finish_marking
from daybook.export.restore import restore_deleted
from daybook.export.slot import orphans
from daybook.export.upload.lookup import find_file


def settle(ctx: Context) -> None:
    """Commit a file that is visible under the slot's ID, and finish marking committed batches.

    While the circuit is open, it does only what needs no destination, then raises
    `CircuitOpen`. Raises `DestinationError` when the destination cannot be reached.
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
        _settle_id(ctx)
        finish_marking(ctx)


def _settle_id(ctx: Context) -> None:
    state = ctx.slot.state
    if state.file_id is None:
        return
    # Without a seal, no request that could make a file visible has ever been sent.
    file = find_file(ctx.destination, state.file_id, ctx.retry_budget) if state.seals else None
    if file is not None:
        commit_file(ctx, file)
    elif state.identity != ctx.destination.identity:
        abandon_id(ctx, orphans.OrphanReason.IDENTITY_CHANGED)
