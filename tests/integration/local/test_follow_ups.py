"""What `serve` finds to follow, and how it makes the calls, on a real MongoDB and real HTTP."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import ServerSelectionTimeoutError

from daybook.export.model.lifecycle import Task, TaskKind
from daybook.export.model.profile import BatchKey
from daybook.local.courier import Courier
from daybook.local.follow_ups import FollowUps, due_calls
from tests.integration.days import put_day

pytestmark = pytest.mark.migrated

NOW = datetime(2026, 1, 18, 11, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Data = Database[dict[str, Any]]


def recorded(due: datetime = NOW, kind: str = "retry", attempt: int = 2) -> dict[str, Any]:
    return {"kind": kind, "attempt": attempt, "fence": 7, "due": due}


def hold(database: Data, *, seconds: float, slot_id: str = "daily") -> None:
    """A lease on the slot, by MongoDB's clock; negative seconds are one that ran out."""
    lease = {"owner": "a run", "expiresAt": datetime.now(UTC) + timedelta(seconds=seconds)}
    database["exportslots"].insert_one({"_id": slot_id, "fence": 9, "lease": lease})


def found(database: Data) -> list[tuple[str, str, int]]:
    return [
        (call.key.batch_date or f"{call.key.manual_key}", call.kind.value, call.attempt)
        for call in due_calls(database, "daily", NOW)
    ]


def test_a_call_is_made_once_it_is_due(database: Data) -> None:
    put_day(database, "01-17", "open", endedAttempt=1, pendingTask=recorded(NOW + SECOND))
    assert found(database) == []
    put_day(database, "01-18", "open", pendingTask=recorded(NOW, "continuation", 1))
    assert found(database) == [("2026-01-18", "continuation", 1)]


def test_it_is_the_call_that_the_run_recorded(database: Data) -> None:
    put_day(database, "01-18", "open", generation=3, endedAttempt=1, pendingTask=recorded())
    (call,) = due_calls(database, "daily", NOW)
    assert call == Task(
        key=BatchKey(profile="daily", batch_date="2026-01-18"),
        kind=TaskKind.RETRY,
        generation=3,
        attempt=2,
        fence=7,
        due=NOW,
    )


def test_while_a_run_holds_the_slot_no_call_is_made_for_it(database: Data) -> None:
    put_day(database, "01-18", "open", pendingTask=recorded())
    put_day(database, "01-17", "open")
    put_day(database, "01-16", "open", batchDate=None, manualKey="m", pendingTask=recorded())
    hold(database, seconds=60)
    assert found(database) == [("m", "retry", 2)]
    hold(database, seconds=60, slot_id="daily/manual")
    assert found(database) == []


def test_a_run_that_died_is_checked_once_its_lease_has_expired(database: Data) -> None:
    put_day(database, "01-18", "open", attempt=2, endedAttempt=1, fence=9)
    hold(database, seconds=-1)
    assert found(database) == [("2026-01-18", "look_again", 2)]
    first, second = (due_calls(database, "daily", NOW + SECOND * n)[0] for n in range(2))
    assert first.name == second.name


def test_a_commit_whose_items_are_not_all_marked_is_looked_after(database: Data) -> None:
    figures = dict.fromkeys(("entryCount", "rowCount", "rejectedCount", "sizeBytes"), 0)
    texts = dict.fromkeys(("filename", "fileId", "webViewLink", "md5", "sha256"), "x")
    counts = dict.fromkeys(("generation", "fence", "partCount", "itemCount"), 1)
    file = {
        **figures,
        **texts,
        "totals": {},
        "recordId": ObjectId(),
        "hiddenAt": None,
        "manifest": {"batchId": str(ObjectId()), "digest": "x", **counts},
    }
    put_day(database, "01-18", "committed", markedAt=None, **file)
    assert found(database) == [("2026-01-18", "look_again", 2)]


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("committed", {}),
        ("empty", {}),
        ("failed", {}),
        ("open", {"attempt": 0}),
        ("open", {"attempt": 1, "endedAttempt": 1}),
        ("open", {"profile": "weekly", "pendingTask": recorded()}),
    ],
)
def test_nothing_else_is_followed_up(database: Data, state: str, fields: dict[str, Any]) -> None:
    put_day(database, "01-18", state, **fields)
    assert found(database) == []


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Function:
    """Stands in for the function: keeps what it is sent, gives the answers it is given."""

    answers: queue.Queue[tuple[int, bytes]] = field(default_factory=queue.Queue)
    received: list[Received] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def function() -> Iterator[Function]:
    function = Function()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            function.received.append(Received(self.path, dict(self.headers), json.loads(body)))
            status, content = function.answers.get(timeout=30)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    function.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield function
    server.shutdown()
    thread.join()
    server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def call(attempt: int = 2) -> Task:
    return Task(
        key=BatchKey(profile="daily", batch_date="2026-01-18"),
        kind=TaskKind.RETRY,
        generation=1,
        attempt=attempt,
        fence=7,
        due=NOW - timedelta(milliseconds=500),
    )


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(getattr(record, "event", "")) for record in caplog.records]


