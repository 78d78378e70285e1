"""The manifest: which queue items, in which order, one file is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import bson
from pymongo.collection import Collection

from daybook.errors import DaybookError
from daybook.export.seal import ManifestRef

COLLECTION = "exportmanifests"

PART_SIZE = 5000
"""Pairs in a part. One part is read, rendered and marked at a time."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Up to `PART_SIZE` queue items and their entries, in the order of the queue's `_id`."""

    number: int
    queue_ids: list[Any]
    entry_ids: list[Any]
    duplicates: dict[int, str]
    """Position in the part → where the entry stands already."""

    def digest(self) -> bytes:
        """SHA-256 over the part's content, the same in any process."""
        return hashlib.sha256(bson.encode(self._content())).digest()

    def to_doc(self, part_id: str, *, profile: str, now: datetime) -> dict[str, Any]:
        return {
            "_id": part_id,
            "profile": profile,
            "number": self.number,
            **self._content(),
            "createdAt": now,
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        return cls(
            number=doc["number"],
            queue_ids=doc["queueIds"],
            entry_ids=doc["entryIds"],
            duplicates=dict(doc["duplicates"]),
        )

    def _content(self) -> dict[str, Any]:
        return {
            "queueIds": self.queue_ids,
            "entryIds": self.entry_ids,
            "duplicates": [[at, where] for at, where in sorted(self.duplicates.items())],
        }


def write(
    manifests: Collection[dict[str, Any]],
    parts: Iterable[Part],
    *,
    batch_id: str,
    generation: int,
    fence: int,
    profile: str,
    now: datetime,
) -> ManifestRef:
    """Write the parts and describe them; they count for nothing until a slot names them."""
    digest = hashlib.sha256()
    ref = ManifestRef(
        batch_id=batch_id, generation=generation, fence=fence, part_count=0, item_count=0, digest=""
    )
    part_count = item_count = 0
    for part in parts:
        manifests.insert_one(part.to_doc(ref.part_id(part.number), profile=profile, now=now))
        digest.update(part.digest())
        part_count += 1
        item_count += len(part.queue_ids)
    return ManifestRef(
        batch_id=batch_id,
        generation=generation,
        fence=fence,
        part_count=part_count,
        item_count=item_count,
        digest=digest.hexdigest(),
    )


def read(
    manifests: Collection[dict[str, Any]], ref: ManifestRef, *, first: int = 0
) -> Iterator[Part]:
    """The stored parts in order; raises `DaybookError` when one is missing or altered."""
    digest = hashlib.sha256()
    for number in range(first, ref.part_count):
        doc = manifests.find_one({"_id": ref.part_id(number)})
        if doc is None:
            raise DaybookError(
                f"manifest part {ref.part_id(number)} is missing from {COLLECTION}; "
                "somebody deleted it"
            )
        part = Part.from_doc(doc)
        digest.update(part.digest())
        yield part
    if first == 0 and digest.hexdigest() != ref.digest:
        raise DaybookError(f"manifest {ref.prefix} in {COLLECTION} was altered since it was stored")


def sweep(
    manifests: Collection[dict[str, Any]], profile: str, *, keep: Iterable[ManifestRef]
) -> int:
    """Delete the profile's parts that no commit has marked and no manifest in `keep` names.

    Only for whoever holds the slot: everything else unmarked is what a crash left.
    """
    kept = {prefix.prefix for prefix in keep}
    stray = {
        doc["_id"]
        for doc in manifests.find({"profile": profile, "markedAt": {"$exists": False}}, {"_id": 1})
        if doc["_id"].rpartition(":")[0] + ":" not in kept
    }
    if not stray:
        return 0
    return manifests.delete_many({"_id": {"$in": list(stray)}}).deleted_count
