"""The stand-in for Cloud Tasks delivers as Cloud Tasks is documented to."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.emulators.tasks import QUEUE, TasksEmulator
from tests.emulators.tasks.delivery import Copies
from tests.emulators.tasks.queue import RetryConfig
from tests.emulators.tasks.target import Target

START = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
RETRY = RetryConfig(
    max_attempts=5, min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300)
)


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as server:
        yield server


@pytest.fixture
def tasks() -> Iterator[TasksEmulator]:
    with TasksEmulator(starts_at=START, retry=RETRY) as emulator:
        yield emulator


def create(
    tasks: TasksEmulator,
    url: str,
    name: str = "t",
    *,
    at: timedelta = timedelta(0),
    **request: Any,
) -> None:
    task = {
        "name": f"{QUEUE}/tasks/{name}",
        "scheduleTime": (START + at).isoformat(),
        "httpRequest": {"url": f"{url}/tasks/run", **request},
    }
    answer = requests.post(f"{tasks.url}v2/{QUEUE}/tasks", json={"task": task}, timeout=10)
    assert answer.ok, answer.text


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def since_start(tasks: TasksEmulator) -> list[float]:
    return [(delivery.when - START).total_seconds() for delivery in tasks.deliveries]


# What is sent


def test_delivery_carries_the_documented_headers(tasks: TasksEmulator, target: Target) -> None:
    tasks.advance(timedelta(microseconds=1500))
    create(
        tasks,
        target.url,
        "first",
        at=timedelta(seconds=5.25),
        headers={"Content-Type": "application/json", "X-Own": "kept"},
        body=base64.b64encode(b'{"attempt": 2}').decode(),
    )
    tasks.run_until(START + minutes(1))
    [request] = target.received
    assert (request.method, request.path, request.body) == ("POST", "/tasks/run", {"attempt": 2})
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-own"] == "kept"
    assert request.headers["user-agent"] == "Google-Cloud-Tasks"
    special = {name: value for name, value in request.headers.items() if "cloudtasks" in name}
    assert special == {
        "x-cloudtasks-queuename": "daybook-retries",
        "x-cloudtasks-taskname": "first",
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
        "x-cloudtasks-tasketa": f"{START.timestamp() + 5.25:.6f}",
    }
    assert "authorization" not in request.headers


def test_headers_that_are_googles_cannot_be_set(tasks: TasksEmulator, target: Target) -> None:
    forged = {
        "Host": "elsewhere.example",
        "Content-Length": "999",
        "User-Agent": "mine",
        "X-CloudTasks-TaskRetryCount": "7",
        "X-Google-Anything": "x",
        "x-appengine-queuename": "x",
    }
    create(tasks, target.url, headers=forged)
    tasks.run_due()
    [request] = target.received
    assert request.headers["host"] == target.url.removeprefix("http://")
    assert request.headers["content-length"] == "0"
    assert request.headers["user-agent"] == "Google-Cloud-Tasks"
    assert request.headers["x-cloudtasks-taskretrycount"] == "0"
    assert not {"x-google-anything", "x-appengine-queuename"} & set(request.headers)


@pytest.mark.parametrize("audience", ["https://daybook.example", None])
def test_token_names_the_account_and_the_audience(
    tasks: TasksEmulator, target: Target, audience: str | None
) -> None:
    token = {"serviceAccountEmail": "run@acme.example", "audience": audience}
    create(tasks, target.url, oidcToken=token, headers={"Authorization": "Basic forged"})
    tasks.run_due()
    kind, _, text = target.received[0].headers["authorization"].partition(" ")
    head, claims, signature = text.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (kind, signature) == ("Bearer", "")
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "none"
    assert (said["email"], said["email_verified"]) == ("run@acme.example", True)
    assert said["aud"] == (audience or f"{target.url}/tasks/run")
    assert said["iat"] == START.timestamp()


# When


def test_tasks_come_in_the_order_of_their_schedule_times(
    tasks: TasksEmulator, target: Target
) -> None:
    for name, at in (("late", 15), ("soon", 5), ("now", 0)):
        create(tasks, target.url, name, at=minutes(at))
    assert [delivery.id for delivery in tasks.run_due()] == ["now"]
    tasks.advance(minutes(4.99))
    assert tasks.run_due() == []
    tasks.advance_to(START + minutes(20))
    assert [delivery.id for delivery in tasks.run_due()] == ["soon", "late"]
    assert tasks.tasks == []


def test_time_that_passes_delivers_each_task_when_it_is_due(
    tasks: TasksEmulator, target: Target
) -> None:
    create(tasks, target.url, "later", at=minutes(15))
    create(tasks, target.url, "soon", at=minutes(5))
    create(tasks, target.url, "beyond", at=minutes(45))
    tasks.run_until(START + minutes(20))
    assert since_start(tasks) == [300, 900]
    assert tasks.now() == START + minutes(20)
    assert [task.id for task in tasks.tasks] == ["beyond"]


def test_next_task_is_delivered_by_jumping_to_it(tasks: TasksEmulator, target: Target) -> None:
    create(tasks, target.url, at=minutes(5))
    delivery = tasks.run_next()
    assert delivery is not None
    assert (delivery.id, delivery.when, delivery.status) == ("t", START + minutes(5), 200)
    assert tasks.run_next() is None


def test_queue_that_is_paused_delivers_nothing(tasks: TasksEmulator, target: Target) -> None:
    create(tasks, target.url)
    tasks.queue().state = "PAUSED"
    assert tasks.run_until(START + minutes(1)) == []
    tasks.queue().state = "RUNNING"
    assert [delivery.status for delivery in tasks.run_due()] == [200]


# Failing


def test_any_2xx_ends_a_task(tasks: TasksEmulator, target: Target) -> None:
    target.statuses = [204]
    create(tasks, target.url)
    tasks.run_until(START + minutes(60))
    assert [delivery.status for delivery in tasks.deliveries] == [204]
    assert (tasks.tasks, tasks.dropped) == ([], [])


def test_failed_task_comes_again_after_a_wait_that_doubles(
    tasks: TasksEmulator, target: Target
) -> None:
    target.statuses = [500, 302, 400, 200]
    create(tasks, target.url)
    tasks.run_until(START + minutes(60))
    assert since_start(tasks) == [0, 10, 30, 70]
    etas = [float(request.headers["x-cloudtasks-tasketa"]) for request in target.received]
    assert [eta - START.timestamp() for eta in etas] == [0, 10, 30, 70]


def test_counts_tell_retries_and_answers_other_than_5xx(
    tasks: TasksEmulator, target: Target
) -> None:
    target.statuses = [503, 404, 500, 200]
    create(tasks, target.url)
    tasks.run_until(START + minutes(60))
    told = [
        tuple(
            request.headers.get(f"x-cloudtasks-task{name}")
            for name in ("retrycount", "executioncount", "previousresponse")
        )
        for request in target.received
    ]
    assert told == [("0", "0", None), ("1", "0", "503"), ("2", "1", "404"), ("3", "1", "500")]


def test_task_is_dropped_after_the_last_attempt(tasks: TasksEmulator, target: Target) -> None:
    target.statuses = [500] * 9
    create(tasks, target.url)
    tasks.run_until(START + minutes(600))
    assert since_start(tasks) == [0, 10, 30, 70, 150]
    assert [(task.id, task.dispatch_count) for task in tasks.dropped] == [("t", 5)]
    assert tasks.tasks == []


def test_attempts_go_on_until_the_retry_duration_has_passed_too(
    tasks: TasksEmulator, target: Target
) -> None:
    tasks.queue().retry = RetryConfig(
        max_attempts=2,
        min_backoff=timedelta(seconds=60),
        max_backoff=timedelta(seconds=60),
        max_retry_duration=timedelta(seconds=180),
    )
    target.statuses = [500] * 9
    create(tasks, target.url)
    tasks.run_until(START + minutes(60))
    assert since_start(tasks) == [0, 60, 120, 180]


def test_unlimited_attempts_never_drop_a_task(tasks: TasksEmulator, target: Target) -> None:
    tasks.queue().retry = RetryConfig(max_attempts=-1, max_backoff=timedelta(seconds=1))
    target.statuses = [500] * 20
    create(tasks, target.url)
    tasks.run_until(START + timedelta(seconds=20))
    assert len(tasks.deliveries) == 21
    assert tasks.dropped == []


def test_backoff_is_the_one_of_googles_example() -> None:
    retry = RetryConfig(
        min_backoff=timedelta(seconds=10), max_backoff=timedelta(seconds=300), max_doublings=3
    )
    waits = [retry.backoff(failures).total_seconds() for failures in range(1, 9)]
    assert waits == [10, 20, 40, 80, 160, 240, 300, 300]


def test_target_that_cannot_be_reached_fails_the_delivery(tasks: TasksEmulator) -> None:
    create(tasks, f"http://127.0.0.1:{closed_port()}")
    [delivery] = tasks.run_due()
    assert (delivery.status, delivery.ok) == (None, False)
    assert delivery.problem == "UNAVAILABLE: ConnectionError"
    assert tasks.tasks[0].schedule_time == START + timedelta(seconds=10)


def test_target_that_hangs_fails_after_the_deadline(tasks: TasksEmulator, target: Target) -> None:
    tasks.answer_timeout_seconds = 0.2
    target.hold()
    create(tasks, target.url)
    [delivery] = tasks.run_due()
    target.release()
    assert (delivery.status, delivery.problem) == (None, "DEADLINE_EXCEEDED")
    # The deadline is 10 minutes, then comes the wait.
    assert tasks.tasks[0].schedule_time == START + minutes(10) + timedelta(seconds=10)
    tasks.run_until(START + minutes(11))
    last = target.received[-1].headers
    assert (last["x-cloudtasks-taskretrycount"], last["x-cloudtasks-taskexecutioncount"]) == (
        "1",
        "0",
    )
    assert "x-cloudtasks-taskpreviousresponse" not in last


# More than once


def test_task_may_be_delivered_again_after_it_was_done(
    tasks: TasksEmulator, target: Target
) -> None:
    create(tasks, target.url)
    tasks.run_due()
    again = tasks.deliver("t")
    assert (again.status, again.copy, again.retry_count) == (200, True, 0)
    assert [request.headers["x-cloudtasks-taskname"] for request in target.received] == ["t", "t"]
    target.statuses = [500]
    assert tasks.deliver(f"{QUEUE}/tasks/t").status == 500
    assert tasks.tasks == []


def test_pending_task_that_is_delivered_early_is_done(tasks: TasksEmulator, target: Target) -> None:
    create(tasks, target.url, at=minutes(5))
    assert tasks.deliver("t").copy is False
    assert tasks.run_until(START + minutes(10)) == []


@pytest.mark.parametrize("copies", [Copies.AFTER, Copies.TOGETHER])
def test_each_delivery_can_be_made_twice(
    tasks: TasksEmulator, target: Target, copies: Copies
) -> None:
    tasks.copies = copies
    target.statuses = [500, 500]
    create(tasks, target.url)
    tasks.run_until(START + minutes(5))
    counts = [request.headers["x-cloudtasks-taskretrycount"] for request in target.received]
    assert counts == ["0", "0", "1", "1"]
    assert sorted(delivery.copy for delivery in tasks.deliveries) == [False, False, True, True]


def test_copies_can_arrive_while_the_first_is_still_answered(
    tasks: TasksEmulator, target: Target
) -> None:
    create(tasks, target.url)
    target.hold()
    first = tasks.deliver_async("t")
    target.wait_for(1)
    second = tasks.deliver_async("t")
    target.wait_for(2)
    assert tasks.run_due() == []
    assert not first.done()
    target.release()
    assert (first.result(10).copy, second.result(10).copy) == (False, True)
    assert tasks.tasks == []


def test_name_of_a_task_that_was_executed_stays_taken(tasks: TasksEmulator, target: Target) -> None:
    create(tasks, target.url)
    tasks.run_due()
    with pytest.raises(AssertionError, match="existed too recently"):
        create(tasks, target.url)


def test_task_deleted_while_it_is_delivered_does_not_come_back(
    tasks: TasksEmulator, target: Target
) -> None:
    create(tasks, target.url)
    target.statuses = [500]
    target.hold()
    delivery = tasks.deliver_async("t")
    target.wait_for(1)
    assert requests.delete(f"{tasks.url}v2/{QUEUE}/tasks/t", timeout=10).ok
    target.release()
    assert delivery.result(10).status == 500
    assert (tasks.tasks, tasks.dropped) == ([], [])


def test_task_that_never_existed_cannot_be_delivered(tasks: TasksEmulator) -> None:
    with pytest.raises(KeyError, match="nothing"):
        tasks.deliver("nothing")
