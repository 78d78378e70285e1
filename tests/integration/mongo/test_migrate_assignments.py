"""Assignments leave their campaigns: all of them, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient, timeout
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from daybook.errors import ConfigurationError
from daybook.mongo.migrate import migrate
from daybook.mongo.migrations import m0003_campaign_assignments as moving
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
LATER = datetime(2026, 1, 19, 11, 0, tzinfo=UTC)
Db = Database[dict[str, Any]]


def assignment(number: int) -> dict[str, Any]:
    return {
        "fee": Decimal128("12.50"),
        "views": Int64(number),
        "notes": [{"at": NOW, "text": "ค่าบริการ"}],
        "none": None,
    }


def campaign(count: int, **fields: Any) -> dict[str, Any]:
    assignments = {f"{number:024x}": assignment(number) for number in range(count)}
    return {"_id": ObjectId(), "name": "Summer", "assignments": assignments, **fields}


def moved(database: Db, campaign_id: ObjectId) -> dict[str, Any]:
    docs = list(database["campaignassignments"].find({"campaignId": campaign_id}))
    found = {doc["key"]: doc["assignment"] for doc in docs}
    assert len(found) == len(docs)
    return found


def test_every_assignment_arrives_as_it_was_and_the_map_is_gone(database: Db) -> None:
    docs = [campaign(3), campaign(moving.BATCH_SIZE * 2 + 1), campaign(0), campaign(1)]
    docs[3]["assignments"] = {"a.b": 7, "$odd": "text", "empty": None}
    plain = {"_id": ObjectId(), "name": "None"}
    nothing = {"_id": ObjectId(), "assignments": None}
    database["campaigns"].insert_many([*docs, plain, nothing])
    migrate(database, now=NOW)
    for doc in docs:
        assert moved(database, doc["_id"]) == doc["assignments"]
        rest = {name: value for name, value in doc.items() if name != "assignments"}
        assert database["campaigns"].find_one({"_id": doc["_id"]}) == rest
    assert database["campaigns"].count_documents({"assignments": {"$exists": True}}) == 0
    first = database["campaignassignments"].find_one({"campaignId": docs[0]["_id"]})
    assert first is not None
    assert set(first) == {"_id", "campaignId", "key", "assignment", "movedAt", "movedDigest"}
    assert first["movedAt"] == NOW


def test_repeating_adds_nothing_and_a_map_that_is_back_is_moved(database: Db) -> None:
    doc = campaign(2)
    database["campaigns"].insert_one(doc)
    migrate(database, now=NOW)
    before = list(database["campaignassignments"].find())
    migrate(database, now=LATER)
    assert list(database["campaignassignments"].find()) == before
    changed = {"0" * 24: {"fee": 9}, "new": {"fee": 1}}
    database["campaigns"].update_one({"_id": doc["_id"]}, {"$set": {"assignments": changed}})
    migrate(database, now=LATER)
    assert moved(database, doc["_id"]) == {**doc["assignments"], **changed}


@pytest.fixture
def proxied(mongo_uri: str, database: Db) -> Iterator[tuple[MongoProxy, Db]]:
    """The database through a proxy that sees each command; no try is repeated."""
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with (
        MongoProxy(host, port) as proxy,
        MongoClient[dict[str, Any]](
            proxy.uri,
            retryWrites=False,
            retryReads=False,
            w="majority",
            readConcernLevel="majority",
            serverSelectionTimeoutMS=2000,
        ) as client,
    ):
        client.admin.command("ping")
        yield proxy, client[database.name]


class FromHere:
    """Acts before the `number`th command; `for_good` on all after it as well."""

    def __init__(self, number: int, act: Callable[[], Action | None], *, for_good: bool) -> None:
        self._number, self._act, self._for_good = number, act, for_good
        self.seen = 0

    def __call__(self, event: Event) -> Action | None:
        if event.phase is not Phase.BEFORE:
            return None
        self.seen += 1
        now = self.seen == self._number or (self._for_good and self.seen > self._number)
        return self._act() if now else None


def test_killed_before_any_command_it_goes_on_where_it_was(
    proxied: tuple[MongoProxy, Db], database: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "BATCH_SIZE", 2)
    migrate(database, now=NOW)
    proxy, target = proxied
    number, killed, partly = 0, True, 0
    while killed:
        number += 1
        doc = campaign(5)
        database["campaigns"].insert_one(doc)
        proxy.hook = FromHere(number, lambda: Action.CUT, for_good=True)
        try:
            # A transaction is tried anew for two minutes: this ends it, like the process.
            with timeout(2):
                moving.apply(target, NOW)
            killed = False
        except PyMongoError:
            killed = True
        proxy.hook = None
        # MongoDB would end what the dead process left open by itself, after a minute.
        database.client.admin.command("killAllSessions", [])
        left = database["campaigns"].find_one({"_id": doc["_id"]})
        assert left is not None
        if "assignments" in left:  # then it is whole
            assert left == doc
            partly += 0 < len(moved(database, doc["_id"])) < 5
        else:
            assert moved(database, doc["_id"]) == doc["assignments"]
        moving.apply(database, LATER)
        assert moved(database, doc["_id"]) == doc["assignments"]
        assert "assignments" not in (database["campaigns"].find_one({"_id": doc["_id"]}) or {})
    assert partly == 2 * 3  # before each command of the second and the third transaction


def test_what_the_application_changes_in_between_is_not_lost(
    proxied: tuple[MongoProxy, Db], database: Db
) -> None:
    migrate(database, now=NOW)
    proxy, target = proxied
    doc = campaign(3)
    changes = {
        "$set": {f"assignments.{0:024x}.fee": 99, "assignments.new": {"fee": 1}},
        "$unset": {f"assignments.{1:024x}": ""},
    }
    number, seen, changed_in_between = 0, 1, 0
    while number < seen:
        number += 1
        database["campaignassignments"].delete_many({})
        database["campaigns"].replace_one({"_id": doc["_id"]}, doc, upsert=True)
        changed: list[int] = []

        def change(changed: list[int] = changed) -> None:
            filters = {"_id": doc["_id"], "assignments": {"$exists": True}}
            # In a transaction's way it would wait for that to end, which waits for this.
            with suppress(PyMongoError), timeout(1):
                found = database["campaigns"].update_one(filters, changes)
                changed.append(found.modified_count)

        proxy.hook = hook = FromHere(number, change, for_good=False)
        moving.apply(target, NOW)
        proxy.hook = None
        seen = hook.seen
        wanted = dict(doc["assignments"])
        if sum(changed):
            changed_in_between += 1
            wanted |= {f"{0:024x}": {**assignment(0), "fee": 99}, "new": {"fee": 1}}
            del wanted[f"{1:024x}"]
        assert moved(database, doc["_id"]) == wanted, number
        assert "assignments" not in (database["campaigns"].find_one({"_id": doc["_id"]}) or {})
    assert changed_in_between > 3


def test_what_cannot_be_moved_is_reported_and_nothing_is_changed(database: Db) -> None:
    listed = {"_id": ObjectId(), "assignments": [{"userId": 1}]}
    doc = campaign(2)
    database["campaigns"].insert_many([listed, doc])
    own = {
        "_id": ObjectId(),
        "campaignId": doc["_id"],
        "key": "0" * 24,
        "assignment": {"fee": "other"},
    }
    database["campaignassignments"].insert_one(own)
    with pytest.raises(ConfigurationError, match="migration 3") as caught:
        migrate(database, now=NOW)
    assert str(listed["_id"]) in str(caught.value)
    assert str(own["_id"]) in str(caught.value)
    assert list(database["campaigns"].find()) == [listed, doc]
    assert list(database["campaignassignments"].find()) == [own]
    assert sorted(database.list_collection_names()) == ["campaignassignments", "campaigns"]
