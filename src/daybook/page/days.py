"""The days of the profiles as the page shows them, and the state of each."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import Any, cast
from zoneinfo import ZoneInfo

import bson
from bson import ObjectId
from pymongo.database import Database

from daybook.errors import ConfigurationError, DocumentDamaged
from daybook.export.batch import export_log
from daybook.export.batch.batch import COLLECTION
from daybook.export.batch.export_log import LogAction
from daybook.export.model.ids import LENIENT
from daybook.export.model.lifecycle import BatchState, Schedule
from daybook.export.model.profile import DAILY, Profile
from daybook.mongo.client import LENIENT as AS_STORED
from daybook.mongo.query import Query
from daybook.ops.watchdog import TASK_GRACE
from daybook.page import item_changes
from daybook.page.item_changes import ItemChanges
from daybook.page.recorded import FIELDS, RecordedDay

SHOWN = 90
"""Days of the calendar, today included."""

_REMEMBERED = 4096
_SIZE = struct.Struct("<i")
_DAYS = Query(
    name="days_of_profiles",
    collection=COLLECTION,
    filter=lambda profiles, since, until: {
        "profile": {"$in": profiles},
        "batchDate": {"$gte": since, "$lte": until, "$type": "string"},
    },
    arguments=lambda doc: {
        "profiles": [doc["profile"]],
        "since": doc["batchDate"],
        "until": doc["batchDate"],
    },
    projection=dict.fromkeys(FIELDS, 1),
)
_RECORDED = Query(
    name="records_of_days",
    collection=export_log.COLLECTION,
    filter=lambda days: {
        "metadata.batchDate": {"$in": days, "$type": "string"},
        "action": LogAction.CSV_GENERATED.value,
    },
    arguments=lambda doc: {"days": [doc["metadata"]["batchDate"]]},
    projection={"metadata.batchDate": 1, "metadata.profile": 1},
)
QUERIES = (_DAYS, _RECORDED)


class DayState(StrEnum):
    DELIVERED = "delivered"  # its file is delivered and recorded, by Daybook or elsewhere
    EMPTY = "empty"  # nothing was queued; signed off
    RUNNING = "running"  # a run holds the slot for it
    RETRYING = "retrying"  # not done; the next call is due
    FAILED = "failed"  # failed for good
    RELEASED = "released"  # an operator closed it without a file
    MISSING = "missing"  # it was due, and no run and no call is on its way
    CHANGED = "changed"  # delivered, and the audit found it changed since
    DUE = "due"  # due later today, or just now
    NONE = "none"  # the schedule has no run on this day
    UNREADABLE = "unreadable"  # its document was altered

    @property
    def closed(self) -> bool:
        """Whether nothing is left to be done for the day's file."""
        return self in _CLOSED


_CLOSED = frozenset(
    {DayState.DELIVERED, DayState.EMPTY, DayState.RELEASED, DayState.CHANGED, DayState.NONE}
)


@dataclass(frozen=True, kw_only=True)
class ShownProfile:
    """A profile and when its batches are due."""

    profile: Profile
    schedule: Schedule
    enabled: bool = True
    """No run of a disabled profile is due."""

    @property
    def name(self) -> str:
        return self.profile.name


@dataclass(frozen=True, kw_only=True)
class CalendarDay:
    """A day of a profile's calendar."""

    day: date
    state: DayState
    due: datetime | None
    """When the schedule has the day's first run, in its zone; None on a day without one."""
    record: RecordedDay | None = None
    superseded: bool = False
    """It failed or never ran, and a later day has taken its entries since."""
    item_changes: ItemChanges | None = None
    """What others changed in the queue while the day's file was delivered."""


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A day whose document cannot be read."""

    profile: str
    day: date
    message: str


@dataclass(frozen=True, kw_only=True)
class ReadDays:
    """The days that were read, of each profile by name."""

    days: Mapping[str, Mapping[date, RecordedDay]]
    damaged: tuple[Damaged, ...]
    elsewhere: Mapping[str, frozenset[date]]
    """Days that another application recorded."""
    item_changes: Mapping[str, Mapping[date, ItemChanges]]
    """Days during whose delivery others changed items of the queue."""


def read(
    database: Database[dict[str, Any]], profiles: Sequence[str], since: date, until: date
) -> ReadDays:
    """The days of all of the profiles, in three queries. Raises `PyMongoError`."""
    found = _DAYS.find_raw(
        database,
        profiles=list(profiles),
        since=since.isoformat(),
        until=until.isoformat(),
        batch_size=10_000,
    )
    days: dict[str, dict[date, RecordedDay]] = {name: {} for name in profiles}
    damaged: list[Damaged] = []
    for stored in chain.from_iterable(map(_documents, cast("Iterable[bytes]", found))):
        read_day = _read_day(stored)
        if isinstance(read_day, Damaged):
            damaged.append(read_day)
        elif read_day is not None:
            days[read_day.profile][read_day.day] = read_day
    span = (until - since).days + 1
    every = [since + timedelta(days=number) for number in range(span)]
    open_days = [
        day.isoformat() for day in every if any(day not in known for known in days.values())
    ]
    return ReadDays(
        days=days,
        damaged=tuple(damaged),
        elsewhere=_elsewhere(database, profiles, open_days),
        item_changes=item_changes.read(database, profiles, every),
    )


def _documents(batch: bytes) -> Iterator[bytes]:
    """The documents of a batch; each begins with its size: https://bsonspec.org/spec.html"""
    at = 0
    while at < len(batch):
        (size,) = _SIZE.unpack_from(batch, at)
        yield batch[at : at + size]
        at += size


