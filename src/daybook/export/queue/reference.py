"""References: the entries that a typed text names, and how entries are called. Reads only.

Accountants know an entry by its reference. Unlike an ID, a reference may be missing, and
several entries may have the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pymongo.database import Database

from daybook.export.model.ids import LENIENT, addressable, hashable, read_items
from daybook.export.model.profile import Profile
from daybook.export.rendering.entry_id import candidates, displayed
from daybook.mongo.query import Query
from daybook.text import display

_PAGE_SIZE = 1000
_LISTED = 20


def _entries(profile: Profile) -> Query:
    path = profile.source.reference
    return Query(
        name="entries_of_reference",
        collection=profile.source.entries,
        filter=lambda references: {path: {"$in": references}},
        arguments=lambda doc: {"references": [_stored(doc, path)]},
        sort=(("_id", 1),),
        projection={"_id": 1, path: 1},
        excused="sorts the few entries of one reference",
    )


def queries(profile: Profile) -> Sequence[Query]:
    return (_entries(profile),)


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
    found: dict[str, list[Any]] = {}
    if asked:
        references = [candidate for _, candidate in asked]
        entries = database[profile.source.entries]
        for doc in read_items(entries, _entries(profile), references=references):
            values = list(_values(doc, profile.source.reference))
            named = (text for value in values for text in wanted.get(hashable(value), ()))
            for text in dict.fromkeys(named):
                found.setdefault(text, []).append(doc["_id"])
    return found


def entries_named(database: Database[dict[str, Any]], profile: Profile, text: str) -> list[Any]:
    """The IDs of the entries that a typed text names: by their ID, of any type.

    Only if no entry has it as its ID, it is a reference, and may name several entries.
    """
    entries = database.get_collection(profile.source.entries, codec_options=LENIENT)
    found = entries.find({"_id": {"$in": candidates(text)}}, {"_id": 1}, sort=[("_id", 1)])
    ids = [doc["_id"] for doc in found]
    return ids or with_references(database, profile, [text]).get(text, [])


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
    path = profile.source.reference
    entries = database.get_collection(profile.source.entries, codec_options=LENIENT)
    # An item without an entryId must not find an entry whose _id is null.
    wanted = [one for one in entry_ids if one is not None and addressable(one)]
    found: dict[Hashable, str] = {}
    for first in range(0, len(wanted), _PAGE_SIZE):
        page = {"_id": {"$in": wanted[first : first + _PAGE_SIZE]}}
        for doc in entries.find(page, {path: 1}):
            reference = reference_of(doc, profile)
            if reference is not None:
                found[hashable(doc["_id"])] = reference
    return found


def reference_of(entry: Mapping[str, Any], profile: Profile) -> str | None:
    """The reference by which people know the entry, as readable text; None without one."""
    value = next(_values(entry, profile.source.reference), None)
    text = "" if value is None else displayed(value)
    return text if text.strip() else None


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
