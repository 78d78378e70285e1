"""SIGKILL in an attempt, after its outcome, before its alarm: who notices, and what follows."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.batch.batch import Batch
from daybook.local.serve import FunctionServer
from tests import books
from tests.acceptance.evening import MINUTE, Evening
from tests.child_processes import children_of
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.log import Moment
from tests.emulators.mongo_proxy import MongoProxy
from tests.emulators.tasks.items import TaskView
from tests.faults.steps import Stage, Step, Trap
from tests.faults.workers import Worker, Zygote
from tests.faults.world import FILE_FORMAT, kill, kill_in_flight, profiles
from tests.ports import free_port

UPLOAD = Step(kind="drive create_multipart")
OUTCOME = Step(kind="commitTransaction", nth=2)
ANNOUNCED = Step(kind="update exportbatches announced")
TOO_SLOW = {"DAYBOOK_CSV_TIMEOUT_SECONDS": "0.000001"}
"""Fails every attempt, at once, in a way that may pass."""

MakeEvening = Callable[..., Evening]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def make_evening(
    migrated: Database[dict[str, Any]], mongo_uri: str, caplog: pytest.LogCaptureFixture
) -> Iterator[MakeEvening]:
    """Evenings by the real clock, since killed processes have no other."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            Evening(
                migrated,
                mongo_uri,
                caplog,
                real_clock=True,
                **{"DAYBOOK_PROFILES": profiles(), **settings},
            )
        )


@pytest.fixture
def evening(make_evening: MakeEvening) -> Evening:
    return make_evening()


def killed(
    evening: Evening,
    zygote: Zygote,
    step: Step,
    stage: Stage,
    *,
    in_flight: bool = False,
    **settings: str,
) -> Worker:
    """A run in a process of its own that was killed at a step."""
    act = kill_in_flight if in_flight else kill
    trap = Trap(step, stage, lambda: act(worker))
    trap.before.update(request.operation for request in evening.drive.requests)
    if step.drive_operation and stage == "before":
        # The stand-in would carry out a request whose client has died.
        evening.drive.fault("cut_before", on=step.drive_operation)
    evening.drive.on_request(trap.drive)
    host, port = parse_uri(evening.env["DAYBOOK_MONGODB_URI"])["nodelist"][0]
    with MongoProxy(host, port, trap.mongo) as proxy:
        env = {
            **evening.env,
            "DAYBOOK_SERVICE_URL": evening.function.url,
            "DAYBOOK_MONGODB_URI": proxy.uri,
            **settings,
        }
        worker = zygote.start(env, evening.day)
        worker.go().wait()
        worker.close()
    assert trap.sprung, f"the run never came to {trap}"
    assert worker.statuses == []
    return worker


class Process:
    """The function as it is deployed: gunicorn, and the worker that it starts again."""

    def __init__(self, evening: Evening, log: Path, **settings: str) -> None:
        self._port = free_port()
        self._starts_at = evening.starts_at
        inherited = {name: text for name, text in os.environ.items() if "DAYBOOK" not in name}
        self._env = {**inherited, **evening.env, "DAYBOOK_SERVICE_URL": self.url, **settings}
        self._log = log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def running(self) -> Iterator[Process]:
        before = children_of(os.getpid())
        with (
            self._log.open("ab") as log,
            FunctionServer(self._env, port=self._port, output=log.fileno()),
        ):
            (self._master,) = children_of(os.getpid()) - before
            yield self

    def kill_worker(self) -> None:
        (worker,) = children_of(self._master)
        os.kill(worker, signal.SIGKILL)

    def trigger(self) -> requests.Response:
        headers = {"X-CloudScheduler-ScheduleTime": self._starts_at.isoformat()}
        return requests.post(f"{self.url}/run", headers=headers, timeout=60)


def pending_task(evening: Evening) -> tuple[str, Any]:
    """Name and time of the call that the batch says must follow."""
    pending = Batch.from_doc(evening.batch()).pending
    assert pending is not None
    return pending.name, pending.due


def recheck(evening: Evening) -> TaskView:
    """The one task that is pending: a look at the dead run, once its lease is over."""
    (task,) = evening.tasks.tasks
    assert task.body["kind"] == "look_again"
    # By the function's clock, which a task that the stand-in brings forward corrects by a minute.
    waits = task.schedule_time - datetime.now(UTC)
    assert timedelta(seconds=5) < waits < timedelta(seconds=60 + 60 + 5 + 20)
    return task


