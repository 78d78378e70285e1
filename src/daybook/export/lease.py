"""A slot's lease, as somebody sees it who does not hold it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo.collection import Collection


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who holds a slot, and for how long yet."""

    fence: int
    owner: str | None
    left: timedelta
    """Until it runs out, by the server's clock; zero or less when nobody has it."""


def lease_of(slots: Collection[dict[str, Any]], slot_id: str) -> Lease | None:
    """The slot's lease, or None when it was never taken."""
    left = {"$ifNull": [{"$subtract": ["$lease.expiresAt", "$$NOW"]}, 0]}
    found = slots.aggregate(
        [{"$match": {"_id": slot_id}}, {"$project": {"fence": 1, "lease.owner": 1, "left": left}}]
    )
    return next(
        (
            Lease(
                fence=doc["fence"],
                owner=(doc.get("lease") or {}).get("owner"),
                left=timedelta(milliseconds=doc["left"]),
            )
            for doc in found
        ),
        None,
    )
