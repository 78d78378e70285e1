"""Migrations on a real MongoDB: fresh, repeated, over old data, over data in the way."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collation import Collation
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, NetworkTimeout
from pymongo.uri_parser import parse_uri

from daybook.errors import ConfigurationError
from daybook.mongo import indexes
from daybook.mongo.indexes import LEDGER_GUARDS, check_ledger_guards
from daybook.mongo.migrate import migrate, obstacles, standings
from daybook.mongo.objects import ObjectKind
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
LATER = datetime(2999, 1, 1, tzinfo=UTC)
Db = Database[dict[str, Any]]


def record(date: str | None, action: str = "csv_generated", **metadata: Any) -> dict[str, Any]:
    if date is not None:
        metadata["batchDate"] = date
    return {"_id": ObjectId(), "action": action, "metadata": metadata, "createdAt": NOW}


def described(database: Db) -> dict[str, dict[str, Any]]:
    return {
        name: {
            index["name"]: {key: index[key] for key in sorted(index) if key != "v"}
            for index in indexes.built_indexes(database, name).values()
        }
        for name in {index.collection for index in indexes.INDEXES}
    }


def test_an_empty_database_gets_every_declared_index(database: Db) -> None:
    steps = migrate(database, now=NOW)
    assert [(step.version, step.changed) for step in steps] == [(1, True), (2, True), (3, True)]
    assert indexes.missing(database) == []
    indexes.check_guards(database)
    assert database["schemamigrations"].find_one({"_id": 1}, {"_id": 0}) == {
        "name": "indexes",
        "appliedAt": NOW,
    }


def test_repeating_changes_nothing(database: Db) -> None:
    migrate(database, now=NOW)
    before = described(database)
    assert not any(step.changed for step in migrate(database, now=NOW))
    assert described(database) == before


def test_a_dropped_index_is_built_again(database: Db) -> None:
    migrate(database, now=NOW)
    database["exportlogs"].drop_index("idx_batch_daily_unique")
    with pytest.raises(ConfigurationError, match=r"idx_batch_daily_unique.*migrate"):
        indexes.check_guards(database)
    assert [step.changed for step in migrate(database, now=NOW)] == [True, False, False]
    indexes.check_guards(database)


def test_duplicates_are_reported_and_nothing_is_changed(database: Db) -> None:
    twice = [record("2026-01-17"), record("2026-01-17")]
    database["exportlogs"].insert_many([*twice, record("2026-01-16")])
    with pytest.raises(ConfigurationError) as caught:
        migrate(database, now=NOW)
    for one in twice:
        assert str(one["_id"]) in str(caught.value)
    assert "2026-01-17" in str(caught.value)
    assert "2026-01-16" not in str(caught.value)
    assert database.list_collection_names() == ["exportlogs"]
    assert list(indexes.built_indexes(database, "exportlogs")) == ["_id_"]


def test_existing_records_are_backed_up_first(database: Db) -> None:
    database["exportlogs"].insert_many([record("2026-01-17"), record(None, "manual_export")])
    migrate(database, now=NOW)
    (kept,) = database["exportlogs_backup_20260118T110000"].find()
    assert kept == database["exportlogs"].find_one({"action": "csv_generated"})


OLD_INDEXES: tuple[tuple[str, list[tuple[str, int]], dict[str, Any]], ...] = (
    (
        "exportlogs",
        [("metadata.batchDate", 1), ("action", 1)],
        {"unique": True, "sparse": True, "name": "old_name"},
    ),
    ("transactions", [("idempotencyKey", 1)], {"unique": True, "sparse": True}),
    ("transactions", [("walletId", 1), ("createdAt", -1)], {}),
    ("wallets", [("ownerUserId", 1)], {"unique": True}),
    ("users", [("roles", 1)], {}),
    (
        "invites",
        [("code", 1)],
        {"unique": True, "sparse": True, "name": "idx_invite_code_unique"},
    ),
    ("invites", [("code", 1)], {}),
    ("invites", [("expiresAt", 1)], {"expireAfterSeconds": 0}),
    ("invites", [("status", 1), ("expiresAt", 1)], {"name": "idx_invite_due"}),
)
"""As Mongoose built them from the schemas of the application before; two are double."""


def old_shape(database: Db) -> None:
    for collection, keys, options in OLD_INDEXES:
        database[collection].create_index(keys, **options)
    database["exportlogs"].insert_one(record("2026-01-17"))
    owner = ObjectId()
    wallet = {"_id": ObjectId(), "ownerUserId": owner, "availablePaise": 5, "version": 1}
    database["wallets"].insert_one(wallet)
    database["transactions"].insert_many(
        [
            {"walletId": wallet["_id"], "idempotencyKey": "a", "createdAt": NOW},
            {"walletId": wallet["_id"], "createdAt": NOW},
            {"walletId": wallet["_id"], "createdAt": NOW},
        ]
    )
    database["users"].insert_one({"_id": owner, "roles": ["brand"], "status": "active"})
    database["invites"].insert_one({"code": "A", "status": "active", "expiresAt": LATER})
    database["campaigns"].insert_one({"allowedAgencyCodes": ["AG-7"], "assignments": {}})


def test_fresh_and_migrated_from_the_old_shape_end_with_the_same_indexes(
    database: Db, mongo_client: MongoClient[dict[str, Any]]
) -> None:
    old_shape(database)
    migrate(database, now=NOW)
    fresh = mongo_client[f"test_{ObjectId()}"]
    try:
        migrate(fresh, now=NOW)
        assert described(database) == described(fresh)
        assert sum(map(len, described(fresh).values())) > len(indexes.INDEXES)
    finally:
        mongo_client.drop_database(fresh.name)
    assert not any(step.changed for step in migrate(database, now=NOW))


def test_the_other_applications_indexes_stay(database: Db) -> None:
    database["exportqueues"].create_index([("entryId", 1)], unique=True, name="theirs")
    migrate(database, now=NOW)
    assert "theirs" in indexes.built_indexes(database, "exportqueues")


def test_one_csv_generated_record_a_day_and_any_number_of_others(database: Db) -> None:
    migrate(database, now=NOW)
    logs = database["exportlogs"]
    logs.insert_one(record("2026-01-18"))
    with pytest.raises(DuplicateKeyError):
        logs.insert_one(record("2026-01-18"))
    logs.insert_one(record("2026-01-18", profile="weekly"))
    for _ in range(2):
        logs.insert_one(record("2026-01-18", "entry_rejected"))
        logs.insert_one(record(None, "manual_export"))
        logs.insert_one(record(None))
    assert logs.count_documents({}) == 8


@pytest.mark.parametrize(
    ("collection", "field"),
    [("wallets", "ownerUserId"), ("transactions", "idempotencyKey"), ("invites", "code")],
)
def test_duplicates_of_the_ledger_are_reported_with_their_ids_and_nothing_is_changed(
    database: Db, collection: str, field: str
) -> None:
    twice = [{"_id": ObjectId(), field: "double"}, {"_id": ObjectId(), field: "double"}]
    if field == "ownerUserId":
        owner = ObjectId()
        twice = [{**doc, field: owner} for doc in twice]
    database[collection].insert_many(twice)
    with pytest.raises(ConfigurationError, match="migration 2") as caught:
        migrate(database, now=NOW)
    assert all(str(doc["_id"]) in str(caught.value) for doc in twice)
    assert database.list_collection_names() == [collection]


def test_deleted_wallets_are_no_duplicates(database: Db) -> None:
    owner = ObjectId()
    deleted = {"ownerUserId": owner, "deletedAt": NOW}
    database["wallets"].insert_many([dict(deleted), dict(deleted), {"ownerUserId": owner}])
    migrate(database, now=NOW)
    assert indexes.missing(database) == []


NULLS: tuple[tuple[str, str], ...] = (
    ("transactions", "idempotencyKey"),
    ("transactions", "reverses"),
    ("wallets", "ownerUserId"),
    ("invites", "code"),
)


@pytest.mark.parametrize(("collection", "field"), NULLS)
def test_documents_without_a_value_are_no_duplicates(
    database: Db, collection: str, field: str
) -> None:
    docs: list[dict[str, Any]] = [{field: None}, {field: None}, {}, {}]
    database[collection].insert_many(docs)
    migrate(database, now=NOW)
    assert indexes.missing(database) == []
    value = ObjectId() if field in {"reverses", "ownerUserId"} else "A"
    database[collection].insert_many([{field: None}, {field: value}])
    with pytest.raises(DuplicateKeyError):
        database[collection].insert_one({field: value})


def as_the_version_before(database: Db) -> None:
    """The ledger's guards in their former form, and values that they forbid twice."""
    for guard in LEDGER_GUARDS:
        (former,) = guard.formerly
        (keys,) = guard.former_keys or (guard.keys,)
        name = re.sub("_(text|id|caller)_", "_", guard.name)
        options = {"partialFilterExpression": dict(former)} if former else {}
        database[guard.collection].create_index(
            list(keys.items()), name=name, unique=True, **options
        )


