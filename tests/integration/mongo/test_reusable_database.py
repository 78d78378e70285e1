"""What one test leaves in the database that is used again, the next one does not find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests.reusable import ReusableDatabase

Db = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def reused(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[ReusableDatabase]:
    reused = ReusableDatabase(mongo_client)
    yield reused
    reused.drop()


def described(database: Db) -> dict[str, Any]:
    return {
        found["name"]: (
            found["type"],
            found["options"],
            database[found["name"]].index_information(),
        )
        for found in database.list_collections()
    }


def documents(database: Db) -> dict[str, Any]:
    return {name: database[name].find().to_list() for name in database.list_collection_names()}


def nothing(_database: Db) -> None:
    pass


def write(database: Db) -> None:
    database["wallets"].insert_one({"ownerUserId": 1})
    database["exportslots"].insert_one({})
    database["theirs"].insert_one({})


def validate(database: Db) -> None:
    database.command("collMod", "wallets", validator={"never": {"$exists": True}})


def index(database: Db) -> None:
    database["exportlogs"].create_index("theirs", unique=True, sparse=True)


def hide_an_index(database: Db) -> None:
    name = next(name for name in database["exportqueues"].index_information() if name != "_id_")
    database.command("collMod", "exportqueues", index={"name": name, "hidden": True})


def drop_indexes(database: Db) -> None:
    database["transactions"].drop_indexes()


def drop(database: Db) -> None:
    database["journalentries"].drop()


def drop_all(database: Db) -> None:
    database.client.drop_database(database.name)


def cap(database: Db) -> None:
    database["exportlogs"].drop()
    database.create_collection("exportlogs", capped=True, size=4096)


def rename(database: Db) -> None:
    database["exportbatches"].insert_one({"batchDate": "2026-01-18"})
    database["exportbatches"].rename("elsewhere")


def view(database: Db) -> None:
    database["invites"].drop()
    database.create_collection("invites", viewOn="users", pipeline=[])


def forget_a_migration(database: Db) -> None:
    database["schemamigrations"].delete_one({"_id": 2})
    database["schemamigrations"].insert_one({"_id": 99, "name": "newer"})


@pytest.mark.parametrize(
    "change",
    [
        *(nothing, write, validate, index, hide_an_index, drop_indexes, drop, drop_all, cap),
        *(rename, view, forget_a_migration),
    ],
)
def test_it_is_as_migrate_left_it(reused: ReusableDatabase, change: Callable[[Db], None]) -> None:
    database = reused.take()
    built, stored = described(database), documents(database)
    change(database)
    reused.give_back()
    again = reused.take()
    assert described(again) == built
    found = documents(again)
    ids = {doc["_id"] for doc in found.pop("schemamigrations")}
    assert ids == {doc["_id"] for doc in stored.pop("schemamigrations")}
    assert found == {name: [] for name in stored}
    assert not any(step.changed for step in migrate(again, now=datetime.now(UTC)))
