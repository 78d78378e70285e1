"""What needs attention, each item with the alert that says why and what to do."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from pymongo.database import Database

from daybook.audit.audit import FILE_KINDS
from daybook.errors import DocumentDamaged
from daybook.export.model.notice import Alert, AlertEvent
from daybook.export.slot import orphans
from daybook.export.slot.orphans import Orphan, OrphanReason
from daybook.export.slot.refused_run import RefusedRun
from daybook.export.upload import breaker
from daybook.export.upload.breaker import BreakerRecord, BreakerState
from daybook.mongo.query import Query
from daybook.page.days import CalendarDay, DayState
from daybook.page.recorded import RecordedDay, UnrecordedFile
from daybook.page.slots import Working

_ORPHANS = Query(
    name="orphans_of_profiles",
    collection=orphans.COLLECTION,
    filter=lambda profiles, now: {"profile": {"$in": profiles}, "watchUntil": {"$gt": now}},
    arguments=lambda doc: {"profiles": [doc["profile"]], "now": doc["createdAt"]},
)
QUERIES = (_ORPHANS,)
_TOLD = 3


class Act(StrEnum):
    """What an operator can do about an item on the page."""

    RETRY = "retry"
    VERIFY = "verify"
    SHOW = "show"  # only look at the day


@dataclass(frozen=True, kw_only=True)
class AttentionItem:
    """One thing that needs attention."""

    alert: Alert
    """As it was, or would be, sent; its text says what happened and what to do."""
    state: DayState
    """Which mark the item has."""
    act: Act | None = None


def of_cells(
    profile: str,
    cells: Sequence[CalendarDay],
    *,
    refused: RefusedRun | None,
    working: Working | None,
    sealed: Container[str],
) -> Iterator[AttentionItem]:
    """Items of a profile's days, newest first.

    `sealed` are the days of which a file may be visible without a record.
    """
    for cell in reversed(cells):
        if refused is not None and cell.day.isoformat() == refused.batch_date:
            record = cell.record
            applies = refused.still_applies(
                started_at=None if record is None else record.started_at,
                done=cell.state.closed and cell.state is not DayState.NONE,
            )
            if applies:
                possible = _possible(cell, sealed)
                yield _refused(profile, cell, refused, file_possible=possible)
                continue
        yield from _of_cell(profile, cell, working, file_possible=_possible(cell, sealed))


def _possible(cell: CalendarDay, sealed: Container[str]) -> bool | None:
    """True or None, never False: without the fact, the text is that of the alert."""
    return cell.day.isoformat() in sealed or None


def _of_cell(
    profile: str, cell: CalendarDay, working: Working | None, *, file_possible: bool | None
) -> Iterator[AttentionItem]:
    record = cell.record
    if record is not None and record.unrecorded is not None:
        yield _unrecorded(profile, cell, record, record.unrecorded)
        return
    if cell.state is DayState.MISSING and not cell.superseded:
        yield _item(
            profile,
            cell,
            AlertEvent.DAY_MISSING,
            logging.CRITICAL,
            act=Act.RETRY,
            state=None if record is None else record.state.value,
            due=cell.due,
            file_possible=file_possible,
            **_error(record),
        )
    if record is None:
        return
    if cell.state is DayState.FAILED and not cell.superseded:
        yield _item(
            profile,
            cell,
            AlertEvent.BATCH_FAILED,
            logging.CRITICAL,
            act=Act.RETRY,
            attempt=record.attempt,
            file_possible=file_possible,
            **_error(record),
        )
    if cell.state is DayState.RETRYING:
        yield _item(
            profile,
            cell,
            AlertEvent.ATTEMPT_FAILED if record.error else AlertEvent.DAY_LATE,
            logging.WARNING,
            act=Act.RETRY,
            attempt=record.attempt,
            next_attempt_at=record.follow_up_due,
            due=cell.due,
            file_possible=file_possible,
            **_error(record),
        )
    if cell.state is DayState.RUNNING and working is not None and record.error:
        yield _item(
            profile,
            cell,
            AlertEvent.DAY_LATE,
            logging.WARNING,
            due=cell.due,
            lease_expires_at=working.expires_at,
        )
    if cell.state is DayState.CHANGED:
        yield from _changed(profile, cell, record)
    if record.unmarked:
        yield _unmarked(profile, cell, record)
    if cell.item_changes is not None:
        yield _item(
            profile,
            cell,
            AlertEvent.ITEMS_CHANGED_AFTER_SEAL,
            logging.CRITICAL,
            act=Act.VERIFY,  # which names the entries
            mark=DayState.CHANGED,
            filename=record.filename,
            gone_count=cell.item_changes.gone_count,
            completed_elsewhere_count=cell.item_changes.completed_elsewhere_count,
        )


def _changed(profile: str, cell: CalendarDay, record: RecordedDay) -> Iterator[AttentionItem]:
    """Of the file and of its entries; changes of unknown kinds count as the entries'."""
    of_file = [one for one in record.changes if one.kind in FILE_KINDS]
    others = [one for one in record.changes if one.kind not in FILE_KINDS]
    for event, severity, found in (
        (AlertEvent.FILE_CHANGED, logging.CRITICAL, of_file),
        (AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT, logging.ERROR, others),
    ):
        if found:
            yield _item(
                profile,
                cell,
                event,
                severity,
                act=Act.SHOW,
                filename=record.filename,
                file_id=record.file_id,
                link=record.link,
                finding_count=len(found),
                entry_count=len({one.entry_id for one in found if one.entry_id is not None}),
                cut_short=not record.all_changes,
                findings="; ".join(one.detail for one in found[:_TOLD]),
            )


