"""Reading entries: MongoDB converts what is slow to decode here, and pages travel as raw BSON.

Decoding a Decimal128 costs about ten times as much as an int64, and printing it as much again,
so the server sends it as text. It sends a date as milliseconds, which also works for dates that
have no Python datetime. Every conversion is guarded by the value's type: no document, however
broken, can abort the page it is on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from operator import itemgetter
from typing import Any

import bson
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.display import shown
from daybook.export.model.figures import RejectionReason
from daybook.export.model.ids import LENIENT, addressable, hashable
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.source import LAST_ITEM, ColumnType, LineCollection
from daybook.export.rendering import lines as lines_of
from daybook.export.rendering.cells.layout import ID, LINES, Entry, Field, Layout
from daybook.export.rendering.cells.values import RejectedValue, missing, unwrapped
from daybook.export.rendering.entry_id import candidates, displayed, type_name

_LINE = "line"
_ENTRY = "entry"
_ORDER = "order"

FindOtherTypes = Callable[[Sequence[Any]], dict[Hashable, Any]]

_DOCUMENT_TOO_LARGE = 10334
"""MongoDB's code BSONObjectTooLarge."""

_MOST_LINES = 1_000_000
"""Lines asked for at a time; a reply has as many as fit into 16 MiB."""

PAGE_SIZE = 1000
"""Entries read, rendered and held in memory at a time, while the next ones are being read."""


class EntryPage:
    """One page of entries as received; decoded when first used, in the thread that uses it."""

    def __init__(
        self,
        batches: list[bytes],
        too_large: Sequence[Any],
        find_other_types: FindOtherTypes,
        lines: LinePage | None = None,
    ) -> None:
        """`lines` are those of the entries if they are in a collection of their own."""
        self._batches = batches
        self._too_large = set(map(hashable, too_large))
        self._ids_of_other_types = find_other_types
        self._lines = lines
        self._similar: dict[Hashable, Any] = {}

    def find(self, entry_ids: Sequence[Any]) -> list[Entry | None]:
        """The entries in `layout`'s form, in the order of the IDs; None for those not found."""
        decoded = [entry for batch in self._batches for entry in bson.decode_all(batch, LENIENT)]
        # All of them have the same type as a rule, and then no ID is examined on its own.
        printed_ids = list(map(itemgetter(ID), decoded))
        keys = printed_ids if set(map(type, printed_ids)) == {str} else map(_key, printed_ids)
        entries: dict[Any, Any] = dict(zip(keys, decoded, strict=True))
        if self._lines is not None:
            self._lines.complete(entries)
        for entry_id in self._too_large:  # its lines may be what is too large
            entries.pop(str(entry_id) if type(entry_id) is ObjectId else entry_id, None)
        found = list(map(entries.get, _wanted(entry_ids)))
        if all(found):
            return found
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


class LinePage:
    """The lines of one page of entries as received from a collection of their own."""

    def __init__(
        self, where: LineCollection, batches: list[bytes], of_entry: Sequence[Field]
    ) -> None:
        """`of_entry` are fields of the entry that are those of its first line that has them."""
        self._where = where
        self._batches = batches
        self._of_entry = of_entry

    def complete(self, entries: Mapping[Any, dict[str, Any]]) -> None:
        """Give each entry its lines, in its order, or the reason why it cannot have them."""
        lines_by_entry: dict[Any, list[Any]] = defaultdict(list)
        for batch in self._batches:
            for line in bson.decode_all(batch, LENIENT):
                lines_by_entry[_key(line[_ENTRY])].append(line)
        for key, entry in entries.items():
            lines, order = lines_by_entry.get(key, []), entry.pop(_ORDER, None)
            fault = None
            if not self._where.order or [line[ID] for line in lines] != order:
                lines, fault = lines_of.in_order(
                    self._where, lines, unwrapped(order), id_of=_read_id
                )
            entry[LINES] = lines if fault is None else fault
            for field in self._of_entry:
                values = [line.get(field.key) for line in lines]
                if field.type is ColumnType.TEXT:
                    entry[field.key] = lines_of.first_value(values)
                else:
                    having = (one for one in values if unwrapped(one) is not None)
                    entry[field.key] = next(having, {})


class EntrySource:
    """Reads the entries that a profile prints, with the read concern of its database."""

    def __init__(self, database: Database[Any], profile: Profile) -> None:
        """Raises `ConfigurationError` for a column that cannot be read."""
        source, layout = profile.source, Layout.of(profile)
        self._entries = database[source.entries]
        self._where = None if isinstance(source.lines, str) else source.lines
        if self._where is None:
            self._projection = _projection(layout, str(source.lines))
            return
        of_lines = [
            field
            for field in layout.fields
            if not field.of_line and source.reference_in_line and field.path == source.reference
        ]
        self._of_lines = of_lines
        self._lines = database[self._where.collection]
        self._projection = _entry_projection(layout, self._where, of_lines)
        self._line_projection = _line_projection(
            layout, self._where, of_lines, source.reference_in_line or ""
        )

    def read(self, entry_ids: Sequence[Any]) -> EntryPage:
        """Fetch a page in one round trip per collection. May be called from any thread."""
        # An item without an entryId must not match an entry whose _id is null.
        wanted = [
            entry_id for entry_id in entry_ids if entry_id is not None and addressable(entry_id)
        ]
        if not wanted:
            return EntryPage([], [], self._ids_of_other_types)
        # One more than can match, so that the server closes the cursor at once.
        size = len(wanted) + 1
        batches, too_large = _fetch(
            self._entries, lambda ids: {"_id": {"$in": ids}}, wanted, self._projection, size=size
        )
        if self._where is None:
            return EntryPage(batches, too_large, self._ids_of_other_types)
        query = lines_of.of_entries(self._where)
        lines, with_too_large = _fetch(
            self._lines,
            lambda ids: query.filter(entry_ids=ids),
            wanted,
            self._line_projection,
            sort=query.sort,
            size=_MOST_LINES,
        )
        return EntryPage(
            batches,
            [*too_large, *with_too_large],
            self._ids_of_other_types,
            LinePage(self._where, lines, self._of_lines),
        )

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


