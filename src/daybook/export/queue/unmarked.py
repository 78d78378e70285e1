"""Items of ended batches that are still to be marked, and that no run takes any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from daybook.errors import DocumentDamaged
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.ids import LENIENT
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import Part, PartId
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.queue import manifest as manifests


def parts(database: Database[dict[str, Any]], profile: Profile) -> Iterator[tuple[Batch, Part]]:
    """Each part of the profile's days that is still to be marked, with its batch.

    Its items have status `queued`, although they are in a delivered file, or rejected. There
    is hardly ever one. Raises `DocumentDamaged`.
    """
    for batch in batches.unmarked(database[batches.COLLECTION], BatchKey(profile=profile.name)):
        for doc in _documents(database, batch):
            yield batch, Part.from_doc(doc)


def readable_parts(
    database: Database[dict[str, Any]], profile: Profile
) -> tuple[list[tuple[Batch, Part]], list[DocumentDamaged]]:
    """The same for figures, which must work despite damaged documents, and those documents."""
    found: list[tuple[Batch, Part]] = []
    damaged: list[DocumentDamaged] = []
    key = BatchKey(profile=profile.name)
    for stored in batches.unmarked_documents(database[batches.COLLECTION], key):
        try:
            batch = Batch.from_doc(stored)
            found.extend((batch, Part.from_doc(doc)) for doc in _documents(database, batch))
        except DocumentDamaged as error:
            damaged.append(error)
    return found, damaged


def _documents(database: Database[dict[str, Any]], batch: Batch) -> Iterator[dict[str, Any]]:
    """The parts of an ended batch that are still to be marked, as stored."""
    if batch.marking is None:
        return
    collection = database.get_collection(manifests.COLLECTION, codec_options=LENIENT)
    closing = "markedAt" if batch.state is BatchState.COMMITTED else "closedAt"
    with manifests.PARTS.find(collection, prefix=batch.marking.prefix) as found:
        for doc in found:
            part_id = PartId.parse(doc["_id"])
            if part_id is not None and not part_id.lists_rejected and closing not in doc:
                yield doc
