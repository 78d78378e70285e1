"""Migrations: numbered steps that bring a database to what this version expects.

Each step is a module in `daybook.mongo.migrations` with `VERSION`, `NAME`,
`plan(database) -> list[str]` (what it would do), `duplicates(database)` and
`check(database) -> list[str]` (what prevents it) and `apply(database, now)`, which may be
repeated, even by two processes at once: there is no lock. Only `apply` changes anything.
Applied versions are stored in `schemamigrations`, where earlier versions of Daybook may have
left a document `lock`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

import pymongo
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from daybook.errors import ConfigurationError
from daybook.mongo import objects
from daybook.mongo.building import Duplicates
from daybook.mongo.migrations import (
    m0001_indexes,
    m0002_ledger_indexes,
    m0003_campaign_assignments,
)
from daybook.mongo.objects import ObjectFault
from daybook.mongo.rights import permitted

COLLECTION = "schemamigrations"

LONGEST_SECONDS = 24 * 3600.0
"""Replaces the client's socket timeout: a search for duplicates, or the build of an index,
is one command, whose duration depends on the size of the collection.
"""


_COLLECTIONS: Mapping[int, Sequence[str]] = {
    m0001_indexes.VERSION: objects.EXPORT_COLLECTIONS,
    m0002_ledger_indexes.VERSION: objects.LEDGER_COLLECTIONS,
}
"""Version → the collections that must be ordinary ones."""


class Migration(Protocol):
    VERSION: int
    NAME: str

    def plan(self, database: Database[dict[str, Any]]) -> list[str]: ...

    def duplicates(self, database: Database[dict[str, Any]]) -> list[Duplicates]: ...

    def check(self, database: Database[dict[str, Any]]) -> list[str]: ...

    def apply(self, database: Database[dict[str, Any]], now: datetime) -> None: ...


MIGRATIONS: Sequence[Migration] = (
    cast(Migration, m0001_indexes),
    cast(Migration, m0002_ledger_indexes),
    cast(Migration, m0003_campaign_assignments),
)


class DuplicatesFound(ConfigurationError):
    """Documents that unique indexes would refuse; the message has the commands that help."""

    def __init__(self, message: str, groups: Sequence[Duplicates]) -> None:
        super().__init__(message)
        self.groups = tuple(groups)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """One step of this call: `changed` is False when there was nothing to do."""

    version: int
    name: str
    changed: bool


@dataclass(frozen=True, kw_only=True)
class MigrationStatus:
    """The status of one migration; `steps` and `problems` are empty when it is up to date."""

    version: int
    name: str
    applied_at: datetime | None
    """When it was last applied; None if never."""
    steps: tuple[str, ...]
    """What `migrate` would do."""
    problems: tuple[str, ...]
    """What prevents it."""
    duplicates: tuple[Duplicates, ...] = ()
    """Those of the problems that are documents with the same key."""
    known: bool = True
    """False if only a newer version of Daybook knows this migration."""

    @property
    def pending(self) -> bool:
        """Never applied, or to be applied again, for example because an index was dropped since."""
        return self.known and (self.applied_at is None or bool(self.steps))

    def to_doc(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "name": self.name,
            "appliedAt": self.applied_at,
            "known": self.known,
            "pending": self.pending,
            "steps": list(self.steps),
            "problems": list(self.problems),
        }


def migrate(database: Database[dict[str, Any]], *, now: datetime) -> list[Applied]:
    """Apply what is pending, in order; an up-to-date database is left alone.

    Changes that were undone since, such as by dropping an index, are made again. Raises
    `ConfigurationError` naming what prevents it, with nothing changed: duplicates, migrations
    of a newer version, rights that the user lacks.
    """
    # All are checked before the first one changes anything.
    before = standings(database)
    _check(before)
    ours = [standing for standing in before if standing.known]
    if not any(standing.pending for standing in ours):
        return [_applied(standing) for standing in ours]
    with permitted("migrate"), pymongo.timeout(LONGEST_SECONDS):
        steps = []
        for migration in MIGRATIONS:
            standing = _standing(database, migration)
            _check([standing])
            if standing.pending:
                _apply(database, migration, now)
            steps.append(_applied(standing))
    return steps


def _apply(database: Database[dict[str, Any]], migration: Migration, now: datetime) -> None:
    try:
        migration.apply(database, now)
    except DuplicateKeyError:
        # Duplicates were written while an index was being built; checking again names them.
        _check([_standing(database, migration)])
        raise
    database[COLLECTION].update_one(
        {"_id": migration.VERSION},
        {"$set": {"name": migration.NAME, "appliedAt": now}},
        upsert=True,
    )


def standings(database: Database[dict[str, Any]]) -> list[MigrationStatus]:
    """The status of every migration: whether it was applied, what it would do, what prevents it.

    Migrations that a newer version of Daybook applied come last.
    """
    # Without a MongoDB, the longer time limit would be waited for too, to find one.
    database.command("ping")
    with permitted("migrate"), pymongo.timeout(LONGEST_SECONDS):
        found = [_standing(database, migration) for migration in MIGRATIONS]
        newer = _newer(database, would=any(standing.pending for standing in found))
    return found + newer


def _newer(database: Database[dict[str, Any]], *, would: bool) -> list[MigrationStatus]:
    """A newer version's migrations prevent what this version `would` do: it might undo them."""
    latest = MIGRATIONS[-1].VERSION
    problem = f"a newer version of Daybook applied it, this one knows {latest}: use that one"
    return [
        MigrationStatus(
            version=doc["_id"],
            name=str(doc.get("name")),
            applied_at=_applied_at(doc),
            steps=(),
            problems=(problem,) if would else (),
            known=False,
        )
        for doc in database[COLLECTION]
        .find({"_id": {"$type": "number", "$gt": latest}})
        .sort("_id", 1)
    ]


