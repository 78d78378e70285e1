"""An index as it is declared, and as MongoDB has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pymongo import IndexModel
from pymongo.collation import Collation
from pymongo.database import Database
from pymongo.errors import OperationFailure

NAMESPACE_NOT_FOUND = 26
IS_A_VIEW = 166


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index; `reason` is what it is for, shown by `migrate` and in docs/data-model.md."""

    collection: str
    name: str
    keys: Mapping[str, int]
    reason: str
    unique: bool = False
    partial: Mapping[str, Any] = field(default_factory=dict)
    formerly: tuple[Mapping[str, Any], ...] = ()
    """Partial filters of earlier versions, which forbid as much; `migrate` replaces them."""
    former_keys: tuple[Mapping[str, int], ...] = ()
    """Keys of earlier versions' unique indexes, which forbid more; `migrate` replaces them."""
    supersede: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    """The update, or its pipeline, that frees a duplicate's key and keeps all that it holds."""
    superseded_only: Mapping[str, Any] = field(default_factory=dict)
    """What a duplicate must be like for that update; empty: it may be like anything."""
    expire_after_seconds: int | None = None
    """MongoDB removes a document so long after the date in its only key; None: never."""

    def model(self) -> IndexModel:
        """The index in the driver's form."""
        # Without this an index inherits its collection's default collation.
        options: dict[str, Any] = {"name": self.name, "collation": Collation("simple")}
        if self.unique:
            options["unique"] = True
        if self.partial:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        return IndexModel(list(self.keys.items()), **options)

    def matches(self, built: Mapping[str, Any]) -> bool:
        """Whether an index of MongoDB's `listIndexes` does this one's work, under any name.

        An index with a collation does not serve plain queries, and a hidden one serves none.
        """
        return (
            list(built["key"].items()) == list(self.keys.items())
            and (bool(built.get("unique")) or not self.unique)
            and dict(built.get("partialFilterExpression", {})) == dict(self.partial)
            and built.get("expireAfterSeconds") == self.expire_after_seconds
            and not any(built.get(name) for name in ("sparse", "collation", "hidden"))
        )

    def guards(self, built: Mapping[str, Any]) -> bool:
        """Whether an index forbids the same as this one, also in the form of an earlier version."""
        return any(
            replace(self, keys=keys, partial=partial).matches(built)
            for keys in (self.keys, *self.former_keys)
            for partial in (self.partial, *self.formerly)
        )

    def is_misnamed(self, built: Mapping[str, Any]) -> bool:
        """Whether an index does this one's work under another name, and may be rebuilt.

        A unique one may not: its owner may rely on what it forbids.
        """
        return not built.get("unique") and built["name"] != self.name and self.matches(built)

    def clashes(self, built: Mapping[str, Any]) -> bool:
        """Whether MongoDB would refuse to build this one beside that index."""
        return not self.matches(built) and (
            built["name"] == self.name
            or (
                list(built["key"].items()) == list(self.keys.items())
                and bool(built.get("unique")) == self.unique
                and dict(built.get("partialFilterExpression", {})) == dict(self.partial)
                and not any(built.get(name) for name in ("sparse", "collation"))
            )
        )


def built_indexes(database: Database[dict[str, Any]], collection: str) -> dict[str, dict[str, Any]]:
    """Indexes by name, as MongoDB describes them; empty for a view or a missing collection."""
    try:
        return {index["name"]: dict(index) for index in database[collection].list_indexes()}
    except OperationFailure as error:
        if error.code in {NAMESPACE_NOT_FOUND, IS_A_VIEW}:
            return {}
        raise
