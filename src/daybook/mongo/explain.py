"""How MongoDB carries a declared query out: by which index, reading how much."""

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
"""Stored documents among which one is looked for that a query can be asked with."""
ASKED = 3
"""Documents that a query is asked with."""
LIMIT = 1000
"""Documents that a query may return here; enough to see how it goes."""

_AS_STORED = CodecOptions[Document](
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
_ENTIRE = ["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What MongoDB did for one query with one set of arguments."""

    stages: tuple[str, ...]
    """From the last to the first, as MongoDB names them."""
    indexes: tuple[str, ...]
    keys: int
    """Index keys examined."""
    documents: int
    """Documents examined."""
    returned: int
    whole_indexes: tuple[str, ...]
    """Indexes that were read from end to end."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From what `explain` answers, of one server or of the shards of several."""
        stats = told["executionStats"]
        stages = list(_stages(told["queryPlanner"]["winningPlan"]))
        # By its own name since 8.0, which looks single ids up on a shorter way.
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
        """What it reads from end to end; empty when it is led by an index."""
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
    """None when nothing is stored that it could be asked with."""
    faults: tuple[str, ...]
    """Why this is no way to run it; empty when it is one."""
    excused: str
    """Why some of the faults do not count."""
    failed: bool
    """Whether one of them counts."""
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
    """All queries, and the declared indexes that are missing, whether a query shows it or not."""

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
    """Run each query under MongoDB's `explain`, with arguments out of stored documents.

    Reads only, up to `LIMIT` documents per query. Raises `PyMongoError`, and
    `ConfigurationError` when the user may not.
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
        # A good reason to sort is none to scan, so a lost index shows whatever is excused.
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
    """Of some stored documents; those that lack a field that the query asks by are left out."""
    stored = database.get_collection(query.collection, codec_options=_AS_STORED)
    found = []
    chosen: list[Document] = [{"$sample": {"size": SAMPLED}}]
    if query.among is not None:
        chosen = [{"$match": dict(query.among)}, {"$limit": SAMPLED}]
    for doc in stored.aggregate(chosen):
        try:
            given = query.arguments(doc)
        except (AttributeError, LookupError, TypeError):  # another shape, or another application's
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
    told = database.command("explain", find, verbosity="executionStats", codec_options=_AS_STORED)
    return Plan.of(told)


_INNER = ("queryPlan", "inputStage", "outerStage", "innerStage", "thenStage", "elseStage")
_INNER_LISTS = ("inputStages", "shards")


def _stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All stages, on each shard too: there a plan stands under `winningPlan`."""
    if "stage" in plan:
        yield plan
    listed = (stage for name in _INNER_LISTS for stage in plan.get(name, ()))
    for inner in (*(plan[name] for name in _INNER if name in plan), *listed):
        yield from _stages(inner.get("winningPlan", inner))


def _is_entire(bounds: Mapping[str, Any]) -> bool:
    """Whether the first key, and with it all others, has no bounds."""
    return next(iter(bounds.values()), None) in _ENTIRE