def test_a_killed_run_is_finished_by_one_look_however_often_it_is_redelivered(
    evening: Evening, zygote: Zygote
) -> None:
    books.put_many(evening.database, 2)
    killed(evening, zygote, UPLOAD, "before", DAYBOOK_LEASE_SECONDS="20")

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: evening.trigger(), range(10)))

    assert {(one.status_code, one.json()["status"]) for one in answers} == {(202, "in_progress")}
    assert evening.attempts() == 1
    slot = evening.database["exportslots"].find_one({"_id": "daily"})
    assert slot is not None
    after_lease = slot["lease"]["expiresAt"] + timedelta(seconds=5)
    assert abs(recheck(evening).schedule_time - after_lease) < timedelta(seconds=1)
    evening.bury()
    delivery = evening.tasks.run_next()
    assert delivery is not None
    assert delivery.status == 200
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("committed", 2)
    assert evening.delivered() == {f"batch_{evening.day}.{FILE_FORMAT}": ["INV-0", "INV-1"]}
    assert evening.tasks.tasks == []
    assert evening.alarms() == [("INFO", "batch_recovered")]
    assert len(evening.mail("receipts")) == 1


@linux_only
def test_a_process_killed_in_each_attempt_uses_them_up_and_ends_in_one_alarm(
    evening: Evening, tmp_path: Path
) -> None:
    def kill_uploading(moment: Moment) -> None:
        if (moment.stage, moment.operation) == ("before", "create_multipart"):
            process.kill_worker()

    ids = books.put_many(evening.database, 2)
    evening.drive.fault("cut_before", on="create_multipart", times=None)
    evening.drive.on_request(kill_uploading)
    with Process(evening, tmp_path / "log").running() as process:
        with pytest.raises(requests.ConnectionError):
            process.trigger()
        assert process.trigger().json()["status"] == "in_progress"
        for attempt in (2, 3, 4):
            task = recheck(evening)
            evening.bury()
            crashed = evening.tasks.run_next()
            assert crashed is not None
            assert crashed.problem is not None
            batch = evening.batch()
            assert (batch["attempt"], batch["endedAttempt"]) == (attempt, attempt - 1)
            redelivered = evening.tasks.run_next()
            assert redelivered is not None
            assert (redelivered.id, redelivered.status) == (task.id, 202)
        recheck(evening)
        evening.bury()

        last = evening.tasks.run_next()

        assert last is not None
        assert last.status == 200
        batch = evening.batch()
        assert (batch["state"], batch["attempt"], batch["attemptCount"]) == ("failed", 4, 4)
        for delivery in {delivery.id for delivery in evening.tasks.deliveries}:
            assert evening.tasks.deliver(delivery).status == 200
        assert process.trigger().status_code == 500
    assert evening.tasks.tasks == []
    (alarm,) = evening.mail("alerts")
    assert "Daily batch FAILED after 3 retries (4 attempts)" in alarm
    assert evening.drive.files() == []
    assert books.statuses(evening.database, ids) == ["queued"] * 2


@pytest.mark.parametrize("redelivered", ["by the scheduler", "by the queue"])
def test_killed_before_its_retry_is_created_a_redelivery_creates_it_and_tries_nothing(
    make_evening: MakeEvening, zygote: Zygote, redelivered: str
) -> None:
    def kill_creating(moment: Moment) -> None:
        if moment.stage == "before" and moment.nth == 2:
            worker.kill()

    evening = make_evening(**TOO_SLOW)
    books.put_many(evening.database, 1)
    evening.trigger()
    (first,) = evening.tasks.created
    evening.tasks.on_request(kill_creating)
    evening.tasks.fault("cut_before", on="create")
    worker = zygote.start({**evening.env, "DAYBOOK_SERVICE_URL": evening.function.url}, evening.day)
    worker.go().wait().close()
    assert worker.statuses == []
    assert (evening.batch()["attempt"], evening.batch()["endedAttempt"]) == (2, 2)
    assert evening.tasks.created == [first]

    if redelivered == "by the scheduler":
        assert evening.trigger().json()["status"] == "retry_scheduled"
    else:
        assert evening.tasks.deliver(first.id).status == 202

    task = evening.tasks.created[-1]
    assert (task.id, task.schedule_time) == pending_task(evening)
    assert len(evening.tasks.created) == 2
    assert evening.batch()["errorCounts"] == {"timeout": 2}


@pytest.mark.parametrize("redelivered", ["by the scheduler", "by the queue"])
def test_killed_right_after_its_outcome_the_retry_keeps_its_time(
    make_evening: MakeEvening, zygote: Zygote, redelivered: str
) -> None:
    evening = make_evening(**TOO_SLOW)
    books.put_many(evening.database, 1)
    evening.trigger()
    (first,) = evening.tasks.created
    killed(evening, zygote, OUTCOME, "after")
    name, due = pending_task(evening)
    assert due > evening.starts_at + 15 * MINUTE
    assert evening.database["exportslots"].count_documents({"lease": {"$ne": None}}) == 1

    if redelivered == "by the scheduler":
        answered = evening.trigger().status_code
    else:
        answered = evening.tasks.deliver(first.id).status

    assert answered == 202
    tasks = [(task.id, task.schedule_time) for task in evening.tasks.tasks]
    assert (name, due) in tasks
    evening.bury()
    evening.tasks.run_until(due - timedelta(seconds=1))
    assert evening.batch()["attempt"] == 2
    evening.tasks.run_until(due)
    assert evening.batch()["attempt"] == 3


