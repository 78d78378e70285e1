"""Migrations: numbered steps that bring a database to what this version expects.

Each step is a module in `daybook.mongo.migrations` with `VERSION`, `NAME`,
`check(database) -> list[str]` (what stands in the way; nothing is changed) and
`apply(database) -> None`, which may be repeated. Applied versions stand in
`schemamigrations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from pymongo.database import Database

from daybook.errors import ConfigurationError
from daybook.mongo import indexes
from daybook.mongo.migrations import m0001_indexes

COLLECTION = "schemamigrations"


class Migration(Protocol):
    VERSION: int
    NAME: str

    def check(self, database: Database[dict[str, Any]]) -> list[str]: ...

    def apply(self, database: Database[dict[str, Any]], now: datetime) -> None: ...


MIGRATIONS: Sequence[Migration] = (cast(Migration, m0001_indexes),)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """One step of this call: `changed` is False when there was nothing to do."""

    version: int
    name: str
    changed: bool


def migrate(database: Database[dict[str, Any]], *, now: datetime) -> list[Applied]:
    """Apply what is pending, in order; an up-to-date database is left alone.

    Indexes that somebody dropped since are built again. Raises `ConfigurationError`
    naming what stands in the way, with nothing changed by that step.
    """
    done = {doc["_id"] for doc in database[COLLECTION].find({}, {"_id": 1})}
    lost = bool(indexes.missing(database))
    steps = []
    for migration in MIGRATIONS:
        pending = migration.VERSION not in done
        rebuild = lost and migration is MIGRATIONS[0]
        if pending or rebuild:
            problems = migration.check(database)
            if problems:
                raise ConfigurationError(
                    f"migration {migration.VERSION} ({migration.NAME}) changed nothing: "
                    + "; ".join(problems)
                )
            migration.apply(database, now)
            database[COLLECTION].update_one(
                {"_id": migration.VERSION},
                {"$set": {"name": migration.NAME, "appliedAt": now}},
                upsert=True,
            )
        steps.append(
            Applied(version=migration.VERSION, name=migration.NAME, changed=pending or rebuild)
        )
    return steps


def to_doc(database_name: str, steps: Sequence[Applied]) -> dict[str, Any]:
    """What `migrate` answers."""
    return {
        "database": database_name,
        "migrations": [
            {"version": step.version, "name": step.name, "changed": step.changed} for step in steps
        ],
    }
