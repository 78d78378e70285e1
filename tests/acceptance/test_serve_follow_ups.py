"""`serve` carries out what has to follow: retries, continuations, and what was left behind."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.test_serve import (
    Served,
    command_of,
    is_function,
    linux_only,
    serving,
    wait_for_end,
)
from tests.emulators.drive import DriveEmulator
from tests.emulators.tasks import QUEUE, TasksEmulator

pytestmark = pytest.mark.migrated

DATE = "2026-01-18"
CHUNK = 262_144
LARGE = 1500
"""Entries of about 1.3 MB in all: four chunks and a rest."""
Db = Database[dict[str, Any]]


class Desk:
    """One database and one Drive, which several `serve` use one after the other."""

    def __init__(self, directory: Path, uri: str, database: Db, drive: DriveEmulator) -> None:
        self.directory = directory
        self.database = database
        self.drive = drive
        self.env = {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": drive.url,
            "DAYBOOK_RETRY_DELAYS_SECONDS": "1,1",
            "DAYBOOK_BREAKER_FAILURES": "100",
            "DAYBOOK_UPLOAD_CHUNK_BYTES": str(CHUNK),
            "DAYBOOK_MULTIPART_LIMIT_BYTES": str(CHUNK),
        }

    def serving(self, **env: str) -> AbstractContextManager[Served]:
        return serving(self.directory, **{**self.env, **env})

    def fill(self, count: int) -> None:
        books.put(
            self.database,
            *(books.entry(f"INV-{n}", description="x" * 300) for n in range(count)),
        )

    def batch(self) -> dict[str, Any]:
        return self.database["exportbatches"].find_one({"batchDate": DATE}) or {"state": "none"}

    def until(self, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The day's batch, as soon as it is as wanted; fails after 20 seconds."""
        ends_at = time.monotonic() + 20
        while not met(batch := self.batch()):
            assert time.monotonic() < ends_at, (batch, self.log())
            time.sleep(0.05)
        return batch

    def references(self) -> list[str]:
        return [ref for file in self.drive.files() for ref in books.references(file.content)]

    def log(self) -> str:
        return (self.directory / "serve.log").read_text()


@pytest.fixture
def desk(tmp_path: Path, mongo_uri: str, database: Db, drive: DriveEmulator) -> Desk:
    migrate(database, now=books.NOON)
    return Desk(tmp_path, mongo_uri, database, drive)


def run(served: Served) -> dict[str, Any]:
    return served.post("/run", {"batchDate": DATE})


def run_unheard(served: Served) -> None:
    """Ask for a run in the background; whether it answers does not matter."""

    def ask() -> None:
        try:
            run(served)
        except requests.RequestException:
            return

    threading.Thread(target=ask, daemon=True).start()


def is_done(batch: dict[str, Any]) -> bool:
    return batch["state"] == "committed" and batch["markedAt"] is not None


def test_a_retry_is_made_when_it_is_due_and_delivers(desk: Desk) -> None:
    desk.fill(3)
    desk.drive.down = True
    with desk.serving() as served:
        assert served.retries == "here"
        assert run(served)["status"] == "retry_scheduled"
        desk.drive.down = False
        batch = desk.until(is_done)
        assert run(served)["status"] == "already_exported"
        served.end(signal.SIGTERM)
    assert (batch["attempt"], batch["generation"]) == (2, 1)
    assert desk.references() == ["INV-0", "INV-1", "INV-2"]


def test_a_retry_of_another_profile_is_made_too(desk: Desk) -> None:
    books.put(desk.database, books.entry("INV-1"))
    desk.database["exportqueues"].update_many({}, {"$set": {"profile": "sales"}})
    desk.drive.down = True
    with desk.serving(DAYBOOK_PROFILES='[sales]\nformula_guard = "none"') as served:
        first = served.post("/run", {"batchDate": DATE, "profile": "sales"})
        assert first["status"] == "retry_scheduled"
        desk.drive.down = False
        batch = desk.until(is_done)
    assert (batch["profile"], batch["state"]) == ("sales", "committed")
    assert desk.references() == ["INV-1"]