def with_keys_of_all_callers(database: Db) -> None:
    """As it was when a key belonged to the whole ledger, with the other guards as they are."""
    migrate(database, now=NOW)
    database["transactions"].drop_index("idx_transaction_key_caller_unique")
    database["transactions"].create_index(
        [("idempotencyKey", 1)],
        name="idx_transaction_key_text_unique",
        unique=True,
        partialFilterExpression={"idempotencyKey": {"$gte": ""}},
        collation=Collation("simple"),
    )


FORMER_GUARDS = (as_the_version_before, with_keys_of_all_callers)


@pytest.mark.parametrize("former", FORMER_GUARDS)
def test_the_guards_of_the_version_before_count_until_they_are_replaced(
    database: Db, mongo_client: MongoClient[dict[str, Any]], former: Callable[[Db], None]
) -> None:
    former(database)
    check_ledger_guards(database)
    missing = {index.name for index in indexes.missing(database)}
    assert "idx_transaction_key_caller_unique" in missing
    assert (missing > {guard.name for guard in LEDGER_GUARDS}) == (former is as_the_version_before)
    migrate(database, now=NOW)
    fresh = mongo_client[f"test_{ObjectId()}"]
    try:
        migrate(fresh, now=NOW)
        assert described(database) == described(fresh)
    finally:
        mongo_client.drop_database(fresh.name)


