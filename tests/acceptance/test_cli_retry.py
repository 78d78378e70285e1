"""Failed days on the command line: why nothing came, what follows, `retry` and `release`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.display import moment
from daybook.export.slot.slot import Slot
from tests import books, commands
from tests.acceptance.test_cli import answer, daybook
from tests.emulators.drive import DriveEmulator
from tests.emulators.tasks import QUEUE, TasksEmulator
from tests.integration.office import DAY, Office

pytestmark = pytest.mark.migrated

DATE = DAY.isoformat()
AGAIN = f"daybook retry {DATE}"
Db = Database[dict[str, Any]]


def office_with(database: Db, uri: str, drive: DriveEmulator, **settings: str) -> Office:
    return Office(
        database,
        uri,
        Path("/unused"),
        DAYBOOK_DESTINATION=f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        **{
            "DAYBOOK_BREAKER_FAILURES": "100",
            "DAYBOOK_RETRY_DELAYS_SECONDS": "300",
            **settings,
        },
    )


@pytest.fixture
def office(database: Db, mongo_uri: str, drive: DriveEmulator) -> Iterator[Office]:
    with office_with(database, mongo_uri, drive) as office:
        yield office


def fail(office: Office, drive: DriveEmulator) -> None:
    """Use up the day's attempts."""
    drive.down = True
    while commands.run_day(office.app, DAY).status != "failed":
        pass
    drive.down = False


