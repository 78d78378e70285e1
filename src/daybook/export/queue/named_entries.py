"""Entries as people name them: by ID and reference, rejected, and to be checked. Reads only."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from pymongo.database import Database

from daybook import display
from daybook.export.batch.batch import Batch, profile_of, rejected_of
from daybook.export.model.figures import Rejected
from daybook.export.model.ids import LENIENT, addressable, hashable, read_items
from daybook.export.model.notice import Check, CheckedEntry, RejectedEntry
from daybook.export.model.profile import Profile
from daybook.export.model.source import Column, LineCollection
from daybook.export.queue import manifest as manifests
from daybook.export.rendering import lines
from daybook.export.rendering.cells.page import Page
from daybook.export.rendering.cells.readers import Readers
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.entry_id import candidates, displayed
from daybook.export.rendering.source import PAGE_SIZE, EntrySource
from daybook.mongo.query import Query

_ASKED_AT_ONCE = 1000
_LISTED = 20
LISTED_TO_CHECK = 5
"""Entries that a receipt names for each reason."""
_MOST_READ = 20_000
"""Entries that are read at most to find them: a receipt must not delay the end of a run."""


def _holder(profile: Profile) -> tuple[str, str, str]:
    """The collection that has the references, and its paths of a reference and an entry's ID."""
    source = profile.source
    if isinstance(source.lines, str) or source.reference_in_line is None:
        return source.entries, source.reference, "_id"
    return source.lines.collection, source.reference_in_line, source.lines.key


def _having(profile: Profile) -> Query:
    collection, path, entry_id = _holder(profile)
    return Query(
        name="entries_of_reference",
        collection=collection,
        filter=lambda references: {path: {"$in": references}},
        arguments=lambda doc: {"references": [_stored(doc, path)]},
        sort=(("_id", 1),),
        projection={"_id": 1, entry_id: 1, path: 1},
        excused="sorts the few entries of one reference",
    )


def queries(profile: Profile) -> Sequence[Query]:
    return (_having(profile),)


def with_references(
    database: Database[dict[str, Any]], profile: Profile, texts: Sequence[str]
) -> dict[str, list[Any]]:
    """Text → the IDs of the entries that have it as their reference; texts of none are left out.

    A reference that is stored as a number is found by its digits.
    """
    asked = [(text, candidate) for text in texts for candidate in candidates(text)]
    wanted: dict[Hashable, list[str]] = {}
    for text, candidate in asked:
        wanted.setdefault(hashable(candidate), []).append(text)
    if not asked:
        return {}
    collection, path, entry_id = _holder(profile)
    references = [candidate for _, candidate in asked]
    found: dict[str, dict[Hashable, Any]] = {}
    for doc in read_items(database[collection], _having(profile), references=references):
        named = (text for one in _values(doc, path) for text in wanted.get(hashable(one), ()))
        for text in named:
            for one in _values(doc, entry_id):
                found.setdefault(text, {}).setdefault(hashable(one), one)
    if entry_id != "_id":
        _keep_existing(database, profile, found)
    return {text: list(ids.values()) for text, ids in found.items() if ids}


def _keep_existing(
    database: Database[dict[str, Any]], profile: Profile, found: Mapping[str, dict[Hashable, Any]]
) -> None:
    """Remove the IDs that no entry has: an application may fail between lines and entry."""
    ids = [one for named in found.values() for one in named.values() if addressable(one)]
    entries = database.get_collection(profile.source.entries, codec_options=LENIENT)
    existing = {hashable(doc["_id"]) for doc in entries.find({"_id": {"$in": ids}}, {"_id": 1})}
    for named in found.values():
        for key in [key for key in named if key not in existing]:
            del named[key]


def entries_named(database: Database[dict[str, Any]], profile: Profile, text: str) -> list[Any]:
    """The IDs of the entries that a typed text names: by their ID, of any type.

    Only if no entry has it as its ID, it is a reference, and may name several entries.
    """
    entries = database.get_collection(profile.source.entries, codec_options=LENIENT)
    found = entries.find({"_id": {"$in": candidates(text)}}, {"_id": 1}, sort=[("_id", 1)])
    ids = [doc["_id"] for doc in found]
    return ids or with_references(database, profile, [text]).get(text, [])


