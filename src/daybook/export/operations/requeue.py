"""Requeueing: an operator puts a corrected entry that a run had rejected back into the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.display import shortened
from daybook.errors import DaybookError
from daybook.export.batch import export_log
from daybook.export.model.ids import addressable, hashable, read_items
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile, option_of
from daybook.export.queue import manifest, named_entries, plan
from daybook.export.rendering.entry_id import candidates, displayed, items_of
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.source import EntrySource
from daybook.mongo.query import Query
from daybook.mongo.sessions import transaction


class NotRequeued(DaybookError):
    """The entry was not rejected by a run, is no longer rejected, or is still wrong."""

    type = "not_requeued"
    permanent = True


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """A queue item that the next run takes again."""

    queue_id: Any
    entry_id: Any
    reference: str | None
    """The entry's; None when it has none."""
    reason: str | None
    """Why it had been rejected, if that was recorded."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "requeued",
            "queueId": displayed(self.queue_id),
            "entryId": displayed(self.entry_id),
            "reference": self.reference,
            "reason": self.reason,
        }


def requeue(
    database: Database[dict[str, Any]],
    profile: Profile,
    entry_id: str,
    *,
    now: datetime,
    performed_by: str = export_log.OPERATOR,
) -> Requeued:
    """Queue a rejected entry again and record it, in one transaction.

    `entry_id` is the ID as the file shows it, whatever its type, or the reference of a single
    entry; `performed_by` is recorded. An entry that only another profile takes is checked as that
    profile's. Raises `NotRequeued`, with nothing changed, when a
    reference names several entries, when the entry has no scheduled queue item, when one is
    already queued or was exported, and when a run would reject the entry again.
    """
    profile = taking(database, profile, entry_id)
    queue = database[profile.source.queue]
    items = _items(database, profile, entry_id)
    # Another profile may have an item of its own, whose file concerns this one no more.
    items = [item for item in items if profile.matches(item)] or items
    name = _name(database, profile, entry_id, items)
    _check_marked(database, profile, name, items)
    item = _rejected(database, profile, name, items)
    _check_exportable(database, profile, name, item)

    def work(session: ClientSession) -> None:
        changed = queue.update_one(
            {"_id": item["_id"], "entryId": item["entryId"], "status": "failed"},
            {"$set": {"status": "queued", "updatedAt": now}, "$unset": {"error": ""}},
            session=session,
        )
        if changed.matched_count == 0:
            raise NotRequeued(f"{name} was changed at this moment; look again")
        database[export_log.COLLECTION].insert_one(
            export_log.requeued(item["_id"], item["entryId"], now=now, performed_by=performed_by),
            session=session,
        )

    transaction(database.client, work)
    error = item.get("error")
    reason = error.get("reason") if isinstance(error, Mapping) else None
    return Requeued(
        queue_id=item["_id"],
        entry_id=item["entryId"],
        reference=named_entries.references_of(database, profile, [item["entryId"]]).get(
            hashable(item["entryId"])
        ),
        reason=reason if isinstance(reason, str) else None,
    )


def taking(database: Database[dict[str, Any]], profile: Profile, text: str) -> Profile:
    """The profile, or the one of `profile.others` that alone takes the entry's queue items."""
    for one in (profile, *profile.others):
        try:
            if any(map(one.matches, _items(database, one, text))):
                return one
        except NotRequeued:  # no such entry there, or several
            continue
    return profile


def _items(
    database: Database[dict[str, Any]], profile: Profile, text: str
) -> Sequence[Mapping[str, Any]]:
    """The scheduled items of the entry with this ID, or else with this reference."""

    def of_entries(ids: Sequence[Any]) -> list[Mapping[str, Any]]:
        queue = database[profile.source.queue]
        return items_of(read_items(queue, _scheduled(profile), entry_ids=ids), ids)

    items = of_entries(candidates(text))
    if items:
        return items
    named = named_entries.entries_named(database, profile, text)
    if not named:
        raise NotRequeued(
            f"entry {shortened(text)} has no scheduled queue item, and no journal entry has it as "
            "its ID or reference"
        )
    if len(set(map(displayed, named))) > 1:
        raise NotRequeued(named_entries.ambiguous(text, named))
    return of_entries([entry_id for entry_id in named if addressable(entry_id)])


