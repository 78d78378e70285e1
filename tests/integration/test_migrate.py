"""Migrations on a real MongoDB: fresh, repeated, over old data, over data in the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from daybook.errors import ConfigurationError
from daybook.mongo import indexes
from daybook.mongo.migrate import migrate

NOW = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)
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
    (step,) = migrate(database, now=NOW)
    assert step.changed
    assert indexes.missing(database) == []
    indexes.check_guards(database)
    assert database["schemamigrations"].find_one({"_id": 1}, {"_id": 0}) == {
        "name": "indexes",
        "appliedAt": NOW,
    }


def test_repeating_changes_nothing(database: Db) -> None:
    migrate(database, now=NOW)
    before = described(database)
    (step,) = migrate(database, now=NOW)
    assert not step.changed
    assert described(database) == before


def test_a_dropped_index_is_built_again(database: Db) -> None:
    migrate(database, now=NOW)
    database["exportlogs"].drop_index("idx_batch_daily_unique")
    with pytest.raises(ConfigurationError, match=r"idx_batch_daily_unique.*migrate"):
        indexes.check_guards(database)
    (step,) = migrate(database, now=NOW)
    assert step.changed
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


def test_the_old_sparse_index_gives_way_and_both_roads_end_alike(
    database: Db, mongo_client: MongoClient[dict[str, Any]]
) -> None:
    old = database["exportlogs"]
    old.insert_one(record("2026-01-17"))
    old.create_index(
        [("metadata.batchDate", 1), ("action", 1)], unique=True, sparse=True, name="old_name"
    )
    migrate(database, now=NOW)
    fresh = mongo_client[f"test_{ObjectId()}"]
    try:
        migrate(fresh, now=NOW)
        assert described(database) == described(fresh)
    finally:
        mongo_client.drop_database(fresh.name)


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
