"""Lookups of users: each combination of fields that a request may give is a query of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from daybook.mongo.query import Query
from daybook.wallets.context import Document

USERS = "users"

_FIELDS = ("brandCode", "mediatorCode", "roles", "status")
_LEADING = _FIELDS[:3]
"""What an index begins with. A request that gives none of them is refused."""


def users(**fields: str) -> Document:
    """`fields` are those of a user that are to be equal; one of `roles` counts as equal."""
    return {**fields, "deletedAt": None}


def of_user(*names: str) -> Callable[[Document], dict[str, Any]]:
    """Takes the arguments of `users` from a stored user."""

    def arguments(doc: Document) -> dict[str, Any]:
        return {name: doc[name][0] if name == "roles" else doc[name] for name in names}

    return arguments


def lookups() -> Iterator[Query]:
    """All that `GET /users` may come to."""
    for count in range(1, len(_FIELDS) + 1):
        for names in combinations(_FIELDS, count):
            if names[0] in _LEADING:
                yield Query(
                    name=f"users_by_{'_'.join(names)}",
                    collection=USERS,
                    filter=users,
                    arguments=of_user(*names),
                )
