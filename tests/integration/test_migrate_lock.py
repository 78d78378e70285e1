"""One process migrates at a time; the lock of one that died runs out by MongoDB's clock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.mongo import indexes
from daybook.mongo.migrate import COLLECTION, holder, migrate
from daybook.mongo.migration_lock import Lock, MigrationRunning, held
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
Db = Database[dict[str, Any]]


def test_while_another_process_migrates_it_is_named_and_nothing_is_done(database: Db) -> None:
    other = Lock.take(database[COLLECTION])
    with pytest.raises(MigrationRunning) as caught:
        migrate(database, now=NOW)
    assert other.owner in str(caught.value)
    assert database.list_collection_names() == [COLLECTION]
    other.release()
    assert all(step.changed for step in migrate(database, now=NOW))
    assert holder(database) is None


def test_a_lock_that_ran_out_is_taken_over_and_its_owner_is_told(database: Db) -> None:
    dead = Lock.take(database[COLLECTION], lease=timedelta(seconds=-1))
    assert all(step.changed for step in migrate(database, now=NOW))
    taker = Lock.take(database[COLLECTION])
    with pytest.raises(MigrationRunning, match="took over"):
        dead.renew()
    dead.release()
    found = holder(database)
    assert found is not None
    assert found.owner == taker.owner


def test_the_lock_is_free_after_a_failure(database: Db) -> None:
    with suppress(RuntimeError), held(database[COLLECTION]):
        assert holder(database) is not None
        raise RuntimeError("something failed")
    assert holder(database) is None


def test_a_held_lock_is_renewed(database: Db) -> None:
    with held(database[COLLECTION], lease=timedelta(milliseconds=300)):
        first = holder(database)
        assert first is not None
        until = datetime.now(UTC) + timedelta(seconds=20)
        while (now := holder(database)) == first:
            assert datetime.now(UTC) < until, "never renewed"
        assert now is not None
        assert (now.owner, now.expires_at > first.expires_at) == (first.owner, True)


def test_a_renewal_that_fails_does_not_end_the_renewing(mongo_uri: str, database: Db) -> None:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    seen: list[Event] = []

    def first_fails(event: Event) -> Action | None:
        if event.name == "update" and event.phase is Phase.BEFORE:
            seen.append(event)
            return Action.CUT if len(seen) == 1 else None
        return None

    with (
        MongoProxy(host, port, first_fails) as proxy,
        MongoClient[dict[str, Any]](proxy.uri, retryWrites=False, w="majority") as client,
        held(client[database.name][COLLECTION], lease=timedelta(milliseconds=600)),
    ):
        until = datetime.now(UTC) + timedelta(seconds=20)
        first = holder(database)
        while holder(database) == first:
            assert datetime.now(UTC) < until, "never renewed"
    assert len(seen) > 1


def test_an_up_to_date_database_is_answered_without_the_lock(database: Db) -> None:
    migrate(database, now=NOW)
    Lock.take(database[COLLECTION])
    assert not any(step.changed for step in migrate(database, now=NOW))


def test_of_many_at_once_one_takes_the_lock(database: Db) -> None:
    barrier = Barrier(8)

    def attempt(_: int) -> bool:
        barrier.wait()
        try:
            Lock.take(database[COLLECTION])
        except MigrationRunning:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_two_migrations_at_once_leave_one_result(database: Db) -> None:
    barrier = Barrier(2)

    def attempt(_: int) -> str:
        barrier.wait()
        try:
            migrate(database, now=NOW)
        except MigrationRunning:
            return "told"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert "done" in set(pool.map(attempt, range(2)))
    assert indexes.missing(database) == []
    assert database[COLLECTION].count_documents({}) == 3
