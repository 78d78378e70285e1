"""Evenings on which Drive fails, from the first call at 18:00 to the next day's file."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tests import books
from tests.acceptance.evening import (
    ACCOUNT,
    DAY,
    DAY_BEFORE,
    MINUTE,
    NEXT_DAY,
    Evening,
    MakeEvening,
)
from tests.emulators.tasks.items import TaskView

pytest_plugins = ["tests.acceptance.evening"]

DELAYS = (5, 15, 45)
ENDED = [
    *[("WARNING", "attempt_failed")] * 3,
    ("WARNING", "breaker_opened"),
    ("CRITICAL", "batch_failed"),
]


def redeliver(evening: Evening) -> None:
    """Everything that was ever delivered comes five times more, and changes nothing."""
    gone = {delivery.id for delivery in evening.tasks.deliveries}
    before = evening.noise()
    for _ in range(5):
        assert evening.trigger().json()["attempt"] == evening.batch()["attempt"]
        for task in sorted(gone):
            assert evening.tasks.deliver(task).ok
    assert evening.noise() == before


def failed_evening(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(180))
    assert evening.batch()["state"] == "failed"


def assert_is_a_call_of_its_own(evening: Evening, task: TaskView, attempt: int) -> None:
    assert task.url == f"{evening.function.url}/tasks/run"
    assert task.method == "POST"
    assert task.headers["Content-Type"] == "application/json"
    assert task.oidc is not None
    assert (task.oidc.email, task.oidc.audience) == (ACCOUNT, evening.function.url)
    assert task.dispatch_deadline == timedelta(seconds=480 + 60)
    assert re.fullmatch("[0-9a-f]{64}", task.id)
    assert task.body == {
        "profile": "daily",
        "batchDate": evening.day,
        "generation": 1,
        "attempt": attempt,
        "kind": "retry",
    }


def test_an_evening_with_drive_down_makes_four_attempts_then_one_alarm(evening: Evening) -> None:
    ids = books.put_many(evening.database, 3)
    evening.drive.down = True

    answer = evening.trigger()

    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["attempt"]) == ("retry_scheduled", 1)
    for attempt, delay in enumerate(DELAYS, start=1):
        (task,) = evening.tasks.tasks
        assert_is_a_call_of_its_own(evening, task, attempt + 1)
        waits = task.schedule_time - evening.tasks.now()
        assert waits == delay * MINUTE
        assert evening.batch()["nextAttemptAt"] == task.schedule_time
        redeliver(evening)
        delivery = evening.tasks.run_next()
        assert delivery is not None
        assert delivery.status == (200 if attempt == 3 else 202)
    redeliver(evening)

    batch = evening.batch()
    assert (batch["state"], batch["attempt"], batch["attemptCount"]) == ("failed", 4, 4)
    assert (batch["pendingTask"], batch["nextAttemptAt"]) == (None, None)
    assert batch["errorCounts"] == {"google_drive": 4}
    assert evening.tasks.tasks == []
    assert len({task.id for task in evening.tasks.created}) == len(evening.tasks.created) == 3
    assert sorted(evening.alarms()) == sorted(ENDED)
    (alarm,) = (text for text in evening.mail("alerts") if "FAILED" in text)
    assert "Daily batch FAILED after 3 retries (4 attempts)" in alarm
    assert "manual intervention required" in alarm
    assert len(evening.mail("alerts")) == 5
    assert evening.mail("receipts") == []
    assert books.statuses(evening.database, ids) == ["queued"] * 3
    assert evening.database["exportlogs"].count_documents({}) == 0
    assert evening.drive.files() == []


def test_the_day_after_a_failed_evening_takes_both_days_along_once(evening: Evening) -> None:
    books.put_many(evening.database, 3, "FIRST")
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(24 * 60))
    evening.drive.down = False
    books.put_many(evening.database, 2, "SECOND")

    answer = evening.trigger(day=1)

    assert (answer.status_code, answer.json()["status"]) == (200, "exported")
    assert answer.json()["batchDate"] == NEXT_DAY
    references = ["FIRST-0", "FIRST-1", "FIRST-2", "SECOND-0", "SECOND-1"]
    assert evening.delivered() == {f"batch_{NEXT_DAY}.csv": references}
    before = evening.noise()
    for task in evening.tasks.created:
        assert evening.tasks.deliver(task.id).status == 200
    assert evening.noise() == before
    assert evening.batch()["state"] == "failed"
    assert evening.database["exportqueues"].distinct("status") == ["completed"]
    (receipt,) = evening.mail("receipts")
    assert NEXT_DAY in receipt or "19 January 2026" in receipt
    assert evening.breaker()["openUntil"] is None


def test_a_second_evening_with_drive_down_waits_for_the_breaker_and_still_ends_before_eight(
    evening: Evening,
) -> None:
    failed_evening(evening)
    asked = len(evening.drive.requests)
    evening.tasks.run_until(evening.at(24 * 60))
    evening.trigger(day=1)

    evening.tasks.run_until(evening.at(24 * 60 + 14))
    assert evening.batch(NEXT_DAY)["attempt"] == 1
    first = len(evening.drive.requests) - asked
    evening.tasks.run_until(evening.at(24 * 60 + 120))

    batch = evening.batch(NEXT_DAY)
    assert (batch["state"], batch["attemptCount"]) == ("failed", 4)
    assert batch["startedAt"] == evening.at(24 * 60 + 15 + 15 + 45)
    assert len(evening.drive.requests) - asked == 4 * first
    assert [event for _, event in evening.alarms()].count("batch_failed") == 2
    assert [event for _, event in evening.alarms()].count("breaker_opened") == 1
    assert evening.tasks.tasks == []


@pytest.mark.parametrize("copies", ["after", "together"])
def test_an_evening_of_doubled_deliveries_comes_out_the_same(evening: Evening, copies: str) -> None:
    books.put_many(evening.database, 3)
    evening.drive.down = True
    evening.tasks.copies = copies
    evening.trigger()
    evening.trigger()

    evening.tasks.run_until(evening.at(4 * 60))

    batch = evening.batch()
    assert (batch["state"], batch["attempt"], batch["attemptCount"]) == ("failed", 4, 4)
    assert batch["startedAt"] == evening.at(5 + 15 + 45)
    retries = [task for task in evening.tasks.created if task.body["kind"] == "retry"]
    assert [task.schedule_time for task in retries] == [
        evening.at(5),
        evening.at(5 + 15),
        evening.at(5 + 15 + 45),
    ]
    assert sorted(evening.alarms()) == sorted(ENDED)
    assert evening.tasks.tasks == []
    assert evening.tasks.dropped == []


def test_a_retry_that_succeeds_settles_the_alarms_and_sends_a_receipt(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(19))
    evening.drive.down = False
    evening.tasks.run_until(evening.at(24 * 60 - 1))

    batch = evening.batch()
    assert (batch["state"], batch["attempt"]) == ("committed", 3)
    assert batch["committedAt"] == evening.at(20)
    assert evening.alarms() == [
        *[("WARNING", "attempt_failed")] * 2,
        ("INFO", "batch_recovered"),
    ]
    (recovered,) = evening.logged("batch_recovered")
    assert (recovered["attempt"], recovered["entryCount"]) == (3, 2)
    assert "recovered" in evening.mail("alerts")[-1]
    # As the runbook's chapter "Batch recovered" says: the receipt follows this alert.
    assert [one.path for one in evening.inbox.received][-2:] == ["/alerts", "/receipts"]
    (receipt,) = evening.mail("receipts")
    assert f"batch_{DAY}.csv" in receipt
    assert "200.00" in receipt
    assert evening.breaker()["failures"] == 0
    before = evening.noise()
    for task in evening.tasks.created:
        assert evening.tasks.deliver(task.id).status == 200
    assert evening.trigger().json()["status"] == "already_exported"
    assert evening.noise() == before


def test_an_empty_day_gets_one_receipt_however_often_it_is_asked_for(evening: Evening) -> None:
    answers = [evening.trigger() for _ in range(5)]
    answers += [evening.function.post("/run", {"batchDate": DAY}) for _ in range(2)]

    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "empty")}
    assert len(evening.mail("receipts")) == 1
    assert evening.alarms() == []
    assert evening.database["exportlogs"].count_documents({"action": "batch_empty"}) == 1
    assert evening.tasks.created == []
    assert evening.drive.requests == []


def test_a_day_that_was_empty_and_then_exports_gets_a_second_receipt(evening: Evening) -> None:
    evening.trigger()
    books.put_many(evening.database, 1)

    assert evening.function.post("/run", {"batchDate": DAY}).json()["status"] == "exported"

    first, second = evening.mail("receipts")
    assert "batch_" not in first
    assert f"batch_{DAY}.csv" in second
    assert evening.alarms() == []


def test_an_empty_day_signed_off_on_a_retry_is_announced_as_recovered(evening: Evening) -> None:
    (item,) = books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    evening.database["exportqueues"].delete_one({"_id": item})
    evening.tasks.copies = "after"

    evening.tasks.run_until(evening.at(60))

    assert evening.batch()["state"] == "empty"
    assert [event for _, event in evening.alarms()] == ["attempt_failed", "batch_recovered"]
    assert len(evening.mail("receipts")) == 1


def test_the_next_day_overtakes_a_retry_that_is_still_pending(make_evening: MakeEvening) -> None:
    evening = make_evening(DAYBOOK_RETRY_DELAYS_SECONDS=str(25 * 3600))
    books.put_many(evening.database, 2, "FIRST")
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    evening.tasks.run_until(evening.at(24 * 60))
    books.put_many(evening.database, 1, "SECOND")

    assert evening.trigger(day=1).json()["status"] == "exported"
    evening.tasks.run_until(evening.at(26 * 60))

    assert evening.delivered() == {f"batch_{NEXT_DAY}.csv": ["FIRST-0", "FIRST-1", "SECOND-0"]}
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("empty", 2)
    assert evening.batch()["committedAt"] == evening.at(25 * 60)
    assert evening.tasks.tasks == []
    assert len(evening.mail("receipts")) == 2


def test_a_manual_export_in_between_has_its_own_file_and_its_own_retries(
    evening: Evening,
) -> None:
    first, second = books.entry("INV-1"), books.entry("INV-2")
    books.put(evening.database, first, second)
    evening.drive.down = True
    evening.trigger()
    wanted = {"entryIds": [str(second["_id"])]}
    waiting = evening.function.post("/exports", wanted)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "retry_scheduled")
    retry = evening.tasks.created[-1]
    assert set(retry.body) == {"profile", "manualKey", "generation", "attempt", "kind"}
    evening.drive.down = False

    evening.tasks.run_until(evening.at(60))

    daily = f"batch_{DAY}.csv"
    (copy,) = set(evening.delivered()) - {daily}
    assert evening.delivered() == {daily: ["INV-1", "INV-2"], copy: ["INV-2"]}
    assert copy.startswith("manual_")
    again = evening.function.post("/exports", wanted)
    assert (again.status_code, again.json()["status"]) == (200, "already_exported")
    assert evening.attempts() == 4
    assert len(evening.mail("receipts")) == 1
    assert evening.tasks.tasks == []


def test_retry_opens_the_failed_day_again_and_old_calls_stay_void(evening: Evening) -> None:
    failed_evening(evening)
    evening.drive.down = False

    answer = evening.function.post("/admin/retry")

    assert (answer.status_code, answer.json()["status"]) == (200, "exported")
    assert (answer.json()["batchDate"], answer.json()["attempt"]) == (DAY, 1)
    batch = evening.batch()
    assert (batch["state"], batch["generation"], batch["attemptCount"]) == ("committed", 2, 5)
    assert evening.alarms()[-1] == ("INFO", "batch_recovered")
    before = evening.noise()
    for task in evening.tasks.created:
        assert evening.tasks.deliver(task.id).status == 200
    assert evening.noise() == before


def test_retry_while_drive_is_still_down_has_four_attempts_of_its_own(evening: Evening) -> None:
    failed_evening(evening)

    answer = evening.function.post("/admin/retry")

    assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
    (retry,) = evening.tasks.tasks
    assert (retry.body["generation"], retry.body["attempt"]) == (2, 2)
    before = evening.noise()
    for task in evening.tasks.created[:3]:
        evening.tasks.deliver(task.id)
    assert evening.noise() == before
    evening.tasks.run_until(evening.at(600))
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("failed", 4)
    assert [event for _, event in evening.alarms()].count("batch_failed") == 2


@pytest.mark.parametrize("again", [True, False], ids=["works again", "still down"])
def test_an_operators_retry_tries_drive_at_once_and_nothing_else_does(
    evening: Evening, again: bool
) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(70))
    evening.drive.down = not again
    asked = len(evening.drive.requests)
    waiting = evening.function.post("/run", {"batchDate": DAY_BEFORE})
    assert waiting.json()["status"] == "circuit_open"
    told = waiting.json()["error"]["message"]
    assert "the next call is due at 2026-01-18 19:20 (Asia/Bangkok)" in told
    assert f"`daybook retry {DAY_BEFORE}` or POST /admin/retry tries it at once" in told
    assert len(evening.drive.requests) == asked

    answer = evening.function.post("/admin/retry", {"batchDate": DAY})

    assert len(evening.drive.requests) > asked
    assert evening.logged("circuit_half_opened")[0]["destination"] == "google_drive"
    batch, breaker = evening.batch(), evening.breaker()
    assert (batch["generation"], batch["attempt"]) == (2, 1)
    if again:
        assert (answer.status_code, answer.json()["status"]) == (200, "exported")
        assert (breaker["failures"], breaker["openUntil"]) == (0, None)
    else:
        assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
        assert breaker["openUntil"] == evening.tasks.now() + 15 * MINUTE
        assert evening.function.post("/run", {"batchDate": DAY}).json()["status"] == "circuit_open"


@pytest.mark.parametrize("when", [30, 180], ids=["while a retry is pending", "once it failed"])
def test_a_released_day_is_over_without_an_alarm(evening: Evening, when: int) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(when))
    told = [event for _, event in evening.alarms()].count("batch_failed")

    answer = evening.function.post("/admin/release", {"batchDate": DAY})

    assert (answer.status_code, answer.json()["status"]) == (200, "released")
    evening.drive.down = False
    evening.tasks.run_until(evening.at(24 * 60))
    assert [event for _, event in evening.alarms()].count("batch_failed") == told
    assert evening.drive.files() == []
    assert evening.function.post("/admin/retry", {"batchDate": DAY}).status_code == 409
    assert evening.function.post("/run", {"batchDate": DAY}).status_code == 500
    assert evening.trigger(day=1).json()["entryCount"] == 2
    assert evening.batch()["state"] == "failed"


def watch(evening: Evening) -> dict[str, Any]:
    answer = evening.function.post("/watchdog")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_the_watchdog_tells_late_from_missing_and_done(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    assert watch(evening)["status"] == "missing"
    evening.trigger()
    evening.tasks.run_until(evening.at(30))
    late = watch(evening)
    assert (late["status"], late["state"]) == ("late", "open")
    assert late["nextAttemptAt"].startswith("2026-01-18T19:05")
    evening.tasks.run_until(evening.at(120))
    missing = watch(evening)
    assert (missing["status"], missing["state"]) == ("missing", "failed")
    evening.drive.down = False
    evening.function.post("/admin/retry")
    assert watch(evening)["status"] == "done"

    told = [alarm for alarm in evening.alarms() if alarm[1].startswith("day_")]
    assert told == [
        ("CRITICAL", "day_missing"),
        ("WARNING", "day_late"),
        ("CRITICAL", "day_missing"),
    ]
