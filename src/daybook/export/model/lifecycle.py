"""When a batch is due, starts, retries and fails, and the tasks by which Daybook calls itself.

The decisions are pure functions of state and time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Protocol, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from daybook.errors import BadRequest, ConfigurationError
from daybook.export.model.fields import Fields
from daybook.export.model.profile import BatchKey

SCHEDULE_TIME_MAX_AGE = timedelta(hours=24)
SCHEDULE_TIME_MAX_AHEAD = timedelta(minutes=5)
"""Allowance for clocks that differ. A time beyond it may be the next slot's, which a forced run may
name."""
SLOT_TOLERANCE = timedelta(minutes=1)
"""How far the scheduler's time may be from a slot of the cron expression and still name it."""
EARLIEST_DAY = date(2000, 1, 1)
"""An earlier batch date must be a typing error."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class BatchState(StrEnum):
    OPEN = "open"  # being worked on, or waiting for its next attempt
    COMMITTED = "committed"  # its file is delivered and recorded
    EMPTY = "empty"  # nothing was queued; signed off
    FAILED = "failed"  # failed for good; its entries stay queued


class Next(StrEnum):
    START = "start"  # start the attempt that the step names
    RESUME = "resume"  # resume it: it stopped at a boundary and was handed back
    REPORT = "report"  # nothing to do; respond with what is stored
    GIVE_UP = "give_up"  # attempts are used up, the last without a recorded end: store `failed`


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a run does once it holds the slot and has settled it."""

    next: Next
    attempt: int


def next_step(
    *,
    state: BatchState | None,
    attempt: int,
    ended_attempt: int,
    continued: bool,
    same_delivery: bool,
    max_attempts: int,
) -> Step:
    """The next step for a call that requests a run now.

    `attempt` is the last one started, `ended_attempt` the last one whose end was
    recorded: if they differ, that attempt is `continued`, or it crashed, and it counts.
    `same_delivery` is true when this trigger has already started an attempt.
    """
    done = state is BatchState.COMMITTED or state is BatchState.FAILED
    if done or (state is BatchState.EMPTY and same_delivery):
        return Step(next=Next.REPORT, attempt=attempt)
    if state is None or state is BatchState.EMPTY:
        return Step(next=Next.START, attempt=1)
    if continued and attempt > ended_attempt:
        return Step(next=Next.RESUME, attempt=attempt)
    if attempt >= max_attempts:
        return Step(next=Next.GIVE_UP, attempt=attempt)
    if same_delivery and ended_attempt == attempt and attempt > 0:
        return Step(next=Next.REPORT, attempt=attempt)
    return Step(next=Next.START, attempt=attempt + 1)


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """What a task calls for: to start, resume, or check one attempt of a generation."""

    generation: int
    attempt: int


def task_applies(
    call: TaskCall,
    *,
    state: BatchState,
    finished: bool,
    generation: int,
    attempt: int,
    ended_attempt: int,
) -> bool:
    """Whether a delivered task still has something to do; a late or repeated one has not.

    If the batch is at the attempt before, the task's own attempt starts. If it is at the task's
    attempt and no end is recorded, the attempt is running, was continued, or crashed.
    """
    if call.generation != generation:
        return False
    if state is BatchState.COMMITTED:
        return not finished
    if state is BatchState.EMPTY:
        return call.attempt == attempt + 1  # it was requested after the day was signed off
    if state is not BatchState.OPEN:
        return False
    return call.attempt == attempt + 1 or (call.attempt == attempt and attempt > ended_attempt)


def attempt_to_recheck(*, attempt: int, ended_attempt: int) -> int:
    """The attempt that a recheck is about: the one that is running, else the next."""
    return attempt if attempt > ended_attempt else attempt + 1


def next_attempt_at(
    *, attempt: int, permanent: bool, delays_seconds: Sequence[int], now: datetime
) -> datetime | None:
    """When the next attempt is due after attempt `attempt` failed; None when there is none."""
    if permanent or attempt > len(delays_seconds):
        return None
    return now + timedelta(seconds=delays_seconds[attempt - 1])


