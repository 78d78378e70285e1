"""The stand-in for Cloud Tasks keeps the published rules of its REST API, version 2."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httplib2
import pytest
import requests
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc

from tests.emulators.drive.log import Moment
from tests.emulators.tasks import QUEUE, TasksEmulator

START = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
URL = "https://daybook.example/tasks/run"


@pytest.fixture
def tasks() -> Iterator[TasksEmulator]:
    with TasksEmulator(starts_at=START) as emulator:
        yield emulator


def call(
    tasks: TasksEmulator, method: str, path: str = "", *, queue: str = QUEUE, **options: Any
) -> requests.Response:
    return requests.request(method, f"{tasks.url}v2/{queue}{path}", timeout=10, **options)


def create(tasks: TasksEmulator, task: dict[str, Any], **body: Any) -> requests.Response:
    return call(tasks, "POST", "/tasks", json={"task": task, **body})


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{QUEUE}/tasks/{name}", "httpRequest": {"url": URL}, **more}


def error_of(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return error["code"], error["status"], error["message"]


# Creating


def test_task_is_kept_as_it_was_asked_for(tasks: TasksEmulator) -> None:
    answer = create(
        tasks,
        {
            "name": f"{QUEUE}/tasks/first",
            "scheduleTime": "2026-01-18T18:05:00+07:00",
            "dispatchDeadline": "480.5s",
            "httpRequest": {
                "url": URL,
                "httpMethod": "POST",
                "headers": {"Content-Type": "application/json"},
                "body": base64.b64encode(b'{"attempt": 2}').decode(),
                "oidcToken": {"serviceAccountEmail": "run@acme.example", "audience": "me"},
            },
        },
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "name": f"{QUEUE}/tasks/first",
        "createTime": "2026-01-18T11:00:00Z",
        "scheduleTime": "2026-01-18T11:05:00Z",
        "dispatchDeadline": "480.500s",
        "view": "BASIC",
        "httpRequest": {
            "url": URL,
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json"},
            "oidcToken": {"serviceAccountEmail": "run@acme.example", "audience": "me"},
        },
    }
    [made] = tasks.created
    assert (made.id, made.body, made.dispatch_deadline) == (
        "first",
        {"attempt": 2},
        timedelta(seconds=480.5),
    )
    assert made.oidc is not None
    assert (made.oidc.email, made.oidc.audience) == ("run@acme.example", "me")
    assert tasks.tasks == [made]


def test_defaults_are_those_of_the_reference(tasks: TasksEmulator) -> None:
    answer = create(tasks, {"httpRequest": {"url": URL}}).json()
    assert answer["name"].startswith(f"{QUEUE}/tasks/")
    assert answer["dispatchDeadline"] == "600s"
    assert answer["httpRequest"]["httpMethod"] == "POST"
    assert answer["scheduleTime"] == "2026-01-18T11:00:00Z"


def test_nameless_tasks_get_names_of_their_own(tasks: TasksEmulator) -> None:
    names = {create(tasks, {"httpRequest": {"url": URL}}).json()["name"] for _ in range(5)}
    assert len(names) == 5


def test_schedule_time_in_the_past_becomes_now(tasks: TasksEmulator) -> None:
    create(tasks, named("late", scheduleTime="2026-01-01T00:00:00Z"))
    assert tasks.created[0].schedule_time == START


def test_schedule_time_may_lie_thirty_days_ahead_and_no_more(tasks: TasksEmulator) -> None:
    assert create(tasks, named("just", scheduleTime="2026-02-17T11:00:00Z")).ok
    refused = create(tasks, named("over", scheduleTime="2026-02-17T11:00:00.000001Z"))
    assert error_of(refused)[:2] == (400, "INVALID_ARGUMENT")
    assert "720h" in refused.text
    assert len(tasks.tasks) == 1


@pytest.mark.parametrize("deadline", ["15s", "1800s"])
def test_dispatch_deadline_may_be_15_seconds_to_30_minutes(
    tasks: TasksEmulator, deadline: str
) -> None:
    assert create(tasks, named("t", dispatchDeadline=deadline)).json()["dispatchDeadline"] == (
        deadline
    )


REFUSED: dict[str, dict[str, Any]] = {
    "deadline too short": named("t", dispatchDeadline="14.999s"),
    "deadline too long": named("t", dispatchDeadline="1800.001s"),
    "deadline in minutes": named("t", dispatchDeadline="10m"),
    "deadline as a number": named("t", dispatchDeadline=600),
    "time without a zone": named("t", scheduleTime="2026-01-18T12:00:00"),
    "time that is not a date": named("t", scheduleTime="2026-13-18T12:00:00Z"),
    "time as a number": named("t", scheduleTime=1768734000),
    "unknown field": named("t", retries=3),
    "unknown field below": {"httpRequest": {"url": URL, "verb": "POST"}},
    "no request": {"name": f"{QUEUE}/tasks/t"},
    "no url": {"httpRequest": {}},
    "relative url": {"httpRequest": {"url": "/tasks/run"}},
    "other scheme": {"httpRequest": {"url": "ftp://daybook.example/"}},
    "url without a host": {"httpRequest": {"url": "https:///tasks/run"}},
    "url too long": {"httpRequest": {"url": f"{URL}?{'x' * 2083}"}},
    "unknown method": {"httpRequest": {"url": URL, "httpMethod": "SEND"}},
    "method in lower case": {"httpRequest": {"url": URL, "httpMethod": "post"}},
    "body that is no base64": {"httpRequest": {"url": URL, "body": "{}"}},
    "body with GET": {"httpRequest": {"url": URL, "httpMethod": "GET", "body": "e30="}},
    "header that is not text": {"httpRequest": {"url": URL, "headers": {"X": 1}}},
    "headers too large": {"httpRequest": {"url": URL, "headers": {"X": "x" * 80 * 1024}}},
    "token without an account": {"httpRequest": {"url": URL, "oidcToken": {"audience": URL}}},
    "token over http": {
        "httpRequest": {
            "url": "http://daybook.example/",
            "oidcToken": {"serviceAccountEmail": "run@acme.example"},
        }
    },
    "name without its queue": {"name": "t", "httpRequest": {"url": URL}},
    "name in another queue": {
        "name": f"{QUEUE}-2/tasks/t",
        "httpRequest": {"url": URL},
    },
    "name with a dot": named("2026.01"),
    "empty name": named(""),
    "name too long": named("x" * 501),
    "task too large": {"httpRequest": {"url": URL, "body": "AAAA" * 34_200}},
}


@pytest.mark.parametrize("task", REFUSED.values(), ids=REFUSED.keys())
def test_task_that_breaks_a_rule_is_refused(tasks: TasksEmulator, task: dict[str, Any]) -> None:
    answer = create(tasks, task)
    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")
    assert tasks.created == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"tasks": []}', b"\xff", b'{"task": []}', b'{"task": "x"}']
)
def test_body_that_is_no_request_is_refused(tasks: TasksEmulator, body: bytes) -> None:
    answer = call(tasks, "POST", "/tasks", data=body)
    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")


def test_name_may_have_500_characters(tasks: TasksEmulator) -> None:
    assert create(tasks, named("aZ0_-" * 100)).ok


def test_fields_that_are_null_count_as_absent(tasks: TasksEmulator) -> None:
    assert create(tasks, named("t", scheduleTime=None)).ok


def test_unknown_query_parameter_is_refused(tasks: TasksEmulator) -> None:
    assert create(tasks, named("t")).ok
    answer = call(tasks, "GET", "/tasks/t", params={"verbose": "1"})
    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")


def test_queue_that_does_not_exist_is_not_found(tasks: TasksEmulator) -> None:
    other = QUEUE.replace("retries", "others")
    task = {"httpRequest": {"url": URL}}
    for answer in (
        call(tasks, "POST", "/tasks", queue=other, json={"task": task}),
        call(tasks, "GET", queue=other),
        call(tasks, "GET", "/tasks", queue=other),
    ):
        assert error_of(answer)[:2] == (404, "NOT_FOUND")
        assert "Queue does not exist" in answer.text


def test_path_that_the_api_does_not_have_is_not_found(tasks: TasksEmulator) -> None:
    assert requests.get(f"{tasks.url}v3/{QUEUE}", timeout=10).status_code == 404
    assert call(tasks, "DELETE").status_code == 404
    assert [request.operation for request in tasks.requests] == ["unknown", "unknown"]


# Names


def test_name_that_exists_is_refused(tasks: TasksEmulator) -> None:
    assert create(tasks, named("same")).ok
    answer = create(tasks, named("same", scheduleTime="2026-01-19T00:00:00Z"))
    assert error_of(answer) == (409, "ALREADY_EXISTS", "Requested entity already exists")
    assert len(tasks.created) == 1


def test_name_stays_taken_for_a_day_after_the_task_has_gone(tasks: TasksEmulator) -> None:
    assert create(tasks, named("same")).ok
    assert call(tasks, "DELETE", "/tasks/same").json() == {}
    tasks.advance(timedelta(hours=24) - timedelta(microseconds=1))
    answer = create(tasks, named("same"))
    assert error_of(answer)[:2] == (409, "ALREADY_EXISTS")
    assert "existed too recently" in answer.text
    tasks.advance(timedelta(microseconds=1))
    assert create(tasks, named("same")).ok
    assert len(tasks.created) == 2


def test_same_name_at_once_makes_one_task(tasks: TasksEmulator) -> None:
    together = threading.Barrier(4)
    statuses: list[int] = []

    def run() -> None:
        together.wait()
        statuses.append(create(tasks, named("same")).status_code)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409]
    assert len(tasks.created) == 1


# Looking and deleting


def test_task_is_found_until_it_is_deleted(tasks: TasksEmulator) -> None:
    create(tasks, named("t"))
    assert call(tasks, "GET", "/tasks/t").json()["name"] == f"{QUEUE}/tasks/t"
    assert call(tasks, "DELETE", "/tasks/t").ok
    for answer in (call(tasks, "GET", "/tasks/t"), call(tasks, "DELETE", "/tasks/t")):
        assert error_of(answer)[:2] == (404, "NOT_FOUND")
    assert tasks.tasks == []


def test_body_is_shown_in_the_full_view_only(tasks: TasksEmulator) -> None:
    create(tasks, {"name": f"{QUEUE}/tasks/t", "httpRequest": {"url": URL, "body": "e30"}})
    basic = call(tasks, "GET", "/tasks/t").json()
    full = call(tasks, "GET", "/tasks/t", params={"responseView": "FULL"}).json()
    assert "body" not in basic["httpRequest"]
    assert (full["httpRequest"]["body"], full["view"]) == ("e30=", "FULL")


def test_list_comes_in_pages(tasks: TasksEmulator) -> None:
    for name in "abc":
        create(tasks, named(name))
    first = call(tasks, "GET", "/tasks", params={"pageSize": 2}).json()
    second = call(
        tasks, "GET", "/tasks", params={"pageSize": 2, "pageToken": first["nextPageToken"]}
    ).json()
    names = [task["name"][-1] for page in (first, second) for task in page["tasks"]]
    assert names == ["a", "b", "c"]
    assert "nextPageToken" not in second


def test_queue_tells_its_state_and_its_retries(tasks: TasksEmulator) -> None:
    tasks.queue().state = "PAUSED"
    found = call(tasks, "GET").json()
    assert (found["name"], found["state"]) == (QUEUE, "PAUSED")
    assert found["retryConfig"] == {
        "maxAttempts": 5,
        "maxRetryDuration": "0s",
        "minBackoff": "1s",
        "maxBackoff": "3600s",
        "maxDoublings": 16,
    }


# Permissions and faults


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("cloudtasks.tasks.create", "POST", "/tasks"),
        ("cloudtasks.tasks.list", "GET", "/tasks"),
        ("cloudtasks.tasks.get", "GET", "/tasks/t"),
        ("cloudtasks.tasks.delete", "DELETE", "/tasks/t"),
        ("cloudtasks.queues.get", "GET", ""),
    ],
)
def test_permission_that_is_lacking_is_named(
    tasks: TasksEmulator, permission: str, method: str, path: str
) -> None:
    tasks.denied.add(permission)
    answer = call(tasks, method, path, json={"task": named("t")} if method == "POST" else None)
    assert error_of(answer)[:2] == (403, "PERMISSION_DENIED")
    assert permission in answer.json()["error"]["message"]


def test_account_that_the_caller_may_not_act_as_is_refused(tasks: TasksEmulator) -> None:
    tasks.let_act_as("run@acme.example")
    token = {"serviceAccountEmail": "other@acme.example"}
    answer = create(tasks, {"httpRequest": {"url": URL, "oidcToken": token}})
    assert error_of(answer)[:2] == (403, "PERMISSION_DENIED")
    assert "iam.serviceAccounts.actAs" in answer.text


def test_request_without_a_token_is_refused_where_one_is_needed(tasks: TasksEmulator) -> None:
    tasks.require_auth = True
    assert error_of(create(tasks, named("t")))[:2] == (401, "UNAUTHENTICATED")
    headers = {"Authorization": "Bearer a-token"}
    assert call(tasks, "POST", "/tasks", json={"task": named("t")}, headers=headers).ok
    assert [request.identity for request in tasks.requests] == ["anonymous", "a-token"]


@pytest.mark.parametrize(
    ("status", "name"),
    [(503, "UNAVAILABLE"), (429, "RESOURCE_EXHAUSTED"), (403, "PERMISSION_DENIED")],
)
def test_planned_status_strikes_once_and_changes_nothing(
    tasks: TasksEmulator, status: int, name: str
) -> None:
    fault = tasks.fault("status", on="create", status=status)
    assert error_of(create(tasks, named("t")))[:2] == (status, name)
    assert tasks.created == []
    assert create(tasks, named("t")).ok
    assert fault.hits == 1


def test_cut_before_acting_leaves_no_task(tasks: TasksEmulator) -> None:
    tasks.fault("cut_before", on="create")
    with pytest.raises(requests.ConnectionError):
        create(tasks, named("t"))
    assert tasks.created == []


def test_lost_answer_leaves_the_task(tasks: TasksEmulator) -> None:
    tasks.fault("answer_lost", on="create")
    with pytest.raises(requests.ConnectionError):
        create(tasks, named("t"))
    assert [task.id for task in tasks.created] == ["t"]


def test_held_request_waits_for_its_release(tasks: TasksEmulator) -> None:
    tasks.fault("hold_after", on="create")
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(create(tasks, named("t")).status_code))
    thread.start()
    tasks.wait_for("create", acted=True)
    assert (len(tasks.created), statuses) == (1, [])
    tasks.release()
    thread.join()
    assert statuses == [200]


def test_fault_that_the_stand_in_does_not_have_is_refused(tasks: TasksEmulator) -> None:
    with pytest.raises(ValueError, match="partial_chunk"):
        tasks.fault("partial_chunk")
    with pytest.raises(ValueError, match="upload"):
        tasks.fault("status", on="upload", status=500)


def test_error_in_a_hook_comes_out_at_the_end() -> None:
    def break_it(_moment: Moment) -> None:
        raise AssertionError("seen")

    tasks = TasksEmulator().start()
    tasks.on_request(break_it)
    with pytest.raises(requests.ConnectionError):
        create(tasks, named("t"))
    with pytest.raises(ExceptionGroup) as caught:
        tasks.__exit__(None, None, None)
    assert [str(error) for error in caught.value.exceptions] == ["seen"]


def test_googles_own_client_and_the_stand_in_agree(tasks: TasksEmulator) -> None:
    text = get_static_doc("cloudtasks", "v2")
    document = {**json.loads(text), "rootUrl": tasks.url}
    served = build_from_document(document, http=httplib2.Http())
    queues = served.projects().locations().queues()
    made = queues.tasks().create(parent=QUEUE, body={"task": named("t")}).execute()
    assert queues.tasks().get(name=made["name"]).execute() == made
    assert queues.tasks().list(parent=QUEUE).execute() == {"tasks": [made]}
    assert queues.get(name=QUEUE).execute()["state"] == "RUNNING"
    assert queues.tasks().delete(name=made["name"]).execute() == {}
    assert tasks.tasks == []


def test_clock_moves_only_when_it_is_moved() -> None:
    with TasksEmulator(starts_at=START) as tasks:
        assert tasks.now() == START
        tasks.advance(timedelta(hours=1))
        tasks.advance_to(START)
        assert tasks.now() == START + timedelta(hours=1)
        with pytest.raises(ValueError, match="back"):
            tasks.advance(timedelta(seconds=-1))
    before = datetime.now(UTC)
    assert before <= TasksEmulator().now() <= datetime.now(UTC)
