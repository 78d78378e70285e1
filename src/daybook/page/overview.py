"""The overview: whether today is done, what needs attention, and the last ninety days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

import pymongo
from pymongo.database import Database

from daybook.export.operations import corrections
from daybook.export.operations.corrections import StillRejected
from daybook.export.queue import waiting
from daybook.export.queue.waiting import Unclaimed
from daybook.page import attention, days, slots
from daybook.page.attention import AttentionItem, Circuit
from daybook.page.days import SHOWN, CalendarDay, DayState, ShownProfile
from daybook.page.slots import Slots, Working

TIMEOUT_SECONDS = 10.0
"""Limit for all requests to MongoDB that one page makes."""
CHARTED = 30
TABLED = 14
FEW_BELOW = 0.5
"""A day with fewer entries than this share of the median is marked."""
_LEAST_DAYS = 5
_LEAST_MEDIAN = 10


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the last due day of a profile is done."""

    profile: str
    cell: CalendarDay | None
    """The last due day, or an earlier one that failed after that was done; None without a run."""
    last_slot: datetime
    """When the last batch was due, in the schedule's zone."""
    next_slot: datetime
    """When the next batch is due that can have a file, in the schedule's zone."""
    last_good: date | None
    """The last day that was delivered or signed off."""
    enabled: bool = True
    """No batch of a disabled profile is due, whatever its schedule says."""

    @property
    def state(self) -> DayState:
        return DayState.NONE if self.cell is None else self.cell.state


@dataclass(frozen=True, kw_only=True)
class Point:
    """A day of the charts."""

    day: date
    entries: int | None
    """None on a day without a file or a sign-off."""
    seconds: float | None
    few: bool
    """Suspiciously few entries, compared with the median."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Entries and duration of the last days, oldest first, with their medians."""

    points: tuple[Point, ...]
    entries_median: float | None
    seconds_median: float | None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the first page shows."""

    now: datetime
    """In the zone of the first profile's schedule."""
    verdicts: tuple[Verdict, ...]
    items: tuple[AttentionItem, ...]
    """The most severe first."""
    calendars: Mapping[str, tuple[CalendarDay, ...]]
    """Profile → a cell for each of the last ninety days, oldest first."""
    working: tuple[Working, ...]
    circuits: tuple[Circuit, ...]
    unclaimed: Mapping[Unclaimed, int]
    rejected: tuple[StillRejected, ...]
    damaged: tuple[str, ...]
    """What is wrong with documents that cannot be read."""
    selected: str
    """The profile that table and charts show."""
    chart: Trend
    mongodb: str
    """Version of the server."""

    @property
    def table(self) -> list[CalendarDay]:
        """The last days of the selected profile, newest first."""
        cells = reversed(self.calendars[self.selected])
        return [cell for cell in cells if cell.record or cell.due][:TABLED]


def read(
    database: Database[dict[str, Any]],
    profiles: Sequence[ShownProfile],
    *,
    kinds: Sequence[str],
    selected: str,
    now: datetime,
) -> Overview:
    """Ask MongoDB for everything, never the destination.

    `kinds` are those of the destinations in use. The number of requests does not depend on
    the number of profiles, except for the rejected entries. Raises `PyMongoError`.
    """
    names = [shown.name for shown in profiles]
    until = _today(profiles, now)
    with pymongo.timeout(TIMEOUT_SECONDS):
        found, held, calendars = _calendars(database, profiles, until, now)
        circuits, bad_circuits = attention.circuits(database, kinds, now)
        orphans, bad_orphans = attention.of_orphans(database, names, now)
        entries = _rejected(database, profiles, calendars, until)
        unclaimed = waiting.unclaimed(database, profiles[0].profile)
        version = str(database.client.server_info()["version"])
    items = [
        item
        for name in names
        for item in attention.of_cells(
            name,
            calendars[name],
            refused=held.refused.get(name),
            working=held.working.get(name),
            sealed=held.sealed.get(name, ()),
        )
    ]
    return Overview(
        now=now.astimezone(profiles[0].schedule.time_zone),
        verdicts=tuple(_verdict(shown, calendars[shown.name], now) for shown in profiles),
        items=tuple(
            sorted(
                (*items, *attention.of_circuits(names[0], circuits), *orphans),
                key=lambda item: -item.alert.severity,
            )
        ),
        calendars=calendars,
        working=tuple(held.working.values()),
        circuits=tuple(circuits),
        unclaimed=unclaimed,
        rejected=tuple(entries),
        damaged=(
            *(one.message for one in found.damaged),
            *held.damaged,
            *bad_circuits,
            *bad_orphans,
        ),
        selected=selected,
        chart=chart_of(calendars[selected]),
        mongodb=version,
    )


