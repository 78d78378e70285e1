"""Every index that Daybook needs, declared in one place. `migrate` builds them, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bson import ObjectId
from pymongo import IndexModel
from pymongo.collation import Collation
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.errors import RUN_MIGRATE, ConfigurationError

NAMESPACE_NOT_FOUND = 26
IS_A_VIEW = 166

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
INVITE_KEPT_SECONDS = 30 * 24 * 3600
"""How long an expired invite is kept after its `expiresAt`."""

# Comparisons are by type, so these conditions leave out null and absent fields, of which other
# applications' documents may have any number. Unlike with `$type`, MongoDB sees that a query
# for one value implies the condition, and uses the index.
_ANY_TEXT = {"$gte": ""}
_ANY_ID = {"$gte": ObjectId("0" * 24)}


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

LEDGER_GUARDS = (
    Index(
        collection="transactions",
        name="idx_transaction_key_caller_unique",
        keys={"idempotencyKey": 1, "idempotencyCaller": 1},
        unique=True,
        # The second transaction of a transfer does not have a key.
        partial={"idempotencyKey": _ANY_TEXT},
        formerly=({"idempotencyKey": {"$exists": True}},),
        former_keys=({"idempotencyKey": 1},),
        reason="one movement per caller and idempotency key",
        supersede={"$rename": {"idempotencyKey": "supersededIdempotencyKey"}},
    ),
    Index(
        collection="transactions",
        name="idx_transaction_reverses_id_unique",
        keys={"reverses": 1},
        unique=True,
        partial={"reverses": _ANY_ID},
        formerly=({"reverses": {"$exists": True}},),
        reason="at most one reversal per transaction",
        supersede={"$rename": {"reverses": "supersededReverses"}},
    ),
    Index(
        collection="wallets",
        name="idx_wallet_owner_id_unique",
        keys={"ownerUserId": 1},
        unique=True,
        # Not `$type: "null"`: a query for null could not use the index, and documents without
        # the field would not be in it.
        partial={"deletedAt": None, "ownerUserId": _ANY_ID},
        formerly=({"deletedAt": None},),
        reason="one wallet per user, deleted ones aside",
        supersede={"$currentDate": {"deletedAt": True}},
        # A wallet with money is not closed: its money has to be moved first.
        superseded_only={"availablePaise": {"$in": [0, None]}},
    ),
    Index(
        collection="invites",
        name="idx_invite_code_text_unique",
        keys={"code": 1},
        unique=True,
        partial={"code": _ANY_TEXT},
        formerly=({},),
        reason="one invite per code",
        supersede={"$rename": {"code": "supersededCode"}},
    ),
)
"""Without these nothing is moved."""

LEDGER_INDEXES = (
    *LEDGER_GUARDS,
    Index(
        collection="transactions",
        name="idx_transaction_wallet",
        keys={"walletId": 1, "createdAt": -1},
        reason="a wallet's history, newest first",
    ),
    Index(
        collection="users",
        name="idx_user_brand",
        keys={"brandCode": 1, "roles": 1, "deletedAt": 1},
        reason="a brand's users",
    ),
    Index(
        collection="users",
        name="idx_user_mediator",
        keys={"mediatorCode": 1, "roles": 1, "deletedAt": 1},
        reason="a mediator's users",
    ),
    Index(
        collection="users",
        name="idx_user_role",
        keys={"roles": 1, "status": 1, "deletedAt": 1},
        reason="users of a role",
    ),
    Index(
        collection="invites",
        name="idx_invite_parent",
        keys={"parentCode": 1, "status": 1, "createdAt": -1},
        reason="invites of one parent, newest first",
    ),
    Index(
        collection="invites",
        name="idx_invite_due",
        keys={"status": 1, "expiresAt": 1},
        reason="invites whose time is over",
    ),
    Index(
        collection="invites",
        name="idx_invite_ttl",
        keys={"expiresAt": 1},
        partial={"status": "expired"},
        expire_after_seconds=INVITE_KEPT_SECONDS,
        reason="expired invites are removed after 30 days",
    ),
    *(
        Index(
            collection=f"{noun}s",
            name=f"idx_{noun}_answer",
            keys={"answer.createdAt": 1},
            partial={"answer.createdAt": _ANY_TEXT},
            reason="stored answers that are no longer kept",
        )
        for noun in ("transaction", "user", "wallet", "invite")
    ),
)

INDEXES = (*EXPORT_INDEXES, *LEDGER_INDEXES, *CAMPAIGN_INDEXES)


def built_indexes(database: Database[dict[str, Any]], collection: str) -> dict[str, dict[str, Any]]:
    """Indexes by name, as MongoDB describes them; empty for a view or a missing collection."""
    try:
        return {index["name"]: dict(index) for index in database[collection].list_indexes()}
    except OperationFailure as error:
        if error.code in {NAMESPACE_NOT_FOUND, IS_A_VIEW}:
            return {}
        raise


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


def check_ledger_guards(database: Database[dict[str, Any]]) -> None:
    """Raise `ConfigurationError` when an index that forbids duplicates is missing."""
    for guard in LEDGER_GUARDS:
        built = built_indexes(database, guard.collection).values()
        if not any(guard.guards(candidate) for candidate in built):
            raise ConfigurationError(
                f"no valid unique index {guard.name} on {guard.collection} "
                f"({guard.reason}): {RUN_MIGRATE}"
            )
