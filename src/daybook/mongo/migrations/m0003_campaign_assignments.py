"""Moves the assignments of campaigns, a map inside the document, to a collection of their own.

Keys are copied in batches; the map stays until all of it is copied. A map that an old version
of the application writes again afterwards is moved by the next `migrate`, unless a copy has
been changed in the new collection since: then people must decide which of the two is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from daybook.errors import ConfigurationError, DatabaseError
from daybook.mongo import building
from daybook.mongo.building import Duplicates
from daybook.mongo.indexes import CAMPAIGN_INDEXES
from daybook.mongo.sessions import transaction

VERSION = 3
NAME = "campaign_assignments"

CAMPAIGNS = "campaigns"
COLLECTION = "campaignassignments"

BATCH_SIZE = 500
"""How many assignments are written at a time."""

REPORTED = 20
TRIES = 10
"""How often copying is tried for a campaign that others keep changing."""

_DUPLICATE = 11000
_AS_STORED = CodecOptions[RawBSONDocument](
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)
"""Codec options that do not decode what is moved, so that no BSON value changes on its way."""

Db = Database[dict[str, Any]]
Write = InsertOne[dict[str, Any]] | UpdateOne
T = TypeVar("T")


def plan(database: Db) -> list[str]:
    steps = building.planned(database, CAMPAIGN_INDEXES)
    maps = {
        "$cond": [{"$eq": [{"$type": "$assignments"}, "object"]}, "$assignments", {"$literal": {}}]
    }
    found = database[CAMPAIGNS].aggregate(
        [
            {"$match": _WITH_MAP},
            {
                "$group": {
                    "_id": None,
                    "campaigns": {"$sum": 1},
                    "assignments": {"$sum": {"$size": {"$objectToArray": maps}}},
                }
            },
        ]
    )
    return steps + [
        f"move {doc['assignments']} assignments of {doc['campaigns']} {CAMPAIGNS} to {COLLECTION}"
        for doc in found
    ]


def duplicates(database: Db) -> list[Duplicates]:
    return building.duplicates(database, CAMPAIGN_INDEXES)


def check(database: Db) -> list[str]:
    problems: list[str] = []
    for campaign in _campaigns(database):
        where = f"{CAMPAIGNS} _id {campaign['_id']}"
        assignments = campaign["assignments"]
        if not isinstance(assignments, Mapping | None):
            problems.append(
                f"{where}: assignments is no document but {type(assignments).__name__}; make it "
                "one, or take it away"
            )
            continue
        moved = _moved(database, campaign["_id"])
        problems += [
            _conflict(campaign["_id"], key, moved[key])
            for key, value in (assignments or {}).items()
            if key in moved and not _is(moved[key], value) and not _as_moved(moved[key])
        ]
        if len(problems) >= REPORTED:
            break
    return problems


def apply(database: Db, now: datetime) -> None:
    building.replace(database, CAMPAIGN_INDEXES)
    # All IDs first: a cursor that waited for a large map would time out.
    stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
    for campaign in stored.find(_WITH_MAP, {"_id": 1}).sort("_id", 1).to_list():
        _move(database, campaign["_id"], now)


_WITH_MAP: Mapping[str, Any] = {"assignments": {"$exists": True}}


def _campaigns(database: Db) -> Iterator[Mapping[str, Any]]:
    """Campaigns that have a map, a few at a time: a map may be as large as a document can be."""
    stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
    yield from stored.find(_WITH_MAP, {"assignments": 1}, batch_size=20).sort("_id", 1)


def _moved(
    database: Db, campaign_id: Any, session: ClientSession | None = None
) -> dict[str, Mapping[str, Any]]:
    """A campaign's copies in the new collection, by key."""
    stored = database[COLLECTION].with_options(codec_options=_AS_STORED)
    found = stored.find({"campaignId": campaign_id, "key": {"$type": "string"}}, session=session)
    return {doc["key"]: doc for doc in found}


def _move(database: Db, campaign_id: Any, now: datetime) -> None:
    stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
    copied: set[str] = set()
    for _ in range(TRIES):
        campaign = stored.find_one({"_id": campaign_id}, {"assignments": 1})
        _copy(database, campaign_id, _map_of(campaign), copied, now)
        if _drop(database, campaign_id, copied):
            return
    raise DatabaseError(
        f"{CAMPAIGNS} _id {campaign_id}: its assignments were changed each of the {TRIES} times "
        "that they were copied, and stay; migrate again"
    )