def verdict(database: Database[dict[str, Any]], shown: ShownProfile, now: datetime) -> Verdict:
    """The verdict of one profile alone, as the first page has it. Raises `PyMongoError`.

    Takes as long as the client's own limits allow: within a time limit the driver would repeat
    even a refused login until the limit ends.
    """
    _, _, calendars = _calendars(database, [shown], _today([shown], now), now)
    return _verdict(shown, calendars[shown.name], now)


def _today(profiles: Sequence[ShownProfile], now: datetime) -> date:
    return max(now.astimezone(shown.schedule.time_zone).date() for shown in profiles)


def _calendars(
    database: Database[dict[str, Any]],
    profiles: Sequence[ShownProfile],
    until: date,
    now: datetime,
) -> tuple[days.ReadDays, Slots, dict[str, tuple[CalendarDay, ...]]]:
    """The days as stored, the slots, and the cells of each profile, oldest first."""
    names, since = [shown.name for shown in profiles], until - timedelta(days=SHOWN - 1)
    found, held = days.read(database, names, since, until), slots.read(database, names)
    calendars = {
        shown.name: tuple(
            days.calendar(
                shown,
                found,
                since=since,
                until=until,
                working_fence=_fence(held.working.get(shown.name)),
                now=now,
            )
        )
        for shown in profiles
    }
    return found, held, calendars


def _fence(working: Working | None) -> int | None:
    return None if working is None else working.fence


def _verdict(shown: ShownProfile, cells: Sequence[CalendarDay], now: datetime) -> Verdict:
    """About the last due day, or about today once something has run for it."""
    last_slot = shown.schedule.latest_slot(now)
    due = last_slot.date()
    begun = any(
        cell.record is not None or cell.state is not DayState.NONE
        for cell in cells
        if cell.day <= due
    )
    today = now.astimezone(shown.schedule.time_zone).date()
    early = [cell for cell in cells if cell.record is not None and due < cell.day <= today]
    chosen = early[-1:] or [cell for cell in cells if cell.day == due]
    if not shown.enabled:
        chosen = [cell for cell in cells if cell.state is not DayState.NONE][-1:]
        begun = True
    if chosen and chosen[-1].state.closed:
        left = [cell for cell in cells if cell.day < chosen[-1].day and _is_left(cell)]
        chosen = left[-1:] or chosen
    good = [
        cell.day
        for cell in cells
        if cell.state in (DayState.DELIVERED, DayState.EMPTY, DayState.CHANGED)
    ]
    delivered = {cell.day for cell in cells if cell.state in (DayState.DELIVERED, DayState.CHANGED)}
    return Verdict(
        profile=shown.name,
        cell=chosen[-1] if chosen and (begun or early) else None,
        last_slot=last_slot,
        next_slot=shown.schedule.next_batch(now, delivered.__contains__),
        last_good=max(good, default=None),
        enabled=shown.enabled,
    )


def _is_left(cell: CalendarDay) -> bool:
    """Whether the day is not done, and no later day has taken its entries since."""
    return cell.state in (DayState.FAILED, DayState.MISSING) and not cell.superseded


def _rejected(
    database: Database[dict[str, Any]],
    profiles: Sequence[ShownProfile],
    calendars: Mapping[str, Sequence[CalendarDay]],
    until: date,
) -> list[StillRejected]:
    """Those of the last days that still wait for a correction."""
    found: list[StillRejected] = []
    for shown in profiles:
        batches = {
            cell.record.batch_id: cell.day
            for cell in reversed(calendars[shown.name])
            if cell.record is not None
            and cell.record.rejected_count
            and until - cell.day < timedelta(days=corrections.DAYS)
        }
        entries = corrections.of_batches(database, shown.profile, batches)
        found += [entry for entry in entries if entry.waiting]
    return sorted(found, key=lambda entry: entry.day, reverse=True)


def chart_of(cells: Sequence[CalendarDay]) -> Trend:
    """Of the last days; the median is that of the days with entries."""
    last = cells[-CHARTED:]
    counts = [cell.record.entry_count for cell in last if cell.record and cell.record.entry_count]
    times = [
        cell.record.seconds
        for cell in last
        if cell.record and cell.record.entry_count and cell.record.seconds is not None
    ]
    middle = float(median(counts)) if counts else None
    usual = middle is not None and len(counts) >= _LEAST_DAYS and middle >= _LEAST_MEDIAN
    return Trend(
        points=tuple(_point(cell, middle if usual else None) for cell in last),
        entries_median=middle,
        seconds_median=float(median(times)) if times else None,
    )


def _point(cell: CalendarDay, middle: float | None) -> Point:
    record = cell.record
    entries = None if record is None or record.done_at is None else record.entry_count
    few = middle is not None and entries is not None and 0 < entries < middle * FEW_BELOW
    return Point(
        day=cell.day,
        entries=entries,
        seconds=None if record is None else record.seconds,
        few=few,
    )