def until(met: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not met():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@pytest.fixture
def ended(caplog: pytest.LogCaptureFixture) -> Callable[[int], None]:
    """Wait until so many calls have ended, as the log tells."""
    caplog.set_level(logging.INFO, "daybook")
    kinds = {"follow_up_made", "follow_up_failed"}
    return lambda count: until(lambda: sum(e in kinds for e in events(caplog)) == count)


def courier(url: str, clock: Clock) -> Courier:
    return Courier(url, answer_timeout_seconds=30, clock=clock)


def test_a_call_is_what_cloud_tasks_would_send_and_is_made_once(
    function: Function, ended: Callable[[int], None]
) -> None:
    clock = Clock()
    made = courier(function.url, clock)
    function.answers.put((200, b'{"status": "exported"}'))
    for _ in range(2):
        made.hand_over(call())
        ended(1)
        clock.now += timedelta(hours=1)
    (received,) = function.received
    assert (received.path, received.body) == ("/tasks/run", call().body())
    assert received.headers["Content-Type"] == "application/json"
    told = {n.lower(): v for n, v in received.headers.items() if n.lower().startswith("x-cloud")}
    assert told == {
        "x-cloudtasks-queuename": "serve",
        "x-cloudtasks-taskname": call().name,
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-tasketa": f"{call().due.timestamp():.6f}",
    }


def test_a_call_that_fails_is_made_again_after_a_rest_that_doubles(
    function: Function, ended: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    made = courier(function.url, clock)
    for failures, rest in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
        function.answers.put((503, b"away"))
        made.hand_over(call())
        ended(failures + 1)
        clock.now += timedelta(seconds=rest - 0.001)
        made.hand_over(call())
        clock.now += timedelta(milliseconds=1)
    function.answers.put((200, b"[]"))
    made.hand_over(call())
    ended(9)
    retries = [received.headers["X-CloudTasks-TaskRetryCount"] for received in function.received]
    assert retries == [str(number) for number in range(9)]
    assert events(caplog) == ["follow_up_failed"] * 8 + ["follow_up_made"]


def test_a_function_that_cannot_be_reached_is_a_failure_like_another(
    ended: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    made = courier("http://127.0.0.1:9", Clock())
    made.hand_over(call())
    ended(1)
    assert "ConnectionRefusedError" in caplog.text


def test_when_another_run_has_the_slot_the_call_is_made_again_later(
    function: Function, ended: Callable[[int], None]
) -> None:
    clock = Clock()
    made = courier(function.url, clock)
    function.answers.put((202, b'{"status": "in_progress"}'))
    made.hand_over(call())
    ended(1)
    made.hand_over(call())
    clock.now += timedelta(seconds=5)
    function.answers.put((200, b'{"status": "exported"}'))
    made.hand_over(call())
    ended(2)
    retries = [received.headers["X-CloudTasks-TaskRetryCount"] for received in function.received]
    assert retries == ["0", "0"]


def test_a_slow_call_holds_up_no_other_and_is_not_made_twice(
    function: Function, ended: Callable[[int], None]
) -> None:
    made = courier(function.url, Clock())
    made.hand_over(call(2))
    until(lambda: len(function.received) == 1)
    made.hand_over(call(2))
    made.hand_over(call(3))
    until(lambda: len(function.received) == 2)
    assert [received.body["attempt"] for received in function.received] == [2, 3]
    for _ in range(2):
        function.answers.put((200, b"{}"))
    ended(2)


def test_once_stopped_no_call_is_made(function: Function) -> None:
    made = courier(function.url, Clock())
    made.stop()
    made.hand_over(call())
    assert [thread.name for thread in threading.enumerate() if "call-" in thread.name] == []
    assert function.received == []


def test_an_absent_mongodb_is_reported_once_and_polling_continues(
    function: Function, ended: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    away = ServerSelectionTimeoutError("no primary")
    answers: list[list[Task] | Exception] = [away, away, [call()], away]

    def find(now: datetime) -> list[Task]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    follow_ups = FollowUps(find, courier(function.url, Clock()), Clock())
    function.answers.put((200, b"{}"))
    follow_ups.poll()
    follow_ups.poll()
    assert events(caplog) == ["follow_ups_unknown"]
    follow_ups.poll()
    ended(1)
    follow_ups.poll()
    assert events(caplog) == ["follow_ups_unknown", "follow_up_made", "follow_ups_unknown"]