def _name(
    database: Database[dict[str, Any]],
    profile: Profile,
    text: str,
    items: Sequence[Mapping[str, Any]],
) -> str:
    """How an error names the entry: by its reference and ID, as receipts do."""
    if not items:
        return f"entry {shortened(text)}"
    entry_id = items[0]["entryId"]
    named = named_entries.references_of(database, profile, [entry_id]).get(hashable(entry_id))
    return f"entry {named_entries.called(entry_id, named)}"


def _scheduled(profile: Profile) -> Query:
    return Query(
        name="scheduled_items_of_entry",
        collection=profile.source.queue,
        filter=lambda entry_ids: {"entryId": {"$in": entry_ids}, "exportPath": "scheduled"},
        arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        sort=(("_id", 1),),
        excused="sorts the few items of one entry",
    )


def queries(profile: Profile) -> Sequence[Query]:
    return (_scheduled(profile),)


def _check_marked(
    database: Database[dict[str, Any]],
    profile: Profile,
    name: str,
    items: Sequence[Mapping[str, Any]],
) -> None:
    """Raise `NotRequeued` for an item that is still `queued` only because marking is unfinished."""
    named = {hashable(item["_id"]) for item in items if item.get("status") == "queued"}
    if not named:
        return
    for batch, part in manifest.unmarked_parts(database, profile):
        if named.intersection(map(hashable, part.queue_ids)):
            raise NotRequeued(
                f"{name} went with the batch of {batch.key.batch_date}, whose "
                f"items are not all marked yet: finish that by `daybook sweep"
                f"{option_of(profile.name)}`, then look again"
            )


def _check_exportable(
    database: Database[dict[str, Any]], profile: Profile, name: str, item: Mapping[str, Any]
) -> None:
    """Raise `NotRequeued` with the faults that a run would reject the entry for."""
    entry_id = item["entryId"]
    if not addressable(item["_id"]):
        raise NotRequeued(
            f"{name}: the _id of its queue item, {displayed(item['_id']):.100}, "
            f"{plan.UNREADABLE_ID}, so no run can export it; give the item another _id"
        )
    file = plan.delivered_in(database, profile, entry_id)
    if file is not None:
        raise NotRequeued(
            f"{name} was exported already with {file}. A delivered entry is final: correct it by "
            "a reversing entry and a new one, or make a copy in a file of its own by `export`"
        )
    renderer = Renderer(profile, None)
    part = Part(number=0, queue_ids=[item["_id"]], entry_ids=[entry_id], duplicates={})
    renderer.part(part, EntrySource(database, profile).read(part.entry_ids))
    for fault in renderer.figures().rejected:
        raise NotRequeued(f"{name} would be rejected again; correct it first. {fault.detail}")


def _rejected(
    database: Database[dict[str, Any]],
    profile: Profile,
    name: str,
    items: Sequence[Mapping[str, Any]],
) -> Mapping[str, Any]:
    """The item to queue again: the first that failed."""
    if not items:
        raise NotRequeued(f"{name} has no scheduled queue item")
    for item in items:
        item_id = displayed(item["_id"])
        if item.get("status") == "queued":
            raise NotRequeued(f"{name} is queued already (queue item {item_id})")
        if item.get("status") == "completed":
            raise NotRequeued(
                f"{name} was exported already with {_file(database, profile, item)}, says queue "
                f"item {item_id}; exporting it again would make a duplicate"
            )
    failed = next((item for item in items if item.get("status") == "failed"), None)
    if failed is None:
        statuses = ", ".join(repr(item.get("status")) for item in items)
        raise NotRequeued(f"{name} was not rejected by a run: its status is {statuses}")
    return failed


def _file(database: Database[dict[str, Any]], profile: Profile, item: Mapping[str, Any]) -> str:
    """The file that a completed item names, by its name if the day's record has it, and ID."""
    metadata = item.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    file_id, day = named.get("fileId"), named.get("batchDate")
    if not isinstance(file_id, str) or not file_id:
        return "an unknown file"
    if not isinstance(day, str):
        return f"file {shortened(file_id)}"
    for one in (profile, *profile.others):
        record = export_log.generated(database, one.name, day) or {}
        filename = record.get("filename")
        if record.get("fileId") == file_id and isinstance(filename, str):
            return f"{shortened(filename)} (file ID {shortened(file_id)})"
    return f"file {shortened(file_id)}"
