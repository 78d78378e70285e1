"""Rejected entries as people are told about them: by ID and reference. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo.database import Database

from daybook.export.batch import rejections
from daybook.export.batch.batch import Batch, profile_of
from daybook.export.model.figures import Rejected
from daybook.export.model.ids import hashable
from daybook.export.model.notice import RejectedEntry
from daybook.export.model.profile import Profile
from daybook.export.queue import manifest as manifests
from daybook.export.queue import reference
from daybook.export.rendering.entry_id import displayed


def with_references(
    database: Database[dict[str, Any]], profile: Profile, rejected: Sequence[Rejected]
) -> tuple[Rejected, ...]:
    """The same items with their entries' references; those that have one keep it."""
    lacking = [item.entry_id for item in rejected if item.reference is None]
    found = reference.references_of(database, profile, lacking)
    return tuple(
        item
        if item.reference is not None
        else item.with_reference(found.get(hashable(item.entry_id)))
        for item in rejected
    )


def of_batch(database: Database[dict[str, Any]], batch: Batch, *, every: bool) -> list[Rejected]:
    """What the batch rejected: what its document lists, or `every` item.

    An empty day may be signed off more than once; the stored list is that of the last time.
    Raises `DaybookError` when the stored list is incomplete.
    """
    listed = [Rejected.from_doc(item) for item in batch.doc.get("rejected", [])]
    if not every or batch.doc.get("rejectedCount", 0) <= len(listed):
        return listed
    named = {(hashable(item.queue_id), hashable(item.entry_id)) for item in listed}
    stored = rejections.of_batch(database[manifests.COLLECTION], batch.doc)
    return listed + [
        item for item in stored if (hashable(item.queue_id), hashable(item.entry_id)) not in named
    ]


def entries_of_batch(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, *, every: bool
) -> tuple[RejectedEntry, ...]:
    """What `of_batch` returns, with the references of the profile that the batch was made with."""
    manifest = batch.marking
    if manifest is not None:
        profile = profile_of(batch, manifest, profile)
    return entries(database, profile, of_batch(database, batch, every=every))


def entries(
    database: Database[dict[str, Any]], profile: Profile, rejected: Iterable[Rejected]
) -> tuple[RejectedEntry, ...]:
    """The items as messages, responses and commands name them."""
    return tuple(
        RejectedEntry(
            queue_id=None if item.queue_id is None else displayed(item.queue_id),
            entry_id=displayed(item.entry_id),
            reference=item.reference,
            faults=item.faults,
            fault_count=item.fault_count,
            detail=item.detail,
        )
        for item in with_references(database, profile, list(rejected))
    )
