"""The audit: are the delivered files still there and unchanged, and do the entries still match?

A day costs one request for the file's metadata and one read of its entries, which are rendered
again and compared with the recorded digest. Only when that differs, or when the destination
can tell neither a digest nor that nothing has changed since the file was last read, is the file
itself read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import chain, groupby, islice
from typing import Any

from pymongo.database import Database

from daybook.audit.delivered import delivered, delivered_elsewhere
from daybook.audit.delivered_rows import Comparison
from daybook.audit.difference import VerifyDifference
from daybook.audit.rerender import Rerendering
from daybook.audit.verify import is_of_earlier_version
from daybook.destinations.base import Destination
from daybook.errors import DaybookError, DestinationRefused
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.profile import Profile
from daybook.export.rendering.entry_id import displayed

DAYS = 7
"""How many days back are audited unless something else is asked for."""
MAX_DAYS = 400
MAX_FINDINGS = 100
"""Findings of a day that are looked for; a day with more is wrong as a whole."""

_WITHOUT_LISTS = {"rejected": 0, "profiles": 0, "audit.findings": 0}
"""Of many days at once, so that memory does not depend on what each has rejected."""


class AuditKind(StrEnum):
    FILE_MISSING = "file_missing"  # the destination has no such file any more
    FILE_TRASHED = "file_trashed"  # it is in the trash
    FILE_RENAMED = "file_renamed"  # it has another name than recorded
    FILE_CONTENT = "file_content"  # it has another size or digest than recorded
    MANIFEST_DAMAGED = "manifest_damaged"  # which entries are in the file is no longer stored
    ENTRY_CHANGED = "entry_changed"  # an entry would give other rows today


FILE_KINDS = frozenset(AuditKind) - {AuditKind.MANIFEST_DAMAGED, AuditKind.ENTRY_CHANGED}


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """One thing that is not as it was delivered."""

    kind: AuditKind
    detail: str
    entry_id: str | None = None
    """As the file shows it; None for a finding about the file."""
    row: int | None = None
    """The entry's first differing row in the file, from 1 below the header."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "detail": self.detail,
            "entryId": self.entry_id,
            "row": self.row,
        }


@dataclass(frozen=True, kw_only=True)
class AuditedDay:
    """One delivered day and what has changed since."""

    batch: Batch
    audited_at: datetime
    findings: tuple[AuditFinding, ...]
    complete: bool = True
    """False when there are more findings than `MAX_FINDINGS`."""
    note: str | None = None
    """Why the file itself is not checked; None when it is."""
    file_version: str | None = None
    """The destination's version of the file in which its content was found as delivered."""

    @property
    def differs(self) -> bool:
        return bool(self.findings)

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "differs"
            if self.differs
            else "unchanged"
            if self.note is None
            else "not_checked",
            "profile": self.batch.key.profile,
            "batchDate": self.batch.key.batch_date,
            "batchId": str(self.batch.id),
            "filename": self.batch.doc["filename"],
            "fileId": self.batch.doc["fileId"],
            "webViewLink": self.batch.doc["webViewLink"],
            "auditedAt": self.audited_at,
            "findingCount": len(self.findings),
            "allFound": self.complete,
            "note": self.note,
            "findings": [finding.to_doc() for finding in self.findings],
        }


def delivered_days(
    database: Database[dict[str, Any]], profile_name: str, *, since: date
) -> list[Batch]:
    """The days from `since` on whose file Daybook has delivered and published, newest first.

    Without the lists in them, which `audit` reads of one day at a time. Raises `DocumentDamaged`.
    """
    found = batches.NEWEST_DAYS.find(
        database[batches.COLLECTION],
        profile=profile_name,
        projection=_WITHOUT_LISTS,
        limit=MAX_DAYS + 1,
    )
    days = []
    for batch in batches.own(found):
        if batch.key.batch_date is None or batch.key.batch_date < since.isoformat():
            break
        if batch.finished and batch.manifest is not None:
            days.append(batch)
    return days


def audit(
    database: Database[dict[str, Any]],
    destination: Destination,
    profile: Profile,
    days: Iterable[Batch],
    *,
    now: Callable[[], datetime],
) -> Iterator[AuditedDay]:
    """Audit the days, in flat memory, changing nothing. A batch is rendered with its own profile.

    A day whose batch, manifest or rejected items are damaged has that as a finding, so that it
    holds up no other day.

    A file that was delivered to another destination than this one, and is not here as it was
    delivered, is not checked; its entries are.

    Raises `DestinationError` when the destination cannot be asked.
    """
    for batch in days:
        of_file, file_version = _of_file(destination, batch)
        elsewhere = delivered_elsewhere(destination, batch.doc) if of_file else None
        note = None
        if elsewhere is not None:
            of_file = []
            note = f"{batch.doc['filename']} was delivered to {elsewhere} and is not checked"
        of_rows = _of_rows(
            database, destination, profile, batch, of_file=of_file, readable=elsewhere is None
        )
        found = list(islice(chain(of_file, of_rows), MAX_FINDINGS + 1))
        yield AuditedDay(
            batch=batch,
            audited_at=now(),
            findings=tuple(found[:MAX_FINDINGS]),
            complete=len(found) <= MAX_FINDINGS,
            note=note,
            file_version=file_version,
        )


