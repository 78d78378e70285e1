"""A declared query: the code runs it from its declaration, and `explain` examines the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor, RawBatchCursor
from pymongo.database import Database

Document = dict[str, Any]
Source = Database[Document] | Collection[Document]
"""The database, or the query's collection with codec options other than the database's."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query: which documents, in which order, and which of their fields.

    The keyword arguments `given` to a method are those of `filter`. An update, or the first
    stage of an aggregation, uses `filter` alone. A query by `_id` needs no declaration unless
    it is a range: `_id` always has an index.
    """

    name: str
    collection: str
    filter: Callable[..., Document]
    arguments: Callable[[Document], dict[str, Any]]
    """Takes from a document of the collection the arguments of `filter` that find it.

    Raises `AttributeError`, `LookupError`, `TypeError` or `ValueError` for a document that it
    cannot find.
    """
    sort: tuple[tuple[str, int], ...] = ()
    projection: Mapping[str, int] | None = None
    hint: Mapping[str, int] | None = None
    among: Mapping[str, Any] | None = None
    """Filter for the documents that `explain` takes arguments from, where few of all qualify."""
    excused: str = ""
    """Why the query may sort in memory: what limits the number of documents that it finds."""
    small: str = ""
    """Why the query may scan: what limits the size of the collection."""

    def find(
        self,
        source: Source,
        *,
        session: ClientSession | None = None,
        projection: Mapping[str, int] | None = None,
        limit: int = 0,
        batch_size: int = 0,
        **given: Any,
    ) -> Cursor[Document]:
        """`projection` replaces the declared one."""
        return self._in(source).find(
            self.filter(**given),
            projection or self.projection,
            sort=self._sort(),
            hint=self.hint,
            session=session,
            limit=limit,
            batch_size=batch_size,
        )

    def find_raw(
        self, source: Source, *, batch_size: int = 0, **given: Any
    ) -> RawBatchCursor[Document]:
        """The result as undecoded BSON, in batches of entire documents."""
        return self._in(source).find_raw_batches(
            self.filter(**given),
            self.projection,
            sort=self._sort(),
            hint=self.hint,
            batch_size=batch_size,
        )

    def one(
        self,
        source: Source,
        *,
        session: ClientSession | None = None,
        projection: Mapping[str, int] | None = None,
        **given: Any,
    ) -> Document | None:
        return self._in(source).find_one(
            self.filter(**given),
            projection or self.projection,
            sort=self._sort(),
            hint=self.hint,
            session=session,
        )

    def some(
        self,
        source: Source,
        *,
        limit: int,
        session: ClientSession | None = None,
        **given: Any,
    ) -> list[Document]:
        """The first `limit` documents, fetched in one round trip; 0: all of them."""
        batch_size = limit + 1 if limit else 0
        return list(self.find(source, session=session, limit=limit, batch_size=batch_size, **given))

    def count(self, source: Source, **given: Any) -> int:
        collection, filters = self._in(source), self.filter(**given)
        if self.hint is None:
            return collection.count_documents(filters)
        return collection.count_documents(filters, hint=self.hint)

    def _in(self, source: Source) -> Collection[Document]:
        return source if isinstance(source, Collection) else source[self.collection]

    def _sort(self) -> list[tuple[str, int]] | None:
        return list(self.sort) or None
