"""The schedule: slots, clock changes, and the date that a run is for."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.errors import BadRequest, ConfigurationError
from daybook.export.model.lifecycle import Schedule, parse_schedule_time

BANGKOK = ZoneInfo("Asia/Bangkok")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
DAILY = Schedule("0 18 * * *", BANGKOK)


def bangkok(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BANGKOK)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("now", "latest", "following"),
    [
        (bangkok(2026, 1, 18, 17, 59, 59), bangkok(2026, 1, 17, 18), bangkok(2026, 1, 18, 18)),
        (bangkok(2026, 1, 18, 18), bangkok(2026, 1, 18, 18), bangkok(2026, 1, 19, 18)),
        (bangkok(2026, 1, 18, 18, 0, 0, 1), bangkok(2026, 1, 18, 18), bangkok(2026, 1, 19, 18)),
        (bangkok(2026, 1, 19, 3), bangkok(2026, 1, 18, 18), bangkok(2026, 1, 19, 18)),
        (
            datetime(2026, 1, 18, 11, tzinfo=UTC),
            bangkok(2026, 1, 18, 18),
            bangkok(2026, 1, 19, 18),
        ),
    ],
)
def test_a_slot_is_due_from_its_own_instant_on(
    now: datetime, latest: datetime, following: datetime
) -> None:
    assert DAILY.latest_slot(now) == latest
    assert DAILY.next_slot(now) == following
    assert DAILY.latest_slot(now).tzinfo is BANGKOK


@pytest.mark.parametrize("cron", ["0 18 * * *", "*/20 18-20 * * *"])
def test_no_batch_follows_on_a_day_that_is_delivered(cron: str) -> None:
    schedule = Schedule(cron, BANGKOK)
    now = bangkok(2026, 1, 18, 12)
    delivered: set[date] = set()
    assert schedule.next_batch(now, delivered.__contains__) == bangkok(2026, 1, 18, 18)
    delivered |= {date(2026, 1, 18), date(2026, 1, 19)}
    assert schedule.next_batch(now, delivered.__contains__) == bangkok(2026, 1, 20, 18)


def test_weekends_can_be_left_out() -> None:
    weekdays = Schedule("0 18 * * MON-FRI", BANGKOK)
    sunday = bangkok(2026, 1, 18, 20)
    assert weekdays.latest_slot(sunday) == bangkok(2026, 1, 16, 18)
    assert weekdays.next_slot(sunday) == bangkok(2026, 1, 19, 18)


def test_a_time_that_the_clock_skips_is_due_after_the_gap() -> None:
    schedule = Schedule("30 2 * * *", NEW_YORK)
    after_gap = datetime(2026, 3, 8, 7, tzinfo=UTC)  # 03:00 EDT; 02:00 to 03:00 do not exist
    assert schedule.next_slot(after_gap - timedelta(hours=1)) == after_gap
    assert schedule.latest_slot(after_gap) == after_gap
    assert schedule.latest_slot(after_gap - timedelta(seconds=1)) == datetime(
        2026, 3, 7, 2, 30, tzinfo=NEW_YORK
    )


def test_a_time_that_comes_twice_is_due_the_first_time_only() -> None:
    schedule = Schedule("30 1 * * *", NEW_YORK)
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 01:30 EDT; 01:30 EST is 06:30 UTC
    for minutes in (0, 40, 60, 90):
        now = first + timedelta(minutes=minutes)
        # In UTC, since Python calls no time of a repeated hour equal to one in another zone.
        assert schedule.latest_slot(now).astimezone(UTC) == first
        assert schedule.next_slot(now) == datetime(2026, 11, 2, 1, 30, tzinfo=NEW_YORK)


CLOCK_CHANGES = [
    (NEW_YORK, datetime(2026, 3, 8, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 11, 1, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 4, 4, tzinfo=UTC)),  # by half an hour
    (LORD_HOWE, datetime(2026, 10, 3, tzinfo=UTC)),
    (BANGKOK, datetime(2026, 1, 18, tzinfo=UTC)),
]
CRONS: dict[str, tuple[range | set[int], range | set[int]]] = {  # hours, minutes
    "30 2 * * *": ({2}, {30}),
    "30 1 * * *": ({1}, {30}),
    "0,45 1,2 * * *": ({1, 2}, {0, 45}),
    "0 */6 * * *": (range(0, 24, 6), {0}),
    "*/10 * * * *": (range(24), range(0, 60, 10)),
    "0 18 * * *": ({18}, {0}),
}


@cache
def slots_minute_by_minute(zone: ZoneInfo, change: datetime, cron: str) -> list[datetime]:
    """The slots around a clock change, from asking every minute what the wall clock shows."""
    hours, minutes = CRONS[cron]
    slots = []
    before = (change - timedelta(days=2, minutes=1)).astimezone(zone).replace(tzinfo=None)
    for minute in range(6 * 24 * 60):
        instant = change + timedelta(days=-2, minutes=minute)
        local = instant.astimezone(zone)
        wall = local.replace(tzinfo=None, fold=0)
        passed = [wall]
        while passed[0] - before > timedelta(minutes=1):
            passed.insert(0, passed[0] - timedelta(minutes=1))
        before = wall
        if not local.fold and any(w.hour in hours and w.minute in minutes for w in passed):
            slots.append(instant)
    return slots


@given(
    st.sampled_from(CLOCK_CHANGES),
    st.sampled_from(sorted(CRONS)),
    st.integers(min_value=0, max_value=2 * 24 * 3600 * 2),
)
def test_latest_and_next_slot_enclose_now_around_a_clock_change(
    where: tuple[ZoneInfo, datetime], cron: str, half_seconds: int
) -> None:
    zone, change = where
    slots = slots_minute_by_minute(zone, change, cron)
    now = change + timedelta(seconds=half_seconds / 2)
    following = bisect_right(slots, now)
    schedule = Schedule(cron, zone)
    assert schedule.latest_slot(now).astimezone(UTC) == slots[following - 1]
    assert schedule.next_slot(now).astimezone(UTC) == slots[following]


@pytest.mark.parametrize("cron", ["* * * * *", "0 0 29 2 *", "0 0 * 2 MON#5"])
def test_dense_and_sparse_schedules_are_quick(cron: str) -> None:
    schedule = Schedule(cron, NEW_YORK)
    start = perf_counter()
    for day in range(20):
        now = datetime(2026, 10, 20, 5, 15, tzinfo=UTC) + timedelta(days=day)
        assert schedule.latest_slot(now) <= now < schedule.next_slot(now)
    assert perf_counter() - start < 5


@pytest.mark.parametrize("cron", ["", "0 18 * *", "0 0 18 * * *", "0 24 * * *", "0 0 31 2 *"])
def test_what_is_no_schedule_is_refused(cron: str) -> None:
    with pytest.raises(ConfigurationError, match="not a cron schedule"):
        Schedule(cron, BANGKOK)


MIDNIGHT = Schedule("0 0 * * *", BANGKOK)
THRICE = Schedule("0 6,12,18 * * *", BANGKOK)
QUARTERS = Schedule("*/15 17,18 * * *", BANGKOK)
WEEKDAYS = Schedule("30 17 * * MON-FRI", BANGKOK)
SPRING = Schedule("30 2 * * *", NEW_YORK)  # skipped on 8 March 2026, then due at 03:00
AUTUMN = Schedule("30 1 * * *", NEW_YORK)  # comes twice on 1 November 2026, due the first time


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("schedule", "now", "header", "expected"),
    [
        # As the scheduler delivers it.
        (DAILY, bangkok(2026, 1, 18, 18, 0, 2), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        # Late, past midnight: still yesterday's.
        (DAILY, bangkok(2026, 1, 19, 0, 30), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        # Exactly a day old, and older: then the latest slot decides.
        (DAILY, bangkok(2026, 1, 19, 18), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        (DAILY, bangkok(2026, 1, 19, 18, 0, 1), bangkok(2026, 1, 18, 18), date(2026, 1, 19)),
        # Clocks that differ a little; the latest slot would be yesterday's.
        (DAILY, bangkok(2026, 1, 18, 17, 55), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        (DAILY, bangkok(2026, 1, 18, 17, 54, 59), bangkok(2026, 1, 18, 18), date(2026, 1, 17)),
        # Forced at 17:00, whatever the header holds: the next slot, the present time, nothing.
        (DAILY, bangkok(2026, 1, 18, 17), bangkok(2026, 1, 18, 18), date(2026, 1, 17)),
        (DAILY, bangkok(2026, 1, 18, 17), bangkok(2026, 1, 18, 17), date(2026, 1, 17)),
        (DAILY, bangkok(2026, 1, 18, 17, 2, 9), bangkok(2026, 1, 18, 17, 2), date(2026, 1, 17)),
        (DAILY, bangkok(2026, 1, 18, 17), None, date(2026, 1, 17)),
        (DAILY, bangkok(2026, 1, 18, 17, 59), bangkok(2026, 1, 18, 17, 58), date(2026, 1, 17)),
        # Forced at 3 a.m.: makes up for yesterday.
        (DAILY, bangkok(2026, 1, 19, 3), bangkok(2026, 1, 19, 18), date(2026, 1, 18)),
        (DAILY, bangkok(2026, 1, 19, 3), bangkok(2026, 1, 19, 3), date(2026, 1, 18)),
        (DAILY, bangkok(2026, 1, 19, 3), None, date(2026, 1, 18)),
        # Forced in the evening after the slot: today's, as the slot's own run.
        (DAILY, bangkok(2026, 1, 18, 19), bangkok(2026, 1, 18, 19), date(2026, 1, 18)),
        # Up to a minute beside the slot is the slot.
        (DAILY, bangkok(2026, 1, 19, 3), bangkok(2026, 1, 18, 17, 59), date(2026, 1, 18)),
        (DAILY, bangkok(2026, 1, 18, 18, 1), bangkok(2026, 1, 18, 18, 1), date(2026, 1, 18)),
        # The header in another offset: the same instant.
        (DAILY, bangkok(2026, 1, 19, 0, 30), utc(2026, 1, 18, 11), date(2026, 1, 18)),
        (
            DAILY,
            bangkok(2026, 1, 19, 0, 30),
            datetime(2026, 1, 18, 6, tzinfo=NEW_YORK),
            date(2026, 1, 18),
        ),
        # A slot at midnight belongs to the day that begins, also when called a little early.
        (MIDNIGHT, bangkok(2026, 1, 18, 23, 59, 58), bangkok(2026, 1, 19), date(2026, 1, 19)),
        (MIDNIGHT, bangkok(2026, 1, 19, 0, 0, 5), bangkok(2026, 1, 18, 23, 59), date(2026, 1, 19)),
        (MIDNIGHT, bangkok(2026, 1, 18, 23), bangkok(2026, 1, 18, 23), date(2026, 1, 18)),
        # Several slots a day share its date.
        (THRICE, bangkok(2026, 1, 18, 12, 0, 1), bangkok(2026, 1, 18, 12), date(2026, 1, 18)),
        (THRICE, bangkok(2026, 1, 18, 5), bangkok(2026, 1, 18, 6), date(2026, 1, 17)),
        (THRICE, bangkok(2026, 1, 18, 5), bangkok(2026, 1, 17, 6), date(2026, 1, 17)),
        (QUARTERS, bangkok(2026, 1, 18, 16, 50), bangkok(2026, 1, 18, 17), date(2026, 1, 17)),
        (QUARTERS, bangkok(2026, 1, 18, 17, 1), bangkok(2026, 1, 18, 17), date(2026, 1, 18)),
        # Saturday and Sunday have no slot: Friday's.
        (WEEKDAYS, bangkok(2026, 1, 18, 17, 30), bangkok(2026, 1, 18, 17, 30), date(2026, 1, 16)),
        (WEEKDAYS, bangkok(2026, 1, 19, 17, 0), bangkok(2026, 1, 19, 17, 30), date(2026, 1, 16)),
        # Clock changes.
        (SPRING, utc(2026, 3, 8, 7, 0, 5), utc(2026, 3, 8, 7), date(2026, 3, 8)),
        (SPRING, utc(2026, 3, 8, 6, 30), utc(2026, 3, 8, 6, 30), date(2026, 3, 7)),
        (AUTUMN, utc(2026, 11, 1, 5, 30, 5), utc(2026, 11, 1, 5, 30), date(2026, 11, 1)),
        (AUTUMN, utc(2026, 11, 1, 4, 30), utc(2026, 11, 1, 4, 30), date(2026, 10, 31)),
        (AUTUMN, utc(2026, 11, 1, 6, 30), utc(2026, 11, 1, 6, 30), date(2026, 11, 1)),
    ],
)
def test_the_batch_date_is_that_of_the_slot_that_the_run_is_for(
    schedule: Schedule, now: datetime, header: datetime | None, expected: date
) -> None:
    assert schedule.batch_date(now, header) == expected


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/15", "5,35", "*"]),
    st.sampled_from(["18", "0", "23", "6,12,18", "*/6", "2", "*"]),
    st.sampled_from(["*", "1", "31", "*/2"]),
    st.just("*"),
    st.sampled_from(["*", "MON-FRI", "SUN"]),
)
MOMENTS = st.datetimes(
    min_value=datetime(2026, 1, 1),  # noqa: DTZ001  (the zone is added)
    max_value=datetime(2026, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(
    FIELDS,
    st.sampled_from([BANGKOK, NEW_YORK, LORD_HOWE]),
    MOMENTS,
    st.sampled_from(["next slot", "now", "none", "any", "latest slot"]),
    MOMENTS,
)
def test_a_run_never_takes_a_date_whose_slot_has_not_come(
    fields: tuple[str, ...], zone: ZoneInfo, now: datetime, held: str, other: datetime
) -> None:
    schedule = Schedule(" ".join(fields), zone)
    latest = schedule.latest_slot(now)
    header = {
        "next slot": schedule.next_slot(now),
        "now": now,
        "none": None,
        "any": other,
        "latest slot": latest,
    }[held]
    day = schedule.batch_date(now, header)
    soon = schedule.latest_slot(now + timedelta(minutes=5))  # by a clock that is a little ahead
    assert day <= soon.date()
    if held in ("none", "latest slot"):
        assert day == latest.date()
    if held == "now" and soon == latest:
        assert day == latest.date()


@pytest.mark.parametrize(
    ("schedule", "day", "now", "due"),
    [
        (DAILY, date(2026, 1, 18), bangkok(2026, 1, 18, 17, 59, 59), False),
        (DAILY, date(2026, 1, 18), bangkok(2026, 1, 18, 18), True),
        (DAILY, date(2026, 1, 17), bangkok(2026, 1, 18, 3), True),
        (THRICE, date(2026, 1, 18), bangkok(2026, 1, 18, 5, 59), False),
        (THRICE, date(2026, 1, 18), bangkok(2026, 1, 18, 6), True),
        (WEEKDAYS, date(2026, 1, 18), bangkok(2026, 1, 18, 9), True),  # nothing is to come
        (MIDNIGHT, date(2026, 1, 18), bangkok(2026, 1, 18), True),
        (SPRING, date(2026, 3, 8), utc(2026, 3, 8, 6, 59), False),
        (SPRING, date(2026, 3, 8), utc(2026, 3, 8, 7), True),
    ],
)
def test_a_day_is_due_from_its_first_slot_on(
    schedule: Schedule, day: date, now: datetime, due: bool
) -> None:
    assert schedule.is_due(day, now) is due


@pytest.mark.parametrize(
    ("day", "now", "fault"),
    [
        (date(2026, 1, 18), bangkok(2026, 1, 18), None),
        (date(2026, 1, 19), bangkok(2026, 1, 18, 23, 54, 59), "still to come"),
        (date(2026, 1, 19), bangkok(2026, 1, 18, 23, 55), None),  # clocks differ
        (date(2026, 1, 19), utc(2026, 1, 18, 17), None),  # already tomorrow in Bangkok
        (date(2030, 1, 1), bangkok(2026, 1, 18), "still to come"),
        (date(9999, 12, 31), bangkok(2026, 1, 18), "still to come"),
        (date(2000, 1, 1), bangkok(2026, 1, 18), None),
        (date(1999, 12, 31), bangkok(2026, 1, 18), "plausible"),
        (date(1, 1, 1), bangkok(2026, 1, 18), "plausible"),
    ],
)
def test_a_day_to_come_or_long_past_is_refused(day: date, now: datetime, fault: str | None) -> None:
    if fault is None:
        assert DAILY.check_day(day, now) == day
        return
    with pytest.raises(BadRequest, match=fault) as refused:
        DAILY.check_day(day, now)
    assert refused.value.where == "batchDate"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("2026-01-18T11:00:00Z", datetime(2026, 1, 18, 11, tzinfo=UTC)),
        ("2026-01-18t11:00:00z", datetime(2026, 1, 18, 11, tzinfo=UTC)),
        ("2026-01-18T18:00:00+07:00", datetime(2026, 1, 18, 11, tzinfo=UTC)),
        ("2026-01-18T11:00:00.5Z", datetime(2026, 1, 18, 11, 0, 0, 500000, tzinfo=UTC)),
        ("2026-01-18T11:00:00.123456789Z", datetime(2026, 1, 18, 11, 0, 0, 123000, tzinfo=UTC)),
        (" 2026-01-18T11:00:00Z ", datetime(2026, 1, 18, 11, tzinfo=UTC)),
    ],
)
def test_an_rfc_3339_time_is_read_as_an_aware_instant(header: str, expected: datetime) -> None:
    assert parse_schedule_time(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "yesterday",
        "2026-01-18",
        "2026-01-18T11:00:00",
        "2026-01-18 11:00:00Z",
        "2026-02-30T11:00:00Z",
        "2026-01-18T25:00:00Z",
        "2026-01-18T11:00:00+99:00",
        "２０２６-01-18T11:00:00Z",
        "20260118T110000Z",
    ],
)
def test_a_malformed_time_is_none(header: str) -> None:
    assert parse_schedule_time(header) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_time_survives_being_written_as_rfc_3339(moment: datetime) -> None:
    milliseconds = moment.microsecond // 1000 * 1000
    assert parse_schedule_time(moment.isoformat()) == moment.replace(microsecond=milliseconds)
