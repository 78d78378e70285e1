"""Lineage: where one journal entry went, file by file and row by row. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.audit.rerender import Rerendering, slice_of
from daybook.errors import DaybookError
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import Batch
from daybook.export.batch.export_log import LogAction
from daybook.export.model.ids import addressable, hashable, read_items
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import Part, PartId
from daybook.export.model.profile import Profile
from daybook.export.queue import manifest as manifests
from daybook.export.queue import named_entries, plan
from daybook.export.queue.waiting import Unclaimed, reason_of
from daybook.export.rendering.entry_id import candidates, displayed, items_of
from daybook.mongo.query import Query


def _items(profile: Profile) -> Query:
    return Query(
        name="items_of_entry_in_order",
        collection=profile.source.queue,
        filter=lambda entry_ids: {"entryId": {"$in": entry_ids}},
        arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        sort=(("_id", 1),),
        excused="sorts the few items of one entry",
    )


_PARTS = Query(
    name="files_of_entry",
    collection=manifests.COLLECTION,
    filter=lambda entry_ids: {"entryIds": {"$in": entry_ids}, "markedAt": {"$exists": True}},
    arguments=lambda doc: {"entry_ids": doc["entryIds"][:1]},
    projection={"_id": 1},
)
_RECORDS = Query(
    name="records_of_entry",
    collection=export_log.COLLECTION,
    filter=lambda entry_ids: {
        "metadata.entryId": {"$in": entry_ids},
        "action": {"$in": [LogAction.ENTRY_REJECTED.value, LogAction.ENTRY_REQUEUED.value]},
    },
    arguments=lambda doc: {"entry_ids": [doc["metadata"]["entryId"]]},
    sort=(("createdAt", 1),),
    excused="sorts the few records of one entry",
)


def queries(profile: Profile) -> Sequence[Query]:
    return (_items(profile), _PARTS, _RECORDS)


class EntryUnknown(DaybookError):
    """No entry, queue item or file has this ID, and no entry this reference."""

    type = "entry_unknown"
    permanent = True


@dataclass(frozen=True, kw_only=True)
class DeliveredIn:
    """A delivered file that contains the entry."""

    profile: str
    batch_id: str
    batch_date: str | None
    """None for a manual export."""
    filename: str
    file_id: str
    link: str
    committed_at: datetime
    first_row: int
    """Counted from 1 below the header, with the entries as they are now."""
    last_row: int
    certain: bool
    """False when an entry up to this one can no longer be printed, which shifts the rows."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "batchId": self.batch_id,
            "batchDate": self.batch_date,
            "filename": self.filename,
            "fileId": self.file_id,
            "webViewLink": self.link,
            "committedAt": self.committed_at,
            "firstRow": self.first_row,
            "lastRow": self.last_row,
            "certain": self.certain,
        }


@dataclass(frozen=True, kw_only=True)
class Event:
    """A record about the entry: rejected, or queued again."""

    action: LogAction
    at: datetime | None
    """None when another application wrote the record without a date."""
    batch_date: str | None
    detail: str

    def to_doc(self) -> dict[str, Any]:
        return {
            "action": self.action.value,
            "at": self.at,
            "batchDate": self.batch_date,
            "detail": self.detail,
        }


@dataclass(frozen=True, kw_only=True)
class Item:
    """A queue item of the entry."""

    queue_id: Any
    export_path: str | None
    status: str | None
    reason: str | None
    unclaimed: Unclaimed | None
    """Why no run ever takes it."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "queueId": displayed(self.queue_id),
            "exportPath": self.export_path,
            "status": self.status,
            "reason": self.reason,
            "unclaimed": None if self.unclaimed is None else self.unclaimed.value,
        }


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Everything known about an entry's way into files."""

    entry_id: Any
    exists: bool
    reference: str | None
    items: tuple[Item, ...]
    files: tuple[DeliveredIn, ...]
    events: tuple[Event, ...]

    def to_doc(self) -> dict[str, Any]:
        return {
            "entryId": displayed(self.entry_id),
            "exists": self.exists,
            "reference": self.reference,
            "items": [item.to_doc() for item in self.items],
            "files": [file.to_doc() for file in self.files],
            "events": [event.to_doc() for event in self.events],
        }


def lineage(database: Database[dict[str, Any]], profile: Profile, name: str) -> tuple[Lineage, ...]:
    """Follow an entry, given by its ID as the file shows it, or each entry with a reference.

    Its files are those of every profile that reads the same journal: an entry may have a queue
    item for each of several.

    The ID comes first: a reference is looked up only if nothing has the ID. Of entries whose
    IDs differ only in type, all items, files and events are in one lineage. Raises
    `EntryUnknown`.
    """
    found = _lineage(database, profile, candidates(name), name)
    if found is not None:
        return (found,)
    ids = named_entries.with_references(database, profile, [name]).get(name, [])
    of_each = (_lineage(database, profile, [one], one) for one in ids if addressable(one))
    followed = tuple(one for one in of_each if one is not None)
    if not followed:
        raise EntryUnknown(
            f"no journal entry, queue item or file has the entry ID {name}, and no journal "
            "entry has it as its reference"
            if not ids
            else f"the entry with the reference {name} cannot be followed: its _id "
            f"{plan.UNREADABLE_ID}"
        )
    return followed