def called(entry_id: Any, named: str | None) -> str:
    """How a message calls an entry: by its reference and ID, as receipts do."""
    shown = display.shortened(displayed(entry_id))
    return shown if named is None else f"{display.shortened(named)} ({shown})"


def ambiguous(text: str, entry_ids: Sequence[Any]) -> str:
    """Why a reference of several entries was refused, with their IDs."""
    ids = ", ".join(display.shortened(displayed(one)) for one in entry_ids[:_LISTED])
    more = len(entry_ids) - _LISTED
    return (
        f"{len(entry_ids)} entries have the reference {display.quoted(text)}: {ids}"
        + (f" and {more} more" if more > 0 else "")
        + "; give the ID of the one that is meant"
    )


def references_of(
    database: Database[dict[str, Any]], profile: Profile, entry_ids: Iterable[Any]
) -> dict[Hashable, str]:
    """`hashable` ID → the entry's reference as it is now; entries without one are left out."""
    # An item without an entryId must not find an entry whose _id is null.
    wanted = [one for one in entry_ids if one is not None and addressable(one)]
    found: dict[Hashable, str] = {}
    for first in range(0, len(wanted), _ASKED_AT_ONCE):
        for entry_id, value in _stored_references(
            database, profile, wanted[first : first + _ASKED_AT_ONCE]
        ):
            text = "" if value is None else displayed(value)
            if text.strip():
                found[hashable(entry_id)] = text
    return found


def _stored_references(
    database: Database[dict[str, Any]], profile: Profile, page: Sequence[Any]
) -> Iterator[tuple[Any, Any]]:
    """The ID of each entry of the page that exists, and its reference or None."""
    source, wanted = profile.source, {"_id": {"$in": page}}
    entries = database.get_collection(source.entries, codec_options=LENIENT)
    path = source.reference_in_line
    if isinstance(source.lines, str) or path is None:
        for doc in entries.find(wanted, {source.reference: 1}):
            yield doc["_id"], next(_values(doc, source.reference), None)
        return
    of_entry = _lines(database, source.lines, path, page)
    order = source.lines.order or "_id"
    for doc in entries.find(wanted, {order: 1}):
        named: Any = doc
        for name in order.split("."):
            named = named.get(name) if isinstance(named, Mapping) else None
        own = of_entry.get(hashable(doc["_id"]), [])
        ordered, _ = lines.in_order(source.lines, own, named, id_of=lambda line_id: line_id)
        yield doc["_id"], lines.first_value(next(_values(line, path), None) for line in ordered)


def _lines(
    database: Database[dict[str, Any]], where: LineCollection, path: str, page: Sequence[Any]
) -> dict[Hashable, list[dict[str, Any]]]:
    """The lines of the entries with these IDs, by entry, with the field at `path`."""
    collection = database.get_collection(where.collection, codec_options=LENIENT)
    found: dict[Hashable, list[dict[str, Any]]] = {}
    projection = {where.key: 1, path: 1}
    for line in lines.of_entries(where).find(collection, projection=projection, entry_ids=page):
        for entry_id in _values(line, where.key):
            found.setdefault(hashable(entry_id), []).append(line)
    return found


def _values(doc: Any, path: str) -> Iterator[Any]:
    """The value of a dotted path, or each value where it is an array, as MongoDB matches it."""
    for name in path.split("."):
        if not isinstance(doc, Mapping) or name not in doc:
            return
        doc = doc[name]
    yield from doc if isinstance(doc, list) else [doc]


def _stored(doc: Any, path: str) -> Any:
    """The reference to ask for; raises `LookupError` for a document without one."""
    value = next(_values(doc, path), None)
    if value is None:
        raise LookupError(path)
    return value


def rejected_with_references(
    database: Database[dict[str, Any]], profile: Profile, rejected: Sequence[Rejected]
) -> tuple[Rejected, ...]:
    """The same items with their entries' references; those that have one keep it."""
    lacking = [item.entry_id for item in rejected if item.reference is None]
    found = references_of(database, profile, lacking)
    return tuple(
        item
        if item.reference is not None
        else item.with_reference(found.get(hashable(item.entry_id)))
        for item in rejected
    )


