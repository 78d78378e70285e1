"""Calls of the function in the background, and what the tests of its tasks ask of a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import requests
from pymongo.database import Database

from daybook.export.batch.batch import Batch
from tests.acceptance.evening import (
    DAY,
    Evening,
    Held,
)

Db = Database[dict[str, Any]]
Posted = Future[requests.Response]
CALL = {"profile": "daily", "batchDate": DAY, "generation": 1, "attempt": 2, "kind": "retry"}


def in_background(call: Callable[[], requests.Response]) -> Posted:
    outcome = Posted()
    threading.Thread(target=lambda: outcome.set_result(call()), daemon=True).start()
    return outcome


def pending_name(evening: Evening) -> str:
    """The name of the task that the batch says must follow."""
    pending = Batch.from_doc(evening.batch()).pending
    assert pending is not None
    return pending.name


def hold_run(evening: Evening, operation: str = "generateIds") -> tuple[Posted, Held]:
    """The evening's run, held in a request to Drive."""
    held = Held(evening.drive, operation)
    posted = in_background(evening.trigger)
    held.wait()
    return posted, held


def assert_looks(evening: Evening, task: Any) -> None:
    left = timedelta(seconds=60)
    assert task.body == {**CALL, "attempt": 1, "kind": "look_again"}
    assert evening.tasks.now() < task.schedule_time - timedelta(seconds=5)
    assert task.schedule_time <= evening.tasks.now() + left + timedelta(seconds=5)


def assert_only_told(evening: Evening, before: tuple[Any, ...], path: str) -> None:
    """Nothing but the alert: the caller of a manual export has the answer."""
    stored, tasks, _, messages, requests_to_drive = before
    alarms = [] if path == "/exports" else [("CRITICAL", "run_refused")]
    assert evening.noise() == (
        stored,
        tasks,
        alarms,
        messages + len(alarms),
        requests_to_drive,
    )