def to_doc(found: Sequence[Lineage]) -> dict[str, Any]:
    """The first entry's fields, with the further entries of the reference in `others`."""
    first, *others = [one.to_doc() for one in found]
    return {**first, "others": others}


def _lineage(
    database: Database[dict[str, Any]], profile: Profile, ids: list[Any], name: Any
) -> Lineage | None:
    """What is known about the entry with one of the IDs; None when nothing is."""
    source = profile.source
    entry = database[source.entries].find_one({"_id": {"$in": ids}}, {"_id": 1})
    found = read_items(database[source.queue], _items(profile), entry_ids=ids)
    items = items_of(found, ids)
    files = _files(database, profile, ids)
    if entry is None and not items and not files:
        return None
    of_entry = [] if entry is None else [entry["_id"]]
    reference = named_entries.references_of(database, profile, of_entry)
    return Lineage(
        entry_id=entry["_id"] if entry is not None else name,
        exists=entry is not None,
        reference=next(iter(reference.values()), None),
        items=tuple(_item(item, profile) for item in items),
        files=tuple(files),
        events=tuple(_events(database, ids)),
    )


def _files(
    database: Database[dict[str, Any]], profile: Profile, ids: list[Any]
) -> list[DeliveredIn]:
    parts = _PARTS.find(database, entry_ids=ids)
    part_ids = (PartId.parse(doc["_id"]) for doc in parts)
    marked = {part_id.batch_id for part_id in part_ids if part_id is not None}
    entries = profile.source.entries
    found = [
        file
        for one in (profile, *profile.others)
        if one.source.entries == entries
        for file in _files_of(database, one, ids, marked)
    ]
    return sorted(found, key=lambda file: file.committed_at)


def _files_of(
    database: Database[dict[str, Any]], profile: Profile, ids: list[Any], marked: set[str]
) -> Iterator[DeliveredIn]:
    """Those of one profile; `marked` are the batches of any whose marked parts have the entry."""
    batch_ids = marked | {
        str(batch.id)
        for batch, part in manifests.unmarked_parts(database, profile)
        if batch.state is BatchState.COMMITTED and _position(part, ids) is not None
    }
    for batch_id in batch_ids:
        batch = batches.of_manifest(database[batches.COLLECTION], profile.name, batch_id)
        if batch is None or batch.key.profile != profile.name:
            continue
        file = _delivered_in(database, profile, batch, ids)
        if file is not None:
            yield file


def _delivered_in(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, ids: list[Any]
) -> DeliveredIn | None:
    """Where the batch's file contains the entry; None when the batch rejected it."""
    rerendered = Rerendering(database, profile, batch)
    for part in rerendered.parts():
        at = _position(part, ids)
        rerendered.render(part if at is None else slice_of(part, 0, at))
        if at is None:
            continue
        before = rerendered.figures().row_count
        rerendered.render(slice_of(part, at, at + 1))
        figures = rerendered.figures()
        return DeliveredIn(
            profile=batch.key.profile,
            batch_id=str(batch.id),
            batch_date=batch.key.batch_date,
            filename=batch.doc["filename"],
            file_id=batch.doc["fileId"],
            link=batch.doc["webViewLink"],
            committed_at=batch.doc["committedAt"],
            first_row=before + 1,
            last_row=max(before + 1, figures.row_count),
            certain=not figures.rejected,
        )
    return None


def _position(part: Part, ids: list[Any]) -> int | None:
    keys = set(map(hashable, ids))
    return next((at for at, one in enumerate(part.entry_ids) if hashable(one) in keys), None)


def _item(doc: Mapping[str, Any], profile: Profile) -> Item:
    error = doc.get("error")
    return Item(
        queue_id=doc["_id"],
        export_path=_text(doc.get("exportPath")),
        status=_text(doc.get("status")),
        reason=_text(error.get("reason")) if isinstance(error, Mapping) else None,
        unclaimed=reason_of(doc, profile),
    )


def _events(database: Database[dict[str, Any]], ids: list[Any]) -> list[Event]:
    return [_event(doc) for doc in _RECORDS.find(database, entry_ids=ids)]


def _event(doc: Mapping[str, Any]) -> Event:
    metadata, at = doc["metadata"], doc.get("createdAt")
    if not isinstance(metadata, Mapping):  # an array of documents, one of which has the entry
        metadata = {}
    return Event(
        action=LogAction(doc["action"]),
        at=at if isinstance(at, datetime) else None,
        batch_date=_text(metadata.get("batchDate")),
        detail=_text(metadata.get("detail", doc.get("message"))) or "",
    )


def _text(value: Any) -> str | None:
    """A value written by others where text is expected."""
    return None if value is None else displayed(value)
