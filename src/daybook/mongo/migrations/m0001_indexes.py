"""Builds the exporter's indexes, after looking for duplicates that the unique ones forbid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.mongo import building, indexes
from daybook.mongo.index import Index

VERSION = 1
NAME = "indexes"


def plan(database: Database[dict[str, Any]]) -> list[str]:
    steps = []
    for index in indexes.missing(database, indexes.EXPORT_INDEXES):
        steps += [
            f"drop {name} on {index.collection}, which {index.name} replaces"
            for name in _formers(database, index)
        ]
        steps.append(f"build {index.name} on {index.collection}: {index.reason}")
    return steps


def check(database: Database[dict[str, Any]]) -> list[str]:
    return building.duplicates(database, indexes.GUARDS)


def apply(database: Database[dict[str, Any]], now: datetime) -> None:
    """Copy the records that the unique index covers aside, then build what is missing."""
    lost = indexes.missing(database, indexes.EXPORT_INDEXES)
    if indexes.ONE_FILE_A_DAY in lost:
        _back_up(database, indexes.ONE_FILE_A_DAY, now)
    for index in lost:
        for name in _formers(database, index):
            database[index.collection].drop_index(name)
        index.build(database)


def _back_up(database: Database[dict[str, Any]], index: Index, now: datetime) -> None:
    if database[index.collection].find_one(dict(index.partial), {"_id": 1}) is None:
        return
    target = f"{index.collection}_backup_{now:%Y%m%dT%H%M%S}"
    database[index.collection].aggregate([{"$match": dict(index.partial)}, {"$out": target}])


def _formers(database: Database[dict[str, Any]], index: Index) -> list[str]:
    """What had this index's name, and the former sparse index of the daily record.

    A sparse compound index takes in every document that has any of its fields, so it
    would refuse the second `entry_rejected` record of a day. The other application's other
    indexes stay: the collections are its own.
    """
    return [
        name
        for name, built in indexes.built_indexes(database, index.collection).items()
        if name == index.name
        or (
            index is indexes.ONE_FILE_A_DAY
            and bool(built.get("sparse"))
            and set(built["key"]) <= set(index.keys)
        )
    ]
