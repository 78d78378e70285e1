"""Building declared indexes where another application has left data and indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.mongo import indexes, shell
from daybook.mongo.indexes import Index

REPORTED = 20
"""How many groups of duplicates are named per index, and how many IDs of each group."""

_INDEX_NOT_FOUND = 27


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Documents with the same key, which a unique index would refuse."""

    index: Index
    key: Mapping[str, Any]
    """The value of each path of the index; None when it is missing, too."""
    count: int
    ids: tuple[Any, ...]
    """The first `REPORTED`, in order."""

    def sentence(self, database_name: str) -> str:
        """What there is, and the command for mongosh that leaves one of them."""
        ids = ", ".join(str(document_id) for document_id in self.ids)
        found = (
            f"{self.index.collection} has {self.count} documents for {dict(self.key)} "
            f"({self.index.reason}): _id {ids}; keep one"
        )
        if not self.index.supersede:
            return found
        only = ", if it holds no money" if self.index.superseded_only else ""
        return (
            f"{found}. To keep the first and all that the others hold, in mongosh{only}: "
            f"{self._command(database_name)}"
        )

    def _command(self, database_name: str) -> str:
        others = {"_id": {"$in": list(self.ids[1:])}, **self.index.superseded_only}
        return (
            f"db.getSiblingDB({json.dumps(database_name)}).{self.index.collection}.updateMany("
            f"{shell.literal(others)}, {shell.literal(self.index.supersede)})"
        )

    def to_doc(self) -> dict[str, Any]:
        return {
            "collection": self.index.collection,
            "index": self.index.name,
            "key": dict(self.key),
            "count": self.count,
            "documentIds": list(self.ids),
        }


def duplicates(database: Database[dict[str, Any]], wanted: Sequence[Index]) -> list[Duplicates]:
    """Each group of documents that a unique index would refuse; reads only."""
    return [
        Duplicates(
            index=index,
            key={path: group["_id"][_name(path)] for path in index.keys},
            count=group["count"],
            ids=tuple(group["ids"]),
        )
        for index in wanted
        if index.unique
        for group in _duplicates(database, index)
    ]


def _duplicates(database: Database[dict[str, Any]], index: Index) -> list[dict[str, Any]]:
    # An index treats a missing field as null; `$group` would distinguish the two.
    names = {_name(path): {"$ifNull": [f"${path}", None]} for path in index.keys}
    return (
        database[index.collection]
        .aggregate(
            [
                {"$match": dict(index.partial)},
                {"$sort": {"_id": 1}},
                {
                    "$group": {
                        "_id": names,
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


def _name(path: str) -> str:
    return path.replace(".", "_")


Built = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Collection → name → an index as MongoDB describes it."""


def built_for(database: Database[dict[str, Any]], wanted: Sequence[Index]) -> Built:
    """The indexes in the collections of `wanted`; each collection is asked once."""
    names = dict.fromkeys(index.collection for index in wanted)
    return {name: indexes.built_indexes(database, name) for name in names}


def formers(index: Index, built: Built) -> list[str]:
    """Names of built indexes that this one replaces.

    These are indexes with its name or exactly its keys, present or former, that match no
    declared index, such as a sparse one or one that removes documents at another time; plain
    indexes whose keys it begins with; and indexes that do the same under another name.
    """
    own_keys = [list(keys.items()) for keys in (index.keys, *index.former_keys)]
    declared = [one for one in indexes.INDEXES if one.collection == index.collection]
    return [
        name
        for name, one in built[index.collection].items()
        if index.is_misnamed(one)
        or (
            not any(other.matches(one) for other in declared)
            and (
                name == index.name
                or _keys(one) in own_keys
                or (_is_plain(one) and not index.partial and _begins(index, one))
            )
        )
    ]


def is_lost(index: Index, built: Built) -> bool:
    """Whether the index has to be built: it is missing, or has another name."""
    standing = built[index.collection].values()
    return not any(index.matches(one) and not index.is_misnamed(one) for one in standing)


def replace(database: Database[dict[str, Any]], wanted: Sequence[Index]) -> None:
    """Build the index if it is missing, then drop what it replaces; in reverse where it must be.

    If the old index is dropped first, nothing is forbidden for a moment; a duplicate that is
    written then is reported.
    """
    built = built_for(database, wanted)
    first: dict[tuple[str, str], None] = {}
    last: dict[tuple[str, str], None] = {}
    for index in wanted:
        for name in formers(index, built):
            one = built[index.collection][name]
            # One that removes documents too early is dropped first, even if both could exist.
            early = index.clashes(one) or index.is_misnamed(one)
            goes_first = early or index.expire_after_seconds is not None
            (first if goes_first else last)[index.collection, name] = None
    for collection, name in first:
        drop(database, collection, name)
    build(database, [index for index in wanted if is_lost(index, built)])
    for collection, name in last.keys() - first.keys():
        drop(database, collection, name)


def build(database: Database[dict[str, Any]], wanted: Sequence[Index]) -> None:
    """Build the indexes, those of one collection together: it is read once for all of them.

    Indexes that exist as declared are left alone.
    """
    for collection, of_it in groupby(sorted(wanted, key=_collection), key=_collection):
        database[collection].create_indexes([index.model() for index in of_it])


def _collection(index: Index) -> str:
    return index.collection


def drop(database: Database[dict[str, Any]], collection: str, name: str) -> None:
    """Drop the index; it is not an error if another process has just dropped it."""
    try:
        database[collection].drop_index(name)
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:
            raise


def planned(database: Database[dict[str, Any]], wanted: Sequence[Index]) -> list[str]:
    """What `replace` would do for each index."""
    built = built_for(database, wanted)
    steps = []
    for index in wanted:
        if is_lost(index, built):
            steps.append(f"build {index.name} on {index.collection}: {index.reason}")
        steps += [
            f"drop {name} on {index.collection}, which {index.name} replaces"
            for name in formers(index, built)
        ]
    return list(dict.fromkeys(steps))


def _keys(built: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(built["key"].items())


def _begins(index: Index, built: Mapping[str, Any]) -> bool:
    keys = _keys(built)
    return list(index.keys.items())[: len(keys)] == keys


def _is_plain(built: Mapping[str, Any]) -> bool:
    special = {"unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "collation"}
    return built["name"] != "_id_" and not any(built.get(name) for name in special)