def _wanted(entry_ids: Sequence[Any]) -> Iterable[Hashable]:
    """What `_key` returns for the entries with these IDs."""
    if set(map(type, entry_ids)) != {ObjectId}:
        return [str(one) if type(one) is ObjectId else hashable(one) for one in entry_ids]
    digits = b"".join([one.binary for one in entry_ids]).hex()
    return [digits[start : start + 24] for start in range(0, len(digits), 24)]


def _key(printed_id: Any) -> Hashable:
    """What `hashable` returns for an ID, but for an ObjectId its hex text."""
    return printed_id if type(printed_id) is str else hashable(printed_id["v"])


def _read_id(printed_id: Any) -> Any:
    return ObjectId(printed_id) if type(printed_id) is str else unwrapped(printed_id)


def _fetch(
    collection: Collection[Any],
    of_ids: Callable[[Sequence[Any]], dict[str, Any]],
    entry_ids: Sequence[Any],
    projection: Mapping[str, Any],
    *,
    size: int,
    sort: Sequence[tuple[str, int]] = (),
) -> tuple[list[bytes], Sequence[Any]]:
    """Documents, and the IDs of entries that the projection makes too large for a document."""
    batches = collection.find_raw_batches(
        of_ids(entry_ids), projection, batch_size=size, sort=list(sort) or None
    )
    try:
        return list(batches), []
    except OperationFailure as error:
        if error.code != _DOCUMENT_TOO_LARGE:
            raise
    if len(entry_ids) == 1:
        return [], entry_ids
    half = len(entry_ids) // 2
    first, too_large = _fetch(
        collection, of_ids, entry_ids[:half], projection, size=size, sort=sort
    )
    second, too_large_too = _fetch(
        collection, of_ids, entry_ids[half:], projection, size=size, sort=sort
    )
    return first + second, [*too_large, *too_large_too]


def _projection(layout: Layout, lines_path: str) -> dict[str, Any]:
    lines = f"${lines_path}"
    line = _if(_is_type(f"$${_LINE}", "object"), _fields_of_line(layout, f"$${_LINE}."), None)
    return {
        ID: _id("$_id"),
        LINES: _if(
            {"$isArray": lines},
            {"$map": {"input": lines, "as": _LINE, "in": line}},
            _wrapped(lines),
        ),
        **_fields_of_entry(layout.fields),
    }


def _entry_projection(
    layout: Layout, where: LineCollection, of_lines: Sequence[Field]
) -> dict[str, Any]:
    """What is read of an entry whose lines are in a collection of their own."""
    fields = _fields_of_entry(field for field in layout.fields if field not in of_lines)
    if not where.order:
        return {ID: _id("$_id"), **fields}
    order = f"${where.order}"
    ids = {"$map": {"input": order, "as": _LINE, "in": _id(f"$${_LINE}")}}
    return {
        ID: _id("$_id"),
        _ORDER: _if({"$isArray": order}, ids, _wrapped(order)),
        **fields,
    }


def _line_projection(
    layout: Layout, where: LineCollection, of_lines: Sequence[Field], path: str
) -> dict[str, Any]:
    """What is read of such a line; `of_lines` are fields of the entry that it has at `path`."""
    return {
        ID: _id("$_id"),
        _ENTRY: _id(f"${where.key}"),
        **_fields_of_line(layout, "$"),
        **{field.key: _expression(field, _at("$", path)) for field in of_lines},
    }


def _fields_of_entry(fields: Iterable[Field]) -> dict[str, Any]:
    return {
        field.key: _expression(field, _at("$", field.path))
        for field in fields
        if not field.of_line and field.key != ID
    }


def _fields_of_line(layout: Layout, prefix: str) -> dict[str, Any]:
    return {
        field.key: _expression(field, _at(prefix, field.path))
        for field in layout.fields
        if field.of_line
    }


def _at(prefix: str, path: str) -> Any:
    """The value of a path; one that ends in `.-1` is that of an array's last item."""
    array, last, rest = f"{prefix}{path}".rpartition(LAST_ITEM)
    if not last or rest:
        return f"{prefix}{path}"
    return _if({"$isArray": array}, {"$last": array}, array)


def _id(value: str) -> dict[str, Any]:
    return _if(_is_type(value, "objectId"), {"$toString": value}, _wrapped(value))


def _expression(field: Field, value: Any) -> Any:
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


def _is_type(value: Any, name: str) -> dict[str, Any]:
    return {"$eq": [{"$type": value}, name]}


def _wrapped(value: Any) -> dict[str, Any]:
    return {"v": value}