@lru_cache(maxsize=_REMEMBERED)
def _read_day(stored: bytes) -> RecordedDay | Damaged | None:
    """What the document says of its day; None if it is not Daybook's, or of no day.

    Most days never change again. What is stored is read again each time, and understood once:
    twenty profiles have 1,800 days, which would take most of the page's time.
    """
    doc = bson.decode(stored, AS_STORED)
    if not isinstance(doc["_id"], ObjectId):
        return None
    try:
        return RecordedDay.from_doc(doc)
    except DocumentDamaged as error:
        try:
            day = date.fromisoformat(doc["batchDate"])
        except (TypeError, ValueError):
            return None  # no day of the calendar; `doctor` reports it
        return Damaged(profile=doc["profile"], day=day, message=str(error))


def _elsewhere(
    database: Database[dict[str, Any]], profiles: Sequence[str], days: list[str]
) -> Mapping[str, frozenset[date]]:
    if not days:
        return {}
    records = database.get_collection(export_log.COLLECTION, codec_options=LENIENT)
    recorded: dict[str, set[date]] = {}
    for doc in _RECORDED.find(records, days=days, batch_size=10_000):
        metadata = doc["metadata"]
        if not isinstance(metadata, Mapping):
            continue
        name, day = metadata.get("profile", DAILY), metadata.get("batchDate")
        if name in profiles and day in days:
            recorded.setdefault(str(name), set()).add(date.fromisoformat(str(day)))
    return {name: frozenset(of_name) for name, of_name in recorded.items()}


def calendar(
    shown: ShownProfile,
    found: ReadDays,
    *,
    since: date,
    until: date,
    working_fence: int | None,
    now: datetime,
) -> list[CalendarDay]:
    """A cell for each day, oldest first.

    `working_fence`: the fence of the run that holds the profile's slot; None without one. Days
    before the first known one are not due: Daybook was not in use. Nor are those after the last
    known one of a disabled profile.
    """
    name = shown.name
    damaged = {one.day for one in found.damaged if one.profile == name}
    own, elsewhere = found.days.get(name, {}), found.elsewhere.get(name, frozenset())
    first = min((*own, *elsewhere, *damaged), default=until + timedelta(days=1))
    last = until if shown.enabled else max((*own, *elsewhere, *damaged), default=first)
    due = {day: at for day, at in due_times(shown.schedule, since, until).items() if day <= last}
    changed = found.item_changes.get(name, {})
    cells: list[CalendarDay] = []
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        record = own.get(day)
        due_at = due.get(day) if day >= first else None
        if day in damaged:
            state = DayState.UNREADABLE
        elif record is None and day in elsewhere:
            state = DayState.DELIVERED
        else:
            state = state_of(record, due=due_at, working_fence=working_fence, now=now)
        cells.append(
            CalendarDay(
                day=day,
                state=state,
                due=due.get(day),
                record=record,
                item_changes=changed.get(day),
            )
        )
    return _superseded(cells)


def state_of(
    record: RecordedDay | None, *, due: datetime | None, working_fence: int | None, now: datetime
) -> DayState:
    """The state of a day, by what is stored of it and when its run was due."""
    if record is None:
        if due is None:
            return DayState.NONE
        return (
            DayState.DUE
            if now.astimezone(UTC) - due.astimezone(UTC) < TASK_GRACE
            else (DayState.MISSING)
        )
    if record.state is BatchState.COMMITTED:
        return DayState.CHANGED if record.change_count else DayState.DELIVERED
    if record.state is BatchState.EMPTY:
        return DayState.EMPTY
    if record.released_at is not None:
        return DayState.RELEASED
    if record.state is BatchState.FAILED:
        return DayState.FAILED
    if working_fence is not None and record.fence == working_fence:
        return DayState.RUNNING
    follow_up = record.follow_up_due
    late = follow_up is None or now - follow_up > TASK_GRACE
    return DayState.MISSING if late else DayState.RETRYING


def _superseded(cells: Sequence[CalendarDay]) -> list[CalendarDay]:
    """The same cells: of those that are not done, the ones whose entries a later day has taken."""
    done = {DayState.DELIVERED, DayState.CHANGED, DayState.EMPTY}
    marked = list(cells)
    later = False
    last_done: datetime | None = None
    for at in range(len(marked) - 1, -1, -1):
        cell = marked[at]
        if cell.state in done:
            later = True
            if cell.record is not None and cell.record.done_at is not None:
                last_done = max(cell.record.done_at, last_done or cell.record.done_at)
        elif cell.state in (DayState.MISSING, DayState.FAILED) and later:
            # What was queued after the later day was done waits for a run that comes still later.
            began = None if cell.record is None else cell.record.started_at
            if began is None or last_done is None or last_done >= began:
                marked[at] = replace(cell, superseded=True)
    return marked


def due_times(schedule: Schedule, since: date, until: date) -> Mapping[date, datetime]:
    """Day → its first slot, in the schedule's zone, of the days that have one."""
    return _due_times(schedule.cron, schedule.time_zone.key, since, until)


@lru_cache(maxsize=256)
def _due_times(cron: str, zone: str, since: date, until: date) -> Mapping[date, datetime]:
    schedule = Schedule(cron, ZoneInfo(zone))
    found: dict[date, datetime] = {}
    day = since
    while day <= until:
        midnight = datetime.combine(day, time(), schedule.time_zone).astimezone(UTC)
        try:
            slot = schedule.next_slot(midnight - timedelta(microseconds=1))
        except ConfigurationError:  # it never falls due again
            break
        if slot.date() > until:
            break
        found.setdefault(slot.date(), slot)
        day = max(slot.date(), day) + timedelta(days=1)
    return found
