"""Verification: does the delivered file still match its manifest, entries and records?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

from pymongo.database import Database

from daybook.audit.delivered import DeliveredBytes, delivered, delivered_elsewhere
from daybook.audit.delivered_rows import Comparison
from daybook.audit.difference import VerifyDifference, VerifyKind
from daybook.audit.rerender import Rerendering
from daybook.audit.workbook import WorkbookUnreadable
from daybook.destinations.base import Destination
from daybook.display import number
from daybook.errors import DaybookError, DestinationRefused
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import Batch
from daybook.export.batch.export_log import LogAction
from daybook.export.model.fields import Fields
from daybook.export.model.figures import CurrencyTotals
from daybook.export.model.ids import hashable
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import Part
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.model.seal import figures_to_doc, totals_from
from daybook.export.queue import manifest as manifests
from daybook.export.queue.named_entries import called, references_of
from daybook.export.rendering.cells.money import normalised
from daybook.export.rendering.entry_id import displayed
from daybook.mongo.query import Query

MAX_ROW_DIFFERENCES = 1000
"""Differences after which rows are not compared any further."""

RECORDED = (
    "filename",
    "fileId",
    "webViewLink",
    "entryCount",
    "rowCount",
    "rejectedCount",
    "totals",
    "md5",
    "sha256",
    "sizeBytes",
)
"""Fields of the batch that a verification repeats."""

_REQUEUED = Query(
    name="requeued_entries",
    collection=export_log.COLLECTION,
    filter=lambda entry_ids: {
        "metadata.entryId": {"$in": entry_ids},
        "action": LogAction.ENTRY_REQUEUED.value,
    },
    arguments=lambda doc: {"entry_ids": [doc["metadata"]["entryId"]]},
    projection={"queueId": 1},
)

QUERIES = (_REQUEUED,)


class NotDelivered(DaybookError):
    """Daybook has not delivered a file for the day, so there is nothing to compare."""

    type = "not_delivered"
    permanent = True


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification compared, and every difference."""

    batch: Batch
    differences: tuple[VerifyDifference, ...]
    notes: tuple[str, ...] = ()
    """Differences that come only from the rules of an earlier version; the file is not at fault."""

    @property
    def status(self) -> str:
        """`verified`, `differs`, or `empty` for a day correctly signed off without a file."""
        if self.differences:
            return "differs"
        return "empty" if self.batch.state is BatchState.EMPTY else "verified"

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "profile": self.batch.key.profile,
            "batchDate": self.batch.key.batch_date,
            "batchId": str(self.batch.id),
            **{name: self.batch.doc.get(name) for name in RECORDED},
            "differenceCount": len(self.differences),
            "differences": [difference.to_doc() for difference in self.differences],
            "notes": list(self.notes),
        }


def verify(
    database: Database[dict[str, Any]], destination: Destination, profile: Profile, day: date
) -> Verification:
    """Download the day's file and compare it with everything that is known about it.

    Reads only, in flat memory. Raises `NotDelivered`, and `DestinationError` when the
    destination cannot be reached.
    """
    key = BatchKey(profile=profile.name, batch_date=day.isoformat())
    batch = batches.find(database[batches.COLLECTION], key)
    if batch is None:
        metadata = export_log.generated(database, profile.name, day.isoformat())
        if metadata is not None:
            raise NotDelivered(_delivered_elsewhere(key, metadata))
        raise NotDelivered(f"{key.batch_date}: there was no run for this day")
    if batch.state is BatchState.EMPTY:
        return Verification(batch=batch, differences=tuple(_empty_day(database, batch)))
    if batch.state is not BatchState.COMMITTED:
        raise NotDelivered(f"{key.batch_date}: the batch is {batch.state.value}, not delivered")
    if batch.manifest is None:
        raise NotDelivered(_delivered_elsewhere(key, batch.doc))
    notes: list[str] = []
    differences = tuple(_differences(database, destination, profile, batch, notes))
    return Verification(batch=batch, differences=differences, notes=tuple(notes))


def _delivered_elsewhere(key: BatchKey, recorded: Mapping[str, Any]) -> str:
    name, file_id = recorded.get("filename"), displayed(recorded.get("fileId"))
    file = f"{name} (file ID {file_id})" if isinstance(name, str) and name else f"file {file_id}"
    return (
        f"{key.batch_date}: another application recorded {file} as delivered; "
        "Daybook has no manifest to compare it with"
    )


