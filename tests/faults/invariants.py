"""Everything that the guarantee promises, checked on what is left in MongoDB and Drive."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from pymongo.database import Database

from daybook.export.batch import batches
from daybook.export.model.fields import Fields
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.model.seal import ManifestRef
from daybook.export.queue import manifest as manifests
from daybook.export.rendering.render import FileRenderer
from daybook.export.rendering.source import EntrySource
from tests import books
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.views import DriveFile


def _manifest(batch: dict[str, Any]) -> ManifestRef:
    return ManifestRef.from_fields(Fields.of(batch, batches.COLLECTION).inner("manifest"))


_RECORDED = (
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
    "normalisedCount",
    "otherMonthCount",
)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Database and Drive at rest, and what a test expects to be unusual about them."""

    database: Database[dict[str, Any]]
    drive: DriveEmulator
    edited: Collection[str] = ()
    """Days whose entries were edited after the seal, so that they render otherwise now."""
    orphans: Collection[str] = ()
    """Ids that were given up, with an alert."""
    requeued: Collection[Any] = ()
    """Queue items that the other application queued again after they were exported."""
    elsewhere: Collection[Any] = ()
    """Queue items that the other application completed before a file was sealed."""

    def check(self) -> dict[str, list[str]]:
        """By committed day the entries in its file, in their order there.

        Raises AssertionError listing everything that is wrong.
        """
        faults = list(_faults(self))
        assert not faults, "\n".join(["the guarantee is broken:", *faults])
        return {
            batch["batchDate"]: _entries(files[batch["fileId"]])
            for files in [_files(self)]
            for batch in _committed(self)
        }


def _faults(rest: Rest) -> Iterator[str]:
    files = _files(rest)
    committed = _committed(rest)
    yield from _unknown_files(rest, files, committed)
    yield from _slot_faults(rest)
    yield from _record_faults(rest, committed)
    for batch in committed:
        if batch["fileId"] not in files:
            yield f"{batch['batchDate']}: its file {batch['fileId']} is not in the folder"
            continue
        yield from _batch_faults(rest, batch, files[batch["fileId"]])
    yield from _entry_faults(rest, [b for b in committed if b["fileId"] in files], files)


def _files(rest: Rest) -> dict[str, DriveFile]:
    return {file.id: file for file in rest.drive.files(rest.drive.folder_id)}


def _committed(rest: Rest) -> list[dict[str, Any]]:
    found = rest.database["exportbatches"].find({"state": "committed"})
    return list(found.sort("batchDate", 1))


def _unknown_files(
    rest: Rest, files: dict[str, DriveFile], committed: list[dict[str, Any]]
) -> Iterator[str]:
    known = Counter(batch["fileId"] for batch in committed)
    watched = {orphan["_id"] for orphan in rest.database["exportorphans"].find()}
    if watched != set(rest.orphans):
        yield f"exportorphans names {sorted(watched)}, expected {sorted(rest.orphans)}"
    for file_id, file in files.items():
        if not known[file_id] and file_id not in watched:
            yield f"{file.name} ({file_id}) is visible, but nobody knows of it"
        if known[file_id] and file_id in watched:
            yield f"{file.name} ({file_id}) is both delivered and an orphan"
        if known[file_id] > 1:
            yield f"{file.name} ({file_id}) is the file of {known[file_id]} days"
    delivered = [file.name for file_id, file in files.items() if known[file_id]]
    for name, count in Counter(delivered).items():
        if count > 1:
            yield f"{count} delivered files are called {name}"


def _slot_faults(rest: Rest) -> Iterator[str]:
    for slot in rest.database["exportslots"].find():
        file_id = slot["fileId"]
        everything = {file.id for file in rest.drive.files(include_trashed=True)}
        if file_id is None and slot["seals"]:
            yield f"slot {slot['_id']} holds seals without an id"
        if file_id is not None and file_id in everything:
            yield f"slot {slot['_id']} still holds {file_id}, under which a file is visible"
        if file_id is not None and file_id not in rest.drive.world.issued:
            yield f"slot {slot['_id']} holds {file_id}, which was never issued"


def _record_faults(rest: Rest, committed: list[dict[str, Any]]) -> Iterator[str]:
    records = rest.database["exportlogs"]
    days = Counter(r["metadata"]["batchDate"] for r in records.find({"action": "csv_generated"}))
    expected = {batch["batchDate"] for batch in committed}
    for day in sorted(expected | set(days)):
        if days[day] != (day in expected):
            yield f"{day}: {days[day]} csv_generated records, committed: {day in expected}"
    for batch in rest.database["exportbatches"].find({"state": "empty"}):
        day = batch["batchDate"]
        count = records.count_documents({"action": "batch_empty", "metadata.batchDate": day})
        if count != 1:
            yield f"{day}: {count} batch_empty records"


