"""Calls that come late, name what is unknown, or are malformed change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from tests import books
from tests.acceptance.evening import (
    MINUTE,
    Evening,
)
from tests.acceptance.tasks_calls import (
    CALL,
)

pytest_plugins = ["tests.acceptance.evening"]


def test_calls_for_what_is_not_the_next_step_change_nothing(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(5))
    before = evening.noise()

    for changed in (
        {"attempt": 1},
        {"attempt": 2},
        {"attempt": 4},
        {"attempt": 99},
        {"attempt": 2**31 - 1},
        {"generation": 2, "attempt": 3},
        {"generation": 2**31 - 1},
    ):
        answer = evening.function.post("/tasks/run", {**CALL, **changed})
        assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled"), changed
    assert evening.noise() == before


@pytest.mark.parametrize(
    "unknown",
    [{"batchDate": "2025-05-05"}, {"manualKey": "never given"}, {"manualKey": "$where"}],
)
def test_a_call_for_a_batch_that_never_began_is_answered_and_forgotten(
    evening: Evening, unknown: dict[str, str]
) -> None:
    body = {name: value for name, value in CALL.items() if name != "batchDate"}
    before = evening.noise()

    answer = evening.function.post("/tasks/run", {**body, **unknown})

    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"]["type"] == "unknown_batch"
    assert evening.noise() == before


BAD: list[tuple[str, dict[str, Any]]] = [
    *[("attempt", {"attempt": bad}) for bad in (0, -1, True, "2", 2.0, None, 2**31, 10**400)],
    *[("attempt", {"attempt": bad}) for bad in ({"$ne": 1}, [2], {"$gt": 0})],
    *[("generation", {"generation": bad}) for bad in (0, False, {"$ne": 1}, "1", 2**63)],
    *[("batchDate", {"batchDate": bad}) for bad in ({"$ne": ""}, 20260118, True, "18.1.2026", "")],
    ("batchDate", {"batchDate": None}),
    ("batchDate", {"batchDate": "2026-02-30"}),
    *[("profile", {"profile": bad}) for bad in ({"$ne": ""}, 1, "weekly", None, "../daily")],
    *[("kind", {"kind": bad}) for bad in ({"$ne": ""}, "", 5, None, "x" * 41)],
    *[
        ("manualKey", {"batchDate": None, "manualKey": bad})
        for bad in ({"$ne": ""}, "", 7, None, "k" * 1_000, True)
    ],
    ("manualKey", {"manualKey": "k"}),
    ("fence", {"fence": 3}),
]


def test_a_bad_body_is_refused_by_the_name_of_its_field(evening: Evening) -> None:
    missing = [(name, {key: CALL[key] for key in CALL if key != name}) for name in CALL]
    bodies = [(where, {**CALL, **changed}) for where, changed in BAD]
    before = evening.noise()

    for where, body in bodies + [one for one in missing if one[0] != "profile"]:
        answer = evening.function.post("/tasks/run", body)
        assert answer.status_code == 400, f"{where}: {body}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["where"] == where, body

    assert evening.noise() == before


def test_what_is_no_json_object_is_refused(evening: Evening) -> None:
    before = evening.noise()

    for text in ("", "[]", "null", "2", '"x"', "{", "\xff", "[" * 60_000):
        answer = requests.post(
            f"{evening.function.url}/tasks/run", data=text.encode("latin-1"), timeout=60
        )
        assert answer.status_code == 400, text[:20]

    assert evening.noise() == before


def test_a_field_that_mongodb_could_not_store_is_refused_by_its_name(evening: Evening) -> None:
    body = {name: value for name, value in CALL.items() if name != "batchDate"}

    answer = evening.function.post("/tasks/run", {**body, "manualKey": "\ud800"})

    assert (answer.status_code, answer.json().get("where")) == (400, "manualKey")


def test_a_task_is_only_ever_posted(evening: Evening) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        answer = requests.request(method, f"{evening.function.url}/tasks/run", timeout=60)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("eta", ["", "soon", "nan", "inf", "-1", "1e400"])
def test_a_time_of_delivery_that_is_none_counts_for_nothing(evening: Evening, eta: str) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.advance(5 * MINUTE)

    answer = evening.function.post("/tasks/run", CALL, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["attempt"]) == (202, 2)
    assert evening.batch()["startedAt"] == evening.at(5)


@pytest.mark.parametrize(
    ("ahead", "counted"),
    [
        (-MINUTE, timedelta()),  # it may come late
        (timedelta(), timedelta()),
        (timedelta(seconds=20), timedelta(seconds=20)),  # this clock is behind the queue's
        (MINUTE, MINUTE),
        (2 * MINUTE, MINUTE),
        (45 * MINUTE, MINUTE),  # forced
        (timedelta(days=31), MINUTE),
        (timedelta(days=2_900_000), MINUTE),
    ],
)
def test_a_time_of_delivery_corrects_the_clock_by_a_minute_at_most(
    evening: Evening, ahead: timedelta, counted: timedelta
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.advance(5 * MINUTE)
    eta = str((evening.tasks.now() + ahead).timestamp())

    answer = evening.function.post("/tasks/run", CALL, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["attempt"]) == (202, 2)
    batch = evening.batch()
    assert batch["startedAt"] == evening.at(5) + counted
    assert batch["nextAttemptAt"] == evening.at(5) + counted + timedelta(minutes=15)
    assert batch["pendingTask"]["due"] == batch["nextAttemptAt"]


def test_a_forced_task_does_not_pass_an_open_breaker_or_postpone_what_follows(
    evening: Evening,
) -> None:
    """`gcloud tasks run` delivers a task at once, with the time it was due in its header."""
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    for _ in range(2):
        (task,) = evening.tasks.tasks
        evening.tasks.run_next()
    opened = evening.breaker()
    (task,) = evening.tasks.tasks
    requests_before = len(evening.drive.requests)
    evening.drive.down = False
    eta = str((evening.tasks.now() + timedelta(minutes=45)).timestamp())

    answer = evening.function.post("/tasks/run", task.body, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["status"]) == (202, "circuit_open")
    assert len(evening.drive.requests) == requests_before
    assert evening.breaker() == opened
    assert evening.batch()["pendingTask"]["due"] == opened["openUntil"]
    evening.tasks.run_until(opened["openUntil"])
    assert evening.batch()["state"] == "committed"
    assert evening.batch()["committedAt"] == evening.tasks.now()