def _differences(
    database: Database[dict[str, Any]],
    destination: Destination,
    profile: Profile,
    batch: Batch,
    notes: list[str],
) -> Iterator[VerifyDifference]:
    rerendered = Rerendering(database, profile, batch)
    damaged = _damage(rerendered)
    blocks = destination.read(batch.doc["fileId"], batch.doc["filename"])
    try:
        with delivered(blocks, rerendered.profile) as (file, text):
            rows: list[VerifyDifference] = []
            if damaged is None:
                single = Rerendering(database, profile, batch)
                earlier = is_of_earlier_version(batch)
                comparison = Comparison(text, rerendered, single, earlier=earlier)
                rows = _rows(comparison)
                notes += _notes(comparison)
            file.drain()
    except DestinationRefused as error:
        place = delivered_elsewhere(destination, batch.doc)
        hint = f". It was delivered to {place}, which is not the destination now" if place else ""
        yield VerifyDifference(kind=VerifyKind.FILE_UNREADABLE, detail=f"{error}{hint}")
    else:
        yield from _content(batch, file)
        yield from rows
        if damaged is None and not _cut_short(rows) and not comparison.no_longer_printed:
            yield from _figures(batch, rerendered)
    yield from _records(database, batch)
    if damaged is not None:
        yield damaged
    else:
        for part in manifests.read(database[manifests.COLLECTION], rerendered.manifest):
            yield from check_marks(
                database, rerendered.profile, batch, part, rerendered.delivered(part)
            )
    if batch.marked_at is None:
        yield VerifyDifference(
            kind=VerifyKind.ITEM,
            detail="marking is unfinished: the next run or `sweep` finishes it",
        )


def _rows(comparison: Comparison) -> list[VerifyDifference]:
    """The first differences between the file's rows and the entries."""
    try:
        return list(islice(comparison.differences(), MAX_ROW_DIFFERENCES))
    except WorkbookUnreadable as error:
        return [VerifyDifference(kind=VerifyKind.FILE_UNREADABLE, detail=str(error))]


def _damage(rerendered: Rerendering) -> VerifyDifference | None:
    """What is wrong with the manifest itself."""
    try:
        for _ in rerendered.parts():
            pass
    except DaybookError as error:
        return VerifyDifference(kind=VerifyKind.MANIFEST, detail=str(error))
    return None


def _cut_short(rows: list[VerifyDifference]) -> bool:
    """Whether the comparison ended before the last entry, so that the totals are incomplete."""
    ends = {VerifyKind.HEADER, VerifyKind.OUT_OF_STEP, VerifyKind.FILE_UNREADABLE}
    return len(rows) == MAX_ROW_DIFFERENCES or any(row.kind in ends for row in rows)


def _content(batch: Batch, file: DeliveredBytes) -> Iterator[VerifyDifference]:
    for kind, name, found in (
        (VerifyKind.SIZE, "sizeBytes", file.size_bytes),
        (VerifyKind.MD5, "md5", file.md5),
        (VerifyKind.SHA256, "sha256", file.sha256),
    ):
        if found != batch.doc[name]:
            detail = f"the file's {name} is {found}, recorded is {batch.doc[name]}"
            yield VerifyDifference(kind=kind, detail=detail)


def _figures(batch: Batch, rerendered: Rerendering) -> Iterator[VerifyDifference]:
    now = figures_to_doc(rerendered.figures())
    totals = totals_from(Fields.of(batch.doc, batches.COLLECTION))
    recorded = {**batch.doc, "totals": _normalised_totals(totals, rerendered.profile)}
    for name in ("entryCount", "rowCount", "normalisedCount", "otherMonthCount", "totals"):
        if now[name] != recorded[name]:
            yield VerifyDifference(
                kind=VerifyKind.FIGURES,
                detail=f"{name} recorded as {batch.doc[name]}, the entries now give {now[name]}",
            )


def check_marks(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, part: Part, delivered: Part
) -> Iterator[VerifyDifference]:
    """Each item of `part` that is marked wrongly; `delivered` are the items in the file."""
    found = database[profile.source.queue].find(
        {"_id": {"$in": part.queue_ids}}, {"status": 1, "metadata.fileId": 1}
    )
    items = {hashable(item["_id"]): item for item in found}
    exported = set(map(hashable, delivered.queue_ids))
    requeued: set[Hashable] | None = None
    for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True):
        key = hashable(queue_id)
        item = items.get(key)
        wrong = None
        if item is None:
            wrong = "was deleted"
        elif key in exported:
            wrong = _not_completed(item, batch.doc["fileId"])
        elif item.get("status") != "failed":
            if requeued is None:
                requeued = _requeued(database, part)
            if key not in requeued:
                wrong = f"was rejected, but its status is {displayed(item.get('status'))}"
        if wrong is not None:
            named = references_of(database, profile, [entry_id]).get(hashable(entry_id))
            entry = called(entry_id, named)
            yield VerifyDifference(
                kind=VerifyKind.ITEM,
                detail=f"queue item {displayed(queue_id)} of entry {entry} {wrong}",
                entry_id=entry_id,
            )


