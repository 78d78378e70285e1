"""Rejections: the items that a file leaves out, stored in parts next to its manifest.

A day can reject more items than one document can hold. A seal and a batch name the parts by
their common ID; the batch also lists the first `LISTED` of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from daybook.errors import DaybookError
from daybook.export.model.fields import Fields
from daybook.export.model.figures import Rejected
from daybook.export.model.seal import ManifestRef

LISTED = 100
"""Rejected items that the batch document lists itself."""
PART_SIZE = 1000
"""Items per stored part."""

_DIGEST_LENGTH = 32


def write(
    manifests: Collection[dict[str, Any]],
    rejected: Sequence[Rejected],
    *,
    ref: ManifestRef,
    profile: str,
    now: datetime,
) -> str | None:
    """Store the items and return the ID of their parts; None when there are none.

    The ID contains a digest of the list, so writing the same list again changes nothing.
    """
    if not rejected:
        return None
    docs = [item.to_doc() for item in rejected]
    parts = [docs[first : first + PART_SIZE] for first in range(0, len(docs), PART_SIZE)]
    rejected_id = f"{ref.prefix}rejected-{_digest(parts)}"
    for number, part in enumerate(parts):
        manifests.update_one(
            {"_id": f"{rejected_id}-{number:06d}"},
            {
                "$setOnInsert": {
                    "profile": profile,
                    "number": number,
                    "rejected": part,
                    "createdAt": now,
                }
            },
            upsert=True,
        )
    return rejected_id


def read(manifests: Collection[dict[str, Any]], rejected_id: str | None) -> tuple[Rejected, ...]:
    """What `write` stored, in order; raises `DaybookError` when parts are missing or altered."""
    if rejected_id is None:
        return ()
    # The previous version stored one document, under the ID itself and without a number.
    docs = [Fields.of(doc, manifests.name) for doc in manifests.find(_parts(rejected_id))]
    parts = [doc.array("rejected") for doc in sorted(docs, key=lambda doc: doc.whole("number", 0))]
    if not rejected_id.endswith(f"rejected-{_digest(parts)}"):
        raise DaybookError(
            f"the list of rejected items {rejected_id} in {manifests.name} is incomplete or was "
            "altered: restore it from a backup"
        )
    return tuple(Rejected.from_doc(item) for part in parts for item in part)


def of_batch(
    manifests: Collection[dict[str, Any]], batch: Mapping[str, Any]
) -> tuple[Rejected, ...]:
    """All rejected items of a batch document, in which the previous version stored them."""
    if batch.get("rejectedId") is not None:
        return read(manifests, batch["rejectedId"])
    return tuple(Rejected.from_doc(item) for item in batch.get("rejected", ()))


def keep(
    manifests: Collection[dict[str, Any]],
    session: ClientSession,
    rejected_id: str | None,
    *,
    now: datetime,
) -> None:
    """Mark the parts as those of a committed file, which no sweep deletes."""
    if rejected_id is not None:
        manifests.update_many(_parts(rejected_id), {"$set": {"markedAt": now}}, session=session)


def summary(
    rejected: Sequence[Rejected], rejected_id: str | None, *, before: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a batch document; the rejected items of `before` count as well."""
    reasons = Counter[str](before.get("rejectedReasons", {}))
    reasons.update(item.reason.value for item in rejected)
    listed = [*before.get("rejected", ()), *(item.to_doc() for item in rejected[:LISTED])]
    return {
        "rejected": listed[:LISTED],
        "rejectedReasons": dict(reasons),
        "rejectedId": rejected_id,
    }


def reasons_of(batch: Mapping[str, Any]) -> dict[str, int]:
    """How many items of a batch document were rejected, by reason."""
    if "rejectedReasons" in batch:
        return dict(batch["rejectedReasons"])
    return dict(Counter(item["reason"] for item in batch.get("rejected", ())))


def _parts(rejected_id: str) -> dict[str, Any]:
    return {"_id": {"$gte": rejected_id, "$lt": f"{rejected_id}~"}}


def _digest(parts: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(bson.encode({"rejected": part}))
    return digest.hexdigest()[:_DIGEST_LENGTH]