def test_when_all_attempts_are_used_up_the_day_has_failed(desk: Desk) -> None:
    desk.fill(1)
    desk.drive.down = True
    with desk.serving() as served:
        run(served)
        batch = desk.until(lambda batch: batch["state"] == "failed")
        assert (batch["attempt"], batch["endedAttempt"], batch["pendingTask"]) == (3, 3, None)
        desk.until(lambda batch: batch["alertedAt"] is not None)
        served.end(signal.SIGTERM)
    assert desk.log().count('"batch_failed"') == 1
    assert desk.drive.files() == []


@pytest.mark.storm
def test_a_run_that_uses_up_its_deadline_is_continued_to_its_end(desk: Desk) -> None:
    desk.fill(LARGE)
    with desk.serving(DAYBOOK_RUN_DEADLINE_SECONDS="0.001") as served:
        assert run(served)["status"] == "continued"
        batch = desk.until(is_done)
        served.end(signal.SIGTERM)
    assert (batch["attempt"], batch["continuations"] >= 3) == (1, True)
    assert [r.operation for r in desk.drive.requests].count("session_open") == 1
    assert len(desk.references()) == LARGE


@pytest.mark.storm
@linux_only
def test_what_it_could_not_end_is_ended_when_it_serves_again(desk: Desk) -> None:
    desk.fill(LARGE)
    desk.drive.fault("hold_before", on="chunk", nth=2)
    with desk.serving() as served:
        run_unheard(served)
        desk.drive.wait_for("chunk", nth=2)
        children = served.children()
        assert served.end(signal.SIGTERM) == 0
        wait_for_end(children)
    desk.drive.release()
    assert desk.batch()["pendingTask"]["kind"] == "continuation"
    assert desk.drive.files() == []
    with desk.serving() as served:
        batch = desk.until(is_done)
        served.end(signal.SIGTERM)
    assert batch["attempt"] == 1
    assert len(desk.references()) == LARGE


@linux_only
def test_an_attempt_that_died_with_its_process_is_looked_after(desk: Desk) -> None:
    desk.fill(LARGE)
    desk.drive.fault("hold_before", on="chunk", nth=2)
    with desk.serving(DAYBOOK_LEASE_SECONDS="2") as served:
        run_unheard(served)
        desk.drive.wait_for("chunk", nth=2)
        children = served.children()
        functions = [pid for pid in children if is_function(pid, served.process.pid)]
        (function,) = [pid for pid in functions if b"\0daybook\0--source" in command_of(pid)]
        assert len(functions) == 2  # the other one is the ledger, which ends with it
        os.killpg(function, signal.SIGKILL)
        wait_for_end(children)
        assert served.process.wait(60) == 1
    desk.drive.release()
    left = desk.batch()
    assert (left["attempt"], left["endedAttempt"], left["pendingTask"]) == (1, 0, None)
    with desk.serving(DAYBOOK_LEASE_SECONDS="2") as served:
        batch = desk.until(is_done)
        served.end(signal.SIGTERM)
    assert batch["attempt"] == 2
    assert len(desk.references()) == LARGE


@pytest.mark.storm
def test_with_a_queue_cloud_tasks_makes_the_calls(desk: Desk) -> None:
    desk.fill(1)
    desk.drive.down = True
    with (
        TasksEmulator() as tasks,
        desk.serving(
            DAYBOOK_TASKS_QUEUE=QUEUE,
            DAYBOOK_TASKS_ENDPOINT=tasks.url,
            DAYBOOK_SERVICE_URL="http://127.0.0.1:9/",
        ) as served,
    ):
        assert served.retries == QUEUE
        assert run(served)["status"] == "retry_scheduled"
        (task,) = tasks.tasks
        assert json.loads(task.content)["attempt"] == 2
        served.end(signal.SIGTERM)