def _unrecorded(
    profile: str, cell: CalendarDay, record: RecordedDay, file: UnrecordedFile
) -> AttentionItem:
    return _item(
        profile,
        cell,
        AlertEvent.FILE_UNRECORDED,
        logging.CRITICAL,
        act=Act.RETRY,
        mark=DayState.FAILED,
        filename=file.filename,
        file_id=file.file_id,
        link=file.link,
        **_error(record),
    )


def _unmarked(profile: str, cell: CalendarDay, record: RecordedDay) -> AttentionItem:
    if record.error is None:
        return _item(
            profile,
            cell,
            AlertEvent.DAY_LATE,
            logging.WARNING,
            act=Act.RETRY,
            mark=DayState.RETRYING,
            state=record.state.value,
            due=cell.due,
            next_attempt_at=record.follow_up_due,
        )
    event = AlertEvent.MARKING_REFUSED if record.published else AlertEvent.PUBLISH_FAILED
    return _item(
        profile,
        cell,
        event,
        logging.CRITICAL,
        act=Act.RETRY,
        mark=DayState.FAILED,
        filename=record.filename,
        file_id=record.file_id,
        link=record.link,
        **_error(record),
    )


def _refused(
    profile: str, cell: CalendarDay, refused: RefusedRun, *, file_possible: bool | None
) -> AttentionItem:
    return _item(
        profile,
        cell,
        AlertEvent.RUN_REFUSED,
        logging.CRITICAL,
        act=Act.RETRY,
        mark=DayState.FAILED,
        at=refused.last_at,
        error_type=refused.type,
        error=refused.message,
        file_possible=file_possible,
    )


def _item(
    profile: str,
    cell: CalendarDay,
    event: AlertEvent,
    severity: int,
    *,
    act: Act | None = None,
    mark: DayState | None = None,
    **facts: Any,
) -> AttentionItem:
    return AttentionItem(
        alert=Alert(
            event=event,
            severity=severity,
            profile=profile,
            batch_date=cell.day.isoformat(),
            batch_id=None if cell.record is None else cell.record.batch_id,
            facts={name: fact for name, fact in facts.items() if fact is not None},
        ),
        state=mark or cell.state,
        act=act,
    )


def _error(record: RecordedDay | None) -> dict[str, Any]:
    if record is None or record.error is None:
        return {}
    return {"error_type": record.error_type, "error": record.error}


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """The breaker of one kind of destination."""

    destination: str
    state: BreakerState
    failures: int
    open_until: datetime | None


def circuits(
    database: Database[dict[str, Any]], kinds: Iterable[str], now: datetime
) -> tuple[list[Circuit], list[str]]:
    """The breakers of the kinds that are in use or not closed, and what cannot be read."""
    found: dict[str, BreakerRecord] = dict.fromkeys(kinds, BreakerRecord())
    damaged: list[str] = []
    for doc in breaker.ALL.find(database):
        if doc["_id"] not in breaker.KINDS:
            continue
        try:
            record = BreakerRecord.from_doc(doc)
        except DocumentDamaged as error:
            damaged.append(str(error))
            continue
        if doc["_id"] in found or record.state_at(now) is not BreakerState.CLOSED:
            found[doc["_id"]] = record
    return [
        Circuit(
            destination=kind,
            state=record.state_at(now),
            failures=record.failures,
            open_until=record.open_until,
        )
        for kind, record in sorted(found.items())
    ], damaged


def of_circuits(profile: str, found: Sequence[Circuit]) -> Iterator[AttentionItem]:
    for one in found:
        if one.state is BreakerState.CLOSED:
            continue
        facts: Mapping[str, Any] = {
            "destination": one.destination,
            "failures": one.failures,
            **({"open_until": one.open_until} if one.state is BreakerState.OPEN else {}),
        }
        yield AttentionItem(
            alert=Alert(
                event=AlertEvent.BREAKER_OPENED,
                severity=logging.WARNING,
                profile=profile,
                facts=facts,
            ),
            state=DayState.RETRYING,
        )


def of_orphans(
    database: Database[dict[str, Any]], profiles: Sequence[str], now: datetime
) -> tuple[list[AttentionItem], list[str]]:
    """IDs abandoned in the last days, and the documents of them that cannot be read."""
    items: list[AttentionItem] = []
    damaged: list[str] = []
    for doc in orphans.own(_ORPHANS.find(database, profiles=list(profiles), now=now)):
        try:
            items.append(_orphan(doc["profile"], Orphan.from_doc(doc), _sealed_day(doc["seals"])))
        except DocumentDamaged as error:
            damaged.append(str(error))
    return items, damaged


def _sealed_day(seals: Sequence[Mapping[str, Any]]) -> str | None:
    """The day of the file that was last sent under the ID; None if it is not known."""
    try:
        return date.fromisoformat(seals[-1]["batchDate"]).isoformat()
    except (LookupError, TypeError, ValueError):
        return None


def _orphan(profile: str, orphan: Orphan, day: str | None) -> AttentionItem:
    unsealed = orphan.reason is OrphanReason.UNSEALED
    return AttentionItem(
        alert=Alert(
            event=AlertEvent.UNSEALED_FILE if unsealed else AlertEvent.ORPHAN_LEFT_BEHIND,
            severity=logging.CRITICAL,
            profile=profile,
            batch_date=day,
            facts={
                "file_id": orphan.file_id,
                "reason": orphan.reason.value,
                "explanation": orphan.reason.explanation,
                **({} if orphan.filename is None else {"filename": orphan.filename}),
            },
        ),
        state=DayState.MISSING,
        act=None if day is None else Act.SHOW,  # whose page names the file that counts
    )
