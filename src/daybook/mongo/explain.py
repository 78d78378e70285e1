"""How MongoDB runs a declared query: by which index, and how much it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import bson
from bson import Regex
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.database import Database

from daybook.mongo import indexes
from daybook.mongo.query import Query
from daybook.mongo.rights import permitted

Document = dict[str, Any]

SAMPLED = 100
"""How many stored documents are searched for arguments of a query."""
ASKED = 3
"""How many documents supply arguments for a query."""
LIMIT = 1000
"""How many documents a query may return here; enough to see its plan."""

_AS_STORED = CodecOptions[Document](
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
_ENTIRE = ["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What MongoDB did for one query with one set of arguments."""

    stages: tuple[str, ...]
    """Stages from the last to the first, as MongoDB names them."""
    indexes: tuple[str, ...]
    keys: int
    """Index keys examined."""
    documents: int
    """Documents examined."""
    returned: int
    whole_indexes: tuple[str, ...]
    """Indexes that were scanned from end to end."""

    @classmethod
    def of(cls, explained: Mapping[str, Any]) -> Self:
        """Read the output of `explain`, from one server or from several shards."""
        stats = explained["executionStats"]
        stages = list(_stages(explained["queryPlanner"]["winningPlan"]))
        # Since 8.0 MongoDB looks single IDs up by a shorter path, which has its own name.
        by_id = {"IDHACK", "EXPRESS_CLUSTERED_IXSCAN"}
        names = [
            stage.get("indexName", "_id_" if stage["stage"] in by_id else None) for stage in stages
        ]
        return cls(
            stages=tuple(stage["stage"] for stage in stages),
            indexes=tuple(dict.fromkeys(name for name in names if name)),
            keys=stats["totalKeysExamined"],
            documents=stats["totalDocsExamined"],
            returned=stats["nReturned"],
            whole_indexes=tuple(
                stage["indexName"]
                for stage in stages
                if "indexBounds" in stage and _is_entire(stage["indexBounds"])
            ),
        )

    @property
    def scans(self) -> list[str]:
        """What the query scans from end to end; empty when an index narrows it."""
        scans = ["scans the collection"] if "COLLSCAN" in self.stages else []
        return scans + [f"scans all of {name}" for name in self.whole_indexes]

    @property
    def sorts(self) -> list[str]:
        return ["sorts in memory"] if "SORT" in self.stages else []


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A query with the worst of its plans."""

    name: str
    collection: str
    plan: Plan | None
    """None when no stored document supplies arguments."""
    faults: tuple[str, ...]
    """Why the plan is not acceptable; empty when it is."""
    excused: str
    """Why some of the faults are excused."""
    failed: bool
    """Whether a fault is not excused."""
    lacking: tuple[str, ...]
    """Declared indexes of its collection that are missing."""

    def to_doc(self) -> Document:
        plan = self.plan
        return {
            "query": self.name,
            "collection": self.collection,
            "status": "failed" if self.failed else "not_asked" if plan is None else "ok",
            "plan": None if plan is None else list(plan.stages),
            "indexes": None if plan is None else list(plan.indexes),
            "keysExamined": None if plan is None else plan.keys,
            "documentsExamined": None if plan is None else plan.documents,
            "returned": None if plan is None else plan.returned,
            "faults": list(self.faults),
            "excused": self.excused or None,
            "missingIndexes": list(self.lacking),
        }


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All queries, and every missing declared index, also one that no query shows."""

    queries: tuple[Explained, ...]
    missing: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return bool(self.missing) or any(query.failed for query in self.queries)

    def to_doc(self) -> Document:
        return {
            "status": "failed" if self.failed else "ok",
            "missingIndexes": list(self.missing),
            "queries": [query.to_doc() for query in self.queries],
        }


def explain(database: Database[Document], queries: Iterable[Query]) -> Explanation:
    """Run each query under MongoDB's `explain`, with arguments from stored documents.

    Reads only, up to `LIMIT` documents per query. Raises `PyMongoError`, and
    `ConfigurationError` when the user may not explain queries.
    """
    with permitted("explain"):
        lost = indexes.missing(database)
        return Explanation(
            queries=tuple(_explained(database, queries, lost)),
            missing=tuple(f"{index.name} on {index.collection}" for index in lost),
        )


def _explained(
    database: Database[Document], queries: Iterable[Query], lost: Sequence[indexes.Index]
) -> Iterator[Explained]:
    for query in queries:
        # A reason for sorting does not excuse a scan, so a missing index always shows.
        may_sort, may_scan = query.excused, query.small
        plans = [_plan(database, query, given) for given in _arguments(database, query)]
        worst = max(
            plans, key=lambda plan: (len(plan.scans), len(plan.sorts), plan.documents), default=None
        )
        scans, sorts = ([], []) if worst is None else (worst.scans, worst.sorts)
        yield Explained(
            name=query.name,
            collection=query.collection,
            plan=worst,
            faults=(*scans, *sorts),
            excused=may_scan if scans and may_scan else may_sort if sorts else "",
            failed=bool(scans and not may_scan) or bool(sorts and not may_sort),
            lacking=tuple(index.name for index in lost if index.collection == query.collection),
        )


def _arguments(database: Database[Document], query: Query) -> list[dict[str, Any]]:
    """Arguments from stored documents; those that lack a field of the filter are left out."""
    stored = database.get_collection(query.collection, codec_options=_AS_STORED)
    found = []
    chosen: list[Document] = [{"$sample": {"size": SAMPLED}}]
    if query.among is not None:
        chosen = [{"$match": dict(query.among)}, {"$limit": SAMPLED}]
    for doc in stored.aggregate(chosen):
        try:
            given = query.arguments(doc)
        # Another shape, or another application's.
        except (AttributeError, LookupError, TypeError, ValueError):
            continue
        if _can_be_asked(given):
            found.append(given)
        if len(found) == ASKED:
            break
    return found


def _can_be_asked(given: Mapping[str, Any]) -> bool:
    """False for a pattern or an operator, which are conditions, and for invalid UTF-8."""
    try:
        bson.encode(given)
    except UnicodeEncodeError:
        return False
    listed = chain.from_iterable(v if isinstance(v, list) else [v] for v in given.values())
    return not any(isinstance(value, Regex) or _is_operator(value) for value in listed)


def _is_operator(value: Any) -> bool:
    return isinstance(value, Mapping) and any(name.startswith("$") for name in value)


def _plan(database: Database[Document], query: Query, given: Mapping[str, Any]) -> Plan:
    find: Document = {"find": query.collection, "filter": query.filter(**given), "limit": LIMIT}
    if query.sort:
        find["sort"] = dict(query.sort)
    if query.projection:
        find["projection"] = dict(query.projection)
    if query.hint:
        find["hint"] = dict(query.hint)
    explained = database.command(
        "explain", find, verbosity="executionStats", codec_options=_AS_STORED
    )
    return Plan.of(explained)


_INNER = ("queryPlan", "inputStage", "outerStage", "innerStage", "thenStage", "elseStage")
_INNER_LISTS = ("inputStages", "shards")


def _stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All stages, on each shard too: a shard's plan is under `winningPlan`."""
    if "stage" in plan:
        yield plan
    listed = (stage for name in _INNER_LISTS for stage in plan.get(name, ()))
    for inner in (*(plan[name] for name in _INNER if name in plan), *listed):
        yield from _stages(inner.get("winningPlan", inner))


def _is_entire(bounds: Mapping[str, Any]) -> bool:
    """Whether the first key has no bounds, so that the others have no effect."""
    return next(iter(bounds.values()), None) in _ENTIRE
