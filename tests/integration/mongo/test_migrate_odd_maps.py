"""Assignments of every kind, and copies that others wrote or have changed since."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.errors import ConfigurationError
from daybook.local.mongod import EmbeddedMongod
from daybook.mongo.migrate import migrate, standings
from daybook.mongo.migrations import m0003_campaign_assignments as moving
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
LATER = datetime(2026, 1, 19, 11, 0, tzinfo=UTC)
Db = Database[dict[str, Any]]


def moved(database: Db, campaign_id: Any) -> dict[str, Any]:
    found = database["campaignassignments"].find({"campaignId": campaign_id})
    return {doc["key"]: doc["assignment"] for doc in found}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """In every byte, so that 1 is not true, and NaN is NaN."""
    return {name: bson.encode({"": one[name]}) for name in one} == {
        name: bson.encode({"": other[name]}) for name in other
    }


MAPS: dict[str, dict[str, Any]] = {
    "keys": {"": 1, ".": 2, "a.b": 3, "$set": 4, "$": 5, "ก.ข": 6, "x" * 2000: 7},
    "fields": {"u": {"$price": 1, "a.b": 2, "": 3}, "v": {"$ref": "users", "$id": 3}},
    "no_number": {"u": float("nan"), "v": [float("nan")], "w": {"fee": float("nan")}},
    "types": {"a": 1, "b": True, "c": 1.0, "d": Int64(1), "e": Decimal128("1.0"), "f": Regex("a")},
    "nothing": {"a": None, "b": {}, "c": []},
}


@pytest.mark.parametrize("kind", MAPS)
def test_whatever_a_map_holds_arrives_byte_by_byte(database: Db, kind: str) -> None:
    database["campaigns"].insert_one({"_id": 1, "assignments": MAPS[kind]})
    migrate(database, now=NOW)
    assert same(moved(database, 1), MAPS[kind])
    assert database["campaigns"].find_one() == {"_id": 1}


@pytest.mark.parametrize("campaign_id", ["text", {"year": 2026}, datetime(2026, 1, 1, tzinfo=UTC)])
def test_whatever_a_campaign_is_called(database: Db, campaign_id: Any) -> None:
    database["campaigns"].insert_one({"_id": campaign_id, "assignments": {"u": 1}})
    migrate(database, now=NOW)
    assert moved(database, campaign_id) == {"u": 1}


def test_a_value_that_only_looks_the_same_is_moved_as_well(database: Db) -> None:
    for value in (1, True):
        database["campaigns"].replace_one({"_id": 1}, {"assignments": {"u": value}}, upsert=True)
        migrate(database, now=NOW)
        assert moved(database, 1)["u"] is value


def test_documents_without_key_are_not_the_maps(database: Db) -> None:
    database["campaigns"].insert_one({"_id": 1, "assignments": {"u": 1}})
    own = {"_id": ObjectId(), "campaignId": 1, "userId": "u"}
    database["campaignassignments"].insert_one(own)
    migrate(database, now=NOW)
    assert database["campaignassignments"].find_one({"_id": own["_id"]}) == own
    assert database["campaignassignments"].find_one({"key": "u"}, {"assignment": 1, "_id": 0}) == {
        "assignment": 1
    }


def test_a_document_without_assignment_is_reported_and_nothing_is_changed(database: Db) -> None:
    database["campaigns"].insert_one({"_id": 1, "assignments": {"u": None}})
    own = {"_id": ObjectId(), "campaignId": 1, "key": "u", "fee": 2}
    database["campaignassignments"].insert_one(own)
    with pytest.raises(ConfigurationError, match=rf"{own['_id']} .*was not moved there"):
        migrate(database, now=NOW)
    assert list(database["campaignassignments"].find()) == [own]


def test_a_copy_that_was_changed_since_is_not_overwritten_but_reported(database: Db) -> None:
    database["campaigns"].insert_one({"_id": 1, "assignments": {"u": {"fee": 1}, "v": 1}})
    migrate(database, now=NOW)
    database["campaignassignments"].update_one({"key": "u"}, {"$set": {"assignment.fee": 2}})
    database["campaigns"].update_one({"_id": 1}, {"$set": {"assignments": {"u": {"fee": 3}}}})
    before = list(database["campaigns"].find()), list(database["campaignassignments"].find())
    with pytest.raises(ConfigurationError, match="changed there since"):
        migrate(database, now=LATER)
    assert (
        list(database["campaigns"].find()),
        list(database["campaignassignments"].find()),
    ) == before
    database["campaignassignments"].delete_one({"key": "u"})
    migrate(database, now=LATER)
    assert moved(database, 1) == {"u": {"fee": 3}, "v": 1}


@pytest.mark.parametrize("before", [{}, {"u": 0}], ids=["new", "known"])
def test_a_write_that_was_held_up_overwrites_nothing(
    mongo_uri: str, database: Db, before: dict[str, Any]
) -> None:
    """A process that is frozen in the middle, until another has done its work."""
    database["campaigns"].insert_one({"_id": 1, "assignments": before})
    migrate(database, now=NOW)
    database["campaigns"].update_one({"_id": 1}, {"$set": {"assignments": {"u": 1}}})
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    thawed = []

    def meanwhile(event: Event) -> Action | None:
        writes = event.name in ("insert", "update") and event.collection == moving.COLLECTION
        if event.phase is Phase.BEFORE and writes and not thawed:
            thawed.append(event)
            moving.apply(database, LATER)
            database["campaignassignments"].update_one({"key": "u"}, {"$set": {"assignment": 2}})
        return None

    with (
        MongoProxy(host, port, meanwhile) as proxy,
        MongoClient[dict[str, Any]](proxy.uri, w="majority") as client,
    ):
        moving.apply(client[database.name], LATER)
    assert len(thawed) == 1
    assert moved(database, 1) == {"u": 2}


@pytest.mark.storm
def test_a_map_that_fills_its_document_is_moved() -> None:
    count = 100_000
    assignments = {
        f"{number:024x}": {"fee": Decimal128("12.50"), "userId": ObjectId(), "note": "x" * 60}
        for number in range(count)
    }
    assert len(bson.encode({"assignments": assignments})) > 13 * 2**20
    # Its own, since such a document hardly fits the small cache of the others.
    with (
        EmbeddedMongod(cache_gb=1.0) as mongod,
        MongoClient[dict[str, Any]](mongod.uri, w="majority") as client,
    ):
        database = client["books"]
        database["campaigns"].insert_one({"_id": 1, "assignments": assignments})
        assert standings(database)[2].steps[-1].startswith("move 100000 assignments of 1")
        started = time.monotonic()
        migrate(database, now=NOW)
        print(f"{count} assignments moved in {time.monotonic() - started:.1f} s")
        assert moved(database, 1) == assignments
        assert database["campaigns"].find_one() == {"_id": 1}
