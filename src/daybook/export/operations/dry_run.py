"""The dry run: what a run would deliver now, without writing anything."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from itertools import chain
from typing import Any

from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import DatabaseError
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import LISTED_REJECTED, Batch
from daybook.export.context import Job, daily_job
from daybook.export.deliver import check_rejected
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import Part
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.model.seal import figures_to_doc
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manifest as manifests
from daybook.export.queue import named_entries
from daybook.export.queue.plan import no_longer_queued
from daybook.export.rendering.render import FileRenderer
from daybook.export.rendering.source import EntrySource
from daybook.export.slot import slot
from daybook.export.slot.state import SlotState

PLANNED = {
    Status.PLANNED: "a run would deliver this now",
    Status.EMPTY: "a run would find nothing to deliver now",
    Status.ALREADY_EXPORTED: "it was delivered before, and a run would do nothing",
    Status.IN_PROGRESS: "a run would first finish marking an earlier file's items",
    Status.FAILED: "the day has failed or was closed, and a run would do nothing",
}
"""What a dry run logs, by its status."""


def plan_day(
    database: Database[dict[str, Any]],
    profile: Profile,
    day: date,
    schedule_time: datetime | None = None,
    *,
    every: bool = False,
    sink: Callable[[bytes], object] | None = None,
) -> Outcome:
    """What a run of the day would deliver now: the same bytes, digests and totals.

    It names the first `LISTED_REJECTED` entries that it would reject, or `every` one. `sink`
    gets the bytes, piece by piece. It does not ask the destination what an earlier run left
    unsettled. Raises what a run would fail with, and `DatabaseError`.
    """
    job = daily_job(database, profile, day, schedule_time)
    try:
        outcome = _plan(database, profile, job, every=every, sink=sink)
    except PyMongoError as error:
        raise DatabaseError.of(f"dry run of {day}", error) from error
    _log(job, outcome)
    return outcome


def _plan(
    database: Database[dict[str, Any]],
    profile: Profile,
    job: Job,
    *,
    every: bool,
    sink: Callable[[bytes], object] | None,
) -> Outcome:
    started = time.monotonic()
    batch = batches.find(database[batches.COLLECTION], job.key)
    if batch is not None and batch.state in (BatchState.COMMITTED, BatchState.FAILED):
        failed = batch.state is BatchState.FAILED
        return Outcome.of_batch(Status.FAILED if failed else Status.ALREADY_EXPORTED, batch)
    if export_log.generated(database, job.key.profile, job.key.batch_date or "") is not None:
        return _outcome(Status.ALREADY_EXPORTED, batch, job, {}, started)
    if batches.unmarked(database[batches.COLLECTION], job.key):
        message = "an earlier file's items are not all marked yet; a run does that first"
        error = {"type": "not_settled", "message": message}
        return replace(_outcome(Status.IN_PROGRESS, batch, job, {}, started), error=error)
    source = EntrySource(database, profile)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size_bytes = 0
    item_count = _item_count(database, profile, batch, job)
    with FileRenderer(profile, job.day, item_count=item_count) as file:
        renderer = file.renderer
        pieces = (
            file.part(part, reading.result())
            for part, reading in source.read_ahead(_parts(database, profile, batch, job))
        )
        for data in chain((file.header(),), pieces, _end(file)):
            md5.update(data)
            sha256.update(data)
            size_bytes += len(data)
            if sink is not None:
                sink(data)
            check_rejected(database, profile, renderer)
    figures = renderer.figures()
    items = figures.entry_count + figures.rejected_count
    check_rejected(database, profile, renderer, item_count=items)
    listed = figures.rejected if every else figures.rejected[:LISTED_REJECTED]
    named = named_entries.named_rejected(database, profile, listed)
    if figures.entry_count == 0:
        empty = _outcome(Status.EMPTY, batch, job, figures_to_doc(figures), started)
        return replace(empty, rejected=named)
    facts = {
        "filename": job.filename,
        **figures_to_doc(figures),
        "md5": md5.hexdigest(),
        "sha256": sha256.hexdigest(),
        "sizeBytes": size_bytes,
    }
    return replace(_outcome(Status.PLANNED, batch, job, facts, started), rejected=named)


def _end(file: FileRenderer) -> Iterator[bytes]:
    """The rest of the file, which is made when it is asked for."""
    yield from file.end()


def _item_count(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch | None, job: Job
) -> int:
    """How many items the manifest has, or would have; only an xlsx file depends on it."""
    if profile.format is not FileFormat.XLSX:
        return 0
    return sum(len(part.queue_ids) for part in _parts(database, profile, batch, job))


def _parts(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch | None, job: Job
) -> Iterator[Part]:
    """The manifest that an earlier attempt of the day stored, or what is queued now.

    A run plans again after the profile was edited. Before it seals, it finds out that items of a
    stored manifest have left the queue, and plans again; so does this.
    """
    doc = database[slot.COLLECTION].find_one({"_id": job.key.slot_id})
    stored = None if doc is None else SlotState.from_doc(doc).manifest
    if (
        batch is None
        or stored is None
        or not stored.is_of(str(batch.id), batch.generation)
        or not stored.fits(profile)
    ):
        return job.scan()
    collection = database[manifests.COLLECTION]
    changed = (
        no_longer_queued(database, profile, part) for part in manifests.read(collection, stored)
    )
    return job.scan() if any(changed) else manifests.read(collection, stored)


def _outcome(
    status: Status, batch: Batch | None, job: Job, facts: Mapping[str, Any], started: float
) -> Outcome:
    return Outcome(
        status=status,
        profile=job.key.profile,
        batch_date=job.key.batch_date,
        batch_id=None if batch is None else str(batch.id),
        attempt=None if batch is None else batch.attempt,
        facts=facts,
        duration_seconds=time.monotonic() - started,
    )


def _log(job: Job, outcome: Outcome) -> None:
    """Log what a dry run found, since the response to a scheduled call is not read."""
    log.event(
        logging.INFO,
        "planned",
        f"{job.filename}: {_planned(outcome)}; nothing was written.",
        status=outcome.status.value,
        profile=job.key.profile,
        batch_date=job.key.batch_date,
        entry_count=outcome.facts.get("entryCount"),
        rejected_count=outcome.facts.get("rejectedCount"),
        totals=outcome.facts.get("totals"),
        sha256=outcome.facts.get("sha256"),
    )


def _planned(outcome: Outcome) -> str:
    if outcome.delivered and outcome.batch is not None and outcome.batch.unmarked:
        return "it was delivered before, and a run would finish marking its items"
    return PLANNED[outcome.status]
