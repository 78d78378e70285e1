"""A query of the exporter as it is declared for `explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeclaredQuery:
    """What a query finds, in which order; the ledger's are declared in `wallets/query.py`."""

    name: str
    collection: str
    filter: Callable[..., Document]
    arguments: Callable[[Document], dict[str, Any]]
    """From a document of the collection, what `filter` must be given; raises `KeyError` or
    `TypeError` for one that it cannot find.
    """
    sort: tuple[tuple[str, int], ...] = ()
    projection: Mapping[str, int] | None = None
    hint: Mapping[str, int] | None = None
    among: Mapping[str, Any] | None = None
    """Narrows the documents that arguments are taken from, where few of all would do."""
    excused: str = ""
    """Why it may sort in memory: what bounds the documents that it can meet."""
    small: str = ""
    """Why it may scan: what bounds the collection."""