@pytest.mark.parametrize("former", FORMER_GUARDS)
def test_a_guard_is_replaced_without_a_moment_in_which_nothing_is_forbidden(
    database: Db, mongo_uri: str, former: Callable[[Db], None]
) -> None:
    former(database)
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    unguarded = []

    def inspect(event: Event) -> None:
        if event.phase is Phase.AFTER and event.name in {"createIndexes", "dropIndexes"}:
            try:
                check_ledger_guards(database)
            except ConfigurationError as error:
                unguarded.append(str(error))

    with (
        MongoProxy(host, port, inspect) as proxy,
        MongoClient[dict[str, Any]](proxy.uri, w="majority", tz_aware=True) as client,
    ):
        migrate(client[database.name], now=NOW)
    assert unguarded == []
    assert indexes.missing(database) == []


def test_looking_for_duplicates_takes_as_long_as_it_takes(database: Db, mongo_uri: str) -> None:
    """Of seven million transactions it takes longer than the client waits for an answer."""
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    slow = {"aggregate", "createIndexes"}

    def delay(event: Event) -> None:
        if event.phase is Phase.AFTER and event.name in slow:
            threading.Event().wait(0.25)

    with (
        MongoProxy(host, port, delay) as proxy,
        MongoClient[dict[str, Any]](
            proxy.uri, w="majority", tz_aware=True, socketTimeoutMS=200, retryReads=False
        ) as client,
    ):
        with pytest.raises(NetworkTimeout):
            client[database.name]["transactions"].aggregate([])
        migrate(client[database.name], now=NOW)
    assert indexes.missing(database) == []


COLLATED = {"locale": "en", "strength": 2}
ORDINARY = ("journalentries", "exportqueues", "exportlogs", "exportbatches", "wallets")


@pytest.mark.parametrize("collection", ORDINARY)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"collation": COLLATED}, "has a default collation (locale en, strength 2)"),
        ({"viewOn": "others", "pipeline": []}, "is a view"),
        ({"timeseries": {"timeField": "at"}}, "is a time series"),
    ],
    ids=["collation", "view", "time series"],
)
def test_a_collection_that_is_no_ordinary_one_is_named_and_nothing_is_changed(
    database: Db, collection: str, options: dict[str, Any], told: str
) -> None:
    database.create_collection(collection, **options)
    before = set(database.list_collection_names())
    with pytest.raises(ConfigurationError) as caught:
        migrate(database, now=NOW)
    assert f"{collection} {told}" in str(caught.value)
    assert set(database.list_collection_names()) == before
    database.drop_collection(collection)
    migrate(database, now=NOW)
    assert indexes.missing(database) == []


def test_what_may_refuse_a_write_is_reported_and_does_not_stop_a_migration(database: Db) -> None:
    database.create_collection("exportlogs", validator={"tenant": {"$exists": True}})
    database["users"].create_index("mobile", unique=True)
    database["exportqueues"].create_index([("entryId", 1)], unique=True, name="harmless")
    database["exportqueues"].create_index([("entryId", 1), ("status", 1)], unique=True, name="x")
    database["exportlogs"].create_index("createdAt", expireAfterSeconds=60)
    migrate(database, now=NOW)
    assert {(one.collection, one.kind) for one in obstacles(database)} == {
        ("exportlogs", ObjectKind.VALIDATOR),
        ("exportlogs", ObjectKind.TTL_INDEX),
        ("exportqueues", ObjectKind.UNIQUE_INDEX),
        ("users", ObjectKind.UNIQUE_INDEX),
    }
    told = " ".join(one.detail for one in obstacles(database))
    assert "mobile_1 of users on mobile" in told
    assert "index x of exportqueues" in told


def test_asking_what_would_be_done_changes_nothing(database: Db) -> None:
    old_shape(database)
    database["campaigns"].insert_one({"assignments": {"u1": {"fee": 1}, "u2": {"fee": 2}}})
    before = contents(database), described(database)
    first, second, third = standings(database)
    assert (contents(database), described(database)) == before
    assert [each.pending for each in (first, second, third)] == [True] * 3
    assert any("drop old_name on exportlogs" in step for step in first.steps)
    assert any("drop expiresAt_1 on invites" in step for step in second.steps)
    assert third.steps[-1] == "move 2 assignments of 2 campaigns to campaignassignments"
    assert first.applied_at is None
    migrate(database, now=NOW)
    assert [(each.steps, each.applied_at) for each in standings(database)] == [((), NOW)] * 3


def test_asking_names_what_stands_in_the_way(database: Db) -> None:
    twice = [record("2026-01-17"), record("2026-01-17")]
    database["exportlogs"].insert_many(twice)
    first, second, _ = standings(database)
    assert str(twice[0]["_id"]) in first.problems[0]
    assert second.problems == ()


def contents(database: Db) -> dict[str, list[dict[str, Any]]]:
    return {name: list(database[name].find()) for name in sorted(database.list_collection_names())}
