"""Database objects that another application may make, and how each is made and taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database

from daybook.mongo import building, indexes
from daybook.mongo.objects import EXPORT_COLLECTIONS

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

    def __str__(self) -> str:
        return f"{self.kind} {self.collection}"

    def make(self, database: Db) -> None:
        KINDS[self.kind](database, self.collection)

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


def _validator(database: Db, name: str) -> None:
    _ensure(database, name)
    database.command("collMod", name, validator=dict(REFUSED[name]), validationLevel="strict")


def _unique(database: Db, name: str) -> None:
    waiting = database[name].find_one({"status": "queued"})
    if name == "exportqueues" and waiting is not None:
        twin = {"entryId": waiting["entryId"], "status": "completed", "exportPath": "theirs"}
        database[name].insert_one(twin)
    database[name].create_index([(key, 1) for key in COLLIDING[name]], unique=True, name="theirs")


def _ttl(database: Db, name: str) -> None:
    database[name].create_index("createdAt", expireAfterSeconds=TEN_YEARS, name="theirs")


def _capped(database: Db, name: str) -> None:
    _recreate(database, name, capped=True, size=2**20)


def _collation(database: Db, name: str) -> None:
    _recreate(database, name, collation={"locale": "en", "strength": 2})


def _view(database: Db, name: str) -> None:
    _ensure(database, name)
    database[name].rename(f"{name}_behind")
    database.create_collection(name, viewOn=f"{name}_behind", pipeline=[])


def _time_series(database: Db, name: str) -> None:
    docs = list(database[name].find())
    database.drop_collection(name)
    if docs:
        database[f"{name}_behind"].insert_many(docs)
    database.create_collection(name, timeseries={"timeField": "createdAt"})


KINDS: Mapping[str, Callable[[Db, str], None]] = {
    "validator": _validator,
    "unique": _unique,
    "TTL": _ttl,
    "capped": _capped,
    "collation": _collation,
    "view": _view,
    "time series": _time_series,
}
ALL = tuple(Object(kind=kind, collection=name) for kind in KINDS for name in EXPORT_COLLECTIONS)


def _recreate(database: Db, name: str, **options: Any) -> None:
    """The same documents in a collection of that kind, with the declared indexes."""
    behind = f"{name}_behind"
    docs = list(database[behind if behind in database.list_collection_names() else name].find())
    database.drop_collection(name)
    database.drop_collection(behind)
    database.create_collection(name, **options)
    if docs:
        database[name].insert_many(docs)
    building.build(database, [one for one in indexes.INDEXES if one.collection == name])