def _not_completed(item: Mapping[str, Any], file_id: str) -> str | None:
    if item.get("status") != "completed":
        return f"is in the file, but its status is {displayed(item.get('status'))}"
    metadata = item.get("metadata")
    named = metadata.get("fileId") if isinstance(metadata, Mapping) else None
    return None if named == file_id else f"names file {displayed(named)} instead"


def _requeued(database: Database[dict[str, Any]], part: Part) -> set[Hashable]:
    """Items of the part that an operator has put back into the queue since."""
    found = _REQUEUED.find(database, entry_ids=part.entry_ids)
    return {hashable(record["queueId"]) for record in found}


def is_of_earlier_version(batch: Batch) -> bool:
    """Whether the file may predate today's rules for text, amounts and currencies.

    Since those rules, batches have counted their rejected items by reason.
    """
    return "rejectedReasons" not in batch.doc


def _notes(comparison: Comparison) -> Iterator[str]:
    if comparison.respelt:
        yield (
            f"quoted or spelt as an earlier version did it: "
            f"{number(comparison.respelt, 'entry', 'entries')}; the cells say the same"
        )
    if comparison.no_longer_printed:
        yield (
            f"{number(len(comparison.no_longer_printed), 'entry', 'entries')} of an earlier "
            "version's file would be rejected today, so their rows and the control totals cannot "
            f"be compared; the first: {comparison.no_longer_printed[0]}"
        )


def _normalised_totals(
    totals: Mapping[str, CurrencyTotals], profile: Profile
) -> dict[str, dict[str, str]]:
    """The recorded totals, with an earlier version's `thb` and `THB` added up."""
    sums: dict[str, dict[str, Decimal]] = {}
    for code, amounts in totals.items():
        summed = sums.setdefault(normalised(code) or profile.currency, {})
        for name, text in amounts.to_doc().items():
            summed[name] = summed.get(name, Decimal()) + Decimal(text)
    return {
        code: {name: f"{value:f}" for name, value in amounts.items()}
        for code, amounts in sorted(sums.items())
    }


def _records(database: Database[dict[str, Any]], batch: Batch) -> Iterator[VerifyDifference]:
    key = batch.key
    of_day: dict[str, Any] = {"profile": key.profile, "batch_date": key.batch_date}
    found = export_log.OF_DAY.find(database, action=LogAction.CSV_GENERATED, **of_day)
    generated = found.to_list()
    if len(generated) != 1:
        yield VerifyDifference(
            kind=VerifyKind.RECORD,
            detail=f"{len(generated)} csv_generated records for {key.batch_date}, not one",
        )
    for record in generated:
        for name in RECORDED:
            stored = record["metadata"].get(name)
            if stored != batch.doc[name]:
                yield VerifyDifference(
                    kind=VerifyKind.RECORD,
                    detail=f"record {record['_id']}: {name} is {stored}, "
                    f"the batch has {batch.doc[name]}",
                )
    rejected_count = export_log.OF_DAY.count(database, action=LogAction.ENTRY_REJECTED, **of_day)
    if rejected_count != batch.doc["rejectedCount"] and batch.marked_at is not None:
        yield VerifyDifference(
            kind=VerifyKind.RECORD,
            detail=f"{rejected_count} entry_rejected records for {key.batch_date}, "
            f"the file rejected {batch.doc['rejectedCount']}",
        )


def _empty_day(database: Database[dict[str, Any]], batch: Batch) -> Iterator[VerifyDifference]:
    key = batch.key
    for action, wanted in ((LogAction.BATCH_EMPTY, 1), (LogAction.CSV_GENERATED, 0)):
        count = export_log.OF_DAY.count(
            database, profile=key.profile, batch_date=key.batch_date, action=action
        )
        if count != wanted:
            yield VerifyDifference(
                kind=VerifyKind.RECORD,
                detail=f"{count} {action.value} records for {key.batch_date}, not {wanted}",
            )