def first_day(today: date, days: int) -> date:
    """The first of the last `days` days, of which `today` is one."""
    return today - timedelta(days=days - 1)


def _of_rows(
    database: Database[dict[str, Any]],
    destination: Destination,
    profile: Profile,
    batch: Batch,
    *,
    of_file: list[AuditFinding],
    readable: bool,
) -> Iterator[AuditFinding]:
    """Of the entries; `readable`: the file is where `destination` is."""
    try:
        batch = batches.whole(database[batches.COLLECTION], batch)
        unchanged = _rendered_sha256(Rerendering(database, profile, batch)) == batch.doc["sha256"]
    except DaybookError as error:
        yield AuditFinding(kind=AuditKind.MANIFEST_DAMAGED, detail=str(error))
        return
    if unchanged:
        return
    if not readable or any(one.kind is not AuditKind.FILE_RENAMED for one in of_file):
        yield AuditFinding(
            kind=AuditKind.ENTRY_CHANGED,
            detail="the entries would give another file today; which ones changed cannot be "
            "told without the file as it was delivered",
        )
        return
    yield from _of_entries(database, destination, profile, batch)


def _of_file(destination: Destination, batch: Batch) -> tuple[list[AuditFinding], str | None]:
    """What is wrong with the file, and the version in which its content is as delivered."""
    doc = batch.doc
    name, file_id = doc["filename"], doc["fileId"]
    metadata = destination.metadata(file_id, name)
    if metadata is None:
        detail = f"{name} (ID {file_id}) is no longer there"
        return [AuditFinding(kind=AuditKind.FILE_MISSING, detail=detail)], None
    found = []
    if metadata.trashed:
        detail = f"{name} is in the trash"
        found.append(AuditFinding(kind=AuditKind.FILE_TRASHED, detail=detail))
    if metadata.name != name:
        detail = f"{name} is now named {displayed(metadata.name)}"
        found.append(AuditFinding(kind=AuditKind.FILE_RENAMED, detail=detail))
    if metadata.size_bytes != doc["sizeBytes"]:
        size = "no size" if metadata.size_bytes is None else f"{metadata.size_bytes:,} bytes"
        detail = f"{name} now has {size}, delivered were {doc['sizeBytes']:,} bytes"
        return [*found, AuditFinding(kind=AuditKind.FILE_CONTENT, detail=detail)], None
    version = metadata.version
    if version is not None and version == _audited_version(batch):
        return found, version
    md5, sha256 = metadata.md5, metadata.sha256
    if md5 is None and sha256 is None:
        try:
            sha256 = _sha256_of(destination.read(file_id, name))
        except DestinationRefused as error:
            return [*found, AuditFinding(kind=AuditKind.FILE_MISSING, detail=str(error))], None
        version = _still(destination, batch, version)
    if md5 not in (None, doc["md5"]) or sha256 not in (None, doc["sha256"]):
        detail = f"{name} has another content than was delivered, of the same size"
        return [*found, AuditFinding(kind=AuditKind.FILE_CONTENT, detail=detail)], None
    return found, version


def _audited_version(batch: Batch) -> str | None:
    stored = batch.doc.get("audit")
    found = stored.get("fileVersion") if isinstance(stored, dict) else None
    return found if isinstance(found, str) else None


def _still(destination: Destination, batch: Batch, version: str | None) -> str | None:
    """The version, if the file still has it: it may have been replaced before it was read."""
    if version is None:
        return None
    metadata = destination.metadata(batch.doc["fileId"], batch.doc["filename"])
    return version if metadata is not None and metadata.version == version else None


def _of_entries(
    database: Database[dict[str, Any]], destination: Destination, profile: Profile, batch: Batch
) -> Iterator[AuditFinding]:
    """The entries that differ from the file, each once, with all of its differing rows."""
    whole, single = (Rerendering(database, profile, batch) for _ in range(2))
    blocks = destination.read(batch.doc["fileId"], batch.doc["filename"])
    with delivered(blocks, whole.profile) as (_, rows):
        comparison = Comparison(rows, whole, single, earlier=is_of_earlier_version(batch))
        for entry, found in groupby(comparison.differences(), key=_entry):
            differences = list(found)
            yield AuditFinding(
                kind=AuditKind.ENTRY_CHANGED,
                detail="; ".join(difference.detail for difference in differences),
                entry_id=entry,
                row=differences[0].row,
            )


def _entry(difference: VerifyDifference) -> str | None:
    return None if difference.entry_id is None else displayed(difference.entry_id)


def _rendered_sha256(rendering: Rerendering) -> str:
    """Of the file that the manifest's entries would give now; raises `DaybookError`."""
    return _sha256_of(rendering.file())


def _sha256_of(blocks: Iterator[bytes]) -> str:
    sha256 = hashlib.sha256()
    for block in blocks:
        sha256.update(block)
    return sha256.hexdigest()
