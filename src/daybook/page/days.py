"""The days of the profiles as the page shows them, and the state of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from bson import ObjectId
from pymongo.database import Database

from daybook.errors import ConfigurationError, DocumentDamaged
from daybook.export.batch import export_log
from daybook.export.batch.batch import COLLECTION, has_ended
from daybook.export.batch.export_log import LogAction
from daybook.export.batch.schedule import Schedule
from daybook.export.model.fields import Fields
from daybook.export.model.ids import LENIENT
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import DAILY, Profile
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query
from daybook.ops.watchdog import TASK_GRACE

SHOWN = 90
"""Days of the calendar, today included."""

_FIELDS = (
    *("profile", "batchDate", "state", "generation", "attempt", "endedAttempt", "attemptCount"),
    *("fence", "entryCount", "rowCount", "rejectedCount", "totals", "filename", "fileId"),
    *("webViewLink", "sha256", "createdAt", "startedAt", "committedAt", "markedAt", "releasedAt"),
    *("pendingTask.due", "pendingTask.kind", "error.type", "error.message", "errorCounts"),
    *("recordedElsewhere", "conflictCount", "hiddenAt", "rejectedManifest.batchId"),
    *("audit.auditedAt", "audit.findingCount", "audit.allFound", "audit.findings"),
)
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
    projection=dict.fromkeys(_FIELDS, 1),
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
    def settled(self) -> bool:
        """Whether nothing is left to be done for the day's file."""
        return self in _SETTLED


_SETTLED = frozenset(
    {DayState.DELIVERED, DayState.EMPTY, DayState.RELEASED, DayState.CHANGED, DayState.NONE}
)


@dataclass(frozen=True, kw_only=True)
class ShownProfile:
    """A profile and when its batches are due."""

    profile: Profile
    schedule: Schedule

    @property
    def name(self) -> str:
        return self.profile.name


@dataclass(frozen=True, kw_only=True)
class Money:
    """A file's control total in one currency."""

    currency: str
    amount: Decimal
    """The debits, or the amounts of entries without lines."""
    difference: Decimal
    """Debits minus credits: 0 unless the record was altered."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the audit found changed."""

    kind: str
    """`AuditKind`, or a word of another version."""
    detail: str
    entry_id: str | None
    row: int | None


