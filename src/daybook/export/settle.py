"""Settling: each run first finishes what an earlier one left.

If a file is visible under the slot's ID, it is committed. A batch that was deleted by hand after
its commit is restored from its record and manifest: its file is delivered and recorded, but only
the batch says what is still to be published and marked. Without it, the next day would export those
items again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook import log
from daybook.errors import UNREADABLE, CircuitOpen, DocumentDamaged, RecordsDisagree
from daybook.export.abandon import abandon_id
from daybook.export.batch import batches, export_log, transitions
from daybook.export.batch.batch import read_rejected
from daybook.export.batch.export_log import LogAction
from daybook.export.commit import commit_file
from daybook.export.context import Context
from daybook.export.marking import finish_marking
from daybook.export.model.fields import Fields
from daybook.export.model.ids import LENIENT
from daybook.export.model.part import Part, PartId
from daybook.export.model.profile import BatchKey
from daybook.export.model.seal import Content, ManifestRef, Seal, figures_from
from daybook.export.queue import manifest as manifests
from daybook.export.slot import orphans
from daybook.export.slot.slot import Slot
from daybook.export.upload.upload import find_file

Record = Mapping[str, Any]


def settle(ctx: Context) -> None:
    """Commit a file that is visible under the slot's ID, and finish marking committed batches.

    While the circuit is open, it does only what needs no destination, then raises
    `CircuitOpen`. Raises `DestinationError` when the destination cannot be reached.
    """
    _restore_deleted(
        ctx.database,
        ctx.slot,
        ctx.job.key,
        hidden_at=ctx.destination.identity if ctx.destination.publishes else None,
        now=ctx.now(),
    )
    try:
        ctx.breaker.admit(ctx.slot, ctx.now())
    except CircuitOpen:
        if not ctx.destination.publishes:
            finish_marking(ctx)
        raise
    with log.bound(step="settle"):
        _settle_id(ctx)
        finish_marking(ctx)


def _settle_id(ctx: Context) -> None:
    state = ctx.slot.state
    if state.file_id is None:
        return
    # Without a seal, no request that could make a file visible has ever been sent.
    file = find_file(ctx.destination, state.file_id, ctx.retry_budget) if state.seals else None
    if file is not None:
        commit_file(ctx, file)
    elif state.identity != ctx.destination.identity:
        abandon_id(ctx, orphans.OrphanReason.IDENTITY_CHANGED)


def _restore_deleted(
    database: Database[dict[str, Any]],
    slot: Slot,
    key: BatchKey,
    *,
    hidden_at: str | None,
    now: datetime,
) -> None:
    """Restore the slot's batches that a record names and `exportbatches` lacks.

    `hidden_at` is the identity of a destination that publishes; publishing again changes
    nothing. Raises `RecordsDisagree` when the manifest or the record was also deleted or
    altered.
    """
    for record in _without_batch(database, key):
        try:
            seal = _sealed(database, record)
            file_id, link = record["metadata"]["fileId"], record["metadata"]["webViewLink"]
        except (*UNREADABLE, ArithmeticError, DocumentDamaged) as error:
            raise RecordsDisagree(
                f"record {record['_id']} in {export_log.COLLECTION} was altered, and its batch was "
                f"deleted ({type(error).__name__}: {error}): restore them from a backup; nothing "
                "is exported before"
            ) from error
        rejected = read_rejected(database[manifests.COLLECTION], seal.rejected_id)

        def work(
            session: ClientSession,
            seal: Seal = seal,
            record: Record = record,
            rejected: Any = rejected,
            file_id: str = file_id,
            link: str = link,
        ) -> None:
            transitions.record_commit(
                database[batches.COLLECTION],
                session,
                seal,
                rejected=rejected,
                file_id=file_id,
                link=link,
                profile=key.profile,
                delivered_to=record["metadata"].get("deliveredTo"),
                hidden_at=hidden_at,
                record_id=record["_id"],
                now=now,
            )

        slot.transaction(work)


def _without_batch(database: Database[dict[str, Any]], key: BatchKey) -> Iterator[Record]:
    unmarked = manifests.UNMARKED.find(database, slot_id=key.slot_id, projection={"_id": 1})
    delivered = [LogAction.CSV_GENERATED.value, LogAction.MANUAL_EXPORT.value]
    part_ids = (PartId.parse(doc["_id"]) for doc in unmarked)
    # An unreadable ID raises here: its file may be delivered, with items still to be marked.
    for batch_id in sorted({part_id.batch_id for part_id in part_ids if part_id is not None}):
        if batches.of_manifest(database[batches.COLLECTION], key.profile, batch_id) is None:
            record = database[export_log.COLLECTION].find_one(
                {"metadata.batchId": batch_id, "action": {"$in": delivered}}
            )
            if record is not None:
                yield record


def _sealed(database: Database[dict[str, Any]], record: Record) -> Seal:
    metadata = record["metadata"]
    prefix = f"{metadata['batchId']}:{metadata['generation']}:"
    stored = database.get_collection(manifests.COLLECTION, codec_options=LENIENT)
    fences: dict[int, list[Part]] = {}
    lists: dict[int, str] = {}
    for doc in manifests.PARTS.find(stored, prefix=prefix).sort("_id", 1):
        part_id = PartId.parse(doc["_id"])
        if part_id is None:
            continue
        if not part_id.lists_rejected:
            fences.setdefault(part_id.fence, []).append(Part.from_doc(doc))
        elif "markedAt" in doc or part_id.fence not in lists:  # prefer the committed file's list
            name = "-".join(part_id.name.split("-")[:2])
            lists[part_id.fence] = f"{part_id.prefix}{name}"
    for fence, parts in fences.items():
        if _digest_of(parts) == metadata["manifestDigest"]:
            return Seal(
                batch_date=metadata.get("batchDate"),
                filename=metadata["filename"],
                manifest=ManifestRef(
                    batch_id=metadata["batchId"],
                    generation=metadata["generation"],
                    fence=fence,
                    part_count=len(parts),
                    item_count=sum(len(part.queue_ids) for part in parts),
                    digest=metadata["manifestDigest"],
                    profile_digest=metadata.get("profileDigest"),
                ),
                content=Content(
                    size_bytes=metadata["sizeBytes"], md5=metadata["md5"], sha256=metadata["sha256"]
                ),
                figures=figures_from(Fields.of(record, export_log.COLLECTION).inner("metadata")),
                opened_fence=fence,
                sealed_at=record["createdAt"],
                attempt=metadata["attempt"],
                rejected_id=lists.get(fence) if metadata["rejectedCount"] else None,
            )
    raise RecordsDisagree(
        f"{metadata['filename']} is delivered, says {export_log.COLLECTION}, but its batch "
        f"{metadata['batchId']} and its manifest were deleted or altered before its items were "
        "marked: restore them from a backup; nothing is exported before"
    )


def _digest_of(parts: list[Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.digest())
    return digest.hexdigest()
