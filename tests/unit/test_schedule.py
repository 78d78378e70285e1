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

from daybook.errors import ConfigurationError
from daybook.export.schedule import Schedule, parse_schedule_time

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
    with pytest.raises(ConfigurationError, match="no cron schedule"):
        Schedule(cron, BANGKOK)


@pytest.mark.parametrize(
    ("now", "schedule_time", "expected"),
    [
        # As the scheduler delivers it.
        (bangkok(2026, 1, 18, 18, 0, 2), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        # Late, past midnight: still yesterday's.
        (bangkok(2026, 1, 19, 0, 30), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        # Exactly a day old, and older: then the latest slot decides.
        (bangkok(2026, 1, 19, 18), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        (bangkok(2026, 1, 19, 18, 0, 1), bangkok(2026, 1, 18, 18), date(2026, 1, 19)),
        # Clocks that differ a little; the latest slot would be yesterday's.
        (bangkok(2026, 1, 18, 17, 55), bangkok(2026, 1, 18, 18), date(2026, 1, 18)),
        (bangkok(2026, 1, 18, 17, 54, 59), bangkok(2026, 1, 18, 18), date(2026, 1, 17)),
        # Forced at 3 a.m., carrying tonight's slot: makes up for yesterday.
        (bangkok(2026, 1, 19, 3), bangkok(2026, 1, 19, 18), date(2026, 1, 18)),
        (bangkok(2026, 1, 19, 3), None, date(2026, 1, 18)),
        # The header in UTC is another day than in the zone.
        (
            bangkok(2026, 1, 19, 0, 30, 5),
            datetime(2026, 1, 18, 17, 30, tzinfo=UTC),
            date(2026, 1, 19),
        ),
    ],
)
def test_the_batch_date_is_that_of_the_slot_that_the_run_is_for(
    now: datetime, schedule_time: datetime | None, expected: date
) -> None:
    assert DAILY.batch_date(now, schedule_time) == expected


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
