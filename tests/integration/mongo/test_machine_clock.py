"""A process whose clock is wrong: what it stores, and what others make of what it stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.errors import BadRequest, CircuitOpen
from daybook.export.outcome import Status
from daybook.export.slot.slot import Slot
from daybook.export.upload.breaker import Breaker
from daybook.mongo.client import MachineClock
from tests import commands
from tests.integration.office import Office

pytestmark = pytest.mark.migrated

YEAR = timedelta(days=365)


def off_by(offset: timedelta) -> MachineClock:
    return MachineClock(lambda: datetime.now(UTC) + offset)


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.fixture
def off(office: Office) -> Callable[[timedelta], App]:
    return lambda offset: replace(office.app, clock=off_by(offset))


@pytest.mark.parametrize("offset", [YEAR, -YEAR, timedelta(minutes=2), -timedelta(minutes=2)])
def test_a_clock_that_is_far_off_is_replaced_by_mongodbs(
    off: Callable[[timedelta], App], offset: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        shown = off(offset).now()
    assert abs(shown - datetime.now(UTC)) < timedelta(seconds=10)
    (record,) = [one for one in caplog.records if one.__dict__.get("event") == "clock_wrong"]
    seconds = record.__dict__["fields"]["aheadSeconds"]
    assert abs(seconds - offset.total_seconds()) < 10


@pytest.mark.parametrize("seconds", [0, 30, -30])
def test_a_small_difference_is_left_alone(
    off: Callable[[timedelta], App], seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = off(timedelta(seconds=seconds))
    before = app.clock()
    assert before <= app.now() <= app.clock()
    assert [one for one in caplog.records if one.__dict__.get("event") == "clock_wrong"] == []


def test_a_run_whose_clock_is_a_year_ahead_stores_the_right_times_and_day(
    office: Office, off: Callable[[timedelta], App]
) -> None:
    office.add()
    app = off(YEAR)
    today = app.schedule.latest_slot(datetime.now(UTC)).date()

    assert app.schedule.requested_day(None, app.now()) == today
    outcome = commands.run_day(app, app.schedule.requested_day(None, app.now()))

    assert outcome.status is Status.EXPORTED
    (batch,) = office.database["exportbatches"].find()
    assert batch["batchDate"] == today.isoformat()
    now = datetime.now(UTC)
    for name in ("createdAt", "startedAt", "committedAt", "markedAt", "alertedAt", "updatedAt"):
        assert abs(batch[name] - now) < timedelta(minutes=1), name
    with pytest.raises(BadRequest, match="still to come"):
        app.schedule.requested_day(today + timedelta(days=300), app.now())


def test_without_mongodb_the_clock_is_taken_as_it_is(tmp_path: Path) -> None:
    app = App.from_env(
        {
            "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/?directConnection=true",
            "DAYBOOK_DESTINATION": tmp_path.as_uri(),
            "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "200",
        }
    )
    app = replace(app, clock=off_by(YEAR))
    assert app.now() - datetime.now(UTC) > timedelta(days=364)


def breaker_of(office: Office) -> Breaker:
    return Breaker(office.database, "google_drive", failures=3, reset_seconds=900)


def slot_of(office: Office) -> Slot:
    slot = Slot.take(office.database["exportslots"], "daily", owner="me", lease_seconds=60)
    assert slot is not None
    return slot


@pytest.mark.parametrize(
    ("opened", "admitted"),
    [
        (timedelta(), False),
        (timedelta(seconds=50), False),  # clocks differ
        (-timedelta(minutes=14), False),
        (-timedelta(minutes=16), True),
        (timedelta(minutes=2), True),  # opened in the future: by a clock that was wrong
        (YEAR, True),
        (-YEAR, True),
    ],
)
def test_a_breaker_that_was_opened_in_the_future_lets_one_run_try(
    office: Office, opened: timedelta, admitted: bool
) -> None:
    now = datetime.now(UTC)
    office.database["circuitbreakers"].insert_one(
        {
            "_id": "google_drive",
            "failures": 3,
            "openedAt": now + opened,
            "openUntil": now + opened + timedelta(minutes=15),
            "trial": None,
            "updatedAt": now + opened,
        }
    )
    breaker, slot = breaker_of(office), slot_of(office)
    if admitted:
        breaker.admit(slot, now)
        breaker.close(now)
        assert breaker.state().open_until is None
    else:
        with pytest.raises(CircuitOpen):
            breaker.admit(slot, now)


@pytest.mark.parametrize(
    ("due", "kept_out"),
    [
        (timedelta(), True),
        (-timedelta(minutes=9), True),
        (timedelta(minutes=20), True),  # it waits for the breaker
        (-timedelta(minutes=11), False),  # that call is lost
        (timedelta(hours=1), False),
        (YEAR, False),
    ],
)
def test_a_continuation_far_ahead_does_not_keep_earlier_days_waiting(
    office: Office, due: timedelta, kept_out: bool
) -> None:
    office.add()
    now = office.app.clock()
    later = commands.run_day(office.app, date(2026, 1, 19))
    task = {"kind": "continuation", "attempt": 1, "fence": 1, "due": now + due}
    office.database["exportbatches"].update_one(
        {"batchDate": later.batch_date}, {"$set": {"state": "open", "pendingTask": task}}
    )

    outcome = commands.run_day(office.app, date(2026, 1, 18))

    assert (outcome.status is Status.IN_PROGRESS) is kept_out
