"""Every index that Daybook needs, declared in one place. `migrate` builds them, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.errors import ConfigurationError

NAMESPACE_NOT_FOUND = 26


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index; `reason` is what it is for, shown by `migrate` and in docs/data-model.md."""

    collection: str
    name: str
    keys: Mapping[str, int]
    reason: str
    unique: bool = False
    partial: Mapping[str, Any] = field(default_factory=dict)
    expire_after_seconds: int | None = None
    """After the date in its only key MongoDB removes the document; None: it never does."""

    def build(self, database: Database[dict[str, Any]]) -> None:
        """Build it; does nothing when it is there as declared."""
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.partial:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        database[self.collection].create_index(list(self.keys.items()), **options)

    def matches(self, built: Mapping[str, Any]) -> bool:
        """Whether an index of MongoDB's `listIndexes` does this one's work."""
        return (
            list(built["key"].items()) == list(self.keys.items())
            and (bool(built.get("unique")) or not self.unique)
            and dict(built.get("partialFilterExpression", {})) == dict(self.partial)
            and built.get("expireAfterSeconds") == self.expire_after_seconds
            and not built.get("sparse")
        )


ONE_FILE_A_DAY = Index(
    collection="exportlogs",
    name="idx_batch_daily_unique",
    keys={"metadata.batchDate": 1, "action": 1, "metadata.profile": 1},
    unique=True,
    partial={"metadata.batchDate": {"$type": "string"}, "action": "csv_generated"},
    reason="one csv_generated record per profile and date",
)
ONE_BATCH_A_DAY = Index(
    collection="exportbatches",
    name="idx_batch_day_unique",
    keys={"profile": 1, "batchDate": 1},
    unique=True,
    partial={"batchDate": {"$type": "string"}},
    reason="one batch per profile and date",
)
ONE_BATCH_A_KEY = Index(
    collection="exportbatches",
    name="idx_batch_manual_unique",
    keys={"profile": 1, "manualKey": 1},
    unique=True,
    partial={"manualKey": {"$type": "string"}},
    reason="one batch per manual export's key",
)

GUARDS = (ONE_FILE_A_DAY, ONE_BATCH_A_DAY, ONE_BATCH_A_KEY)
"""Without these nothing is exported."""

INDEXES = (
    *GUARDS,
    Index(
        collection="exportlogs",
        name="idx_log_day",
        keys={"metadata.batchDate": 1, "action": 1},
        reason="a day's records",
    ),
    Index(
        collection="exportlogs",
        name="idx_log_entry",
        keys={"metadata.entryId": 1},
        reason="what happened to one entry",
    ),
    Index(
        collection="exportbatches",
        name="idx_batch_unmarked",
        keys={"profile": 1, "state": 1, "markedAt": 1},
        reason="committed batches whose items are not all marked; the history",
    ),
    Index(
        collection="exportbatches",
        name="idx_batch_unannounced",
        keys={"profile": 1, "state": 1},
        partial={"alertedAt": {"$type": "null"}},
        reason="batches of which nobody has been told how they ended",
    ),
    Index(
        collection="exportbatches",
        name="idx_batch_pending",
        keys={"profile": 1, "pendingTask.due": 1},
        partial={"pendingTask.due": {"$type": "date"}},
        reason="batches that a call has to follow",
    ),
    Index(
        collection="exportorphans",
        name="idx_orphan_unannounced",
        keys={"profile": 1},
        partial={"alertedAt": {"$type": "null"}},
        reason="given-up ids of which nobody has been told",
    ),
    Index(
        collection="exportqueues",
        name="idx_queue_plan",
        keys={"exportPath": 1, "_id": 1},
        partial={"status": "queued"},
        reason="the plan's scan, in order",
    ),
    Index(
        collection="exportqueues",
        name="idx_queue_entry",
        keys={"entryId": 1},
        reason="other items of the same entry: duplicates, lineage",
    ),
    Index(
        collection="exportmanifests",
        name="idx_manifest_delivered",
        keys={"entryIds": 1},
        partial={"markedAt": {"$exists": True}},
        reason="whether an entry stands in a delivered file, and in which",
    ),
    Index(
        collection="exportmanifests",
        name="idx_manifest_unmarked",
        keys={"profile": 1, "markedAt": 1},
        reason="parts that a crash left behind",
    ),
    Index(
        collection="exportorphans",
        name="idx_orphan_watched",
        keys={"watchUntil": 1},
        reason="ids that the sweep still watches",
    ),
    Index(
        collection="journalentries",
        name="idx_entry_date",
        keys={"date": 1, "_id": 1},
        reason="manual exports by date",
    ),
)


def built_indexes(database: Database[dict[str, Any]], collection: str) -> dict[str, dict[str, Any]]:
    """By name, as MongoDB describes them; empty for a collection that is not there."""
    try:
        return {index["name"]: dict(index) for index in database[collection].list_indexes()}
    except OperationFailure as error:
        if error.code == NAMESPACE_NOT_FOUND:
            return {}
        raise


def missing(database: Database[dict[str, Any]]) -> list[Index]:
    """Declared indexes that are not there, or not as declared."""
    collections = {index.collection for index in INDEXES}
    built = {name: built_indexes(database, name).values() for name in collections}
    return [
        index
        for index in INDEXES
        if not any(index.matches(candidate) for candidate in built[index.collection])
    ]


def check_guards(database: Database[dict[str, Any]]) -> None:
    """Raise `ConfigurationError` when a unique index that the guarantee rests on is missing."""
    for guard in GUARDS:
        built = built_indexes(database, guard.collection).values()
        if not any(guard.matches(candidate) for candidate in built):
            raise ConfigurationError(
                f"no valid unique index {guard.name} on {guard.collection} "
                f"({guard.reason}): run `python -m daybook migrate`"
            )