def rejected_items(
    database: Database[dict[str, Any]], batch: Batch, *, every: bool
) -> list[Rejected]:
    """What the batch rejected: what its document lists, or `every` item.

    An empty day may be signed off more than once; the stored list is that of the last time.
    Raises `DaybookError` when the stored list is incomplete.
    """
    listed = [Rejected.from_doc(item) for item in batch.doc.get("rejected", [])]
    if not every or batch.doc.get("rejectedCount", 0) <= len(listed):
        return listed
    named = {(hashable(item.queue_id), hashable(item.entry_id)) for item in listed}
    stored = rejected_of(database[manifests.COLLECTION], batch.doc)
    return listed + [
        item for item in stored if (hashable(item.queue_id), hashable(item.entry_id)) not in named
    ]


def rejected_entries(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, *, every: bool
) -> tuple[RejectedEntry, ...]:
    """The same items, with the references of the profile that the batch was made with."""
    manifest = batch.marking
    if manifest is not None:
        profile = profile_of(batch, manifest, profile)
    return named_rejected(database, profile, rejected_items(database, batch, every=every))


def named_rejected(
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
        for item in rejected_with_references(database, profile, list(rejected))
    )


def entries_to_check(
    database: Database[dict[str, Any]],
    profile: Profile,
    batch: Batch,
    checks: Iterable[Check],
    *,
    every: bool,
) -> Mapping[Check, tuple[CheckedEntry, ...]]:
    """For each of `checks` the first `LISTED_TO_CHECK` entries in the file, or `every` one.

    They are in the file's order. `profile` is the one that the file was made with; the entries
    are read as they are now. Raises `DaybookError` when the manifest or the list of rejected items
    was altered.
    """
    found: dict[Check, list[Any]] = {check: [] for check in checks}
    if not found or batch.manifest is None or batch.key.batch_date is None:
        return {}
    day = date.fromisoformat(batch.key.batch_date)
    for read, (entry_id, reasons) in enumerate(_reasons(database, profile, batch, day), 1):
        for check in reasons & found.keys():
            if every or len(found[check]) < LISTED_TO_CHECK:
                found[check].append(entry_id)
        enough = all(len(ids) == LISTED_TO_CHECK for ids in found.values())
        if not every and (enough or read == _MOST_READ):
            break
    names = references_of(database, profile, [one for ids in found.values() for one in ids])
    return {
        check: tuple(
            CheckedEntry(entry_id=displayed(one), reference=names.get(hashable(one))) for one in ids
        )
        for check, ids in found.items()
    }


def _reasons(
    database: Database[dict[str, Any]], profile: Profile, batch: Batch, day: date
) -> Iterator[tuple[Any, set[Check]]]:
    """Each entry in the file with the reasons to check it, in the file's order."""
    # Only what decides is read: the date, the currency, and the amounts that every page adds up.
    columns = (
        Column(title="Date", value="entry.date"),
        Column(title="Currency", value="entry.currency"),
    )
    bare = replace(
        text_form(profile), columns=columns, accounts={}, require=frozenset(), years=(1, 9999)
    )
    source, readers = EntrySource(database, bare), Readers(bare, day)
    parts = database[manifests.COLLECTION]
    rejected = {_key_of(item.queue_id, item.entry_id) for item in rejected_of(parts, batch.doc)}
    assert batch.manifest is not None  # noqa: S101  (checked by the caller)
    for whole in manifests.read(parts, batch.manifest):
        for part in whole.pieces(PAGE_SIZE):
            entries = source.read(part.entry_ids).find(part.entry_ids)
            pairs = zip(part.queue_ids, part.entry_ids, entries, strict=True)
            delivered = [
                (entry_id, entry)
                for queue_id, entry_id, entry in pairs
                if entry is not None and _key_of(queue_id, entry_id) not in rejected
            ]
            if not delivered:
                continue
            page = Page(readers, [entry for _, entry in delivered])
            faults, months, named = page.faults(), page.months(), page.names_currency()
            for at, (entry_id, _) in enumerate(delivered):
                reasons: set[Check] = set()
                if months[at] not in (None, (day.year, day.month)):
                    reasons.add(Check.OTHER_MONTH)
                if at not in faults and not named[at]:
                    reasons.add(Check.NO_CURRENCY)
                elif at not in faults and page.currencies[at] != profile.currency:
                    reasons.add(Check.HIDDEN_CURRENCY)
                yield entry_id, reasons
            readers.trim()


def _key_of(queue_id: Any, entry_id: Any) -> tuple[Hashable, Hashable]:
    return hashable(queue_id), hashable(entry_id)
