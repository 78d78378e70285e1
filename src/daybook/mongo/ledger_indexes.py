"""The ledger's indexes. Its guarantees depend on the unique ones."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from pymongo.database import Database

from daybook.errors import RUN_MIGRATE, ConfigurationError
from daybook.mongo.index import Index, built_indexes

INVITE_KEPT_SECONDS = 30 * 24 * 3600
"""How long an expired invite is kept after its `expiresAt`."""

# Comparisons are by type, so these conditions leave out null and absent fields, of which other
# applications' documents may have any number. Unlike with `$type`, MongoDB sees that a query
# for one value implies the condition, and uses the index.
_ANY_TEXT = {"$gte": ""}
_ANY_ID = {"$gte": ObjectId("0" * 24)}

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


def check_ledger_guards(database: Database[dict[str, Any]]) -> None:
    """Raise `ConfigurationError` when an index that forbids duplicates is missing."""
    for guard in LEDGER_GUARDS:
        built = built_indexes(database, guard.collection).values()
        if not any(guard.guards(candidate) for candidate in built):
            raise ConfigurationError(
                f"no valid unique index {guard.name} on {guard.collection} "
                f"({guard.reason}): {RUN_MIGRATE}"
            )
