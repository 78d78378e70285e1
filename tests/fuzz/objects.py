"""Database objects that another application may make, and how each is made and taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database

from daybook.mongo import building, indexes
from daybook.mongo.objects import EXPORT_COLLECTIONS, LEDGER_WRITES

Db = Database[dict[str, Any]]

TEN_YEARS = 10 * 365 * 24 * 3600
"""What a TTL index waits for, so that it deletes nothing while a test runs."""

REFUSED: Mapping[str, dict[str, Any]] = {
    "exportlogs": {"action": {"$nin": ["csv_generated", "manual_export"]}},
    "exportqueues": {"status": {"$ne": "completed"}},
    "exportbatches": {"state": {"$ne": "committed"}},
    "exportmanifests": {"markedAt": {"$exists": False}},
    "exportslots": {"$or": [{"fileId": {"$ne": None}}, {"writes": {"$exists": False}}]},
    "exportorphans": {"_id": None},
    "circuitbreakers": {"_id": None},
    "journalentries": {"tenant": {"$exists": True}},
}
"""By collection, what a validator allows: everything but what a commit writes."""

THEIRS = {"tenant": {"$exists": True}}
"""What a validator allows: nothing of Daybook's."""

COLLIDING: Mapping[str, Sequence[str]] = {
    "exportlogs": ("queueId", "action"),
    "exportqueues": ("entryId", "status"),
    "exportbatches": ("tenant", "state"),
    "exportmanifests": ("tenant",),
    "exportslots": ("tenant",),
    "exportorphans": ("tenant",),
    "circuitbreakers": ("tenant",),
    "journalentries": ("tenant", "_id"),
}
"""By collection, the keys of a unique index under which Daybook's documents are equal."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One thing that is made of one collection."""

    kind: str
    collection: str
    allowed: Mapping[str, Any] = field(compare=False)
    """Of a validator."""
    keys: Sequence[str] = field(compare=False)
    """Of a unique index."""

    def __str__(self) -> str:
        return f"{self.kind} {self.collection}"

    def make(self, database: Db) -> None:
        KINDS[self.kind](database, self)

    def take_away(self, database: Db) -> None:
        """Leave an ordinary collection with the same documents."""
        if self.kind == "validator":
            database.command("collMod", self.collection, validator={})
        elif self.kind in {"TTL", "unique"}:
            if "theirs" in database[self.collection].index_information():
                database[self.collection].drop_index("theirs")
        else:
            _recreate(database, self.collection)


def _ensure(database: Db, name: str) -> None:
    if name not in database.list_collection_names():
        database.create_collection(name)


def _validator(database: Db, one: Object) -> None:
    _ensure(database, one.collection)
    database.command(
        "collMod", one.collection, validator=dict(one.allowed), validationLevel="strict"
    )


def _unique(database: Db, one: Object) -> None:
    collection = database[one.collection]
    waiting = collection.find_one({"status": "queued"})
    if tuple(one.keys) == ("entryId", "status") and waiting is not None:
        twin = {"entryId": waiting["entryId"], "status": "completed", "exportPath": "theirs"}
        collection.insert_one(twin)
    if tuple(one.keys) == ("tenant",):
        # All documents but one belong to other tenants, so that the index can be built.
        for doc in collection.find({}, {"_id": 1}).skip(1):
            collection.update_one({"_id": doc["_id"]}, {"$set": {"tenant": str(doc["_id"])}})
    collection.create_index([(key, 1) for key in one.keys], unique=True, name="theirs")


def _ttl(database: Db, one: Object) -> None:
    database[one.collection].create_index("createdAt", expireAfterSeconds=TEN_YEARS, name="theirs")


def _capped(database: Db, one: Object) -> None:
    _recreate(database, one.collection, capped=True, size=2**20)


def _collation(database: Db, one: Object) -> None:
    _recreate(database, one.collection, collation={"locale": "en", "strength": 2})


def _view(database: Db, one: Object) -> None:
    name = one.collection
    _ensure(database, name)
    database[name].rename(f"{name}_behind")
    database.create_collection(name, viewOn=f"{name}_behind", pipeline=[])


def _time_series(database: Db, one: Object) -> None:
    name = one.collection
    docs = list(database[name].find())
    database.drop_collection(name)
    if docs:
        database[f"{name}_behind"].insert_many(docs)
    database.create_collection(name, timeseries={"timeField": "createdAt"})


KINDS: Mapping[str, Callable[[Db, Object], None]] = {
    "validator": _validator,
    "unique": _unique,
    "TTL": _ttl,
    "capped": _capped,
    "collation": _collation,
    "view": _view,
    "time series": _time_series,
}
ALL = tuple(
    Object(kind=kind, collection=name, allowed=REFUSED[name], keys=COLLIDING[name])
    for kind in KINDS
    for name in EXPORT_COLLECTIONS
)
OF_LEDGER = tuple(
    Object(kind=kind, collection=name, allowed=THEIRS, keys=("tenant",))
    for kind in KINDS
    for name in LEDGER_WRITES
)
"""What may be made of the collections into which the ledger writes."""


def _recreate(database: Db, name: str, **options: Any) -> None:
    """The same documents in a collection of that kind, with the declared indexes."""
    behind = f"{name}_behind"
    docs = list(database[behind if behind in database.list_collection_names() else name].find())
    database.drop_collection(name)
    database.drop_collection(behind)
    database.create_collection(name, **options)
    if docs:
        database[name].insert_many(docs)
    declared = [one for one in indexes.INDEXES if one.collection == name]
    if options.get("capped"):  # which MongoDB gives no index that deletes documents
        declared = [one for one in declared if one.expire_after_seconds is None]
    building.build(database, declared)
