"""A slot's lease, as seen by processes that do not hold it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from daybook import log
from daybook.export.model.fields import Fields
from daybook.export.slot.state import COLLECTION


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who holds a slot, and for how long yet."""

    fence: int
    owner: str | None
    left: timedelta
    """Until it runs out, by the server's clock; zero or less when nobody has it."""
    session: Any = None
    """ID of the MongoDB session in which the holder runs its transactions."""

    @property
    def abandoned(self) -> bool:
        """Whether the holder let it run out instead of giving it back."""
        return self.owner is not None and self.left <= timedelta()


def lease_of(slots: Collection[dict[str, Any]], slot_id: str) -> Lease | None:
    """The slot's lease, or None when it was never taken. Raises `DocumentDamaged`."""
    timed = {"$eq": [{"$type": "$lease.expiresAt"}, "date"]}
    left = {"$cond": [timed, {"$subtract": ["$lease.expiresAt", "$$NOW"]}, 0]}
    found = slots.aggregate(
        [
            {"$match": {"_id": slot_id}},
            {"$project": {"fence": 1, "lease.owner": 1, "lease.session": 1, "left": left}},
        ]
    )
    return next(map(_lease, found), None)


def _lease(doc: Mapping[str, Any]) -> Lease:
    fields = Fields.of(doc, COLLECTION)
    lease = fields.inner_or_none("lease")
    return Lease(
        fence=fields.whole("fence"),
        owner=None if lease is None else lease.text_or_none("owner"),
        left=timedelta(milliseconds=doc["left"]),
        session=(doc.get("lease") or {}).get("session"),
    )


def end_abandoned(slots: Collection[dict[str, Any]], slot_id: str) -> None:
    """End the session of a holder whose lease has run out, and its open transaction with it.

    A process that was killed inside a transaction would otherwise keep the slot, its
    batch and its items locked for `transactionLifetimeLimitSeconds` (a minute). If it
    was only frozen, its commit is refused when it wakes up; nothing else of it depends
    on the session. Sessions belong to a user: another user's is left to MongoDB.
    """
    lease = lease_of(slots, slot_id)
    if lease is None or not lease.abandoned or lease.session is None:
        return
    try:
        slots.database.client.admin.command("killSessions", [{"id": lease.session}])
    except OperationFailure as error:
        # Some hosted clusters do not offer the command; the transaction ends by itself then.
        log.event(
            logging.WARNING,
            "session_not_ended",
            f"The session of the process that held slot {slot_id} could not be ended: if it was "
            f"killed inside a transaction, the slot is locked for up to a minute: {error}",
        )
