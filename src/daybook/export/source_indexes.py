"""The indexes that reading needs on the collections of another application.

`migrate` builds Daybook's own, on the default names; these are for the application to build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pymongo.database import Database

from daybook.export.model.source import Source
from daybook.mongo.indexes import EXPORT_INDEXES, Index, built_indexes
from daybook.mongo.shell import literal

_DEFAULT = Source()


def needed(source: Source) -> tuple[Index, ...]:
    """Those that a source needs beside the ones that `migrate` builds, most important first."""
    return tuple(_needed(source))


def _needed(source: Source) -> Iterator[Index]:
    if not isinstance(source.lines, str):
        yield Index(
            collection=source.lines.collection,
            name="idx_line_entry",
            keys={source.lines.key: 1},
            reason="the lines of an entry",
        )
    if source.queue != _DEFAULT.queue:
        for index in EXPORT_INDEXES:
            if index.collection == _DEFAULT.queue:
                yield replace(index, collection=source.queue)
    ours = source.entries == _DEFAULT.entries
    if not ours or source.date != _DEFAULT.date:
        yield Index(
            collection=source.entries,
            name="idx_entry_date",
            keys={source.date: 1, "_id": 1},
            reason="manual exports by date",
        )
    if not isinstance(source.lines, str) and source.reference_in_line is not None:
        yield Index(
            collection=source.lines.collection,
            name="idx_line_reference",
            keys={source.reference_in_line: 1},
            reason="the entries that have a reference",
        )
    elif not ours or source.reference != _DEFAULT.reference:
        yield Index(
            collection=source.entries,
            name="idx_entry_reference",
            keys={source.reference: 1},
            reason="the entries that have a reference",
        )


def missing(database: Database[dict[str, Any]], source: Source) -> list[Index]:
    """Those of `needed` whose work no index does; a longer index with the same start does it."""
    return [
        index
        for index in needed(source)
        if not any(
            _serves(index, built) for built in built_indexes(database, index.collection).values()
        )
    ]


def _serves(index: Index, built: dict[str, Any]) -> bool:
    longer = list(built["key"].items())[: len(index.keys)]
    return index.matches({**built, "key": dict(longer)})


def commands(database: str, missing: Sequence[Index]) -> str:
    """What builds them, for mongosh."""
    return "; ".join(_command(database, index) for index in missing)


def _command(database: str, index: Index) -> str:
    options: dict[str, Any] = {"name": index.name}
    if index.partial:
        options["partialFilterExpression"] = index.partial
    return (
        f"db.getSiblingDB({literal(database)}).getCollection({literal(index.collection)})"
        f".createIndex({literal(index.keys)}, {literal(options)})"
    )
