"""Whether a delivered file and its record match the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.audit.delivered import delivered_elsewhere
from daybook.destinations.base import Destination
from daybook.errors import DestinationRefused
from daybook.export.batch import export_log
from daybook.export.batch.export_log import LogAction
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind

_RECORDED = ("fileId", "entryCount", "totals", "md5", "sha256", "sizeBytes")


def record(
    database: Database[dict[str, Any]], session: ClientSession, batch: Mapping[str, Any]
) -> Iterator[LedgerDifference]:
    """Compare the batch with its record, which people and the other application rely on."""
    found = export_log.OF_DAY.one(
        database,
        profile=batch["profile"],
        batch_date=batch["batchDate"],
        action=LogAction.CSV_GENERATED,
        session=session,
    )
    if found is None:
        yield _of_record(batch, "there is no csv_generated record")
        return
    says = found.get("metadata") or {}
    for name in _RECORDED:
        if says.get(name) != batch.get(name):
            yield _of_record(
                batch,
                f"{name} is {says.get(name)} in record {found['_id']}, {batch.get(name)} in the "
                "batch",
            )


def _of_record(batch: Mapping[str, Any], what: str) -> LedgerDifference:
    return LedgerDifference(kind=LedgerDifferenceKind.RECORD, detail=f"{batch['filename']}: {what}")


def content(destination: Destination, batch: Mapping[str, Any]) -> Iterator[LedgerDifference]:
    """Compare the file's bytes, in constant memory. Raises `DestinationError`."""
    digest, size_bytes = hashlib.sha256(), 0
    try:
        for block in destination.read(batch["fileId"], batch["filename"]):
            digest.update(block)
            size_bytes += len(block)
    except DestinationRefused as error:
        place = delivered_elsewhere(destination, batch)
        yield LedgerDifference(
            kind=LedgerDifferenceKind.FILE,
            detail=f"{batch['filename']}: {error}"
            + (f"; it was delivered to {place}, which is not the destination now" if place else ""),
        )
        return
    if (size_bytes, digest.hexdigest()) != (batch["sizeBytes"], batch["sha256"]):
        yield LedgerDifference(
            kind=LedgerDifferenceKind.FILE,
            detail=f"{batch['filename']} ({batch['fileId']}) was changed: {size_bytes} bytes with "
            f"SHA-256 {digest.hexdigest()}, delivered were {batch['sizeBytes']} with "
            f"{batch['sha256']}",
        )