class TaskKind(StrEnum):
    RETRY = "retry"  # the next attempt after a failed one
    CONTINUATION = "continuation"  # resumes an attempt that stopped at its deadline
    HALF_OPEN = "half_open"  # tries again when the circuit may close
    RECHECK = "look_again"  # checks whether the run that held the slot has ended


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of `POST /tasks/run`.

    The name is a hash of the call's content, so that creating it again creates the same task: a
    queue refuses a name that it has, or recently had.
    """

    key: BatchKey
    kind: TaskKind
    generation: int
    attempt: int
    """The attempt to start, resume, or check."""
    fence: int
    """Fence of the run that ended, or that holds the slot."""
    due: datetime
    """When the call is to be made; aware."""
    after: str = ""
    """Name of the task whose run created a recheck, so that rechecks form one chain, not many."""

    @property
    def name(self) -> str:
        """Letters and digits, without the queue."""
        day = self.key.batch_date or f"manual:{self.key.manual_key}"
        parts = (self.key.profile, day, self.generation, self.attempt, self.kind.value, self.fence)
        text = "\n".join([*map(str, parts), self.after])
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self) -> dict[str, Any]:
        """The body of the call."""
        day: dict[str, Any] = {"batchDate": self.key.batch_date}
        if self.key.manual_key is not None:
            day = {"manualKey": self.key.manual_key}
        return {
            "profile": self.key.profile,
            **day,
            "generation": self.generation,
            "attempt": self.attempt,
            "kind": self.kind.value,
        }

    def to_doc(self) -> dict[str, Any]:
        """The form in which the batch stores the task until its run starts."""
        return {
            "kind": self.kind.value,
            "attempt": self.attempt,
            "fence": self.fence,
            "due": self.due,
        }

    @classmethod
    def from_fields(cls, fields: Fields, *, key: BatchKey, generation: int) -> Self:
        return cls(
            key=key,
            kind=fields.one_of("kind", TaskKind),
            generation=generation,
            attempt=fields.whole("attempt"),
            fence=fields.whole("fence"),
            due=fields.time("due"),
        )


class TaskQueue(Protocol):
    """Makes calls later: Cloud Tasks in the cloud; without a queue they are only recorded."""

    def create(self, task: Task) -> None:
        """Schedule the call for when it is due; creating it again changes nothing.

        Raises `TaskError` when the queue cannot be reached or refuses.
        """


class Schedule:
    """The slots of a five-field cron expression in a time zone.

    A time that a clock change skips falls due right after the gap; one that occurs twice
    falls due only the first time.
    Raises `ConfigurationError` for an invalid expression.
    """

    def __init__(self, cron: str, time_zone: ZoneInfo) -> None:
        self.cron = cron
        self.time_zone = time_zone
        try:
            CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ConfigurationError(f"{cron!r} is not a cron schedule: {error}") from error
        if len(cron.split()) != 5:
            raise ConfigurationError(f"{cron!r} is not a cron schedule of five fields")

    def latest_slot(self, now: datetime) -> datetime:
        """The last time at or before `now` (aware) when the batch was due, in the zone."""
        local = now.astimezone(self.time_zone)
        # In the second pass of a repeated hour, slots of the first pass are in the past
        # although the wall clock shows them in the future.
        second_pass = local.replace(fold=1).astimezone(UTC)
        repeated = second_pass - local.replace(fold=0).astimezone(UTC)
        # Going backwards, cronsim starts strictly before `start`, and `now` itself counts.
        start = local.replace(microsecond=0) + repeated + timedelta(seconds=1)
        slots = self._slots(start, reverse=True)
        return next(slot for slot in slots if slot.astimezone(UTC) <= now)

    def next_slot(self, now: datetime) -> datetime:
        """The first time after `now` (aware) when the batch is due, in the zone."""
        local = now.astimezone(self.time_zone)
        slots = self._slots(local, reverse=False)
        return next(slot for slot in slots if slot.astimezone(UTC) > now)

    def next_batch(self, now: datetime, delivered: Callable[[date], bool]) -> datetime:
        """The next slot whose run can make a file: a day that is delivered gets no second one."""
        slot = self.next_slot(now)
        while delivered(slot.date()):
            tomorrow = datetime.combine(slot.date() + timedelta(days=1), time(), self.time_zone)
            slot = self.next_slot(tomorrow.astimezone(UTC) - timedelta(microseconds=1))
        return slot

    def batch_date(self, now: datetime, schedule_time: datetime | None) -> date:
        """The date that a run is for when the call names none.

        It is the date of the slot that `schedule_time` (`X-CloudScheduler-ScheduleTime`) names,
        so that a run that is late past midnight keeps its date. Otherwise it is the latest
        slot's: the header of a forced run may hold the next slot, the present time or nothing,
        and a run forced at 17:00 must not close tonight's batch.
        """
        named = None
        if schedule_time is not None and is_current(now, schedule_time):
            named = self.slot_at(schedule_time)
        return (named or self.latest_slot(now)).date()

    def slot_at(self, moment: datetime) -> datetime | None:
        """The slot nearest to `moment` (aware), if within `SLOT_TOLERANCE`; else None."""
        around = (self.latest_slot(moment), self.next_slot(moment))
        # In UTC, because within one zone Python subtracts wall-clock times.
        apart = {slot: abs(slot.astimezone(UTC) - moment.astimezone(UTC)) for slot in around}
        nearest = min(around, key=apart.__getitem__)
        return nearest if apart[nearest] <= SLOT_TOLERANCE else None

    def requested_day(
        self, given: date | None, now: datetime, schedule_time: datetime | None = None
    ) -> date:
        """The day that a call is for, given or not. Raises `BadRequest` for one to come."""
        if given is None:
            return self.batch_date(now, schedule_time)
        return self.check_day(given, now)

    def due_day(self, given: date, now: datetime, *, where: str = "batchDate") -> date:
        """The day that is to be closed. Raises `BadRequest` before its own run is due."""
        day = self.check_day(given, now, where=where)
        if not self.is_due(day, now):
            raise BadRequest(f"{day} is not due yet: its run would find it closed", where=where)
        return day

    def check_day(self, day: date, now: datetime, *, where: str = "batchDate") -> date:
        """Returns `day`; raises `BadRequest` when it is not, or not yet, a valid batch date.

        `where` names the field or parameter that has it. A batch of a future day would take
        tonight's entries into that day's file.
        """
        today = self.today(now + SCHEDULE_TIME_MAX_AHEAD)
        if day > today:
            raise BadRequest(
                f"{day} is still to come: it is {today} in {self.time_zone}", where=where
            )
        if day < EARLIEST_DAY:
            raise BadRequest(f"{day} is not a plausible date", where=where)
        return day

    def today(self, now: datetime) -> date:
        """The date in the schedule's time zone."""
        return now.astimezone(self.time_zone).date()

    def is_due(self, day: date, now: datetime) -> bool:
        """Whether the day's first slot has passed; a day without a slot is always due."""
        midnight = datetime.combine(day, time(), self.time_zone).astimezone(UTC)
        first = self.next_slot(midnight - timedelta(microseconds=1))
        return first.date() != day or first.astimezone(UTC) <= now

    def is_early(self, day: date, done: datetime) -> bool:
        """Whether the day was closed before its run was due; calls come up to a minute early."""
        return not self.is_due(day, done + SLOT_TOLERANCE)

    def _slots(self, start: datetime, *, reverse: bool) -> Iterator[datetime]:
        # By the wall clock, because cronsim's own handling of clock changes loses slots:
        # backwards in a repeated hour, and where the clock moves by half an hour.
        for wall in CronSim(self.cron, start.replace(tzinfo=None), reverse=reverse):
            yield self._instant(wall)
        raise ConfigurationError(f"The cron schedule {self.cron!r} never falls due")

    def _instant(self, wall: datetime) -> datetime:
        while True:
            slot = wall.replace(tzinfo=self.time_zone)
            shown = slot.astimezone(UTC).astimezone(self.time_zone)
            if shown.replace(tzinfo=None, fold=0) == wall:
                return slot
            wall += timedelta(minutes=1)  # the clock skips it


def is_current(now: datetime, schedule_time: datetime) -> bool:
    """Whether the header can name this delivery; that of a forced run may hold the next slot."""
    return -SCHEDULE_TIME_MAX_AHEAD <= now - schedule_time <= SCHEDULE_TIME_MAX_AGE


def parse_schedule_time(header: str) -> datetime | None:
    """An RFC 3339 time as Cloud Scheduler sends it, or None when the header is not one."""
    found = _RFC3339.fullmatch(header.strip())
    if found is None:
        return None
    day, time, fraction, offset = found.groups()
    # Cut off at milliseconds, as MongoDB stores it: a repeated delivery must compare equal.
    text = f"{day}T{time}.{(fraction or '').ljust(3, '0')[:3]}{offset.upper()}"
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