@dataclass(frozen=True, kw_only=True)
class RecordedDay:
    """What `exportbatches` holds of a day, as far as the page shows it."""

    profile: str
    day: date
    batch_id: str
    state: BatchState
    generation: int
    attempt: int
    attempt_count: int
    """Attempts of all generations."""
    fence: int
    entry_count: int | None
    row_count: int | None
    rejected_count: int
    money: tuple[Money, ...]
    filename: str | None
    file_id: str | None
    link: str | None
    sha256: str | None
    started_at: datetime | None
    done_at: datetime | None
    released_at: datetime | None
    unmarked: bool
    """Delivered, but not all items are marked; `published` says whether the file has its name."""
    published: bool
    follow_up_due: datetime | None
    follow_up: str | None
    """`TaskKind` of the call that is due."""
    error_type: str | None
    error: str | None
    error_counts: Mapping[str, int]
    elsewhere: bool
    conflict_count: int
    """Items that changed while the file was being delivered."""
    audited_at: datetime | None
    change_count: int
    """How many changes the last audit found."""
    changes: tuple[Change, ...]
    """They, or the first ones; all of them if `all_changes`."""
    all_changes: bool

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        state = fields.one_of("state", BatchState)
        task = None if has_ended(doc) else fields.inner_or_none("pendingTask")
        error, audit = fields.inner_or_none("error"), fields.inner_or_none("audit")
        unmarked = fields.time_or_none("markedAt") is None and (
            state is BatchState.COMMITTED
            or (state is BatchState.EMPTY and fields.has("rejectedManifest"))
        )
        return cls(
            profile=fields.text("profile"),
            day=date.fromisoformat(fields.day("batchDate")),
            batch_id=str(doc["_id"]),
            state=state,
            generation=fields.whole("generation", 1),
            attempt=fields.whole("attempt", 0),
            attempt_count=fields.whole("attemptCount", 0),
            fence=fields.whole("fence", 0),
            entry_count=fields.whole("entryCount") if fields.has("entryCount") else None,
            row_count=fields.whole("rowCount") if fields.has("rowCount") else None,
            rejected_count=fields.whole("rejectedCount", 0),
            money=_money(fields) if state is BatchState.COMMITTED else (),
            filename=fields.text_or_none("filename"),
            file_id=fields.text_or_none("fileId"),
            link=fields.text_or_none("webViewLink"),
            sha256=fields.text_or_none("sha256"),
            started_at=fields.time_or_none("startedAt"),
            done_at=fields.time_or_none("committedAt"),
            released_at=fields.time_or_none("releasedAt"),
            unmarked=unmarked,
            published=not fields.has("hiddenAt"),
            follow_up_due=None if task is None else task.time_or_none("due"),
            follow_up=None if task is None else task.text_or_none("kind"),
            error_type=None if error is None else error.text_or_none("type"),
            error=None if error is None else error.text_or_none("message"),
            error_counts=_counts(fields),
            elsewhere=fields.has("recordedElsewhere"),
            conflict_count=fields.whole("conflictCount", 0),
            audited_at=None if audit is None else audit.time_or_none("auditedAt"),
            change_count=0 if audit is None else audit.whole("findingCount", 0),
            changes=_changes(doc.get("audit")),
            all_changes=(doc.get("audit") or {}).get("allFound") is not False,
        )

    @property
    def seconds(self) -> float | None:
        """From the start of the last attempt to the end; None when it is not known."""
        if self.started_at is None or self.done_at is None:
            return None
        return max(0.0, (self.done_at - self.started_at).total_seconds())


def _changes(audit: Any) -> tuple[Change, ...]:
    findings = audit.get("findings") if isinstance(audit, Mapping) else None
    return tuple(
        Change(
            kind=_text(one.get("kind")) or "",
            detail=_text(one.get("detail")) or "",
            entry_id=_text(one.get("entryId")),
            row=one["row"] if isinstance(one.get("row"), int) else None,
        )
        for one in (findings if isinstance(findings, list) else ())
        if isinstance(one, Mapping)
    )


def _text(value: Any) -> str | None:
    return None if value is None else displayed(value)


def _money(fields: Fields) -> tuple[Money, ...]:
    totals = fields.inner_or_none("totals")
    if totals is None:
        return ()
    currencies = fields.read("totals", list[str])
    return tuple(
        _of_currency(currency, totals.inner(currency)) for currency in sorted(map(str, currencies))
    )


def _of_currency(currency: str, sums: Fields) -> Money:
    try:
        debit, credit, amount = (Decimal(sums.text(name)) for name in ("debit", "credit", "amount"))
    except InvalidOperation as error:
        raise sums.damaged("debit", "must be a decimal") from error
    return Money(currency=currency, amount=debit or credit or amount, difference=debit - credit)


