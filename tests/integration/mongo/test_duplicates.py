"""What `migrate` says of duplicates: where they are, and a command that leaves one of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, json_util
from pymongo.database import Database

from daybook.errors import ConfigurationError
from daybook.mongo import indexes, shell
from daybook.mongo.indexes import Index
from daybook.mongo.migrate import DuplicatesFound, migrate

NOW = datetime(2026, 1, 18, 11, tzinfo=UTC)
Db = Database[dict[str, Any]]
UNIQUE = [index for index in indexes.INDEXES if index.unique]
_COMMAND = re.compile(
    r'db\.getSiblingDB\("(\w+)"\)\.(\w+)\.updateMany\('
    r'(.*?), (\[?\{"\$[a-zA-Z]+": \{.*?\}\}\]?)\)(?:;|$)'
)


def read(literal: str) -> Any:
    """What mongosh would read."""
    plain = re.sub(r'ObjectId\("(\w+)"\)', r'{"$oid": "\1"}', literal)
    extended = re.sub(r"EJSON\.deserialize\((\{.*?\})\)", r"\1", plain)
    return json_util.loads(extended, json_options=json_util.JSONOptions(tz_aware=True))


def carry_out(database: Db, message: str) -> None:
    """Run the commands in the message as mongosh would."""
    commands = _COMMAND.findall(message)
    assert commands, message
    for name, collection, which, update in commands:
        assert name == database.name
        database[collection].update_many(read(which), read(update))


def documents(index: Index) -> list[dict[str, Any]]:
    """Three documents with the same key."""
    owner = ObjectId()
    key: dict[str, Any] = {
        "exportlogs": {
            "metadata": {"batchDate": "2026-01-17", "fileId": "f"},
            "action": "csv_generated",
        },
        "exportbatches": {"profile": "daily"},
        "wallets": {"ownerUserId": owner, "availablePaise": 0},
        "campaignassignments": {"campaignId": owner, "key": "k"},
    }.get(index.collection, {})
    for path in index.keys:
        if path not in key and "." not in path and path != "action":
            key[path] = owner if path == "reverses" else "same"
    key.pop("idempotencyCaller", None)
    return [{"_id": ObjectId(), **key, "number": at} for at in range(3)]


@pytest.mark.parametrize("index", UNIQUE, ids=lambda index: index.name)
def test_the_command_in_the_message_leaves_the_first_and_loses_nothing(
    database: Db, index: Index
) -> None:
    stored = documents(index)
    database[index.collection].insert_many(stored)
    with pytest.raises(DuplicatesFound) as caught:
        migrate(database, now=NOW)
    (group,) = caught.value.groups
    assert (group.index, group.count) == (index, 3)
    assert list(group.ids) == [doc["_id"] for doc in stored]
    assert database[index.collection].find().sort("number").to_list() == stored
    carry_out(database, str(caught.value))
    migrate(database, now=NOW)
    assert indexes.missing(database) == []
    kept, *others = database[index.collection].find().sort("number").to_list()
    assert kept == stored[0]
    for after, before in zip(others, stored[1:], strict=True):
        assert after != before
        lost = {str(value) for value in before.values()} - {str(value) for value in after.values()}
        assert lost <= {"csv_generated"}


def test_the_kept_assignments_of_a_campaign_are_its_own(database: Db) -> None:
    campaign = ObjectId()
    assignments = database["campaignassignments"]
    assignments.insert_many(
        [{"campaignId": campaign, "key": key, "assignment": key} for key in ("a", "a", "a", "b")]
    )
    with pytest.raises(DuplicatesFound) as caught:
        migrate(database, now=NOW)
    carry_out(database, str(caught.value))
    migrate(database, now=NOW)
    assert sorted(doc["key"] for doc in assignments.find({"campaignId": campaign})) == ["a", "b"]
    assert assignments.count_documents({"supersededCampaignId": campaign, "assignment": "a"}) == 2


def test_a_wallet_with_money_is_not_closed(database: Db) -> None:
    owner = ObjectId()
    database["wallets"].insert_many(
        [{"_id": ObjectId(), "ownerUserId": owner, "availablePaise": paise} for paise in (5, 7)]
    )
    with pytest.raises(ConfigurationError) as caught:
        migrate(database, now=NOW)
    assert "in mongosh, if it holds no money: db." in str(caught.value)
    carry_out(database, str(caught.value))
    with pytest.raises(DuplicatesFound):
        migrate(database, now=NOW)
    assert database["wallets"].count_documents({"deletedAt": {"$exists": True}}) == 0


@pytest.mark.parametrize(
    "value",
    [
        ObjectId("6b0327978874a1715e5b1c36"),
        'a "quoted" $name; \\ ',
        "ข้อความ",
        5,
        Int64(2**60),
        True,
        None,
        {"a": [ObjectId("6b0327978874a1715e5b1c36"), 1]},
        Decimal128("1.50"),
        1.5,
        datetime(2026, 1, 18, tzinfo=UTC),
        b"\x00\x01",
    ],
    ids=repr,
)
def test_a_value_is_written_as_mongosh_reads_it(value: Any) -> None:
    assert read(shell.literal(value)) == value
