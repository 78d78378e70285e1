"""Builds the exporter's indexes, after looking for duplicates that the unique ones forbid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.mongo import building, indexes
from daybook.mongo.building import Duplicates
from daybook.mongo.indexes import Index

VERSION = 1
NAME = "indexes"


def plan(database: Database[dict[str, Any]]) -> list[str]:
    steps = []
    for index, lost, formers in _work(database):
        steps += [
            f"drop {name} on {index.collection}, which {index.name} replaces" for name in formers
        ]
        if lost:
            steps.append(f"build {index.name} on {index.collection}: {index.reason}")
    return steps


def duplicates(database: Database[dict[str, Any]]) -> list[Duplicates]:
    return building.duplicates(database, indexes.GUARDS)


def check(database: Database[dict[str, Any]]) -> list[str]:  # noqa: ARG001  (the signature of all migrations)
    return []


def apply(database: Database[dict[str, Any]], now: datetime) -> None:
    """Back up the records that the unique index covers, then build what is missing."""
    work = _work(database)
    if any(lost and index is indexes.ONE_FILE_A_DAY for index, lost, _ in work):
        _back_up(database, indexes.ONE_FILE_A_DAY, now)
    for index, _, formers in work:
        for name in formers:
            building.drop(database, index.collection, name)
    building.build(database, [index for index, lost, _ in work if lost])


def _work(database: Database[dict[str, Any]]) -> list[tuple[Index, bool, list[str]]]:
    """For each index, whether it has to be built, and the names of those dropped before."""
    work = []
    found = building.built_for(database, indexes.EXPORT_INDEXES)
    gone: dict[str, set[str]] = {}
    for index in indexes.EXPORT_INDEXES:
        built = found[index.collection]
        already = gone.setdefault(index.collection, set())
        formers = [name for name in built if name not in already and _goes(index, built[name])]
        already.update(formers)
        left = [description for name, description in built.items() if name not in already]
        work.append((index, not any(index.matches(each) for each in left), formers))
    return [each for each in work if each[1] or each[2]]


def _back_up(database: Database[dict[str, Any]], index: Index, now: datetime) -> None:
    if database[index.collection].find_one(dict(index.partial), {"_id": 1}) is None:
        return
    target = f"{index.collection}_backup_{now:%Y%m%dT%H%M%S}"
    database[index.collection].aggregate([{"$match": dict(index.partial)}, {"$out": target}])


def _goes(index: Index, built: Mapping[str, Any]) -> bool:
    """Whether an index conflicts with ours, or is a former index of the daily record.

    The former index was sparse or plainly unique. A sparse compound index contains every
    document that has any of its fields, so either would refuse the second `entry_rejected`
    record of a day. Other indexes of the other application stay: it owns the collections.
    """
    return (
        index.is_misnamed(built)
        or index.clashes(built)
        or (
            index is indexes.ONE_FILE_A_DAY
            and not index.matches(built)
            and bool(built.get("sparse") or built.get("unique"))
            and not built.get("partialFilterExpression")
            and set(built["key"]) <= set(index.keys)
        )
    )
