"""A migrated database that one test after the other uses.

Building its indexes takes longer than most tests. After each test its collections are
emptied and new ones are dropped; those that it changed or removed are built again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from daybook.mongo.migrate import COLLECTION, MIGRATIONS, migrate

Db = Database[dict[str, Any]]


class ReusableDatabase:
    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._database: Db | None = None
        self._built: dict[str, Any] = {}
        self._migrations: list[RawBSONDocument] = []

    def take(self) -> Db:
        """As `migrate` left it."""
        if self._database is None:
            self._database = self._client[f"test_{uuid.uuid4().hex}"]
            migrate(self._database, now=datetime.now(UTC))
            self._built = _built(self._database)
            self._migrations = _migrations(self._database)
        return self._database

    def give_back(self) -> None:
        assert self._database is not None
        found = _built(self._database)
        if any(name.startswith("system.") for name in found):  # of views, for one
            self.drop()
            return
        changed = [name for name in found if found[name] != self._built.get(name)]
        for name in changed:  # some collections come with the first document, the slot's for one
            self._database.drop_collection(name)
        empty(self._database, self._built.keys() - changed)
        if _migrations(self._database) != self._migrations:
            self._database[COLLECTION].delete_many({})
            self._database[COLLECTION].insert_many(self._migrations)
        if self._built.keys() - (found.keys() - changed):
            self._repair()

    def _repair(self) -> None:
        """Build what is missing, in place of everything."""
        assert self._database is not None
        migrate(self._database, now=datetime.now(UTC))
        self._migrations = _migrations(self._database)
        if _built(self._database) != self._built:
            self.drop()

    def drop(self) -> None:
        if self._database is not None:
            self._client.drop_database(self._database.name)
            self._database = None


def migrate_once(database: Db, *, now: datetime) -> None:
    """`migrate`, unless it has been called: its check of each index costs thirty requests."""
    versions = [step.VERSION for step in MIGRATIONS]
    applied = _reading(database)[COLLECTION].count_documents({"_id": {"$in": versions}})
    if applied < len(versions):
        migrate(database, now=now)


def empty(database: Db, collections: Iterable[str] | None = None) -> None:
    """Remove every document but those of migrations; collections and indexes stay.

    Most collections have none after a test, which one request tells of all of them.
    """
    names = database.list_collection_names() if collections is None else collections
    for name in _filled(database, sorted({*names} - {COLLECTION})):
        database[name].delete_many({})


def _filled(database: Db, names: list[str]) -> list[str]:
    """Those of the collections that have a document."""
    looks = [
        {"$unionWith": {"coll": name, "pipeline": [{"$limit": 1}, {"$project": {"_id": name}}]}}
        for name in names
    ]
    found = _reading(database)[COLLECTION].aggregate([{"$match": {"$expr": False}}, *looks])
    return [doc["_id"] for doc in found]


def _migrations(database: Db) -> list[RawBSONDocument]:
    """As bytes: tests of odd documents store what cannot be decoded."""
    raw = CodecOptions(document_class=RawBSONDocument)
    return _reading(database).get_collection(COLLECTION, raw).find().sort("_id", 1).to_list()


def _reading(database: Db) -> Db:
    """What a killed process has written counts too, before a majority has it."""
    return database.with_options(read_concern=ReadConcern("local"))


def _built(database: Db) -> dict[str, Any]:
    """Every collection with its kind, options and indexes, in their order."""
    catalog = database.client["admin"].aggregate(
        [{"$listCatalog": {}}, {"$match": {"db": database.name}}]
    )
    return {
        found["name"]: (
            found["type"],
            {**found.get("md", {}).get("options", {}), "uuid": None},
            [(index["spec"], index["ready"]) for index in found.get("md", {}).get("indexes", ())],
        )
        for found in catalog
    }
