"""The manifest: which queue items, in which order, one file is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from daybook.errors import DaybookError
from daybook.export import batch as batches
from daybook.export.batch_key import BatchKey
from daybook.export.keys import LENIENT
from daybook.export.part import Part
from daybook.export.seal import ManifestRef
from daybook.export.slot_state import SlotState

COLLECTION = "exportmanifests"


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
    lenient = manifests.with_options(codec_options=LENIENT)
    for number in range(first, ref.part_count):
        doc = lenient.find_one({"_id": ref.part_id(number)})
        if doc is None:
            raise missing(ref.part_id(number))
        part = Part.from_doc(doc)
        digest.update(part.digest())
        yield part
    if first == 0 and digest.hexdigest() != ref.digest:
        raise DaybookError(f"manifest {ref.prefix} in {COLLECTION} was altered since it was stored")


def missing(part_id: str) -> DaybookError:
    return DaybookError(
        f"manifest part {part_id} is missing from {COLLECTION}: it was deleted by hand"
    )


def sweep(database: Database[dict[str, Any]], key: BatchKey, slot: SlotState) -> int:
    """Delete the slot's parts that are not marked and that nothing names any more.

    The slot names parts, through its manifest and its seals, and so does each ended
    batch until it is marked: after the commit the slot is empty, and only the batch says
    what is still to be marked. Only parts of earlier fences go: a run that was overtaken,
    and sweeps late, cannot take away what its successor is working on. Returns how many
    were deleted.
    """
    manifests = database[COLLECTION]
    unmarked = batches.unmarked(database[batches.COLLECTION], key)
    named = [
        slot.manifest,
        *(seal.manifest for seal in slot.seals),
        *(batch.marking for batch in unmarked),
    ]
    kept = {manifest.prefix for manifest in named if manifest is not None}
    stray = []
    unused = {"profile": key.slot_id, "markedAt": {"$exists": False}}
    for doc in manifests.find(unused, {"_id": 1}):
        prefix, _, _number = doc["_id"].rpartition(":")
        fence = int(prefix.rpartition(":")[2])
        if fence < slot.fence and f"{prefix}:" not in kept:
            stray.append(doc["_id"])
    if not stray:
        return 0
    return manifests.delete_many({"_id": {"$in": stray}}).deleted_count
