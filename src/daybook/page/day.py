"""One day of a profile: its batch, its file, its rejected entries, and what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.database import Database

from daybook.export.batch import attempts, export_log
from daybook.export.batch.attempts import Attempt
from daybook.export.batch.batch import COLLECTION
from daybook.export.batch.export_log import LogAction
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import DAILY
from daybook.export.operations import corrections
from daybook.export.operations.corrections import StillRejected
from daybook.export.queue import plan
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query
from daybook.page import attention, days, slots
from daybook.page.attention import AttentionItem
from daybook.page.days import SHOWN, CalendarDay, DayState, ShownProfile
from daybook.page.overview import TIMEOUT_SECONDS
from daybook.page.slots import Working

COUNTED = 10_000
"""Waiting items are counted up to this many."""
REJECTED = 100
_RECORDS_SHOWN = 50

_RECORDS = Query(
    name="records_of_a_day",
    collection=export_log.COLLECTION,
    filter=lambda day, profile: {
        "metadata.batchDate": day,
        "metadata.profile": None if profile == DAILY else profile,
        "action": {
            "$in": [
                LogAction.CSV_GENERATED.value,
                LogAction.BATCH_EMPTY.value,
                LogAction.OPERATOR_REQUEST.value,
            ]
        },
    },
    arguments=lambda doc: {
        "day": doc["metadata"]["batchDate"],
        "profile": doc["metadata"].get("profile", DAILY),
    },
    sort=(("createdAt", 1),),
    projection={"action": 1, "message": 1, "performedBy": 1, "createdAt": 1},
    excused="sorts the few records of one day that are about the whole day",
)
QUERIES = (_RECORDS,)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record in `exportlogs` about the day; another application may have written it."""

    action: str
    message: str
    performed_by: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class DayPage:
    """What the page of a day shows."""

    profile: str
    cell: CalendarDay
    items: tuple[AttentionItem, ...]
    working: Working | None
    """The run that is working on this day."""
    damaged: str | None
    rejected: tuple[StillRejected, ...]
    attempts: tuple[Attempt, ...]
    """The latest ones, oldest first; none of a batch of an earlier version."""
    records: tuple[Record, ...]
    waiting: int | None
    """Items that the next run would take, up to `COUNTED`; None for a closed day."""
    last: bool
    """Whether it is the last day that can be shown."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The actions that make sense in this state."""
        record, state = self.cell.record, self.cell.state
        names = []
        unmarked = record is not None and record.unmarked
        if unmarked or state in (
            *(DayState.FAILED, DayState.MISSING, DayState.RETRYING, DayState.DUE),
        ):
            names.append("retry")
        if record is None:
            return tuple(names)
        if record.state in (BatchState.OPEN, BatchState.FAILED) and record.released_at is None:
            names.append("release")
        if record.state is BatchState.COMMITTED and not record.elsewhere:
            names += ["verify", "audit"]
        return tuple(names)


def read(
    database: Database[dict[str, Any]], shown: ShownProfile, day: date, now: datetime
) -> DayPage:
    """Ask MongoDB for all of a day, never the destination. Raises `PyMongoError`."""
    today = now.astimezone(shown.schedule.time_zone).date()
    with pymongo.timeout(TIMEOUT_SECONDS):
        # A later day may have taken this one's entries, and an earlier one shows that it was due.
        since = day - timedelta(days=SHOWN)
        found = days.read(database, [shown.name], since, max(day, today))
        held = slots.read(database, [shown.name])
        working = held.working.get(shown.name)
        cells = days.calendar(
            shown,
            found,
            since=since,
            until=max(day, today),
            working_fence=None if working is None else working.fence,
            now=now,
        )
        cell = cells[SHOWN]
        batch_id = None if cell.record is None else cell.record.batch_id
        entries = (
            corrections.of_batches(database, shown.profile, {batch_id: day}, limit=REJECTED)
            if batch_id is not None and cell.record is not None and cell.record.rejected_count
            else []
        )
        return DayPage(
            profile=shown.name,
            cell=cell,
            items=tuple(
                attention.of_cells(
                    shown.name,
                    [cell],
                    refused=held.refused.get(shown.name),
                    working=working,
                    sealed=held.sealed.get(shown.name, ()),
                )
            ),
            working=working if cell.state is DayState.RUNNING else None,
            damaged=next((one.message for one in found.damaged if one.day == day), None),
            rejected=tuple(entries),
            attempts=() if batch_id is None else _attempts(database, batch_id),
            records=_records(database, shown.name, day),
            waiting=None if cell.state.closed else _waiting(database, shown),
            last=day >= today,
        )


def _waiting(database: Database[dict[str, Any]], shown: ShownProfile) -> int:
    queue = database[shown.profile.source.queue]
    return queue.count_documents(plan.queued(shown.profile), limit=COUNTED + 1)


def _attempts(database: Database[dict[str, Any]], batch_id: str) -> tuple[Attempt, ...]:
    doc = database[COLLECTION].find_one(
        {"_id": ObjectId(batch_id)}, dict.fromkeys(attempts.FIELDS, 1)
    )
    return () if doc is None else attempts.of_batch(doc)


def _records(database: Database[dict[str, Any]], profile: str, day: date) -> tuple[Record, ...]:
    found = _RECORDS.some(database, limit=_RECORDS_SHOWN, day=day.isoformat(), profile=profile)
    return tuple(
        Record(
            action=_text(doc.get("action")) or "",
            message=_text(doc.get("message")) or "",
            performed_by=_text(doc.get("performedBy")) or "",
            at=doc["createdAt"] if isinstance(doc.get("createdAt"), datetime) else None,
        )
        for doc in found
    )


def _text(value: Any) -> str | None:
    """A value written by others where text is expected."""
    return None if value is None else displayed(value)
