"""The client of Cloud Tasks against its stand-in, and against what no stand-in would say."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from googleapiclient.discovery_cache import get_static_doc

from daybook.cloud.tasks import api
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.errors import TaskError
from tests.contract.raw_server import answer, serving
from tests.emulators.tasks import QUEUE, TasksEmulator
from tests.emulators.tasks.queue import RetryConfig
from tests.emulators.tasks.target import Target

START = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
DUE = START + timedelta(minutes=5)
SERVICE = "https://daybook.example"
ACCOUNT = "tasks@acme-books.iam.gserviceaccount.com"
BODY = {"profile": "daily", "batchDate": "2026-01-18", "generation": 1, "attempt": 2}


@pytest.fixture
def tasks() -> Iterator[TasksEmulator]:
    with TasksEmulator(starts_at=START) as emulator:
        yield emulator


def client_at(endpoint: str | None, **changes: Any) -> CloudTasks:
    settings: dict[str, Any] = {
        "queue": QUEUE,
        "service_url": SERVICE,
        "service_account": ACCOUNT,
        "endpoint": endpoint,
        "dispatch_deadline_seconds": 540.0,
        "max_wait_seconds": 2.0,
        **changes,
    }
    return CloudTasks(**settings)


def create(client: CloudTasks, name: str = "t", due: datetime = DUE) -> None:
    client.create(name=name, body=BODY, due=due)


def refused(client: CloudTasks, due: datetime = DUE) -> str:
    with pytest.raises(TaskError) as caught:
        create(client, due=due)
    return str(caught.value)


# Creating


def test_task_calls_the_service_back_when_it_is_due(tasks: TasksEmulator) -> None:
    create(client_at(tasks.url), "abc123")
    [made] = tasks.created
    assert made.name == f"{QUEUE}/tasks/abc123"
    assert (made.url, made.method) == (f"{SERVICE}/tasks/run", "POST")
    assert made.schedule_time == DUE
    assert made.body == BODY
    assert made.headers == {"Content-Type": "application/json"}
    assert made.oidc is not None
    assert (made.oidc.email, made.oidc.audience) == (ACCOUNT, SERVICE)
    assert made.dispatch_deadline == timedelta(seconds=540)


def test_slash_at_the_end_of_the_service_url_is_not_doubled(tasks: TasksEmulator) -> None:
    create(client_at(tasks.url, service_url=f"{SERVICE}/"))
    [made] = tasks.created
    assert made.url == f"{SERVICE}/tasks/run"
    assert made.oidc is not None
    assert made.oidc.audience == SERVICE


def test_endpoint_may_lack_its_slash(tasks: TasksEmulator) -> None:
    create(client_at(tasks.url.rstrip("/")))
    assert len(tasks.created) == 1


def test_delivery_carries_no_token_without_a_service_account(tasks: TasksEmulator) -> None:
    with Target() as target:
        create(client_at(tasks.url, service_url=target.url, service_account=None))
        tasks.run_until(DUE)
        [request] = target.received
    assert request.body == BODY
    assert "authorization" not in request.headers


def test_due_of_another_zone_is_the_same_moment(tasks: TasksEmulator) -> None:
    bangkok = timezone(timedelta(hours=7))
    create(client_at(tasks.url), due=datetime(2026, 1, 18, 18, 5, 0, 250, tzinfo=bangkok))
    assert tasks.created[0].schedule_time == DUE + timedelta(microseconds=250)


@pytest.mark.parametrize("due", [START - timedelta(days=400), START])
def test_task_that_is_due_already_comes_at_once(tasks: TasksEmulator, due: datetime) -> None:
    create(client_at(tasks.url), due=due)
    assert tasks.created[0].schedule_time == START


def test_due_without_a_zone_is_a_mistake(tasks: TasksEmulator) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        create(client_at(tasks.url), due=datetime(2026, 1, 18))  # noqa: DTZ001  - the mistake
    assert tasks.requests == []


def test_due_more_than_thirty_days_ahead_is_refused(tasks: TasksEmulator) -> None:
    message = refused(client_at(tasks.url), due=START + timedelta(days=30, seconds=1))
    assert "too far in the future" in message
    assert "retry delays" in message


@pytest.mark.parametrize(("wanted", "sent"), [(1, 15), (15, 15), (1800, 1800), (3600, 1800)])
def test_dispatch_deadline_is_brought_into_what_google_allows(
    tasks: TasksEmulator, wanted: float, sent: int
) -> None:
    create(client_at(tasks.url, dispatch_deadline_seconds=wanted))
    assert tasks.created[0].dispatch_deadline == timedelta(seconds=sent)


# Creating again


def test_task_that_exists_counts_as_created(tasks: TasksEmulator) -> None:
    client = client_at(tasks.url)
    create(client)
    create(client)
    assert [request.status for request in tasks.requests] == [200, 409]
    assert len(tasks.created) == 1


def test_task_that_was_executed_counts_as_created(tasks: TasksEmulator) -> None:
    with Target() as target:
        client = client_at(tasks.url, service_url=target.url)
        create(client)
        tasks.run_until(DUE)
        create(client)
        tasks.run_until(DUE + timedelta(hours=1))
        assert len(target.received) == 1


def test_two_threads_make_one_task_each_with_one_client(tasks: TasksEmulator) -> None:
    client = client_at(tasks.url)
    together = threading.Barrier(2)
    errors: list[BaseException] = []

    def run(own: str) -> None:
        try:
            for number in range(5):
                together.wait(10)
                create(client, f"{own}-{number}")
                create(client, f"shared-{number}")
        except BaseException as error:  # noqa: BLE001  - the test looks at it
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=run, args=[own]) for own in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    expected = {f"{kind}-{number}" for kind in ("a", "b", "shared") for number in range(5)}
    assert sorted(task.id for task in tasks.created) == sorted(expected)


def test_lost_answer_is_followed_by_the_same_request(tasks: TasksEmulator) -> None:
    lost = tasks.fault("answer_lost", on="create")
    create(client_at(tasks.url))
    assert lost.hits == 1
    assert [request.status for request in tasks.requests] == [None, 409]
    assert len(tasks.created) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut_before"},
        {"kind": "html_page"},
        *({"kind": "status", "status": status} for status in (408, 429, 500, 502, 503, 504)),
        {"kind": "status", "status": 409, "reason": "ABORTED"},
        {"kind": "status", "status": 503, "after": True},
    ],
    ids=str,
)
def test_fault_that_passes_is_waited_out(tasks: TasksEmulator, fault: dict[str, Any]) -> None:
    planned = tasks.fault(**fault, on="create")
    create(client_at(tasks.url))
    assert planned.hits == 1
    assert [task.id for task in tasks.created] == ["t"]


def test_answer_that_is_too_late_is_asked_for_again(tasks: TasksEmulator) -> None:
    tasks.fault("hold_after", on="create")
    create(client_at(tasks.url, request_timeout_seconds=0.2))
    assert [request.status for request in tasks.requests] == [None, 409]
    assert len(tasks.created) == 1


NAMED = json.dumps({"name": f"{QUEUE}/tasks/t"}).encode()
JSON = "Content-Type: application/json"
NO_TASK = {
    "page": answer("200 OK", b"<html>Sign in</html>", "Content-Type: text/html"),
    "page called JSON": answer("200 OK", b"<html>", JSON),
    "empty": answer("200 OK", b"", JSON),
    "no content": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "empty object": answer("200 OK", b"{}", JSON),
    "list": answer("200 OK", b"[]", JSON),
    "text": answer("200 OK", b'"t"', JSON),
    "nested": answer("200 OK", b"[" * 200_000, JSON),
    "not utf-8": answer("200 OK", b"\xff\xfe", JSON),
    "truncated JSON": answer("200 OK", NAMED[:-5], JSON),
    "truncated": answer("200 OK", NAMED, JSON)[:-5],
    "another task": answer("200 OK", NAMED.replace(b"/t", b"/u"), JSON),
    "another type": answer("200 OK", b'{"name": ["t"]}', JSON),
    "redirect": answer("302 Found", b"", "Location: https://accounts.google.com/"),
    "redirect to itself": answer("307 -", b"", "Location: /"),
    "409 about something else": answer("409 -", b"<html>"),
    "500 of 1 MB": answer("500 -", b"x" * 1_000_000),
    "errors of other types": answer(
        "503 -", b'{"error": {"status": 1, "message": 2, "details": 3}}'
    ),
    "gzip that is none": answer("200 OK", b"{}", JSON, "Content-Encoding: gzip"),
    "nonsense": b"nonsense\r\n\r\n",
}


@pytest.mark.parametrize("raw", NO_TASK.values(), ids=NO_TASK)
def test_answer_that_does_not_name_the_task_does_not_count_as_created(raw: bytes) -> None:
    with serving(raw) as url:
        message = refused(client_at(url, max_wait_seconds=0.3, request_timeout_seconds=2.0))
    assert message.startswith(f"Cloud Tasks tasks.create in {QUEUE}: ")
    assert len(message) < 1000


@pytest.mark.parametrize("kind", ["truncated_json", "empty_json", "html_page"])
def test_answer_without_the_task_is_asked_for_again(tasks: TasksEmulator, kind: str) -> None:
    page = {"status": 200, "after": True} if kind == "html_page" else {}
    planned = tasks.fault(kind, on="create", **page)
    create(client_at(tasks.url))
    assert planned.hits == 1
    assert [request.status for request in tasks.requests] == [200, 409]
    assert [task.id for task in tasks.created] == ["t"]


# Giving up


@pytest.mark.parametrize("down", [True, "cut"])
def test_queue_that_stays_down_is_an_error_within_its_time(
    tasks: TasksEmulator, down: bool | str
) -> None:
    tasks.down = down
    began = time.monotonic()
    message = refused(client_at(tasks.url, max_wait_seconds=1.5))
    assert time.monotonic() - began < 3
    assert len(tasks.requests) >= 3
    assert message.startswith(f"Cloud Tasks tasks.create in {QUEUE}: ")


def test_queue_that_never_answers_is_an_error_soon(tasks: TasksEmulator) -> None:
    tasks.fault("hold_before", on="create", times=None)
    client = client_at(tasks.url, max_wait_seconds=1.0, request_timeout_seconds=0.3)
    began = time.monotonic()
    assert "no answer within 0.3 s" in refused(client)
    assert time.monotonic() - began < 2.5
    assert [request.status for request in tasks.requests] == [None, None]


def test_a_closed_port_is_an_error() -> None:
    with serving(b"") as url:
        pass
    assert "the connection failed (ConnectionRefusedError)" in refused(
        client_at(url, max_wait_seconds=0.3)
    )


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ("create", "cloudtasks.tasks.create on the queue (roles/cloudtasks.enqueuer)"),
        ("act as", f"iam.serviceAccounts.actAs on {ACCOUNT} (roles/iam.serviceAccountUser)"),
        ("api", "gcloud services enable cloudtasks.googleapis.com"),
        ("queue", "Create the queue, or correct DAYBOOK_TASKS_QUEUE"),
        ("old words", "Create the queue, or correct DAYBOOK_TASKS_QUEUE"),
        ("token", "gcloud auth application-default login"),
    ],
)
def test_refusal_says_what_to_do_and_is_not_repeated(
    tasks: TasksEmulator, setting: str, advice: str
) -> None:
    queue = QUEUE
    match setting:
        case "create":
            tasks.denied.add("cloudtasks.tasks.create")
        case "act as":
            tasks.let_act_as("somebody@acme-books.iam.gserviceaccount.com")
        case "api":
            tasks.fault("status", status=403, reason="SERVICE_DISABLED")
        case "queue":
            queue = QUEUE.replace("retries", "misspelt")
        case "old words":
            tasks.fault(
                "status",
                status=400,
                reason="FAILED_PRECONDITION",
                message="Queue does not exist.",
            )
        case "token":
            tasks.require_auth = True
    message = refused(client_at(tasks.url, queue=queue))
    assert queue in message
    assert advice in message
    assert len(tasks.requests) == 1


def test_refusal_quotes_google(tasks: TasksEmulator) -> None:
    tasks.fault("status", status=400, message="The  thing\nis wrong.")
    assert "answered 400 INVALID_ARGUMENT The thing is wrong. Correct" in refused(
        client_at(tasks.url)
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "no"}', b'{"error": {}}', b"\xff"])
def test_refusal_in_another_shape_is_an_error_all_the_same(body: bytes) -> None:
    with serving(answer("404 Not Found", body)) as url:
        assert "answered 404. Create the queue" in refused(client_at(url))


# Looking at the queue


def test_queue_that_runs_is_found_good(tasks: TasksEmulator) -> None:
    found = client_at(tasks.url).check()
    assert (found.name, found.ok) == ("tasks queue", True)
    assert found.detail == f"{QUEUE} is RUNNING, 5 deliveries at most"


@pytest.mark.parametrize("state", ["PAUSED", "DISABLED"])
def test_queue_that_does_not_deliver_is_found_bad(tasks: TasksEmulator, state: str) -> None:
    tasks.queue().state = state
    found = client_at(tasks.url).check()
    assert not found.ok
    assert f"is {state}" in found.detail


def test_queue_that_never_gives_up_is_found_bad(tasks: TasksEmulator) -> None:
    tasks.queue().retry = RetryConfig(max_attempts=-1)
    found = client_at(tasks.url).check()
    assert not found.ok
    assert "--max-attempts" in found.detail


def test_queue_that_is_missing_is_found_bad(tasks: TasksEmulator) -> None:
    found = client_at(tasks.url, queue=QUEUE.replace("retries", "misspelt")).check()
    assert not found.ok
    assert "404 NOT_FOUND Queue does not exist" in found.detail


def test_queue_that_may_not_be_looked_at_names_the_permission(tasks: TasksEmulator) -> None:
    tasks.denied.add("cloudtasks.queues.get")
    found = client_at(tasks.url).check()
    assert not found.ok
    assert "cloudtasks.queues.get on the queue (roles/cloudtasks.viewer)" in found.detail


def test_queue_that_answers_nonsense_is_found_bad() -> None:
    with serving(answer("200 OK", b"<html>", "Content-Type: text/html")) as url:
        found = client_at(url, max_wait_seconds=0.2).check()
    assert not found.ok
    assert "not a JSON object" in found.detail


def test_redirect_is_not_followed(tasks: TasksEmulator) -> None:
    with serving(answer("307 -", b"", f"Location: {tasks.url}v2/{QUEUE}")) as url:
        found = client_at(url).check()
    assert "answered 307" in found.detail
    assert tasks.requests == []


# Credentials


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def log_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str, token_uri: str
) -> None:
    """Credentials whose tokens come from `token_uri`."""
    account = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": private_key,
        "private_key_id": "1",
        "token_uri": token_uri,
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


@pytest.fixture
def google_is_here(tasks: TasksEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's document of the API, with the stand-in as the API's real address."""
    document = json.loads(get_static_doc("cloudtasks", "v2"))
    text = json.dumps({**document, "rootUrl": tasks.url})
    monkeypatch.setattr(api, "get_static_doc", lambda *_: text)


