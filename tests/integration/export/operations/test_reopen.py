"""What an operator does about a failed day: open it again, or close it for good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.errors import FencedOut
from daybook.export.model.lifecycle import TaskCall
from daybook.export.model.profile import BatchKey
from daybook.export.operations.reopen import NotPossible, SlotBusy
from daybook.export.outcome import Outcome, Status
from daybook.export.slot.slot import Slot
from tests import books, commands
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
KEY = BatchKey(profile="daily", batch_date=DAY.isoformat())
ATTEMPTS = 4
Db = Database[dict[str, Any]]


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_BREAKER_FAILURES="100",
    )
    return App(app.settings, sleep=lambda _seconds: None)


def batch(database: Db, day: date = DAY) -> dict[str, Any]:
    found = database["exportbatches"].find_one({"batchDate": day.isoformat()})
    assert found is not None
    return found


def use_up(app: App, drive: DriveEmulator) -> list[Outcome]:
    """All attempts of the day's present generation, against a Drive that is down."""
    drive.down = True
    outcomes = [commands.run_day(app, DAY) for _ in range(ATTEMPTS)]
    drive.down = False
    assert [outcome.attempt for outcome in outcomes] == [1, 2, 3, 4]
    assert outcomes[-1].status is Status.FAILED
    return outcomes


def alerts(caplog: pytest.LogCaptureFixture, event: str) -> int:
    return sum(getattr(record, "event", "") == event for record in caplog.records)


def delivered(drive: DriveEmulator) -> list[str]:
    return sorted(ref for file in drive.files() for ref in books.references(file.content))


def test_a_failed_day_opens_again_with_all_of_its_attempts(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 3)
    use_up(app, drive)
    assert commands.run_day(app, DAY).status is Status.FAILED

    commands.reopen_day(app, DAY)

    opened = batch(database)
    assert (opened["state"], opened["generation"], opened["attempt"]) == ("open", 2, 0)
    outcomes = use_up(app, drive)
    assert {outcome.status for outcome in outcomes[:-1]} == {Status.RETRY_SCHEDULED}
    commands.reopen_day(app, DAY)
    outcome = commands.run_day(app, DAY)
    assert (outcome.status, outcome.attempt) == (Status.EXPORTED, 1)
    assert batch(database)["generation"] == 3
    assert batch(database)["attemptCount"] == 2 * ATTEMPTS + 1
    assert delivered(drive) == ["INV-0", "INV-1", "INV-2"]
    assert books.statuses(database, ids) == ["completed"] * 3


