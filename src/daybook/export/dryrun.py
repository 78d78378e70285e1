"""The dry run: what a run would deliver now, with nothing written anywhere."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export import slot
from daybook.export.batch import Batch
from daybook.export.context import Job
from daybook.export.deliver import check_rejected
from daybook.export.figures import NOTHING
from daybook.export.outcome import Outcome, Status
from daybook.export.part import Part
from daybook.export.profile import Profile
from daybook.export.render import Renderer
from daybook.export.seal import figures_to_doc
from daybook.export.slot import SlotState
from daybook.export.source import EntrySource


def dry_run(database: Database[dict[str, Any]], profile: Profile, job: Job) -> Outcome:
    """Render what is planned, or would be. Raises what a run would fail with."""
    started = time.monotonic()
    batch = batches.find(database[batches.COLLECTION], job.key)
    if batch is not None and batch.finished:
        return Outcome.of_batch(Status.ALREADY_EXPORTED, batch)
    renderer = Renderer(profile, job.day)
    source = EntrySource(database, profile)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size_bytes = 0
    pieces = (
        renderer.part(part, reading.result())
        for part, reading in source.read_ahead(_parts(database, batch, job))
    )
    header = renderer.header()
    for data in (header, *pieces):
        md5.update(data)
        sha256.update(data)
        size_bytes += len(data)
    figures = renderer.figures()
    items = figures.entry_count + len(figures.rejected)
    check_rejected(figures, items)
    return Outcome(
        status=Status.PLANNED if items else Status.EMPTY,
        profile=profile.name,
        batch_date=job.key.batch_date,
        batch_id=None if batch is None else str(batch.id),
        attempt=None if batch is None else batch.attempt,
        facts={
            "filename": job.filename,
            **figures_to_doc(figures),
            "md5": md5.hexdigest(),
            "sha256": sha256.hexdigest(),
            "sizeBytes": size_bytes,
        }
        if items
        else figures_to_doc(NOTHING),
        duration_seconds=time.monotonic() - started,
    )


def _parts(database: Database[dict[str, Any]], batch: Batch | None, job: Job) -> Iterator[Part]:
    """The manifest that an earlier attempt of the day stored, else what is queued now."""
    doc = database[slot.COLLECTION].find_one({"_id": job.key.slot_id})
    stored = None if doc is None else SlotState.from_doc(doc).manifest
    if batch is not None and stored is not None and stored.is_of(str(batch.id), batch.generation):
        return manifests.read(database[manifests.COLLECTION], stored)
    return job.scan()