@pytest.mark.parametrize(
    ("step", "stage", "told", "told_later"),
    [(OUTCOME, "after", 0, 1), (ANNOUNCED, "before", 1, 1), (ANNOUNCED, "after", 1, 0)],
    ids=["before the alarm", "before it was noted", "after it was noted"],
)
def test_killed_between_the_failure_and_its_alarm_the_next_delivery_makes_up_for_it(
    make_evening: MakeEvening,
    zygote: Zygote,
    step: Step,
    stage: Stage,
    told: int,
    told_later: int,
) -> None:
    folder = DriveEmulator().my_drive_folder_id
    evening = make_evening(DAYBOOK_DESTINATION=f"drive://{folder}")
    books.put_many(evening.database, 1)
    killed(evening, zygote, step, stage, in_flight=stage == "after")
    assert evening.batch()["state"] == "failed"
    assert len(evening.mail("alerts")) == told
    evening.bury()
    body = {
        "batchDate": evening.day,
        "generation": 1,
        "attempt": 1,
        "kind": "look_again",
    }

    answer = evening.function.post("/tasks/run", body)

    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert len(evening.logged("batch_failed")) == told_later
    assert evening.batch()["alertedAt"] is not None
    evening.function.post("/tasks/run", body)
    assert evening.trigger().status_code == 500
    assert len(evening.mail("alerts")) == told + told_later
    assert evening.attempts() == 1


def test_killed_before_the_alarm_a_redelivery_within_the_lease_sees_to_it(
    make_evening: MakeEvening, zygote: Zygote
) -> None:
    folder = DriveEmulator().my_drive_folder_id
    evening = make_evening(DAYBOOK_DESTINATION=f"drive://{folder}")
    books.put_many(evening.database, 1)
    killed(evening, zygote, OUTCOME, "after")
    assert evening.mail("alerts") == []

    evening.trigger()
    evening.bury()
    evening.tasks.run_until(evening.at(3))

    assert len(evening.mail("alerts")) == 1
    assert evening.attempts() == 1


def test_killed_before_the_receipt_a_redelivery_within_the_lease_sees_to_it(
    evening: Evening, zygote: Zygote
) -> None:
    books.put_many(evening.database, 1)
    killed(evening, zygote, ANNOUNCED, "before", DAYBOOK_RECEIPT_URLS="json://127.0.0.1:9/")
    assert evening.batch()["markedAt"] is not None
    assert evening.mail("receipts") == []

    evening.trigger()
    evening.bury()
    evening.tasks.run_until(evening.at(3))

    assert len(evening.mail("receipts")) == 1
    assert evening.attempts() == 1


def test_killed_in_the_last_attempt_after_the_upload_its_file_is_committed(
    make_evening: MakeEvening, zygote: Zygote
) -> None:
    evening = make_evening(DAYBOOK_RETRY_DELAYS_SECONDS="300")
    ids = books.put_many(evening.database, 2)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    killed(evening, zygote, UPLOAD, "after")
    assert len(evening.drive.files()) == 1
    assert (evening.batch()["attempt"], evening.batch()["state"]) == (2, "open")
    evening.bury()

    deliveries = evening.tasks.run_until(evening.at(6))

    assert [delivery.status for delivery in deliveries] == [200]
    assert evening.batch()["state"] == "committed"
    assert evening.attempts() == 2
    assert evening.delivered() == {f"batch_{evening.day}.{FILE_FORMAT}": ["INV-0", "INV-1"]}
    assert books.statuses(evening.database, ids) == ["completed"] * 2
    assert [event for _, event in evening.alarms()] == ["attempt_failed", "batch_recovered"]
    assert len(evening.mail("receipts")) == 1


def test_the_right_of_a_killed_trial_ends_with_its_lease(
    make_evening: MakeEvening, zygote: Zygote
) -> None:
    evening = make_evening(DAYBOOK_BREAKER_FAILURES="1", DAYBOOK_BREAKER_RESET_SECONDS="0.001")
    entry = books.entry()
    books.put(evening.database, entry)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    killed(evening, zygote, UPLOAD, "before")
    asked = len(evening.drive.requests)
    export = {"entryIds": [str(entry["_id"])]}

    waiting = evening.function.post("/exports", export)

    assert (waiting.status_code, waiting.json()["status"]) == (202, "circuit_open")
    assert len(evening.drive.requests) == asked
    assert evening.breaker()["failures"] == 1
    evening.bury()
    tried = evening.function.post("/exports", export)
    assert (tried.status_code, tried.json()["status"]) == (200, "exported")
    assert evening.breaker()["openUntil"] is None
