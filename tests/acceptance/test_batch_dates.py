"""Which dates callers may name: over HTTP and on the command line, a day to come is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from tests import books
from tests.acceptance.evening import BANGKOK, DAY, DAY_BEFORE, MINUTE, NEXT_DAY, Evening
from tests.acceptance.test_cli import daybook
from tests.integration.office import Office

pytest_plugins = ["tests.acceptance.evening"]
pytestmark = pytest.mark.migrated

TASK = {"profile": "daily", "generation": 1, "attempt": 2, "kind": "retry"}
BODIES: dict[str, dict[str, Any]] = {
    "/run": {},
    "/": {},
    "/run, dry": {"dryRun": True},
    "/tasks/run": TASK,
    "/admin/retry": {},
    "/admin/release": {},
}
IMPLAUSIBLE = ["0001-01-01", "1999-12-31", NEXT_DAY, "2030-01-01", "9999-12-31"]


@pytest.mark.parametrize("request_", BODIES)
def test_a_day_that_cannot_be_meant_is_refused_and_changes_nothing(
    evening: Evening, request_: str
) -> None:
    ids = books.put_many(evening.database, 2)
    path = request_.partition(",")[0]
    for day in IMPLAUSIBLE:
        before = evening.noise()
        answer = evening.function.post(path, {**BODIES[request_], "batchDate": day})
        assert (answer.status_code, answer.json()["where"]) == (400, "batchDate"), day
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert day in answer.json()["detail"]
        assert evening.noise() == before
    assert books.statuses(evening.database, ids) == ["queued"] * 2


def test_a_look_at_a_day_to_come_finds_nothing(evening: Evening) -> None:
    for day in IMPLAUSIBLE:
        answer = evening.function.post("/admin/verify", {"batchDate": day})
        assert answer.status_code == (400 if day < "1000" else 409), day


def test_tomorrow_begins_at_midnight_of_the_schedules_zone(evening: Evening) -> None:
    evening.tasks.advance(timedelta(hours=5, minutes=54))  # 23:54 in Bangkok
    assert evening.function.post("/run", {"batchDate": NEXT_DAY}).status_code == 400
    evening.tasks.advance(MINUTE)  # a caller's clock may be five minutes ahead
    answer = evening.function.post("/run", {"batchDate": NEXT_DAY})
    assert (answer.status_code, answer.json()["batchDate"]) == (200, NEXT_DAY)


def test_a_day_is_not_released_before_its_own_run_is_due(evening: Evening) -> None:
    """A run by hand at noon failed: closing the day would close it to the evening's run, too."""
    evening.tasks.advance(timedelta(hours=18))  # noon of the next day
    books.put_many(evening.database, 1)
    evening.drive.down = True
    begun = evening.function.post("/run", {"batchDate": NEXT_DAY})
    assert begun.json()["status"] == "retry_scheduled"

    answer = evening.function.post("/admin/release", {"batchDate": NEXT_DAY})

    assert (answer.status_code, answer.json()["where"]) == (400, "batchDate")
    assert "not due yet" in answer.json()["detail"]
    assert evening.batch(NEXT_DAY)["state"] == "open"
    evening.tasks.advance(timedelta(hours=6))
    answer = evening.function.post("/admin/release", {"batchDate": NEXT_DAY})
    assert (answer.status_code, answer.json()["status"]) == (200, "released")


def test_a_run_that_is_forced_before_the_slot_leaves_todays_entries_for_it(
    evening: Evening,
) -> None:
    evening.tasks.advance(timedelta(hours=23))  # 17:00 of the next day
    books.put_many(evening.database, 1, "EARLY")
    slot = evening.starts_at + timedelta(days=1)
    for header in (slot, evening.tasks.now(), evening.tasks.now() + 2 * MINUTE, None):
        headers = {} if header is None else {"X-CloudScheduler-ScheduleTime": header.isoformat()}
        assert evening.function.post("/run", **headers).json()["batchDate"] == DAY
    books.put_many(evening.database, 1, "LATE")
    evening.tasks.advance(timedelta(hours=1))

    assert evening.trigger(day=1).json()["batchDate"] == NEXT_DAY

    assert evening.delivered() == {
        f"batch_{DAY}.csv": ["EARLY-0"],
        f"batch_{NEXT_DAY}.csv": ["LATE-0"],
    }


def test_an_earlier_day_may_be_run(evening: Evening) -> None:
    answer = evening.function.post("/run", {"batchDate": DAY_BEFORE})
    assert (answer.status_code, answer.json()["batchDate"]) == (200, DAY_BEFORE)


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.mark.parametrize(
    "command",
    [["run", "--date"], ["plan", "--date"], ["retry"], ["release"]],
    ids=lambda command: command[0],
)
def test_commands_refuse_a_day_that_cannot_be_meant(office: Office, command: list[str]) -> None:
    tomorrow = (datetime.now(UTC).astimezone(BANGKOK) + timedelta(days=1)).date().isoformat()
    for day in ("0001-01-01", tomorrow, "9999-12-31"):
        process = daybook(office.env, *command, day)
        assert (process.returncode, process.stdout) == (2, ""), process.stderr
        assert f"--date: {day} is " in process.stderr
        assert "batchDate" not in process.stderr
    assert list(office.database["exportbatches"].find()) == []


@pytest.mark.parametrize(
    ("command", "code"),
    [(["status"], 0), (["verify"], 1), (["export", "--from", "1900-01-01", "--to"], 0)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_that_look_take_any_date(office: Office, command: list[str], code: int) -> None:
    process = daybook(office.env, *command, "9999-12-31")
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
