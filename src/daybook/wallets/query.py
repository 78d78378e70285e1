"""A query as the ledger declares it, so that `explain` runs the very one that requests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.wallets.context import Document


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query: which documents, in which order, and which of their fields."""

    name: str
    collection: str
    filter: Callable[..., Document]
    arguments: Callable[[Document], dict[str, Any]]
    """From a document of the collection, what `filter` must be given to find it."""
    sort: tuple[tuple[str, int], ...] = ()
    projection: Mapping[str, int] | None = None

    def one(
        self, database: Database[Document], *, session: ClientSession | None = None, **given: Any
    ) -> Document | None:
        return database[self.collection].find_one(
            self.filter(**given), self.projection, session=session
        )

    def some(
        self,
        database: Database[Document],
        *,
        limit: int,
        session: ClientSession | None = None,
        **given: Any,
    ) -> list[Document]:
        """The first `limit` documents, fetched in one round trip; 0: all of them."""
        cursor = database[self.collection].find(
            self.filter(**given), self.projection, session=session
        )
        if self.sort:
            cursor = cursor.sort(list(self.sort))
        return list(cursor.limit(limit).batch_size(limit + 1 if limit else 0))