def to_doc(
    database_name: str, steps: Sequence[Applied], obstacles: Sequence[ObjectFault]
) -> dict[str, Any]:
    """The JSON answer of `migrate`."""
    return {
        "database": database_name,
        "migrations": [
            {"version": step.version, "name": step.name, "changed": step.changed} for step in steps
        ],
        "obstacles": [obstacle.to_doc() for obstacle in obstacles],
    }


def obstacles(database: Database[dict[str, Any]]) -> list[ObjectFault]:
    """Foreign objects that may refuse Daybook's writes, although migrating is possible."""
    with permitted("migrate"), pymongo.timeout(LONGEST_SECONDS):
        return [fault for fault in objects.faults(database) if not fault.blocks]


def _standing(database: Database[dict[str, Any]], migration: Migration) -> MigrationStatus:
    doc = database[COLLECTION].find_one({"_id": migration.VERSION}) or {}
    blocked = [
        fault.detail
        for fault in objects.faults(database, _COLLECTIONS.get(migration.VERSION, ()))
        if fault.blocks
    ]
    if blocked:
        return MigrationStatus(
            version=migration.VERSION,
            name=migration.NAME,
            applied_at=_applied_at(doc),
            steps=(),
            problems=tuple(blocked),
        )
    steps = tuple(migration.plan(database))
    # Checked only if needed: looking for duplicates reads whole collections.
    duplicates = tuple(migration.duplicates(database)) if steps else ()
    problems = [group.sentence(database.name) for group in duplicates]
    if steps:
        problems += migration.check(database)
    return MigrationStatus(
        version=migration.VERSION,
        name=migration.NAME,
        applied_at=_applied_at(doc),
        steps=steps,
        problems=tuple(problems),
        duplicates=duplicates,
    )


def _applied_at(doc: Mapping[str, Any]) -> datetime | None:
    """None for a document that was altered: its step, which may be repeated, is applied again."""
    found = doc.get("appliedAt")
    return found if isinstance(found, datetime) else None


def _check(standings: Sequence[MigrationStatus]) -> None:
    problems = [
        f"migration {standing.version} ({standing.name}) changed nothing: "
        + "; ".join(standing.problems)
        for standing in standings
        if standing.problems
    ]
    duplicates = [group for standing in standings for group in standing.duplicates]
    if duplicates:
        raise DuplicatesFound("; ".join(problems), duplicates)
    if problems:
        raise ConfigurationError("; ".join(problems))


def _applied(standing: MigrationStatus) -> Applied:
    return Applied(version=standing.version, name=standing.name, changed=standing.pending)
