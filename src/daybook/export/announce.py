"""Announcing how batches ended, and which file IDs were abandoned.

`alertedAt` is stored after the message is sent, so a message lost in a crash is sent by the
slot's next run or by the sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from pymongo.database import Database

from daybook import log
from daybook.errors import DaybookError
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch, profile_of, rejected_reasons
from daybook.export.context import Context
from daybook.export.model.lifecycle import BatchState, Schedule
from daybook.export.model.notice import AlertEvent, Check, CheckedEntry, Receipt
from daybook.export.model.profile import Profile
from daybook.export.queue import named_entries, waiting
from daybook.export.slot import orphans, refused_run

ANNOUNCE_WITHIN = timedelta(days=8)
"""Older results are not announced: a function may be deployed after a year of commands."""
MAX_NAMED = 20
"""Rejected entries that a receipt names; the day's records have all of them."""


class NoReceipt(DaybookError):
    """The day did not end in a way that the accountant gets a receipt for."""

    type = "no_receipt"
    permanent = True


def announce(ctx: Context) -> None:
    """Announce, once, each batch of the slot that has ended and each new orphan.

    A process whose messages would only reach the log leaves them to one that can send them,
    and logs the result of its own batch. What ended longer ago than `ANNOUNCE_WITHIN` is
    stored as announced without a message.
    """
    for doc in batches.unannounced(ctx.batches, ctx.job.key):
        with (
            log.bound(step="announce", batch_date=doc.get("batchDate"), batch_id=str(doc["_id"])),
            _isolated(f"how the batch of {doc.get('batchDate')} ended"),
        ):
            _announce(ctx, Batch.from_doc(doc))
    for doc in orphans.own(orphans.unannounced(ctx.database, ctx.job.key.profile)):
        with log.bound(step="announce"), _isolated(f"the orphan {doc['_id']}"):
            orphan = orphans.Orphan.from_doc(doc)
            _alert_orphan(ctx, orphan)
            if not ctx.exporter.reaches_operator:
                continue
            orphans.record_announced(ctx.database, orphan.file_id, now=ctx.now())


def _announce(ctx: Context, batch: Batch) -> None:
    reaches = _reaches_people(ctx, batch)
    if batch.unmarked or (not reaches and batch.key != ctx.job.key):
        return
    with log.bound(attempt=batch.attempt):
        if ctx.now() - batch.doc.get("updatedAt", ctx.now()) <= ANNOUNCE_WITHIN:
            _send(ctx, batch)
        if reaches:
            batches.record_announced(ctx.batches, batch, now=ctx.now())


def _reaches_people(ctx: Context, batch: Batch) -> bool:
    """Whether this process's messages about the batch reach people and not only the log."""
    if batch.key.batch_date is None:
        return True  # only ever logged
    failed = batch.state is BatchState.FAILED
    return ctx.exporter.reaches_operator if failed else ctx.exporter.reaches_accountant


