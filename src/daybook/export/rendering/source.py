"""Reading entries: MongoDB converts what is slow to decode here, and pages travel as raw BSON.

Decoding a Decimal128 costs about ten times as much as an int64, and printing it as much again,
so the server sends it as text. It sends a date as milliseconds, which also works for dates that
have no Python datetime. Every conversion is guarded by the value's type: no document, however
broken, can abort the page it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.export.model.column import ColumnType
from daybook.export.model.figures import RejectionReason
from daybook.export.model.ids import LENIENT, addressable, hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.rendering.cells.layout import ID, LINES, Field, Layout
from daybook.export.rendering.cells.page import Entry
from daybook.export.rendering.cells.values import RejectedValue, missing
from daybook.export.rendering.entry_id import candidates, displayed, type_name
from daybook.text.visible import shown

_LINE = "line"

FindOtherTypes = Callable[[Sequence[Any]], dict[Hashable, Any]]

_DOCUMENT_TOO_LARGE = 10334
"""MongoDB's code BSONObjectTooLarge."""

PAGE_SIZE = 1000
"""Entries read, rendered and held in memory at a time, while the next ones are being read."""


class EntryPage:
    """One page of entries as received; decoded when first used, in the thread that uses it."""

    def __init__(
        self, batches: list[bytes], too_large: Sequence[Any], find_other_types: FindOtherTypes
    ) -> None:
        self._batches = batches
        self._too_large = set(map(hashable, too_large))
        self._ids_of_other_types = find_other_types
        self._similar: dict[Hashable, Any] = {}

    def find(self, entry_ids: Sequence[Any]) -> list[Entry | None]:
        """The entries in `layout`'s form, in the order of the IDs; None for those not found."""
        entries: dict[Any, Entry] = {}
        for batch in self._batches:
            for entry in bson.decode_all(batch, LENIENT):
                key = entry[ID]
                entries[key if type(key) is str else hashable(key["v"])] = entry
        found = [
            entries.get(str(entry_id) if type(entry_id) is ObjectId else hashable(entry_id))
            for entry_id in entry_ids
        ]
        missing = [
            entry_id
            for entry_id, entry in zip(entry_ids, found, strict=True)
            if entry is None and entry_id is not None and hashable(entry_id) not in self._too_large
        ]
        if missing:
            self._similar = self._ids_of_other_types(missing)
        return found

    def why_missing(self, entry_id: Any) -> RejectedValue:
        """Names an entry whose ID differs from the missing one only in its type."""
        key = hashable(entry_id)
        if key in self._too_large:
            return RejectedValue(
                RejectionReason.INVALID_LINES,
                f"entry {shown(entry_id)} has more lines, or longer ones, than MongoDB can "
                "return at once",
            )
        similar = self._similar.get(key)
        if similar is None:
            return missing(entry_id)
        return missing(
            entry_id,
            f", but an entry whose _id is {type_name(similar)} does: "
            f"entryId is {type_name(entry_id)}",
        )


class EntrySource:
    """Reads the entries that a profile prints, with the read concern of its database."""

    def __init__(self, database: Database[Any], profile: Profile) -> None:
        """Raises `ConfigurationError` for a column that cannot be read."""
        self._entries = database.get_collection(
            profile.source.entries,
            codec_options=CodecOptions(document_class=RawBSONDocument),
        )
        self._projection = _projection(Layout.of(profile), profile.source.lines)

    def read(self, entry_ids: Sequence[Any]) -> EntryPage:
        """Fetch a page in one round trip. May be called from any thread."""
        # An item without an entryId must not match an entry whose _id is null.
        wanted = [
            entry_id for entry_id in entry_ids if entry_id is not None and addressable(entry_id)
        ]
        if not wanted:
            return EntryPage([], [], self._ids_of_other_types)
        batches, too_large = self._fetch(wanted)
        return EntryPage(batches, too_large, self._ids_of_other_types)

    def _fetch(self, entry_ids: Sequence[Any]) -> tuple[list[bytes], Sequence[Any]]:
        """The entries, and the IDs of those that the projection makes too large for a document."""
        batches = self._entries.find_raw_batches(
            {"_id": {"$in": entry_ids}},
            self._projection,
            # One more than can match, so that the server closes the cursor at once.
            batch_size=len(entry_ids) + 1,
        )
        try:
            return list(batches), []
        except OperationFailure as error:
            if error.code != _DOCUMENT_TOO_LARGE:
                raise
        if len(entry_ids) == 1:
            return [], entry_ids
        half = len(entry_ids) // 2
        first, too_large = self._fetch(entry_ids[:half])
        second, too_large_too = self._fetch(entry_ids[half:])
        return first + second, [*too_large, *too_large_too]

    def _ids_of_other_types(self, missing: Sequence[Any]) -> dict[Hashable, Any]:
        """Of IDs that no entry has, the stored IDs that are displayed the same."""
        asked = [
            (candidate, hashable(entry_id))
            for entry_id in missing
            for candidate in candidates(displayed(entry_id))
        ]
        keys = {hashable(candidate): key for candidate, key in asked}
        lenient = self._entries.with_options(codec_options=LENIENT)
        found = lenient.find({"_id": {"$in": [candidate for candidate, _ in asked]}}, {"_id": 1})
        return {keys[hashable(doc["_id"])]: doc["_id"] for doc in found}

    def read_ahead(self, parts: Iterable[Part]) -> Iterator[tuple[Part, Future[EntryPage]]]:
        """The parts in pages, each with its entries; the next page is fetched in the background."""
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
        try:
            ahead: tuple[Part, Future[EntryPage]] | None = None
            for part in (page for whole in parts for page in whole.pieces(PAGE_SIZE)):
                reading = pool.submit(copy_context().run, self.read, part.entry_ids)
                if ahead is not None:
                    yield ahead
                ahead = (part, reading)
            if ahead is not None:
                yield ahead
        finally:
            # A read that hangs must not hold up a run that has to end.
            pool.shutdown(wait=False, cancel_futures=True)


def _projection(layout: Layout, lines_path: str) -> dict[str, Any]:
    entry_fields = {
        field.key: _expression(field, f"${field.path}")
        for field in layout.fields
        if not field.of_line and field.key != ID
    }
    line_fields = {
        field.key: _expression(field, f"$${_LINE}.{field.path}")
        for field in layout.fields
        if field.of_line
    }
    lines = f"${lines_path}"
    line = _if(_is_type(f"$${_LINE}", "object"), line_fields, None)
    return {
        ID: _if(_is_type("$_id", "objectId"), {"$toString": "$_id"}, _wrapped("$_id")),
        LINES: _if(
            {"$isArray": lines},
            {"$map": {"input": lines, "as": _LINE, "in": line}},
            _wrapped(lines),
        ),
        **entry_fields,
    }


def _expression(field: Field, value: str) -> Any:
    match field.type:
        case ColumnType.DATE:
            return _if(_is_type(value, "date"), {"$toLong": value}, _wrapped(value))
        case ColumnType.AMOUNT:
            # Only a missing value and null sort lower than or equal to null.
            plain = {"$or": [{"$isNumber": value}, {"$lte": [value, None]}]}
            other = _if(plain, value, _wrapped(value))
            return _if(_is_type(value, "decimal"), {"$toString": value}, other)
        case _:
            return value


def _if(condition: Any, then: Any, otherwise: Any) -> dict[str, Any]:
    return {"$cond": [condition, then, otherwise]}


def _is_type(value: str, name: str) -> dict[str, Any]:
    return {"$eq": [{"$type": value}, name]}


def _wrapped(value: str) -> dict[str, Any]:
    return {"v": value}