def test_entries_that_came_after_the_failure_go_with_the_day_that_is_opened_again(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    books.put_many(database, 1, prefix="LATER")
    commands.reopen_day(app, DAY)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    assert delivered(drive) == ["INV-0", "INV-1", "LATER-0"]


def test_late_tasks_of_the_generation_before_do_nothing(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    commands.reopen_day(app, DAY)
    before, slot, asked = batch(database), database["exportslots"].find_one(), len(drive.requests)

    for attempt in range(1, ATTEMPTS + 2):
        outcome = commands.run_task(app, KEY, TaskCall(generation=1, attempt=attempt))
        assert outcome.status is Status.RETRY_SCHEDULED

    assert (batch(database), database["exportslots"].find_one()) == (before, slot)
    assert len(drive.requests) == asked
    outcome = commands.run_task(app, KEY, TaskCall(generation=2, attempt=1))
    assert outcome.status is Status.EXPORTED


def test_another_alert_is_sent_when_the_day_fails_again(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    assert alerts(caplog, "batch_failed") == 1
    commands.reopen_day(app, DAY)
    assert batch(database)["alertedAt"] is None
    use_up(app, drive)
    assert alerts(caplog, "batch_failed") == 2
    commands.run_day(app, DAY)
    commands.run_task(app, KEY, TaskCall(generation=2, attempt=ATTEMPTS))
    assert alerts(caplog, "batch_failed") == 2
    assert batch(database)["alertedAt"] is not None


def test_opening_again_twice_raises_one_generation(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    commands.reopen_day(app, DAY)
    before = batch(database)
    commands.reopen_day(app, DAY)
    assert batch(database) == before


def test_of_several_who_open_it_at_once_one_raises_the_generation(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)

    def reopen(_number: int) -> bool:
        try:
            commands.reopen_day(app, DAY)
        except SlotBusy:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(reopen, range(4)))

    assert any(done)
    assert (batch(database)["state"], batch(database)["generation"]) == ("open", 2)


def test_a_run_that_is_overtaken_by_the_opening_records_nothing(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    late = Slot.take(database["exportslots"], "daily", owner="late", lease_seconds=0.0)
    assert late is not None
    commands.reopen_day(app, DAY)
    with pytest.raises(FencedOut):
        late.transaction(lambda _session: None)


def test_while_a_run_holds_the_slot_a_failed_day_is_left_alone(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    slot = Slot.take(database["exportslots"], "daily", owner="a run", lease_seconds=60)
    assert slot is not None
    before = batch(database)
    for change in (commands.reopen_day, commands.release_day):
        with pytest.raises(SlotBusy, match="slot daily: ask again"):
            change(app, DAY)
    assert batch(database) == before
    slot.renew()  # its fence was not raised
    slot.release()
    commands.reopen_day(app, DAY)
    assert batch(database)["generation"] == 2


def test_a_day_that_has_not_failed_is_not_reopened(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    assert commands.reopen_day(app, DAY) is None
    assert commands.run_day(app, DAY).status is Status.EMPTY
    before = batch(database)
    commands.reopen_day(app, DAY)
    assert batch(database) == before
    books.put_many(database, 2)
    drive.down = True
    commands.run_day(app, DAY)
    drive.down = False
    before = batch(database)
    commands.reopen_day(app, DAY)
    assert (batch(database), before["state"]) == (before, "open")
    assert commands.run_day(app, DAY).attempt == 2
    before = batch(database)
    commands.reopen_day(app, DAY)
    assert (batch(database), before["state"]) == (before, "committed")
    assert len(drive.files()) == 1


def test_a_released_day_is_closed_and_its_entries_go_with_the_next_day_once(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    ids = books.put_many(database, 2)
    use_up(app, drive)

    commands.release_day(app, DAY)

    assert books.statuses(database, ids) == ["queued"] * 2
    assert (batch(database)["state"], batch(database)["attempt"]) == ("failed", ATTEMPTS)
    with pytest.raises(NotPossible, match=r"2026-01-18 was released at .* closed for good"):
        commands.reopen_day(app, DAY)
    asked = len(drive.requests)
    assert commands.run_day(app, DAY).status is Status.FAILED
    assert len(drive.requests) == asked
    books.put_many(database, 1, prefix="NEXT")
    outcome = commands.run_day(app, NEXT_DAY)
    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 3)
    assert delivered(drive) == ["INV-0", "INV-1", "NEXT-0"]
    assert commands.run_day(app, NEXT_DAY).status is Status.ALREADY_EXPORTED
    assert len(drive.files()) == 1
    assert batch(database)["state"] == "failed"
    assert alerts(caplog, "batch_failed") == 1


def test_releasing_again_changes_nothing(app: App, database: Db, drive: DriveEmulator) -> None:
    books.put_many(database, 2)
    use_up(app, drive)
    commands.release_day(app, DAY)
    before = batch(database)
    commands.release_day(app, DAY)
    assert batch(database) == before


def test_a_day_that_waits_for_a_retry_is_released_without_an_alert(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    ids = books.put_many(database, 2)
    drive.down = True
    assert commands.run_day(app, DAY).pending is not None
    drive.down = False

    commands.release_day(app, DAY)

    before, asked = batch(database), len(drive.requests)
    assert (before["pendingTask"], before["nextAttemptAt"]) == (None, None)
    assert commands.run_task(app, KEY, TaskCall(generation=1, attempt=2)).status is Status.FAILED
    assert commands.run_day(app, DAY).status is Status.FAILED
    assert (batch(database), len(drive.requests)) == (before, asked)
    assert books.statuses(database, ids) == ["queued"] * 2
    assert alerts(caplog, "batch_failed") == 0


def test_a_late_file_of_a_released_day_is_recorded_for_that_day(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 2)
    drive.fault("answer_lost", on="create_multipart")
    drive.fault("status", on="get", status=503, times=None)
    for _ in range(ATTEMPTS):
        commands.run_day(app, DAY)
    commands.release_day(app, DAY)
    assert batch(database)["state"] == "failed"
    assert books.statuses(database, ids) == ["queued"] * 2
    drive.faults.clear()
    books.put_many(database, 1, prefix="NEXT")

    outcome = commands.run_day(app, NEXT_DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 1)
    assert (batch(database)["state"], batch(database)["entryCount"]) == ("committed", 2)
    assert books.statuses(database, ids) == ["completed"] * 2
    assert delivered(drive) == ["INV-0", "INV-1", "NEXT-0"]
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    records = database["exportlogs"].find({"action": "csv_generated"})
    assert sorted(record["metadata"]["batchDate"] for record in records) == [
        "2026-01-18",
        "2026-01-19",
    ]


@pytest.mark.parametrize(("entries", "state"), [(2, "committed"), (0, "empty")])
def test_a_day_that_is_done_is_not_released(
    app: App, database: Db, drive: DriveEmulator, entries: int, state: str
) -> None:
    if entries:
        books.put_many(database, entries)
    commands.run_day(app, DAY)
    before = batch(database)
    with pytest.raises(NotPossible, match=f"2026-01-18 is {state}"):
        commands.release_day(app, DAY)
    assert batch(database) == before
    assert database["exportslots"].find_one({}, {"lease": 1}) == {"_id": "daily", "lease": None}


def test_a_day_that_was_never_run_is_not_released(app: App, database: Db) -> None:
    with pytest.raises(NotPossible, match="no batch of 2026-01-18"):
        commands.release_day(app, DAY)
    assert database["exportbatches"].count_documents({}) == 0
