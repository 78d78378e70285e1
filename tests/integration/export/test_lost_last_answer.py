"""MongoDB's answers that are lost once a day is done: nothing must seem to follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.export.batch import batches
from daybook.export.operations import history
from daybook.export.outcome import Status
from daybook.ops.watchdog import WatchStatus, watch
from tests import books, commands
from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy, Phase
from tests.integration.office import EVENING

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

DAY = date(2026, 1, 18)
RETRIED_ONCE = 2
"""Answers to lose: the driver repeats a read once."""

Stored = Callable[[Db], Any]


def marked(database: Db) -> Any:
    return database["exportbatches"].find_one({"markedAt": {"$type": "date"}})


def signed_off(database: Db) -> Any:
    return database["exportbatches"].find_one({"state": "empty"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def run_without_answers(mongo_uri: str, database: Db, folder: Path) -> Callable[[Stored], Any]:
    """A run that loses MongoDB's answers to reads of its batch, once `stored` is true."""

    def run(stored: Stored) -> Any:
        lost = 0

        def lose(event: Event) -> Action | None:
            nonlocal lost
            reads = (event.name, event.collection) == ("find", "exportbatches")
            if reads and event.phase is Phase.AFTER and lost < RETRIED_ONCE and stored(database):
                lost += 1
                return CUT
            return None

        address = urlsplit(mongo_uri)
        with MongoProxy(address.hostname or "", address.port or 0, lose) as proxy:
            app = books.make_app(proxy.uri, database.name, folder.as_uri())
            outcome = commands.run_day(replace(app, clock=lambda: EVENING), DAY)
            app.client.close()
        assert lost == RETRIED_ONCE
        return outcome

    return run


@pytest.fixture
def app(mongo_uri: str, database: Db, folder: Path) -> Iterator[App]:
    app = replace(books.make_app(mongo_uri, database.name, folder.as_uri()), clock=lambda: EVENING)
    yield app
    app.client.close()


def check_nothing_follows(app: App, database: Db) -> None:
    assert batches.pending(database["exportbatches"], "daily") == ([], [])
    status = history.status(database, app.profile(), DAY)
    assert status.batch is not None
    assert (status.batch.pending, status.batch.next_attempt_at) == (None, None)
    assert status.to_doc()["batch"]["nextAttemptAt"] is None
    seen = watch(database, "daily", app.schedule, EVENING, app.messenger)
    assert (seen.status, seen.next_attempt_at) == (WatchStatus.DONE, None)


def test_a_delivered_day_is_reported_as_such(
    app: App, database: Db, run_without_answers: Callable[[Stored], Any]
) -> None:
    books.put_many(database, 2)

    assert run_without_answers(marked).status is Status.ALREADY_EXPORTED

    (batch,) = database["exportbatches"].find()
    assert (batch["state"], batch["pendingTask"], batch["nextAttemptAt"]) == (
        "committed",
        None,
        None,
    )
    check_nothing_follows(app, database)


def test_an_empty_day_is_reported_as_such(
    app: App, database: Db, run_without_answers: Callable[[Stored], Any]
) -> None:
    assert run_without_answers(signed_off).status is Status.EMPTY

    (batch,) = database["exportbatches"].find()
    assert (batch["state"], batch["pendingTask"]) == ("empty", None)
    check_nothing_follows(app, database)


@pytest.mark.parametrize("state", ["committed", "failed"])
def test_a_call_that_the_previous_version_left_with_an_ended_day_is_ignored(
    app: App, database: Db, state: str
) -> None:
    books.put_many(database, 2)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    task = {"kind": "retry", "attempt": 2, "fence": 1, "due": EVENING}
    database["exportbatches"].update_one(
        {},
        {"$set": {"state": state, "pendingTask": task, "nextAttemptAt": EVENING}},
    )

    assert batches.pending(database["exportbatches"], "daily") == ([], [])
    outcome = commands.run_day(app, DAY)

    assert outcome.next_attempt_at is None
    status = history.status(database, app.profile(), DAY)
    assert status.batch is not None
    assert (status.batch.pending, status.batch.next_attempt_at) == (None, None)
