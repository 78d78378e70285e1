"""Runs that are overtaken, put off or stopped at odd moments: the day is done all the same."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests import books
from tests.acceptance.evening import Evening, MakeEvening

pytest_plugins = ["tests.acceptance.evening"]

NIGHT = 23 * 60


class Overtaken:
    """A clock that, once the run has the slot, lets a sweep take it over."""

    def __init__(self, evening: Evening) -> None:
        self._evening = evening
        self._other = evening.instance()
        self.done = False

    def __call__(self) -> datetime:
        slots = self._evening.database["exportslots"]
        in_request = threading.current_thread() is not threading.main_thread()
        if (
            in_request
            and not self.done
            and slots.find_one({"_id": "daily", "lease": {"$ne": None}})
        ):
            self.done = True
            past = datetime.now(UTC) - timedelta(minutes=1)
            slots.update_one({"_id": "daily"}, {"$set": {"lease.expiresAt": past}})
            assert self._other.post("/sweep").status_code == 200
        return self._evening.tasks.now()


def overtake(evening: Evening) -> Overtaken:
    clock = Overtaken(evening)
    evening.function.app = replace(evening.function.app, clock=clock)
    return clock


def test_a_run_overtaken_before_its_attempt_began_is_made_up_for(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    clock = overtake(evening)

    assert evening.trigger().json()["status"] == "in_progress"

    assert clock.done
    evening.tasks.run_until(evening.at(NIGHT))
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("committed", 1)


def test_a_retry_overtaken_before_it_began_is_made_up_for(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    clock = overtake(evening)

    evening.tasks.run_until(evening.at(NIGHT))

    assert clock.done
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("committed", 2)


def rest(evening: Evening, until: datetime) -> None:
    evening.database["circuitbreakers"].insert_one(
        {"_id": "google_drive", "failures": 3, "openUntil": until, "trial": None}
    )


def test_entries_of_a_day_that_was_empty_wait_for_the_breaker(evening: Evening) -> None:
    assert evening.function.post("/run", {"batchDate": evening.day}).json()["status"] == "empty"
    books.put_many(evening.database, 2)
    rest(evening, evening.at(15))

    assert evening.trigger().json()["status"] == "circuit_open"

    evening.tasks.run_until(evening.at(NIGHT))
    assert evening.batch()["state"] == "committed"


def test_an_empty_day_that_is_asked_for_while_the_slot_is_held_is_run_afterwards(
    evening: Evening,
) -> None:
    assert evening.function.post("/run", {"batchDate": evening.day}).json()["status"] == "empty"
    books.put_many(evening.database, 2)
    lease = {"owner": "somebody", "expiresAt": datetime.now(UTC) + timedelta(minutes=1)}
    evening.database["exportslots"].update_one({"_id": "daily"}, {"$set": {"lease": lease}})

    assert evening.trigger().json()["status"] == "in_progress"

    evening.bury()
    evening.tasks.run_until(evening.at(NIGHT))
    assert evening.batch()["state"] == "committed"


def test_a_half_open_task_that_comes_early_is_not_the_last(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    rest(evening, evening.at(15))
    evening.trigger()
    (task,) = evening.tasks.tasks

    early = evening.function.post("/tasks/run", task.body, **{"X-CloudTasks-TaskName": task.id})

    assert early.json()["status"] == "circuit_open"
    assert len({one.id for one in evening.tasks.tasks}) == 2


def test_an_attempt_that_is_continued_for_ever_ends_with_its_alarm(
    make_evening: MakeEvening,
) -> None:
    evening = make_evening(
        DAYBOOK_RUN_DEADLINE_SECONDS="0.001",
        DAYBOOK_UPLOAD_CHUNK_BYTES="262144",
        DAYBOOK_MULTIPART_LIMIT_BYTES="1000",
    )
    books.put(evening.database, *(books.entry(f"L-{n}", description="x" * 9000) for n in range(80)))
    assert evening.trigger().json()["status"] == "continued"
    last = {"attempt": 4, "endedAttempt": 3, "continuations": 100}
    evening.database["exportbatches"].update_many({}, {"$set": last})
    (task,) = evening.tasks.tasks

    answer = evening.function.post("/tasks/run", {**task.body, "attempt": 4})

    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert ("CRITICAL", "batch_failed") in evening.alarms()
    assert evening.batch()["alertedAt"] is not None


def test_a_sweep_creates_lost_tasks_although_drive_is_down(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.fault("status", on="create_multipart", status=503, times=100)
    evening.tasks.down = True
    assert evening.trigger().status_code == 503
    evening.tasks.down = False
    evening.drive.down = True

    assert evening.function.post("/sweep").status_code == 502

    assert [task.body["kind"] for task in evening.tasks.tasks] == ["retry"]


@pytest.mark.parametrize("route", ["/admin/retry", "/run"])
def test_a_released_day_says_why_nothing_is_done(evening: Evening, route: str) -> None:
    books.put_many(evening.database, 1)
    evening.drive.fault("status", on="create_multipart", status=503, times=100)
    evening.trigger()
    body = {"batchDate": evening.day}
    assert evening.function.post("/admin/release", body).status_code == 200

    answer = evening.function.post(route, body)

    if route == "/run":
        assert (answer.status_code, answer.json()["status"]) == (500, "failed")
        assert answer.json()["error"]["message"]
    else:
        assert answer.status_code == 409