def _batch_faults(rest: Rest, batch: dict[str, Any], file: DriveFile) -> Iterator[str]:
    day = batch["batchDate"]
    if batch.get("markedAt") is None:
        yield f"{day}: markedAt is missing"
    record = rest.database["exportlogs"].find_one({"_id": batch["recordId"]})
    if record is None:
        yield f"{day}: its record {batch['recordId']} is missing"
        return
    said = record["metadata"]
    for name in _RECORDED:
        if said[name] != batch[name]:
            yield f"{day}: {name} is {said[name]} in the record, {batch[name]} in the batch"
    rows = books.rows(file.content)
    found = {
        "batchDate": file.properties.get("daybookDate"),
        "filename": file.name,
        "fileId": file.id,
        "md5": hashlib.md5(file.content, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "sizeBytes": len(file.content),
        "entryCount": len(_entries(file)),
        "rowCount": len(rows),
        "totals": _totals(rows),
    }
    for name, value in found.items():
        if said[name] != value:
            yield f"{day}: {name} is {said[name]} in the record, {value} in the file"
    if file.name not in (f"batch_{day}.csv", f"batch_{day}.xlsx"):
        yield f"{day}: the file is called {file.name}"
    if day not in rest.edited and file.content != _render(rest, batch):
        yield f"{day}: the file is not what its manifest and entries render to"
    yield from _manifest_faults(rest, batch)


def _manifest_faults(rest: Rest, batch: dict[str, Any]) -> Iterator[str]:
    ref = _manifest(batch)
    for number in range(ref.part_count):
        part = rest.database[manifests.COLLECTION].find_one({"_id": ref.part_id(number)})
        if part is None or part.get("markedAt") is None:
            yield f"{batch['batchDate']}: manifest part {number} is missing or not marked"


def _entry_faults(
    rest: Rest, committed: list[dict[str, Any]], files: dict[str, DriveFile]
) -> Iterator[str]:
    """An item is completed if and only if its entry is in the file that it names."""
    home: dict[str, dict[str, Any]] = {}
    for batch in committed:
        for entry_id, count in Counter(_entries(files[batch["fileId"]])).items():
            if count > 1 or entry_id in home:
                yield f"entry {entry_id} is in two places, the second in {batch['batchDate']}"
            home[entry_id] = batch
    claimed = defaultdict(list)
    for item in rest.database["exportqueues"].find({"_id": {"$nin": list(rest.elsewhere)}}):
        entry_id = str(item["entryId"])
        fault = _item_fault(rest, item, home.get(entry_id))
        if fault is not None:
            yield f"item {item['_id']} of entry {entry_id} is {item['status']}, but {fault}"
        if item["status"] == "completed" or item["_id"] in rest.requeued:
            claimed[entry_id].append(item["_id"])
    gone = {
        str(item)
        for record in rest.database["exportlogs"].find({"metadata.goneCount": {"$gt": 0}})
        for item in record["metadata"]["goneItems"]
    }
    unclaimed = [entry_id for entry_id in home if len(claimed[entry_id]) != 1]
    if len(unclaimed) > len(gone):
        yield f"entries {unclaimed} stand in a file, but not with one completed item each"


def _item_fault(rest: Rest, item: dict[str, Any], home: dict[str, Any] | None) -> str | None:
    status, metadata = item["status"], item.get("metadata") or {}
    if status == "completed":
        if home is None:
            return "its entry is in no file"
        for name in ("batchDate", "fileId", "webViewLink"):
            if metadata.get(name) != home[name]:
                return f"it names {name} {metadata.get(name)} instead of {home[name]}"
        return None
    if status == "queued":
        if home is None or item["_id"] in rest.requeued:
            return None
        return f"its entry is in {home['filename']}"
    reason = item["error"]["reason"]
    if home is not None and reason != "duplicate":
        return f"its entry is in {home['filename']} although it is {reason}"
    rejected = rest.database["exportlogs"].count_documents(
        {"action": "entry_rejected", "queueId": item["_id"], "metadata.reason": reason}
    )
    return None if rejected == 1 else f"{rejected} entry_rejected records tell of it"


def _render(rest: Rest, batch: dict[str, Any]) -> bytes:
    is_sheet = batch["filename"].endswith(".xlsx")
    profile = Profile(name="daily", format=FileFormat.XLSX if is_sheet else FileFormat.CSV)
    source = EntrySource(rest.database, profile)
    manifest = _manifest(batch)
    parts = manifests.read(rest.database[manifests.COLLECTION], manifest)
    day = date.fromisoformat(batch["batchDate"])
    with FileRenderer(profile, day, item_count=manifest.item_count) as file:
        rows = [file.part(part, source.read(part.entry_ids)) for part in parts]
        return b"".join([file.header(), *rows, *file.end()])


def _entries(file: DriveFile) -> list[str]:
    """Ids in the order of their first lines; an id that comes back later comes twice."""
    return [row["Entry ID"] for row in books.rows(file.content) if row["Line"] in ("", "1")]


def _totals(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    sums: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        of_currency = sums.setdefault(row["Currency"], defaultdict(lambda: Decimal("0.00")))
        for name in ("Debit", "Credit", "Amount"):
            of_currency[name.lower()] += Decimal(row[name] or "0.00")
    return {
        code: {name: f"{of[name]:f}" for name in ("debit", "credit", "amount")}
        for code, of in sorted(sums.items())
    }