@contextmanager
def _isolated(what: str) -> Iterator[None]:
    """Log what fails inside: it stays unannounced, and the next run or sweep tries again.

    The outcome of the run is stored by now, and the other batches must be announced too.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  (one announcement's boundary)
        log.event(
            logging.ERROR,
            "announce_failed",
            f"Could not announce {what}; the next run or sweep tries again: {error}",
            exc_info=error,
        )


def _send(ctx: Context, batch: Batch) -> None:
    if batch.key.batch_date is None:
        if batch.state is BatchState.FAILED:  # the caller has had the response
            log.event(
                logging.ERROR,
                "manual_export_failed",
                "A manual export has failed for good; requesting it again restarts it.",
                batch_id=str(batch.id),
            )
        return
    if batch.state is BatchState.FAILED:
        _alert_failed(ctx, batch)
        return
    again = batch.generation > 1 or batch.attempt > 1
    recovered = again or batch.doc.get("errorCounts") or batch.doc.get("recoveredAt")
    if recovered or refused_run.of_day(ctx.database, batch.key.profile, batch.key.batch_date):
        ctx.alert(
            AlertEvent.BATCH_RECOVERED,
            logging.INFO,
            batch,
            attempt=batch.attempt,
            state=batch.state.value,
            filename=batch.doc.get("filename"),
            link=batch.doc.get("webViewLink"),
            entry_count=batch.doc.get("entryCount", 0),
        )
    if batch.doc["rejectedCount"]:
        delivered = batch.state is BatchState.COMMITTED
        ctx.alert(
            AlertEvent.ENTRIES_REJECTED,
            logging.WARNING,
            batch,
            state=batch.state.value,
            filename=batch.doc["filename"] if delivered else None,
            link=batch.doc["webViewLink"] if delivered else None,
            rejected_count=batch.doc["rejectedCount"],
            entry_count=batch.doc["entryCount"],
            reasons=rejected_reasons(batch.doc),
        )
    ctx.exporter.messenger.receipt(
        receipt_of(ctx.database, ctx.exporter.profile, batch, schedule=ctx.exporter.schedule)
    )


def _alert_failed(ctx: Context, batch: Batch) -> None:
    error = batch.doc.get("error") or {}
    ctx.alert(
        AlertEvent.BATCH_FAILED,
        logging.CRITICAL,
        batch,
        attempt=batch.attempt,
        max_attempts=ctx.exporter.limits.attempts,
        error_type=error.get("type"),
        error=error.get("message"),
        permanent=batch.attempt < ctx.exporter.limits.attempts,
        file_possible=ctx.slot.state.may_show(batch.key.batch_date),
    )


def _alert_orphan(ctx: Context, orphan: orphans.Orphan) -> None:
    unsealed = orphan.reason is orphans.OrphanReason.UNSEALED
    ctx.alert(
        AlertEvent.UNSEALED_FILE if unsealed else AlertEvent.ORPHAN_LEFT_BEHIND,
        logging.CRITICAL,
        file_id=orphan.file_id,
        reason=orphan.reason.value,
        explanation=orphan.reason.explanation,
        filename=orphan.filename,
    )


def receipt_of(
    database: Database[dict[str, Any]],
    profile: Profile,
    batch: Batch,
    *,
    schedule: Schedule | None = None,
    every: bool = False,
) -> Receipt:
    """The accountant's receipt for a day. Raises `NoReceipt` when the day has none.

    By the profile's `schedule` it says whether the day was closed before its time.

    It names the first `MAX_NAMED` rejected entries, and the first to be checked, or `every` one.
    """
    doc, batch_date = batch.doc, batch.key.batch_date
    if batch_date is None or batch.state not in (BatchState.COMMITTED, BatchState.EMPTY):
        raise NoReceipt(f"{batch_date or 'a manual export'} has no receipt: it is {batch.state}")
    if "entryCount" not in doc:
        raise NoReceipt(
            f"{batch_date} was recorded by another application, which knows its figures"
        )
    delivered = batch.state is BatchState.COMMITTED
    manifest = batch.marking
    made_with = profile if manifest is None else profile_of(batch, manifest, profile)
    named = named_entries.rejected_entries(database, made_with, batch, every=every)
    named = named[: None if every else MAX_NAMED]
    shows_currency = any(column.value == "entry.currency" for column in made_with.columns)
    hidden = () if shows_currency else tuple(sorted(set(doc["totals"]) - {made_with.currency}))
    concerned = {
        Check.OTHER_MONTH: doc.get("otherMonthCount"),
        Check.NO_CURRENCY: doc.get("noCurrencyCount"),
        Check.HIDDEN_CURRENCY: hidden,
    }
    checks = [check for check, found in concerned.items() if found and delivered]
    return Receipt(
        profile=batch.key.profile,
        batch_date=batch_date,
        batch_id=str(batch.id),
        filename=doc["filename"] if delivered else None,
        link=doc["webViewLink"] if delivered else None,
        sha256=doc["sha256"] if delivered else None,
        entry_count=doc["entryCount"],
        row_count=doc["rowCount"],
        totals=doc["totals"],
        rejected_count=doc["rejectedCount"],
        rejected=named,
        max_rows=made_with.max_rows,
        done_at=doc["committedAt"],
        unclaimed={
            reason.value: count for reason, count in waiting.unclaimed(database, profile).items()
        },
        other_month_count=doc.get("otherMonthCount", 0),
        other_months=doc.get("otherMonths") or {},
        no_currency_count=doc.get("noCurrencyCount", 0),
        currency=made_with.currency,
        hidden_currencies=hidden,
        to_check=_to_check(database, made_with, batch, checks, every=every),
        field_names=made_with.field_names,
        repeated=batch.generation > 1,
        early=schedule is not None
        and schedule.is_early(date.fromisoformat(batch_date), doc["committedAt"]),
    )


def _to_check(
    database: Database[dict[str, Any]],
    profile: Profile,
    batch: Batch,
    checks: Sequence[Check],
    *,
    every: bool,
) -> Mapping[Check, tuple[CheckedEntry, ...]]:
    """The entries of each check; none if they cannot be read, for the counts are recorded."""
    try:
        return named_entries.entries_to_check(database, profile, batch, checks, every=every)
    except DaybookError as error:
        day = batch.key.batch_date
        log.event(
            logging.ERROR,
            "announce_failed",
            f"Could not name the entries of {day} to be checked; the receipt counts them: {error}",
            exc_info=error,
        )
        return {}
