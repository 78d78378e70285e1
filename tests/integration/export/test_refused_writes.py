"""Each kind of database object that refuses a write is named, with its collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook.errors import DatabaseError
from daybook.mongo.client import connect
from daybook.settings.settings import Settings
from daybook.write_errors import Cause

Db = Database[dict[str, Any]]
Write = Callable[[Collection[dict[str, Any]], ClientSession], Any]


def capped(database: Db) -> None:
    database.create_collection("exportlogs", capped=True, size=4096)


def validator(database: Db) -> None:
    database.create_collection(
        "exportlogs",
        validator={"$jsonSchema": {"required": ["tenant"], "properties": {"a": {"enum": [0]}}}},
        validationLevel="moderate",
    )


def foreign_index(database: Db) -> None:
    database["exportlogs"].create_index("a", unique=True, name="theirs")


def view(database: Db) -> None:
    database.create_collection("exportlogs", viewOn="others", pipeline=[])


def time_series(database: Db) -> None:
    database.create_collection("exportlogs", timeseries={"timeField": "at"})


WRITES: dict[str, Write] = {
    "insert_one": lambda logs, session: logs.insert_one({"a": 1}, session=session),
    "insert_many": lambda logs, session: logs.insert_many([{"a": 1}], session=session),
    "update_one": lambda logs, session: logs.update_one(
        {"_id": 1}, {"$set": {"a": 1}}, upsert=True, session=session
    ),
    "update_many": lambda logs, session: logs.update_many(
        {"_id": 1}, [{"$set": {"a": 1}}], upsert=True, session=session
    ),
    "bulk_write": lambda logs, session: logs.bulk_write(
        [UpdateOne({"_id": 1}, {"$set": {"a": 1}}, upsert=True)], session=session
    ),
    "find_one_and_update": lambda logs, session: logs.find_one_and_update(
        {"_id": 1}, {"$set": {"a": 1}}, upsert=True, session=session
    ),
}
OBJECTS: dict[Callable[[Db], None], tuple[Cause, str]] = {
    capped: (Cause.CAPPED, "replace exportlogs by an ordinary collection"),
    validator: (Cause.VALIDATOR, "missing: tenant"),
    foreign_index: (Cause.FOREIGN_INDEX, "drop the index theirs of exportlogs"),
    view: (Cause.VIEW, "replace the view exportlogs"),
    time_series: (Cause.TIME_SERIES, "replace exportlogs by an ordinary collection"),
}


def in_transaction(database: Db, write: Write) -> None:
    with database.client.start_session() as session, session.start_transaction():
        database["others"].update_one({"_id": 1}, {"$inc": {"a": 1}}, session=session)
        write(database["exportlogs"], session)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("make", OBJECTS, ids=lambda make: make.__name__)
def test_whatever_refuses_a_write_is_named(
    database: Db, mongo_uri: str, make: Callable[[Db], None], write: str
) -> None:
    make(database)
    if make is foreign_index:
        database["exportlogs"].insert_one({"a": 1})
    settings = Settings.from_env(
        {"DAYBOOK_MONGODB_URI": mongo_uri, "DAYBOOK_DESTINATION": "file:///srv/daybook"}
    )
    with connect(settings) as client:
        client[database.name]["others"].update_one({"_id": 1}, {"$set": {"a": 1}}, upsert=True)
        with pytest.raises(PyMongoError) as caught:
            in_transaction(client[database.name], WRITES[write])
    error = DatabaseError.of("commit", caught.value)
    cause, told = OBJECTS[make]
    assert error.permanent
    assert error.refused is not None
    assert (error.refused.cause, error.refused.collection) == (cause, "exportlogs")
    assert told in str(error)
    assert str(error).startswith("commit: ")
