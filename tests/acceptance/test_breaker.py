"""The circuit breaker: Drive is left alone after three failures, then tried by one run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from bson import ObjectId

from tests import books
from tests.acceptance.evening import (
    DAY,
    DAY_BEFORE,
    MINUTE,
    SIX,
    WAIT_SECONDS,
    Evening,
    Held,
    MakeEvening,
)

pytest_plugins = ["tests.acceptance.evening"]

RESET = 15 * MINUTE


@pytest.fixture
def entry(evening: Evening) -> dict[str, Any]:
    """The one entry that is queued."""
    found = books.entry()
    books.put(evening.database, found)
    return found


def copy_of(entry: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """The body of a manual export; each number is another one."""
    others = [str(ObjectId(f"{number:024x}"))] if number else []
    return {"entryIds": [str(entry["_id"]), *others]}


def open_breaker(evening: Evening, entry: dict[str, Any]) -> None:
    """By a day's run, a manual export and a second instance's run of another day."""
    evening.drive.down = True
    other = evening.instance()
    answers = [
        evening.trigger(),
        evening.function.post("/exports", copy_of(entry)),
        other.post("/run", {"batchDate": "2026-01-17"}),
    ]
    assert [answer.json()["status"] for answer in answers] == ["retry_scheduled"] * 3


def assert_waits(answer: requests.Response) -> None:
    assert (answer.status_code, answer.json()["status"]) == (202, "circuit_open")
    assert answer.json()["error"]["type"] == "circuit_open"


def test_three_failed_attempts_of_whatever_kind_open_it_with_one_alarm(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)

    breaker = evening.breaker()
    assert (breaker["failures"], breaker["openUntil"]) == (3, SIX + RESET)
    assert breaker["openedAt"] == SIX
    (opened,) = evening.logged("breaker_opened")
    assert opened["severity"] == "WARNING"
    assert (opened["destination"], opened["failures"]) == ("google_drive", 3)
    assert sum("paused until 18:15" in text for text in evening.mail("alerts")) == 1


def test_two_failures_and_a_success_leave_it_closed_and_count_from_nothing(
    evening: Evening, entry: dict[str, Any]
) -> None:
    evening.drive.down = True
    evening.trigger()
    evening.function.post("/exports", copy_of(entry))
    evening.drive.down = False
    evening.tasks.run_until(evening.at(5))
    evening.drive.down = True
    books.put_many(evening.database, 1)

    for day in ("2026-01-15", "2026-01-16"):
        answer = evening.function.post("/run", {"batchDate": day})
        assert answer.json()["status"] == "retry_scheduled"

    assert (evening.breaker()["failures"], evening.breaker()["openUntil"]) == (2, None)
    assert evening.logged("breaker_opened") == []


def test_while_it_is_open_no_instance_touches_drive_or_uses_up_an_attempt(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    asked, attempts = len(evening.drive.requests), evening.attempts()
    breaker = evening.breaker()
    fresh = evening.instance()

    for function in (evening.function, fresh):
        assert_waits(function.post("/run", {"batchDate": DAY}))
        assert_waits(function.post("/exports", copy_of(entry)))
        assert_waits(function.post("/exports", copy_of(entry, 1)))
        assert_waits(function.trigger(SIX - timedelta(days=2)))
        assert function.post("/sweep").status_code in (200, 502)
    evening.tasks.run_until(evening.at(14.9))

    assert len(evening.drive.requests) == asked
    assert evening.attempts() == attempts
    assert evening.breaker() == breaker
    assert {task.schedule_time for task in evening.tasks.tasks} == {SIX + RESET}
    assert {task.body["kind"] for task in evening.tasks.tasks} == {"half_open"}
    assert {delivery.status for delivery in evening.tasks.deliveries} == {202}


def test_a_day_that_waited_goes_on_when_it_may_close_and_closes_it(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    evening.drive.down = False

    evening.tasks.run_until(evening.at(60))

    assert evening.breaker()["openUntil"] is None
    assert (evening.breaker()["failures"], evening.breaker()["trial"]) == (0, None)
    assert evening.batch()["attempt"] == 2
    files = sorted(evening.delivered())
    assert len(files) == 2
    assert [event for _, event in evening.alarms()].count("batch_recovered") == 2
    assert evening.tasks.tasks == []
    assert evening.attempts() == 6


def half_open_tasks(evening: Evening) -> list[tuple[str, str, timedelta]]:
    """Of each batch, and when they are due after the evening began."""
    return [
        (task.body.get("batchDate"), task.body.get("manualKey"), task.schedule_time - SIX)
        for task in evening.tasks.created
        if task.body["kind"] == "half_open"
    ]


def test_asking_again_while_it_is_open_makes_no_heap_of_tasks(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)

    for _ in range(4):
        assert_waits(evening.function.post("/run", {"batchDate": DAY}))
    evening.tasks.run_until(evening.at(5))

    waiting = [one for one in half_open_tasks(evening) if one[0] == DAY]
    assert waiting == [(DAY, None, RESET)]


def test_doubled_deliveries_do_not_double_the_tasks_with_every_opening(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    evening.tasks.copies = "after"

    evening.tasks.run_until(evening.at(61))

    waiting = half_open_tasks(evening)
    assert sorted(set(waiting), key=str) == sorted(waiting, key=str)


def test_a_redelivery_after_the_failure_that_opened_it_keeps_the_retry_as_it_was(
    evening: Evening, entry: dict[str, Any]
) -> None:
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(20))
    assert evening.breaker()["openUntil"] == evening.at(20 + 15)
    before = evening.noise()

    for _ in range(3):
        assert evening.trigger().json()["status"] == "retry_scheduled"

    assert evening.noise() == before
    evening.tasks.run_until(evening.at(64))
    assert evening.batch()["attempt"] == 3


def test_a_trial_that_fails_opens_it_again_without_a_second_alarm(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    evening.tasks.run_until(evening.at(14.9))
    attempts = evening.attempts()

    evening.tasks.run_until(evening.at(15))

    assert evening.attempts() == attempts + 1
    breaker = evening.breaker()
    assert (breaker["failures"], breaker["openUntil"]) == (4, evening.at(15) + RESET)
    assert breaker["trial"] is None
    assert len(evening.logged("breaker_opened")) == 1


@pytest.mark.parametrize("drive_is_down", [True, False])
def test_of_ten_callers_at_the_half_open_one_exactly_one_tries(
    evening: Evening, entry: dict[str, Any], drive_is_down: bool
) -> None:
    open_breaker(evening, entry)
    evening.tasks.advance(RESET)
    attempts = evening.attempts()
    asked = len(evening.drive.requests)
    evening.drive.down = False
    held = Held(evening.drive, "generateIds")
    functions = [evening.function, evening.instance(), evening.instance()]
    start = threading.Barrier(10)

    def call(number: int) -> str:
        function = functions[number % 3]
        start.wait(WAIT_SECONDS)
        posted = (
            function.post("/run", {"batchDate": (DAY, DAY_BEFORE)[number % 4 // 2]})
            if number % 2
            else function.post("/exports", copy_of(entry, number))
        )
        return str(posted.json()["status"])

    with ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(call, number) for number in range(10)]
        held.wait()
        wait_for(lambda: sum(done.done() for done in calls) == 9)
        assert len(evening.drive.requests) == asked + 1
        evening.drive.down = drive_is_down
        held.let_go()
        answers = sorted(done.result() for done in calls)

    assert evening.attempts() == attempts + 1
    assert answers.count("retry_scheduled" if drive_is_down else "exported") == 1
    others = set(answers) - {"retry_scheduled" if drive_is_down else "exported"}
    assert others <= {"in_progress", "circuit_open"}
    assert evening.breaker()["trial"] is None
    closed = evening.breaker()["openUntil"] is None
    assert closed is not drive_is_down


def wait_for(come: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if come():
            return
        pause.wait(0.01)
    pytest.fail("it never came")


def test_a_run_that_meets_a_trial_comes_again_when_its_right_may_have_ended(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    evening.tasks.advance(RESET)
    for task in evening.tasks.tasks:
        evening.tasks.world.delete(task.name)
    evening.drive.down = False
    held = Held(evening.drive, "generateIds")
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(evening.function.post, "/run", {"batchDate": DAY})
        held.wait()

        assert_waits(evening.function.post("/exports", copy_of(entry)))

        (find_file,) = evening.tasks.tasks
        now = evening.tasks.now()
        assert now + timedelta(seconds=5) < find_file.schedule_time <= now + timedelta(seconds=65)
        held.let_go()
        trial.result()


def test_a_run_with_nothing_to_send_leaves_the_trial_to_the_next(
    evening: Evening, entry: dict[str, Any]
) -> None:
    open_breaker(evening, entry)
    evening.drive.down = False
    evening.tasks.advance(RESET)
    evening.database["exportqueues"].delete_many({})
    assert evening.function.post("/run", {"batchDate": DAY}).json()["status"] == "empty"
    assert evening.breaker()["openUntil"] is not None

    answer = evening.function.post("/exports", copy_of(entry))

    assert answer.json()["status"] == "exported"
    assert evening.breaker()["openUntil"] is None


def test_refusals_and_bad_entries_do_not_count(make_evening: MakeEvening) -> None:
    evening = make_evening()
    odd = [books.entry(f"BAD-{n}", lines=books.lines()[:1]) for n in range(101)]
    books.put(evening.database, *odd)
    assert evening.trigger().json()["error"]["type"] == "too_many_rejected"
    evening.database["exportqueues"].delete_many({})
    books.put_many(evening.database, 1)
    refusal = {"status": 403, "reason": "storageQuotaExceeded", "times": None}
    evening.drive.fault("status", on="create_multipart", **refusal)

    for day in ("2026-01-14", "2026-01-15", "2026-01-16", "2026-01-17"):
        answer = evening.function.post("/run", {"batchDate": day})
        assert answer.json()["error"]["type"] == "google_drive"

    assert evening.breaker() == {}


def test_failures_of_both_kinds_of_run_at_once_are_both_counted_and_alarm_once(
    evening: Evening, entry: dict[str, Any]
) -> None:
    evening.drive.down = True
    evening.function.post("/run", {"batchDate": "2026-01-17"})
    evening.function.post("/run", {"batchDate": "2026-01-16"})
    evening.drive.down = False
    day, copy = Held(evening.drive, "generateIds"), Held(evening.drive, "generateIds")
    functions = evening.function, evening.instance()

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(functions[0].trigger, SIX),
            pool.submit(functions[1].post, "/exports", copy_of(entry)),
        ]
        day.wait()
        copy.wait()
        evening.drive.down = True
        day.let_go()
        copy.let_go()
        answers = [run.result().json()["status"] for run in runs]

    assert answers == ["retry_scheduled"] * 2
    assert evening.breaker()["failures"] == 4
    assert len(evening.logged("breaker_opened")) == 1


def test_it_opens_and_rests_as_the_settings_say(make_evening: MakeEvening) -> None:
    evening = make_evening(DAYBOOK_BREAKER_FAILURES="1", DAYBOOK_BREAKER_RESET_SECONDS="3600")
    books.put_many(evening.database, 1)
    evening.drive.down = True

    evening.trigger()

    assert evening.breaker()["openUntil"] == evening.at(60)
    evening.tasks.run_until(evening.at(59))
    assert evening.batch()["attempt"] == 1
    evening.drive.down = False
    evening.tasks.run_until(evening.at(60))
    assert evening.batch()["state"] == "committed"
