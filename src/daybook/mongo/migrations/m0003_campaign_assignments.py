"""Moves the assignments of campaigns, a map inside the document, to a collection of their own.

Key by key and in batches; the map stays until all of it stands there. A map that is
written again afterwards, by an application that does not know better, is moved by the next
`migrate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from daybook.errors import ConfigurationError, DatabaseError
from daybook.mongo import building
from daybook.mongo.indexes import CAMPAIGN_INDEXES

VERSION = 3
NAME = "campaign_assignments"

CAMPAIGNS = "campaigns"
COLLECTION = "campaignassignments"

BATCH_SIZE = 500
"""Assignments that are written at a time."""

REPORTED = 20
TRIES = 10
"""How often a campaign is copied that others keep changing."""

_DUPLICATE = 11000
_AS_STORED = CodecOptions[RawBSONDocument](
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)
"""What is moved is not decoded, so nothing that BSON can hold changes on its way."""

Db = Database[dict[str, Any]]


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


def check(database: Db) -> list[str]:
    problems = building.duplicates(database, CAMPAIGN_INDEXES)
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
            f"{where}: {COLLECTION} _id {moved[key]['_id']} says something else of {key!r:.80}, "
            "and was not moved there; remove one of the two"
            for key, value in (assignments or {}).items()
            if key in moved and "movedAt" not in moved[key] and moved[key]["assignment"] != value
        ]
        if len(problems) >= REPORTED:
            break
    return problems


def apply(database: Db, now: datetime) -> None:
    for index in CAMPAIGN_INDEXES:
        building.replace(database, index)
    for campaign in _campaigns(database):
        _move(database, campaign["_id"], now)


_WITH_MAP: Mapping[str, Any] = {"assignments": {"$exists": True}}


def _campaigns(database: Db) -> Iterator[Mapping[str, Any]]:
    """Those that have a map, few at a time: a map may fill its document."""
    stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
    yield from stored.find(_WITH_MAP, {"assignments": 1}, batch_size=20).sort("_id", 1)


def _moved(
    database: Db, campaign_id: Any, session: ClientSession | None = None
) -> dict[str, Mapping[str, Any]]:
    """What stands in the collection of its own, by key."""
    stored = database[COLLECTION].with_options(codec_options=_AS_STORED)
    return {doc["key"]: doc for doc in stored.find({"campaignId": campaign_id}, session=session)}


def _move(database: Db, campaign_id: Any, now: datetime) -> None:
    stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
    for _ in range(TRIES):
        campaign = stored.find_one({"_id": campaign_id}, {"assignments": 1})
        _copy(database, campaign_id, _map_of(campaign), now)
        if _drop(database, campaign_id):
            return
    raise DatabaseError(
        f"{CAMPAIGNS} _id {campaign_id}: its assignments were changed each of the {TRIES} times "
        "that they were copied, and stay; migrate again"
    )


def _map_of(campaign: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if campaign is None else campaign.get("assignments") or {}


def _copy(database: Db, campaign_id: Any, assignments: Mapping[str, Any], now: datetime) -> None:
    """Bring the copies to what the map says; those that are right already are left alone."""
    moved = _moved(database, campaign_id)
    writes = (
        UpdateOne(
            # Never one that the application made itself: that ends as a duplicate.
            {"campaignId": campaign_id, "key": key, "movedAt": {"$exists": True}},
            {"$set": {"assignment": value}, "$setOnInsert": {"movedAt": now}},
            upsert=True,
        )
        for key, value in assignments.items()
        if key not in moved or moved[key]["assignment"] != value
    )
    for batch in _batches(writes):
        try:
            database[COLLECTION].bulk_write(batch, ordered=False)
        except BulkWriteError as error:
            codes = {failed["code"] for failed in error.details["writeErrors"]}
            if codes != {_DUPLICATE}:
                raise
            raise ConfigurationError(
                f"{CAMPAIGNS} _id {campaign_id}: somebody wrote assignments of it to {COLLECTION} "
                "meanwhile; the map stays. Migrate again, which names them"
            ) from error


def _drop(database: Db, campaign_id: Any) -> bool:
    """Take the map away if every key of it is copied as it is now; whether that is so.

    In a transaction: whoever changes the map at this moment makes it start again.
    """

    def work(session: ClientSession) -> bool:
        stored = database[CAMPAIGNS].with_options(codec_options=_AS_STORED)
        campaign = stored.find_one({"_id": campaign_id}, {"assignments": 1}, session=session)
        assignments, moved = _map_of(campaign), _moved(database, campaign_id, session)
        same = [
            key
            for key in assignments
            if key in moved and moved[key]["assignment"] == assignments[key]
        ]
        if len(same) != len(assignments):
            return False
        database[CAMPAIGNS].update_one(
            {"_id": campaign_id}, {"$unset": {"assignments": ""}}, session=session
        )
        return True

    with database.client.start_session() as session:
        return session.with_transaction(work)


def _batches(writes: Iterable[UpdateOne]) -> Iterator[list[UpdateOne]]:
    rest = iter(writes)
    while batch := list(islice(rest, BATCH_SIZE)):
        yield batch