def _counts(fields: Fields) -> Mapping[str, int]:
    if not fields.has("errorCounts"):
        return {}
    counts = fields.inner("errorCounts")
    return {name: counts.whole(name) for name in fields.read("errorCounts", list[str])}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A day of a profile's calendar."""

    day: date
    state: DayState
    due: datetime | None
    """When the schedule has the day's first run, in its zone; None on a day without one."""
    record: RecordedDay | None = None
    superseded: bool = False
    """It failed or never ran, and its entries went with a later day's file."""


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A day whose document cannot be read."""

    profile: str
    day: date
    message: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """The days that were read; `elsewhere` are those that another application recorded."""

    days: Mapping[tuple[str, date], RecordedDay]
    damaged: tuple[Damaged, ...]
    elsewhere: frozenset[tuple[str, date]]


def read(
    database: Database[dict[str, Any]], profiles: Sequence[str], since: date, until: date
) -> Found:
    """The days of all of the profiles, in two queries. Raises `PyMongoError`."""
    found = _DAYS.find(
        database,
        profiles=list(profiles),
        since=since.isoformat(),
        until=until.isoformat(),
        batch_size=10_000,
    )
    days: dict[tuple[str, date], RecordedDay] = {}
    damaged: list[Damaged] = []
    for doc in found:
        if not isinstance(doc["_id"], ObjectId):
            continue  # not written by Daybook
        try:
            record = RecordedDay.from_doc(doc)
        except DocumentDamaged as error:
            damaged += _damaged(doc, error)
        else:
            days[record.profile, record.day] = record
    span = (until - since).days + 1
    every = [since + timedelta(days=number) for number in range(span)]
    open_days = [
        day.isoformat() for day in every if any((name, day) not in days for name in profiles)
    ]
    return Found(
        days=days, damaged=tuple(damaged), elsewhere=_elsewhere(database, profiles, open_days)
    )


def _damaged(doc: Mapping[str, Any], error: DocumentDamaged) -> Iterable[Damaged]:
    try:
        day = date.fromisoformat(doc["batchDate"])
    except ValueError:
        return ()  # no day of the calendar; `doctor` reports it
    return (Damaged(profile=doc["profile"], day=day, message=str(error)),)


def _elsewhere(
    database: Database[dict[str, Any]], profiles: Sequence[str], days: list[str]
) -> frozenset[tuple[str, date]]:
    if not days:
        return frozenset()
    records = database.get_collection(export_log.COLLECTION, codec_options=LENIENT)
    pairs = set()
    for doc in _RECORDED.find(records, days=days, batch_size=10_000):
        metadata = doc["metadata"]
        if not isinstance(metadata, Mapping):
            continue
        name, day = metadata.get("profile", DAILY), metadata.get("batchDate")
        if name in profiles and day in days:
            pairs.add((str(name), date.fromisoformat(str(day))))
    return frozenset(pairs)


def calendar(
    shown: ShownProfile,
    found: Found,
    *,
    since: date,
    until: date,
    working_fence: int | None,
    now: datetime,
) -> list[Cell]:
    """A cell for each day, oldest first.

    `working_fence`: the fence of the run that holds the profile's slot; None without one. Days
    before the first known one are not due: Daybook was not in use.
    """
    name = shown.name
    damaged = {one.day for one in found.damaged if one.profile == name}
    known = [
        *(day for profile, day in found.days if profile == name),
        *(day for profile, day in found.elsewhere if profile == name),
        *damaged,
    ]
    first = min(known, default=until + timedelta(days=1))
    due = due_times(shown.schedule, since, until)
    cells: list[Cell] = []
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        record = found.days.get((name, day))
        due_at = due.get(day) if day >= first else None
        if day in damaged:
            state = DayState.UNREADABLE
        elif record is None and (name, day) in found.elsewhere:
            state = DayState.DELIVERED
        else:
            state = state_of(record, due=due_at, working_fence=working_fence, now=now)
        cells.append(Cell(day=day, state=state, due=due.get(day), record=record))
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


def _superseded(cells: Sequence[Cell]) -> list[Cell]:
    """The same cells: of those that are not done, the ones whose entries a later day has taken."""
    done = {DayState.DELIVERED, DayState.CHANGED, DayState.EMPTY}
    last = max((cell.day for cell in cells if cell.state in done), default=date.min)
    return [
        replace(cell, superseded=True)
        if cell.state in (DayState.MISSING, DayState.FAILED) and cell.day < last
        else cell
        for cell in cells
    ]


def due_times(schedule: Schedule, since: date, until: date) -> Mapping[date, datetime]:
    """Day → its first slot, in the schedule's zone, of the days that have one."""
    return _due_times(schedule.cron, schedule.time_zone.key, since, until)


@lru_cache(maxsize=256)
def _due_times(cron: str, zone: str, since: date, until: date) -> Mapping[date, datetime]:
    from zoneinfo import ZoneInfo

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
