"""Builds the declared indexes, after looking for duplicates that the unique ones forbid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.mongo import indexes
from daybook.mongo.indexes import Index

VERSION = 1
NAME = "indexes"

REPORTED = 20


def check(database: Database[dict[str, Any]]) -> list[str]:
    """Each group of documents that a unique index would refuse, with their ids."""
    problems = []
    for index in indexes.GUARDS:
        for group in _duplicates(database, index):
            ids = ", ".join(str(document_id) for document_id in group["ids"])
            problems.append(
                f"{index.collection} has {group['count']} documents for "
                f"{dict(group['_id'])} ({index.reason}): _id {ids}; keep one"
            )
    return problems


def apply(database: Database[dict[str, Any]], now: datetime) -> None:
    """Copy the records that the unique index covers aside, then build what is missing."""
    if indexes.ONE_FILE_A_DAY in indexes.missing(database):
        _back_up(database, indexes.ONE_FILE_A_DAY, now)
    for index in indexes.missing(database):
        _drop_former(database, index)
        index.build(database)


def _duplicates(database: Database[dict[str, Any]], index: Index) -> list[dict[str, Any]]:
    names = {path: path.replace(".", "_") for path in index.keys}
    return (
        database[index.collection]
        .aggregate(
            [
                {"$match": dict(index.partial)},
                {
                    "$group": {
                        "_id": {name: f"${path}" for path, name in names.items()},
                        "count": {"$sum": 1},
                        "ids": {"$firstN": {"input": "$_id", "n": REPORTED}},
                    }
                },
                {"$match": {"count": {"$gt": 1}}},
                {"$limit": REPORTED},
            ],
            allowDiskUse=True,
        )
        .to_list()
    )


def _back_up(database: Database[dict[str, Any]], index: Index, now: datetime) -> None:
    if database[index.collection].find_one(dict(index.partial), {"_id": 1}) is None:
        return
    target = f"{index.collection}_backup_{now:%Y%m%dT%H%M%S}"
    database[index.collection].aggregate([{"$match": dict(index.partial)}, {"$out": target}])


def _drop_former(database: Database[dict[str, Any]], index: Index) -> None:
    """Drop what had this index's name, and the former sparse index of the daily record.

    A sparse compound index takes in every document that has any of its fields, so it
    would refuse the second `entry_rejected` record of a day.
    """
    for name, built in indexes.built_indexes(database, index.collection).items():
        former = (
            index is indexes.ONE_FILE_A_DAY
            and bool(built.get("sparse"))
            and set(built["key"]) <= set(index.keys)
        )
        if name == index.name or former:
            database[index.collection].drop_index(name)
