"""Every index that Daybook needs, declared in one place. `migrate` builds them, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.database import Database

from daybook.errors import RUN_MIGRATE, ConfigurationError
from daybook.mongo.index import Index as Index
from daybook.mongo.index import built_indexes as built_indexes
from daybook.mongo.ledger_indexes import LEDGER_INDEXES

ONE_FILE_A_DAY = Index(
    collection="exportlogs",
    name="idx_batch_daily_unique",
    keys={"metadata.batchDate": 1, "action": 1, "metadata.profile": 1},
    unique=True,
    partial={"metadata.batchDate": {"$type": "string"}, "action": "csv_generated"},
    reason="one csv_generated record per profile and date",
    supersede={"$set": {"action": "csv_superseded"}},
)
ONE_BATCH_A_DAY = Index(
    collection="exportbatches",
    name="idx_batch_day_unique",
    keys={"profile": 1, "batchDate": 1},
    unique=True,
    partial={"batchDate": {"$type": "string"}},
    reason="one batch per profile and date",
    supersede={"$rename": {"profile": "supersededProfile", "batchDate": "supersededBatchDate"}},
)
ONE_BATCH_A_KEY = Index(
    collection="exportbatches",
    name="idx_batch_manual_unique",
    keys={"profile": 1, "manualKey": 1},
    unique=True,
    partial={"manualKey": {"$type": "string"}},
    reason="one batch per manual export's key",
    supersede={"$rename": {"profile": "supersededProfile", "manualKey": "supersededManualKey"}},
)

GUARDS = (ONE_FILE_A_DAY, ONE_BATCH_A_DAY, ONE_BATCH_A_KEY)
"""Without these nothing is exported."""

UNKNOWN_STATUS: Mapping[str, Any] = {
    "$or": [
        {"status": {"$lt": "completed"}},
        {"status": {"$gt": "completed", "$lt": "failed"}},
        {"status": {"$gt": "failed", "$lt": "queued"}},
        {"status": {"$gt": "queued"}},
        {"status": None},
        {
            "status": {
                "$type": [
                    *("array", "binData", "bool", "date", "decimal", "double", "int", "long"),
                    *("object", "objectId", "regex", "timestamp", "minKey", "maxKey"),
                ]
            }
        },
    ]
}
"""Neither queued, completed nor failed; as ranges, since an index cannot be partial on `$nin`."""

EXPORT_INDEXES = (
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
        reason="batches whose outcome has not been announced",
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
        reason="abandoned IDs that have not been announced",
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
        name="idx_queue_profile",
        keys={"profile": 1, "exportPath": 1, "_id": 1},
        partial={"status": "queued", "profile": {"$exists": True}},
        reason="a profile's scan, in order; queued items of a profile that does not exist",
    ),
    Index(
        collection="exportqueues",
        name="idx_queue_status_unknown",
        keys={"status": 1},
        partial=UNKNOWN_STATUS,
        reason="items whose status no run knows; it holds nothing else",
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
        reason="whether a delivered file contains an entry, and which",
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
        reason="IDs that the sweep still watches",
    ),
    Index(
        collection="journalentries",
        name="idx_entry_date",
        keys={"date": 1, "_id": 1},
        reason="manual exports by date",
    ),
    Index(
        collection="journalentries",
        name="idx_entry_reference",
        keys={"reference": 1},
        reason="the entries that have a reference",
    ),
)

CAMPAIGN_INDEXES = (
    Index(
        collection="campaigns",
        name="idx_campaign_agency",
        keys={"allowedAgencyCodes": 1},
        reason="campaigns that an agency may see",
    ),
    Index(
        collection="campaignassignments",
        name="idx_assignment_unique",
        keys={"campaignId": 1, "key": 1},
        unique=True,
        reason="one assignment per campaign and key",
        # The index is not partial, so that a second copy without a campaign would be a duplicate,
        # too: each gets its own ID in the place of the campaign's.
        supersede=[{"$set": {"supersededCampaignId": "$campaignId", "campaignId": "$_id"}}],
    ),
)

INDEXES = (*EXPORT_INDEXES, *LEDGER_INDEXES, *CAMPAIGN_INDEXES)


def missing(database: Database[dict[str, Any]], wanted: Sequence[Index] = INDEXES) -> list[Index]:
    """Those of `wanted` that are missing, or that differ from their declaration."""
    collections = {index.collection for index in wanted}
    built = {name: built_indexes(database, name).values() for name in collections}
    return [
        index
        for index in wanted
        if not any(index.matches(candidate) for candidate in built[index.collection])
    ]


def check_guards(database: Database[dict[str, Any]]) -> None:
    """Raise `ConfigurationError` when a unique index that the guarantee depends on is missing."""
    for guard in GUARDS:
        built = built_indexes(database, guard.collection).values()
        if not any(guard.matches(candidate) for candidate in built):
            raise ConfigurationError(
                f"no valid unique index {guard.name} on {guard.collection} "
                f"({guard.reason}): {RUN_MIGRATE}"
            )