def told(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_failed_day_says_what_can_be_done_and_retry_delivers_it(
    office: Office, drive: DriveEmulator
) -> None:
    entry_id = office.add()
    fail(office, drive)
    failed = daybook(office.env, "run", "--date", DATE)
    assert failed.returncode == 1
    assert (
        "could not be delivered, and no further attempt follows.\n  error     google_drive: "
        in (failed.stdout)
    )
    assert failed.stdout.endswith(
        told(
            "  next      once the cause is removed, for a file of its own:",
            f"            daybook retry {DATE}",
            "            else its entries go with the next day; to close this one for good:",
            f"            daybook release {DATE}",
        )
    )

    done = daybook(office.env, "retry", DATE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"batch_{DATE}.csv is delivered.\n")
    assert [item["status"] for item in office.items(entry_id)] == ["completed"]
    assert (
        f"{DATE}: committed, 1 attempt, opened again." in daybook(office.env, "status", DATE).stdout
    )
    assert answer(office.env, "retry", DATE)["status"] == "already_exported"
    assert len(drive.files()) == 1


@pytest.mark.storm
def test_a_retry_that_fails_says_when_the_next_attempt_is_due_and_who_makes_it(
    office: Office, drive: DriveEmulator
) -> None:
    office.add()
    fail(office, drive)
    drive.down = True
    failed = daybook(office.env, "retry", DATE)
    assert failed.returncode == 4
    due = moment(office.batch()["nextAttemptAt"], office.app.settings.time_zone)
    follows = told(
        f"  next      attempt 2 is due at {due}",
        "            without DAYBOOK_TASKS_QUEUE no call follows, unless `serve` is running:",
        f"            {AGAIN}",
    )
    assert failed.stdout.endswith(follows)
    assert follows in daybook(office.env, "status", DATE).stdout
    assert f"(attempt 2 is due at {due})" in daybook(office.env, "history").stdout
    shown = answer(office.env, "status", DATE)["batch"]
    assert (shown["generation"], shown["attempt"]) == (2, 1)
    assert shown["pendingTask"]["kind"] == "retry"
    assert shown["pendingTask"]["due"] == office.batch()["nextAttemptAt"].isoformat()
    (day,) = answer(office.env, "history")["batches"]
    assert day["pendingTask"] == shown["pendingTask"]


def test_a_day_that_was_never_run_or_is_open_is_just_run(
    office: Office, drive: DriveEmulator
) -> None:
    office.add()
    drive.down = True
    assert answer(office.env, "retry", DATE, code=4)["attempt"] == 1
    drive.down = False
    done = answer(office.env, "retry", DATE)
    assert (done["status"], done["attempt"]) == ("exported", 2)
    assert office.batch()["generation"] == 1


def test_a_released_day_is_closed_for_good(office: Office, drive: DriveEmulator) -> None:
    office.add()
    office.add()
    fail(office, drive)
    for _ in range(2):
        released = daybook(office.env, "release", DATE)
        assert (released.returncode, released.stdout) == (
            0,
            told(
                f"{DATE} is closed for good: no attempt and no alert follows.",
                "  queued    2 entries, for the next day's file",
            ),
        )
    doc = answer(office.env, "release", DATE)
    assert (doc["status"], doc["batchDate"], doc["state"]) == ("released", DATE, "failed")

    error = answer(office.env, "retry", DATE, code=1)["error"]
    assert error["type"] == "not_possible"
    assert f"{DATE} was released at " in error["message"]
    run = daybook(office.env, "run", "--date", DATE)
    assert run.returncode == 1
    words = "; closed for good, its entries go with the next day"
    assert run.stdout.splitlines()[-1].endswith(words)
    assert "daybook retry" not in run.stdout
    assert words in daybook(office.env, "status", DATE).stdout
    assert daybook(office.env, "history").stdout.endswith("(released)\n")
    assert answer(office.env, "status", DATE)["batch"]["releasedAt"] is not None


def test_a_busy_slot_is_not_done_yet(office: Office, drive: DriveEmulator) -> None:
    office.add()
    fail(office, drive)
    slot = Slot.take(office.database["exportslots"], "daily", owner="a run", lease_seconds=60)
    assert slot is not None
    for command in ("retry", "release"):
        refused = daybook(office.env, command, DATE)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert refused.stderr == (
            "Error: a run is at work in slot daily: ask again when it has ended\n"
        )
        assert answer(office.env, command, DATE, code=4)["error"]["type"] == "in_progress"


def test_a_day_that_is_done_or_unknown_is_not_released(office: Office) -> None:
    unknown = daybook(office.env, "release", DATE)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == (f"Error: there is no batch of {DATE}: nothing was ever run for it\n")
    office.add()
    office.export()
    done = answer(office.env, "release", DATE, code=1)
    assert done["error"]["type"] == "not_possible"
    assert f"{DATE} is committed" in done["error"]["message"]


@pytest.mark.storm
def test_an_open_circuit_is_reported_with_its_time(
    database: Db, mongo_uri: str, drive: DriveEmulator
) -> None:
    with office_with(database, mongo_uri, drive, DAYBOOK_BREAKER_FAILURES="1") as office:
        office.add()
        assert answer(office.env, "status", DATE)["breakers"] == []
        drive.down = True
        daybook(office.env, "run", "--date", DATE)
        asked = len(drive.requests)

        rests = daybook(office.env, "run", "--date", DATE)

        assert rests.returncode == 4
        assert len(drive.requests) == asked
        breaker = database["circuitbreakers"].find_one({})
        assert breaker is not None
        until = moment(breaker["openUntil"], office.app.settings.time_zone)
        assert f"  next      attempt 2 asks the destination again, at {until}\n" in rests.stdout
        assert AGAIN in rests.stdout
        (shown,) = answer(office.env, "status", DATE)["breakers"]
        assert shown == {
            "destination": "google_drive",
            "position": "open",
            "failures": 1,
            "openUntil": breaker["openUntil"].isoformat(),
        }
        assert (
            "Destination google_drive: failed 1 time in a row, the circuit is open until "
            in daybook(office.env, "status", DATE).stdout
        )
        past = datetime.now(UTC) - timedelta(seconds=1)
        database["circuitbreakers"].update_one({}, {"$set": {"openUntil": past}})
        assert "the next run tries it." in daybook(office.env, "status", DATE).stdout


@pytest.mark.storm
def test_with_a_queue_cloud_tasks_makes_the_call(
    database: Db, mongo_uri: str, drive: DriveEmulator
) -> None:
    with (
        TasksEmulator() as tasks,
        office_with(
            database,
            mongo_uri,
            drive,
            DAYBOOK_RETRY_DELAYS_SECONDS="300,900",
            DAYBOOK_TASKS_QUEUE=QUEUE,
            DAYBOOK_TASKS_ENDPOINT=tasks.url,
            DAYBOOK_SERVICE_URL="http://127.0.0.1:9/",
        ) as office,
    ):
        office.add()
        drive.down = True
        scheduled = daybook(office.env, "run", "--date", DATE)
        assert scheduled.returncode == 4
        assert scheduled.stdout.endswith(
            f"            Cloud Tasks makes the call; at once: {AGAIN}\n"
        )
        tasks.down = True
        task_missing = answer(office.env, "run", "--date", DATE, code=1)
        assert (task_missing["status"], task_missing["error"]["type"]) == (
            "retry_scheduled",
            "tasks",
        )
        tasks.down = False


@pytest.mark.storm
def test_a_manual_export_that_failed_may_be_asked_for_again(
    office: Office, drive: DriveEmulator
) -> None:
    entry_id = str(office.add())
    drive.down = True
    for code in (4, 1):
        failed = daybook(office.env, "export", "--entry-id", entry_id)
        assert failed.returncode == code
    assert failed.stdout.endswith("  next      once the cause is removed: the same command again\n")
    drive.down = False
    done = answer(office.env, "export", "--entry-id", entry_id)
    assert (done["status"], books.references(drive.files()[0].content)) == ("exported", ["RV-1"])
