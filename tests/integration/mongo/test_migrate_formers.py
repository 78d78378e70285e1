"""Indexes that stand in the way of the declared ones, by name, keys or options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient, timeout
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from daybook.errors import ConfigurationError
from daybook.mongo import indexes
from daybook.mongo.migrate import migrate, standings
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase
from tests.integration.mongo.test_migrate import described, old_shape, record

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
CASELESS = {"locale": "en", "strength": 2}
Db = Database[dict[str, Any]]


@pytest.fixture
def fresh(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Db]:
    database = mongo_client[f"test_{ObjectId()}"]
    migrate(database, now=NOW)
    yield database
    mongo_client.drop_database(database.name)


@pytest.mark.parametrize(
    ("collection", "keys", "options"),
    [
        ("exportqueues", {"entryId": 1}, {"hidden": True}),
        ("exportlogs", {"metadata.entryId": 1}, {"expireAfterSeconds": 60}),
        ("exportlogs", {"metadata.batchDate": 1, "action": 1}, {"unique": True}),
        ("exportlogs", {"metadata.batchDate": 1, "action": 1}, {"unique": True, "sparse": True}),
        ("exportlogs", {"metadata.batchDate": 1}, {"unique": True}),
        ("journalentries", {"reference": 1}, {"name": "idx_entry_date"}),
        ("users", {"roles": 1, "status": 1, "deletedAt": 1}, {"hidden": True}),
        ("invites", {"code": 1}, {"unique": True, "collation": CASELESS}),
        ("invites", {"parentCode": 1}, {"name": "idx_invite_code_text_unique"}),
        ("wallets", {"ownerUserId": 1}, {"unique": True, "hidden": True}),
    ],
    ids=str,
)
def test_what_stands_in_the_way_is_replaced(
    database: Db, fresh: Db, collection: str, keys: dict[str, int], options: dict[str, Any]
) -> None:
    database[collection].create_index(list(keys.items()), **options)
    would = [step for standing in standings(database) for step in standing.steps]
    assert any(step.startswith("drop ") for step in would)
    migrate(database, now=NOW)
    assert described(database) == described(fresh)
    assert not any(standing.pending for standing in standings(database))


@pytest.mark.parametrize(
    ("collection", "keys"),
    [
        ("exportqueues", {"entryId": 1}),
        ("transactions", {"walletId": 1, "createdAt": -1}),
    ],
)
def test_an_index_with_a_collation_does_not_do_for_one_without(
    database: Db, collection: str, keys: dict[str, int]
) -> None:
    database[collection].create_index(list(keys.items()), collation=CASELESS)
    assert collection in {index.collection for index in indexes.missing(database)}
    migrate(database, now=NOW)
    assert indexes.missing(database) == []


def test_a_plainly_unique_index_that_comes_back_goes_again(database: Db) -> None:
    migrate(database, now=NOW)
    keys = [("metadata.batchDate", 1), ("action", 1)]
    database["exportlogs"].drop_index("idx_log_day")
    database["exportlogs"].create_index(keys, unique=True, name="theirs")
    migrate(database, now=NOW)
    day = [record("2026-01-18", "entry_rejected") for _ in range(2)]
    database["exportlogs"].insert_many(day)
    assert "idx_log_day" in indexes.built_indexes(database, "exportlogs")


def test_an_index_that_does_the_same_under_another_name_gets_the_declared_one(
    database: Db, fresh: Db
) -> None:
    database["exportqueues"].create_index([("entryId", 1)], name="theirs")
    database["invites"].create_index([("status", 1), ("expiresAt", 1)])
    steps = [step for standing in standings(database) for step in standing.steps]
    assert "drop theirs on exportqueues, which idx_queue_entry replaces" in steps
    assert any(step.startswith("build idx_queue_entry on exportqueues") for step in steps)
    migrate(database, now=NOW)
    assert described(database) == described(fresh)


@pytest.fixture
def through_proxy(mongo_uri: str, database: Db) -> Iterator[tuple[MongoProxy, Db]]:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with (
        MongoProxy(host, port) as proxy,
        MongoClient[dict[str, Any]](
            proxy.uri,
            retryWrites=False,
            retryReads=False,
            w="majority",
            tz_aware=True,
            serverSelectionTimeoutMS=2000,
        ) as client,
    ):
        client.admin.command("ping")
        yield proxy, client[database.name]


def before_each(names: set[str], act: Callable[[Event], Action | None]) -> Any:
    def hook(event: Event) -> Action | None:
        return act(event) if event.phase is Phase.BEFORE and event.name in names else None

    return hook


def test_duplicates_that_slip_in_while_an_index_is_built_are_named(
    database: Db, through_proxy: tuple[MongoProxy, Db]
) -> None:
    proxy, target = through_proxy
    twice = [record("2026-01-17"), record("2026-01-17")]

    def slip_in(event: Event) -> None:
        if event.collection == "exportlogs" and not database["exportlogs"].find_one():
            database["exportlogs"].insert_many(twice)

    proxy.hook = before_each({"createIndexes"}, slip_in)
    with pytest.raises(ConfigurationError) as caught:
        migrate(target, now=NOW)
    assert all(str(doc["_id"]) in str(caught.value) for doc in twice)
    database["exportlogs"].delete_one({"_id": twice[0]["_id"]})
    migrate(target, now=NOW)
    assert indexes.missing(database) == []


WRITES = {"createIndexes", "dropIndexes", "insert", "update", "delete", "aggregate"}


def survive_a_kill_at(number: int, database: Db, proxy: MongoProxy, target: Db) -> bool:
    """Whether there were as many writes; `target` leads through the proxy."""
    seen = 0

    def cut(event: Event) -> Action | None:
        nonlocal seen
        asks = event.name == "aggregate" and "$out" not in event.document["pipeline"][-1]
        seen += not asks
        return Action.CUT if seen >= number else None

    old_shape(database)
    database["campaigns"].insert_one({"_id": 1, "assignments": {"u": 1}})
    proxy.hook = before_each(WRITES, cut)
    try:
        # A transaction is tried anew for two minutes: this ends it, like the process.
        with timeout(5):
            migrate(target, now=NOW)
        killed = False
    except PyMongoError:
        killed = True
    proxy.hook = None
    database.client.admin.command("killAllSessions", [])
    migrate(database, now=NOW)
    return killed


def kills(mongo_client: MongoClient[dict[str, Any]], mongo_uri: str, step: int) -> Iterator[Db]:
    """Databases in which a migration was killed before one write, and repeated."""
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    number, killed = 1, True
    while killed:
        database = mongo_client[f"test_{ObjectId()}"]
        with (
            MongoProxy(host, port) as proxy,
            MongoClient[dict[str, Any]](
                proxy.uri, retryWrites=False, w="majority", tz_aware=True
            ) as client,
        ):
            killed = survive_a_kill_at(number, database, proxy, client[database.name])
        yield database
        mongo_client.drop_database(database.name)
        number += step


def check_kills(
    mongo_client: MongoClient[dict[str, Any]], mongo_uri: str, fresh: Db, step: int
) -> None:
    count = 0
    for database in kills(mongo_client, mongo_uri, step):
        count += 1
        assert described(database) == described(fresh), count
        assert database["campaignassignments"].count_documents({"campaignId": 1, "key": "u"}) == 1
        assert database["schemamigrations"].count_documents({}) == 3
    assert count > 20 // step


def test_killed_in_the_middle_it_ends_as_if_it_had_not_been(
    mongo_client: MongoClient[dict[str, Any]], mongo_uri: str, fresh: Db
) -> None:
    check_kills(mongo_client, mongo_uri, fresh, step=9)


@pytest.mark.storm
def test_killed_before_any_write_it_ends_as_if_it_had_not_been(
    mongo_client: MongoClient[dict[str, Any]], mongo_uri: str, fresh: Db
) -> None:
    check_kills(mongo_client, mongo_uri, fresh, step=1)
