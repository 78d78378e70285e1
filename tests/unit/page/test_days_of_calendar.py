"""The state of a day, by what is stored and when its run was due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from daybook.export.model.lifecycle import Schedule
from daybook.page.days import DayState, due_times, state_of
from daybook.page.recorded import RecordedDay

DUE = datetime(2026, 1, 18, 11, tzinfo=UTC)


def record(state: str, **fields: Any) -> RecordedDay:
    doc = {"_id": ObjectId(), "profile": "daily", "batchDate": "2026-01-18", "state": state}
    return RecordedDay.from_doc({**doc, "fence": 7, **fields})


def pending(minutes: float) -> dict[str, Any]:
    return {"pendingTask": {"kind": "retry", "due": DUE + timedelta(minutes=minutes)}}


@pytest.mark.parametrize(
    ("found", "minutes", "fence", "state"),
    [
        (None, -60, None, DayState.DUE),
        (None, 5, None, DayState.DUE),
        (None, 11, None, DayState.MISSING),
        (record("open"), 5, 7, DayState.RUNNING),
        (record("open"), 5, 6, DayState.MISSING),  # a run of another day holds the slot
        (record("open"), 5, None, DayState.MISSING),
        (record("open", **pending(20)), 6, None, DayState.RETRYING),
        (record("open", **pending(20)), 29, None, DayState.RETRYING),
        (record("open", **pending(20)), 31, None, DayState.MISSING),
        (record("failed"), 60, None, DayState.FAILED),
        (record("failed", releasedAt=DUE), 60, None, DayState.RELEASED),
        (record("open", releasedAt=DUE), 60, None, DayState.RELEASED),
        (record("empty"), 60, None, DayState.EMPTY),
        (record("committed"), 60, None, DayState.DELIVERED),
        (record("committed", audit={"findingCount": 0}), 60, None, DayState.DELIVERED),
        (record("committed", audit={"findingCount": 2}), 60, None, DayState.CHANGED),
    ],
)
def test_state(
    found: RecordedDay | None, minutes: float, fence: int | None, state: DayState
) -> None:
    now = DUE + timedelta(minutes=minutes)
    assert state_of(found, due=DUE, working_fence=fence, now=now) is state


def test_a_day_without_a_slot_is_not_due() -> None:
    assert state_of(None, due=None, working_fence=None, now=DUE) is DayState.NONE


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("0 18 * * *", "Asia/Bangkok", [1, 2, 3, 4, 5, 6, 7]),
        ("0 18 * * 1-5", "Asia/Bangkok", [1, 2, 5, 6, 7]),  # Thursday 1 January 2026
        ("0 9 5 * *", "Asia/Bangkok", [5]),
        ("*/5 * * * *", "UTC", [1, 2, 3, 4, 5, 6, 7]),
        ("0 0 29 2 *", "UTC", []),
    ],
)
def test_due_days(cron: str, zone: str, expected: list[int]) -> None:
    schedule = Schedule(cron, ZoneInfo(zone))
    due = due_times(schedule, date(2026, 1, 1), date(2026, 1, 7))
    assert [day.day for day in due] == expected
    assert all(slot.date() == day for day, slot in due.items())