@pytest.mark.usefixtures("google_is_here")
def test_google_gets_a_token(
    tasks: TasksEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    tasks.require_auth = True
    token = json.dumps({"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})
    with serving(answer("200 OK", token.encode(), "Content-Type: application/json")) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        create(client_at(None))
    assert [request.identity for request in tasks.requests] == ["a-token"]


def test_endpoint_gets_no_token(
    tasks: TasksEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    log_in(monkeypatch, tmp_path, private_key, "http://127.0.0.1:1/")
    create(client_at(tasks.url))
    assert [request.identity for request in tasks.requests] == ["anonymous"]


@pytest.mark.usefixtures("google_is_here")
def test_token_that_google_refuses_is_an_error_without_the_key(
    tasks: TasksEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    refusal = json.dumps({"error": "invalid_grant", "error_description": "Account gone: s3cret"})
    with serving(answer("400 Bad Request", refusal.encode())) as url:
        log_in(monkeypatch, tmp_path, private_key, url)
        message = refused(client_at(None))
    assert "no access token (RefreshError)" in message
    assert "s3cret" not in message
    assert "PRIVATE KEY" not in message
    assert tasks.requests == []


@pytest.mark.usefixtures("google_is_here")
def test_lack_of_credentials_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    client = client_at(None)
    assert "no Google credentials. Run as a service account" in refused(client)
    assert not client.check().ok


def test_importing_and_building_the_client_loads_no_sdk() -> None:
    script = (
        "import sys; from daybook.cloud.tasks.tasks import CloudTasks; "
        "CloudTasks(queue='q', service_url='u', service_account=None, endpoint=None, "
        "dispatch_deadline_seconds=60); "
        "print([name for name in ('googleapiclient', 'httplib2', 'google.auth', 'requests') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
