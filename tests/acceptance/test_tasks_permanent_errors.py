"""Errors that no retry can help end the day, and none of them takes an attempt for nothing."""

from __future__ import annotations

import pytest

from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.evening import (
    DAY,
    Evening,
    MakeEvening,
)
from tests.acceptance.tasks_calls import (
    CALL,
    Db,
    assert_only_told,
)
from tests.emulators.drive import DriveEmulator

pytest_plugins = ["tests.acceptance.evening"]


def given_up(evening: Evening, error_type: str) -> str:
    """Check that the day was given up at once; returns the alarm."""
    batch = evening.batch()
    assert (batch["state"], batch["attemptCount"]) == ("failed", 1)
    assert batch["errorCounts"] == {error_type: 1}
    assert evening.tasks.created == []
    assert evening.alarms() == [("CRITICAL", "batch_failed")]
    (alarm,) = evening.mail("alerts")
    assert "Daily batch FAILED after 0 retries (1 attempt)" in alarm
    assert "not retried" in alarm
    assert evening.breaker() == {}
    return alarm


@pytest.mark.parametrize(
    ("folder", "said"),
    [("my_drive_folder_id", "storageQuotaExceeded"), ("read_only_folder_id", "403")],
)
def test_a_refusal_by_drive_ends_the_day_at_once(
    make_evening: MakeEvening, folder: str, said: str
) -> None:
    wanted = getattr(DriveEmulator(), folder)
    evening = make_evening(DAYBOOK_DESTINATION=f"drive://{wanted}")
    ids = books.put_many(evening.database, 1)

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (500, "failed")
    assert said in answer.json()["error"]["message"]
    assert said in given_up(evening, "google_drive")
    before = evening.stored(but=("exportslots",))
    assert evening.trigger().status_code == 500
    assert evening.stored(but=("exportslots",)) == before
    assert len(evening.mail("alerts")) == 1
    assert books.statuses(evening.database, ids) == ["queued"]


def test_too_many_rejected_entries_end_the_day_at_once(evening: Evening) -> None:
    odd = [books.entry(f"BAD-{n}", lines=books.lines()[:1]) for n in range(101)]
    books.put(evening.database, books.entry(), *odd)

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "too_many_rejected")
    assert "101 of 102" in given_up(evening, "too_many_rejected")


def test_a_permanent_error_on_a_retry_is_final_and_answers_its_task_with_200(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    evening.drive.fault("status", on="generateIds", status=403, reason="storageQuotaExceeded")

    delivery = evening.tasks.run_next()

    assert delivery is not None
    assert delivery.status == 200
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("failed", 2)
    assert [event for _, event in evening.alarms()] == ["attempt_failed", "batch_failed"]
    assert evening.tasks.tasks == []


@pytest.mark.parametrize("path", ["/run", "/tasks/run", "/exports"])
def test_a_database_that_was_not_migrated_takes_no_attempt_and_no_task(
    make_evening: MakeEvening, database: Db, path: str
) -> None:
    evening = make_evening(database=database)
    (item,) = books.put_many(database, 1)
    bodies = {
        "/run": {"batchDate": DAY},
        "/tasks/run": CALL,
        "/exports": {"from": DAY, "to": DAY},
    }
    before = evening.noise()

    answer = evening.function.post(path, bodies[path])

    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "configuration"
    assert "migrate" in answer.json()["error"]["message"]
    assert_only_told(evening, before, path)
    assert books.statuses(database, [item]) == ["queued"]


def test_a_dropped_index_stops_a_retry_without_an_attempt(
    make_evening: MakeEvening, database: Db
) -> None:
    evening = make_evening(database=database)
    migrate(database, now=evening.starts_at)
    books.put_many(database, 1)
    evening.drive.down = True
    evening.trigger()
    database["exportlogs"].drop_index("idx_batch_daily_unique")

    delivery = evening.tasks.run_next()

    assert delivery is not None
    assert delivery.status == 500
    assert evening.batch()["attempt"] == 1
    migrate(database, now=evening.starts_at)
    evening.drive.down = False
    evening.tasks.run_until(evening.at(6))
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("committed", 2)
