"""The file of a day as a table: as delivered, or as Daybook would have delivered it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import IO, Any

from bson.datetime_ms import DatetimeMS
from pymongo.database import Database

from daybook.audit.other_system import Pair
from daybook.audit.spool import Row
from daybook.audit.table import Table, read_table
from daybook.destinations.base import Destination
from daybook.errors import DaybookError
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import profile_of
from daybook.export.batch.export_log import LogAction
from daybook.export.context import daily_job
from daybook.export.model.figures import Rejected
from daybook.export.model.ids import LENIENT, hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import BatchKey, FileFormat, Profile
from daybook.export.operations.dry_run import plan_day
from daybook.export.outcome import Status
from daybook.export.queue import named_entries
from daybook.export.rendering.entry_id import candidates, displayed
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.source import EntrySource

_PAGE_SIZE = 1000


class Origin(StrEnum):
    DELIVERED = "delivered"  # the file that Daybook has delivered, as it is at the destination
    PLANNED = "planned"  # what a run would deliver now
    RECORDED_ELSEWHERE = "recorded_elsewhere"  # another application delivered the day: its entries


@dataclass(frozen=True, kw_only=True)
class DayFile:
    """Daybook's side of a comparison."""

    origin: Origin
    profile: Profile
    """With which the file was made."""
    table: Table
    reasons: dict[str, str] = field(default_factory=dict)
    """Entry, by ID and by reference → why the file leaves it out."""


class NothingToCompare(DaybookError):
    """There is nothing to compare with."""

    type = "not_delivered"
    permanent = True


def delivered(
    database: Database[dict[str, Any]],
    destination: Destination,
    profile: Profile,
    day: date,
    *,
    to: IO[bytes],
) -> DayFile | None:
    """The file that Daybook has delivered for the day, copied to `to`; None if it has not.

    Raises `DestinationError` when it cannot be read.
    """
    key = BatchKey(profile=profile.name, batch_date=day.isoformat())
    batch = batches.find(database[batches.COLLECTION], key)
    if batch is None or not batch.finished or batch.manifest is None:
        return None
    profile = profile_of(batch, batch.manifest, profile)
    to.writelines(destination.read(batch.doc["fileId"], batch.doc["filename"]))
    return DayFile(
        origin=Origin.DELIVERED,
        profile=profile,
        table=_read(to, profile),
        reasons={
            name: rejected.detail
            for rejected in _rejected_of(batch.doc)
            for name in (displayed(rejected.entry_id), rejected.reference)
            if name
        },
    )


def planned(
    database: Database[dict[str, Any]], profile: Profile, day: date, *, to: IO[bytes]
) -> DayFile | None:
    """What a run would deliver now, written to `to`.

    None when another application has recorded the day. Raises `NothingToCompare` when a run
    would not make a file.
    """
    outcome = plan_day(database, profile, day, every=True, sink=to.write)
    if outcome.status is Status.ALREADY_EXPORTED:
        return None
    if outcome.status not in (Status.PLANNED, Status.EMPTY):
        raise NothingToCompare(f"{day}: a run would end as {outcome.status.value}")
    return DayFile(
        origin=Origin.PLANNED,
        profile=profile,
        table=_read(to, profile),
        reasons={
            name: rejected.detail
            for rejected in outcome.rejected or ()
            for name in (rejected.entry_id, rejected.reference)
            if name
        },
    )


def recorded_elsewhere(
    database: Database[dict[str, Any]],
    profile: Profile,
    day: date,
    key: Pair,
    theirs: Iterable[Row],
    *,
    to: IO[bytes],
) -> DayFile:
    """The entries that their file names, and those that were queued before it and still are.

    Rendered to `to`. Memory holds their IDs.
    """
    texts = list(dict.fromkeys(row[key.theirs].strip() for row in theirs))
    entry_ids = _entries(database, profile, key, [text for text in texts if text])
    known = set(map(hashable, entry_ids))
    entry_ids += [one for one in _left_queued(database, profile, day) if hashable(one) not in known]
    printed = replace(profile, format=FileFormat.CSV)
    renderer, source = Renderer(printed, day), EntrySource(database, printed)
    to.write(renderer.header())
    for first in range(0, len(entry_ids), _PAGE_SIZE):
        page = entry_ids[first : first + _PAGE_SIZE]
        part = Part(number=1, queue_ids=[None] * len(page), entry_ids=page, duplicates={})
        to.write(renderer.part(part, source.read(page)))
    rejected = renderer.figures().rejected
    references = named_entries.references_of(database, profile, [one.entry_id for one in rejected])
    return DayFile(
        origin=Origin.RECORDED_ELSEWHERE,
        profile=printed,
        table=_read(to, printed),
        reasons={
            name: one.detail
            for one in rejected
            for name in (displayed(one.entry_id), references.get(hashable(one.entry_id)))
            if name
        },
    )


def _read(file: IO[bytes], profile: Profile) -> Table:
    return read_table(
        file, where="Daybook's file", encoding=profile.encoding, delimiter=profile.delimiter
    )


def _rejected_of(doc: Mapping[str, Any]) -> Iterable[Rejected]:
    return map(Rejected.from_doc, doc.get("rejected", ()))


def _entries(
    database: Database[dict[str, Any]], profile: Profile, key: Pair, texts: Sequence[str]
) -> list[Any]:
    """The IDs of the entries that the texts name, in their order."""
    found: list[Any] = []
    for first in range(0, len(texts), _PAGE_SIZE):
        page = texts[first : first + _PAGE_SIZE]
        if key.column.value != "entry._id":
            named = named_entries.with_references(database, profile, page)
            found += [entry_id for text in page for entry_id in named.get(text, ())]
            continue
        entries = database.get_collection(profile.source.entries, codec_options=LENIENT)
        asked = [candidate for text in page for candidate in candidates(text)]
        stored = {
            hashable(doc["_id"]): doc["_id"]
            for doc in entries.find({"_id": {"$in": asked}}, {"_id": 1})
        }
        ordered = dict.fromkeys(hashable(candidate) for candidate in asked)
        found += [stored[one] for one in ordered if one in stored]
    return found


def _left_queued(database: Database[dict[str, Any]], profile: Profile, day: date) -> list[Any]:
    """Entries that were queued before the other application's record, and still are."""
    record = export_log.OF_DAY.one(
        database.get_collection(export_log.COLLECTION, codec_options=LENIENT),
        profile=profile.name,
        batch_date=day.isoformat(),
        action=LogAction.CSV_GENERATED,
    )
    at = None if record is None else record.get("createdAt")
    if not isinstance(at, DatetimeMS):
        return []
    queue = database.get_collection(profile.source.queue, codec_options=LENIENT)
    left: list[Any] = []
    for part in daily_job(database, profile, day).scan():
        for first in range(0, len(part.queue_ids), _PAGE_SIZE):
            page = {"_id": {"$in": part.queue_ids[first : first + _PAGE_SIZE]}}
            left += [
                doc["entryId"]
                for doc in queue.find(page, {"entryId": 1, "createdAt": 1})
                if isinstance(doc.get("createdAt"), DatetimeMS) and doc["createdAt"] < at
            ]
    return left