def _map_of(campaign: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if campaign is None else campaign.get("assignments") or {}


def _copy(
    database: Db, campaign_id: Any, assignments: Mapping[str, Any], copied: set[str], now: datetime
) -> None:
    """Make the copies equal to the map; copies that are right are left alone.

    Each write requires that its document has not changed since it was read, and each transaction
    that the campaign still has a map. So a write that arrives after another process has finished
    the move neither overwrites a copy nor restores one that the application has deleted.
    """
    moved = _moved(database, campaign_id)
    for batch in _batches(assignments.items()):
        writes = [
            _write(campaign_id, key, value, moved.get(key), now)
            for key, value in batch
            if key not in moved or not _is(moved[key], value)
        ]
        if not writes:
            continue

        def work(session: ClientSession, writes: Sequence[Write] = writes) -> None:
            with_map = {"_id": campaign_id, **_WITH_MAP}
            if database[CAMPAIGNS].find_one(with_map, {"_id": 1}, session=session) is not None:
                database[COLLECTION].bulk_write(writes, session=session)

        try:
            transaction(database.client, work, read_concern=ReadConcern("snapshot"))
        except BulkWriteError as error:
            # Another process has copied it meanwhile; the next try compares what it wrote.
            if {failed["code"] for failed in error.details["writeErrors"]} != {_DUPLICATE}:
                raise
        copied.update(key for key, _ in batch if key not in moved)


def _write(
    campaign_id: Any, key: str, value: Any, copy: Mapping[str, Any] | None, now: datetime
) -> Write:
    if copy is None:
        names = {"campaignId": campaign_id, "key": key}
        return InsertOne(
            {**names, "assignment": value, "movedAt": now, "movedDigest": _digest(value)}
        )
    if not _as_moved(copy):
        raise ConfigurationError(_conflict(campaign_id, key, copy))
    return UpdateOne(
        {"_id": copy["_id"], "assignment": {"$eq": copy["assignment"]}},
        {"$set": {"assignment": value, "movedDigest": _digest(value)}},
    )


def _drop(database: Db, campaign_id: Any, copied: set[str]) -> bool:
    """Remove the map if each of its keys is copied with its current value; return whether it is.

    This happens in a transaction, which starts again when the map is changed meanwhile. Keys of
    `copied` that the map has lost since are removed from the copies.
    """

    def work(session: ClientSession) -> bool:
        stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
        campaign = stored.find_one({"_id": campaign_id}, {"assignments": 1}, session=session)
        if campaign is None or "assignments" not in campaign:
            return True
        assignments, moved = _map_of(campaign), _moved(database, campaign_id, session)
        if not all(key in moved and _is(moved[key], assignments[key]) for key in assignments):
            return False
        lost = copied.intersection(moved).difference(assignments)
        for batch in _batches(moved[key]["_id"] for key in lost if _as_moved(moved[key])):
            database[COLLECTION].delete_many({"_id": {"$in": batch}}, session=session)
        database[CAMPAIGNS].update_one(
            {"_id": campaign_id}, {"$unset": {"assignments": ""}}, session=session
        )
        return True

    return transaction(database.client, work)


def _is(doc: Mapping[str, Any], value: Any) -> bool:
    """Whether the document holds exactly this value: with `==`, 1 is true and NaN is not NaN."""
    return "assignment" in doc and _bytes(doc["assignment"]) == _bytes(value)


def _as_moved(doc: Mapping[str, Any]) -> bool:
    """Whether the copy came from a map and has not been changed since."""
    return "assignment" in doc and doc.get("movedDigest") == _digest(doc["assignment"])


def _bytes(value: Any) -> bytes:
    return bson.encode({"": value}, codec_options=_AS_STORED)


def _digest(value: Any) -> str:
    return hashlib.sha256(_bytes(value)).hexdigest()


def _conflict(campaign_id: Any, key: str, doc: Mapping[str, Any]) -> str:
    was = "was changed there since" if "movedAt" in doc else "was not moved there"
    return (
        f"{CAMPAIGNS} _id {campaign_id}: {COLLECTION} _id {doc['_id']} says something else of "
        f"{key!r:.80}, and {was}; remove one of the two"
    )


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while batch := list(islice(rest, BATCH_SIZE)):
        yield batch
