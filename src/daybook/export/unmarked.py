"""Items of batches that have ended, which are still to be marked: no run takes them any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export.batch import Batch
from daybook.export.batch_key import BatchKey
from daybook.export.keys import LENIENT
from daybook.export.part import Part, PartId
from daybook.export.profile import Profile
from daybook.export.retry import BatchState


def parts(database: Database[dict[str, Any]], profile: Profile) -> Iterator[tuple[Batch, Part]]:
    """Each part of the profile's days that is still to be marked, with its batch.

    Their items say `queued`, although they are in a delivered file, or rejected. Nearly
    always there is none.
    """
    collection = database.get_collection(manifests.COLLECTION, codec_options=LENIENT)
    key = BatchKey(profile=profile.name)
    for batch in batches.unmarked(database[batches.COLLECTION], key):
        if batch.marking is None:
            continue
        closing = "markedAt" if batch.state is BatchState.COMMITTED else "closedAt"
        prefix = batch.marking.prefix
        with collection.find({"_id": {"$gte": prefix, "$lt": f"{prefix}~"}}) as found:
            for doc in found:
                part_id = PartId.parse(doc["_id"])
                is_part = part_id is not None and not part_id.lists_rejected
                if is_part and closing not in doc:
                    yield batch, Part.from_doc(doc)
