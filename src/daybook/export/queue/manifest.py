"""The manifest: which queue items one file is made of, and in which order.

It also gives the items of ended batches that are still to be marked and that no run takes any
more.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from daybook import display, log
from daybook.errors import DaybookError, DocumentDamaged
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.ids import LENIENT
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import COLLECTION as COLLECTION
from daybook.export.model.part import Part, PartId
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.model.seal import ManifestRef
from daybook.export.slot.state import SlotState
from daybook.mongo.query import Query

PARTS = Query(
    name="parts_of_manifest",
    collection=COLLECTION,
    filter=lambda prefix: {"_id": {"$gte": prefix, "$lt": f"{prefix}~"}},
    arguments=lambda doc: {"prefix": doc["_id"].rpartition(":")[0]},
)
"""The parts of a manifest, with those that list its rejected items."""
UNMARKED = Query(
    name="stray_parts",
    collection=COLLECTION,
    filter=lambda slot_id: {"profile": slot_id, "markedAt": {"$exists": False}},
    arguments=lambda doc: {"slot_id": doc["profile"]},
)

QUERIES = (PARTS, UNMARKED)


def write(
    manifests: Collection[dict[str, Any]],
    parts: Iterable[Part],
    *,
    batch_id: str,
    generation: int,
    fence: int,
    slot_id: str,
    profile: Profile,
    now: datetime,
) -> ManifestRef:
    """Write the parts and describe them; they have no effect until a slot names them."""
    digest = hashlib.sha256()
    ref = ManifestRef(
        batch_id=batch_id,
        generation=generation,
        fence=fence,
        part_count=0,
        item_count=0,
        digest="",
        profile_digest=profile.digest,
    )
    part_count = item_count = 0
    for part in parts:
        manifests.insert_one(part.to_doc(ref.part_id(part.number), profile=slot_id, now=now))
        digest.update(part.digest())
        part_count += 1
        item_count += len(part.queue_ids)
    return replace(ref, part_count=part_count, item_count=item_count, digest=digest.hexdigest())


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
    """Delete the slot's unmarked parts that nothing names any more.

    The slot names parts through its manifest and its seals, and so does each ended batch until
    it is marked: after the commit the slot is empty, and only the batch says what is still to
    be marked. Only parts of earlier fences are deleted, so a superseded run that sweeps late
    cannot delete what its successor is using. Documents whose `_id` is not that of a part are
    left alone. Returns the number of deleted parts; raises `DocumentDamaged`, and deletes
    nothing, when a batch of such parts cannot be read.
    """
    manifests = database[COLLECTION]
    unmarked = batches.unmarked(database[batches.COLLECTION], key)
    named = [
        slot.manifest,
        *(seal.manifest for seal in slot.seals),
        *(batch.marking for batch in unmarked),
    ]
    kept = {manifest.prefix for manifest in named if manifest is not None}
    stray, foreign, batch_ids = [], [], set()
    for doc in UNMARKED.find(manifests, slot_id=key.slot_id, projection={"_id": 1}):
        part_id = PartId.parse(doc["_id"])
        if part_id is None:
            foreign.append(doc["_id"])
        elif part_id.fence < slot.fence and part_id.prefix not in kept:
            stray.append(doc["_id"])
            batch_ids.add(part_id.batch_id)
    if foreign:
        log.event(
            logging.WARNING,
            "foreign_documents",
            f"{COLLECTION} has documents that are not parts of a manifest; they are left alone.",
            count=len(foreign),
            first=display.quoted(foreign[0]),
        )
    for batch_id in sorted(batch_ids):  # a damaged batch may be delivered, and not marked yet
        batches.of_manifest(database[batches.COLLECTION], key.profile, batch_id)
    if not stray:
        return 0
    return manifests.delete_many({"_id": {"$in": stray}}).deleted_count


def unmarked_parts(
    database: Database[dict[str, Any]], profile: Profile
) -> Iterator[tuple[Batch, Part]]:
    """Each part of the profile's days that is still to be marked, with its batch.

    Its items have status `queued`, although they are in a delivered file, or rejected. There
    is hardly ever one. Raises `DocumentDamaged`.
    """
    for batch in batches.unmarked(database[batches.COLLECTION], BatchKey(profile=profile.name)):
        for doc in _unmarked_documents(database, batch):
            yield batch, Part.from_doc(doc)


def readable_unmarked_parts(
    database: Database[dict[str, Any]], profile: Profile
) -> tuple[list[tuple[Batch, Part]], list[DocumentDamaged]]:
    """The same for figures, which must work despite damaged documents, and those documents."""
    found: list[tuple[Batch, Part]] = []
    damaged: list[DocumentDamaged] = []
    key = BatchKey(profile=profile.name)
    for stored in batches.unmarked_documents(database[batches.COLLECTION], key):
        try:
            batch = Batch.from_doc(stored)
            found.extend(
                (batch, Part.from_doc(doc)) for doc in _unmarked_documents(database, batch)
            )
        except DocumentDamaged as error:
            damaged.append(error)
    return found, damaged


def _unmarked_documents(
    database: Database[dict[str, Any]], batch: Batch
) -> Iterator[dict[str, Any]]:
    """The parts of an ended batch that are still to be marked, as stored."""
    if batch.marking is None:
        return
    collection = database.get_collection(COLLECTION, codec_options=LENIENT)
    closing = "markedAt" if batch.state is BatchState.COMMITTED else "closedAt"
    with PARTS.find(collection, prefix=batch.marking.prefix) as found:
        for doc in found:
            part_id = PartId.parse(doc["_id"])
            if part_id is not None and not part_id.lists_rejected and closing not in doc:
                yield doc
