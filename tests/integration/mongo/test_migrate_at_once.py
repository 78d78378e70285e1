"""Several processes migrate at once, and any of them may be killed: one result, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.mongo import indexes
from daybook.mongo.migrate import COLLECTION, migrate, standings
from daybook.mongo.migrations import m0003_campaign_assignments as moving
from tests import forked
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase
from tests.pages import ROOT

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
Db = Database[dict[str, Any]]
SIZE = moving.BATCH_SIZE + 10
"""Assignments of a campaign: two batches."""


def start(uri: str, database: Db) -> forked.Process:
    """`daybook migrate` in a process of its own."""
    return forked.start(
        ["daybook", "migrate"],
        {
            **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
            "PYTHONPATH": str(ROOT / "src"),
            "DAYBOOK_DESTINATION": "file:///nowhere",
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database.name,
        },
    )


def old_shape(database: Db) -> list[dict[str, Any]]:
    """Campaigns with their map, and an index that migrating replaces."""
    database["exportlogs"].create_index([("metadata.batchDate", 1), ("action", 1)], sparse=True)
    docs = [
        {"_id": ObjectId(), "assignments": {f"{at:024x}": {"fee": at} for at in range(count)}}
        for count in (SIZE, 3)
    ]
    database["campaigns"].insert_many(docs)
    return docs


def check(database: Db, docs: list[dict[str, Any]]) -> None:
    assert indexes.missing(database) == []
    assert not any(standing.pending for standing in standings(database))
    assert database["campaigns"].count_documents({"assignments": {"$exists": True}}) == 0
    for doc in docs:
        stored = list(database["campaignassignments"].find({"campaignId": doc["_id"]}))
        assert {one["key"]: one["assignment"] for one in stored} == doc["assignments"]
        assert len(stored) == len(doc["assignments"])


class KilledAt:
    """Kills the process when it has sent the `number`th command that is a `step`."""

    def __init__(self, step: tuple[str, str | None], number: int, phase: Phase) -> None:
        self.step, self.number, self.phase = step, number, phase
        self.seen = 0
        self.other: forked.Process | None = None
        self.victim: forked.Process | None = None
        self.start_other: Callable[[], forked.Process] | None = None

    def __call__(self, event: Event) -> Action | None:
        if event.phase is not self.phase or (event.name, event.collection) != self.step:
            return None
        self.seen += 1
        if self.seen != self.number:
            return None
        assert self.victim is not None
        assert self.start_other is not None
        self.other = self.start_other()  # at work, or about to be, when this one dies
        self.victim.kill()
        return Action.CUT


@pytest.mark.parametrize(
    ("step", "number", "phase"),
    [
        (("dropIndexes", "exportlogs"), 1, Phase.AFTER),
        (("createIndexes", "campaignassignments"), 1, Phase.BEFORE),
        (("insert", "campaignassignments"), 2, Phase.AFTER),
        (("commitTransaction", None), 2, Phase.BEFORE),
        (("commitTransaction", None), 2, Phase.AFTER),
        (("update", "campaigns"), 1, Phase.AFTER),
        (("update", COLLECTION), 2, Phase.BEFORE),
    ],
    ids=str,
)
def test_one_of_two_processes_is_killed_and_the_other_completes(
    mongo_uri: str, database: Db, step: tuple[str, str | None], number: int, phase: Phase
) -> None:
    docs = old_shape(database)
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    hook = KilledAt(step, number, phase)
    hook.start_other = lambda: start(mongo_uri, database)
    with MongoProxy(host, port) as proxy:
        hook.victim = start(proxy.uri, database)
        proxy.hook = hook
        hook.victim.communicate(timeout=60)
    assert hook.other is not None, "the step was never reached"
    assert hook.victim.returncode < 0
    # MongoDB ends what the killed process left open by itself, after a minute.
    database.client.admin.command("killAllSessions", [])
    output = hook.other.communicate(timeout=60)
    assert hook.other.returncode == 0, output
    check(database, docs)


def test_processes_that_migrate_at_once_leave_one_result(mongo_uri: str, database: Db) -> None:
    docs = old_shape(database)
    processes = [start(mongo_uri, database) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    check(database, docs)


def test_a_copy_that_arrives_late_restores_nothing_that_was_deleted(
    mongo_uri: str, database: Db
) -> None:
    """Frozen before its insert; another process finishes, and the application deletes a copy."""
    _, other = old_shape(database)
    migrate(database, now=NOW)
    database["campaignassignments"].delete_many({})
    database["campaigns"].update_one(
        {"_id": other["_id"]}, {"$set": {"assignments": other["assignments"]}}
    )
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    frozen: list[Event] = []

    def finish_meanwhile(event: Event) -> None:
        read = event.phase is Phase.AFTER and event.name == "find"
        # Once it has read the map and the copies, of which there are none.
        if read and event.collection == "campaignassignments" and not frozen:
            frozen.append(event)
            moving.apply(database, NOW)
            database["campaignassignments"].delete_many({"campaignId": other["_id"]})

    with (
        MongoProxy(host, port, finish_meanwhile) as proxy,
        MongoClient[dict[str, Any]](proxy.uri, w="majority") as client,
    ):
        moving.apply(client[database.name], NOW)
    assert len(frozen) == 1
    assert database["campaignassignments"].count_documents({"campaignId": other["_id"]}) == 0
    assert database["campaigns"].count_documents({"assignments": {"$exists": True}}) == 0


@pytest.mark.parametrize("expires_at", [NOW, datetime.now(UTC) + timedelta(days=1), "odd"])
def test_the_lock_that_an_earlier_version_left_is_ignored(database: Db, expires_at: Any) -> None:
    lock = {"_id": "lock", "owner": "process 7 on host", "expiresAt": expires_at}
    database[COLLECTION].insert_one(dict(lock))
    assert all(step.changed for step in migrate(database, now=NOW))
    assert [standing.version for standing in standings(database)] == [1, 2, 3]
    assert all(standing.known for standing in standings(database))
    assert not any(step.changed for step in migrate(database, now=NOW))
