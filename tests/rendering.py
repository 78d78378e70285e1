"""Rows in memory, in the form in which MongoDB hands them over, for tests without one.

`tests/integration/export/rendering/test_source.py` holds them to what `EntrySource` really reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from daybook.export.model.figures import Figures
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.source import ColumnType
from daybook.export.rendering.cells.layout import Field, Layout
from daybook.export.rendering.cells.values import RejectedValue, missing
from daybook.export.rendering.render import FileRenderer, Renderer

MISSING = object()
BATCH_DATE = date(2026, 1, 18)


class MemoryRows:
    """One page of entries given as the documents that would be stored."""

    def __init__(self, entries: Sequence[Mapping[str, Any]], profile: Profile) -> None:
        layout = Layout.of(profile)
        self._entries = [
            (entry["_id"], _project(entry, layout, profile.source.lines)) for entry in entries
        ]

    def find(self, entry_ids: Sequence[Any]) -> list[Mapping[str, Any] | None]:
        return [
            next((entry for known, entry in self._entries if known == entry_id), None)
            for entry_id in entry_ids
        ]

    def why_missing(self, entry_id: Any) -> RejectedValue:
        return missing(entry_id)


def render(
    entries: Sequence[Mapping[str, Any]],
    profile: Profile | None = None,
    *,
    part_size: int = 5000,
    duplicates: Mapping[int, str] | None = None,
    batch_date: date | None = BATCH_DATE,
) -> tuple[bytes, Figures]:
    """The file of some entries; an entry that is only an `_id` counts as missing."""
    profile = profile or Profile(name="daily")
    renderer = Renderer(profile, batch_date)
    rows = MemoryRows([entry for entry in entries if len(entry) > 1], profile)
    content = renderer.header()
    for number, start in enumerate(range(0, len(entries), part_size)):
        ids = [entry["_id"] for entry in entries[start : start + part_size]]
        part = Part(
            number=number,
            queue_ids=[f"queue of {entry_id}" for entry_id in ids],
            entry_ids=ids,
            duplicates={
                at - start: where
                for at, where in (duplicates or {}).items()
                if start <= at < start + part_size
            },
        )
        content += renderer.part(part, rows)
    return content, renderer.figures()


def render_file(
    entries: Sequence[Mapping[str, Any]], profile: Profile, *, item_count: int | None = None
) -> tuple[bytes, Figures]:
    """The file of some entries in the profile's format, as for a manifest of `item_count`."""
    count = len(entries) if item_count is None else item_count
    ids = [entry["_id"] for entry in entries]
    part = Part(number=0, queue_ids=ids, entry_ids=ids, duplicates={})
    with FileRenderer(profile, BATCH_DATE, item_count=count) as file:
        content = file.header() + file.part(part, MemoryRows(entries, profile))
        return content + b"".join(file.end()), file.figures()


def entry(*lines: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A balanced entry of two lines, or of the given ones; `MISSING` leaves a field out."""
    amount = Decimal128("100.00")
    default = {
        "_id": ObjectId(),
        "date": datetime(2026, 1, 17, 11, tzinfo=UTC),
        "reference": "INV-1",
        "description": "ขายสินค้า",
        "currency": "THB",
        "lines": list(lines)
        or [
            {"accountCode": "1000", "accountName": "เงินสด", "debit": amount},
            {"accountCode": "4000", "accountName": "รายได้", "credit": amount},
        ],
    }
    merged = {**default, **fields}
    return {name: value for name, value in merged.items() if value is not MISSING}


def _project(stored: Mapping[str, Any], layout: Layout, lines_path: str) -> dict[str, Any]:
    entry_id = stored["_id"]
    lines = _at(stored, lines_path)
    return {
        **_fields(stored, [field for field in layout.fields if not field.of_line]),
        "_id": str(entry_id) if isinstance(entry_id, ObjectId) else {"v": entry_id},
        "lines": [
            _fields(line, [field for field in layout.fields if field.of_line])
            if isinstance(line, Mapping)
            else None
            for line in lines
        ]
        if isinstance(lines, list)
        else _wrap(lines),
    }


def _fields(stored: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    values = {field.key: _convert(_at(stored, field.path), field.type) for field in fields}
    return {key: value for key, value in values.items() if value is not MISSING}


def _at(stored: Any, path: str) -> Any:
    name, _, rest = path.partition(".")
    if isinstance(stored, list):
        found = [_at(item, path) for item in stored]
        return [value for value in found if value is not MISSING]
    if not isinstance(stored, Mapping) or name not in stored:
        return MISSING
    return _at(stored[name], rest) if rest else stored[name]


def _wrap(value: Any) -> dict[str, Any]:
    return {} if value is MISSING else {"v": value}


def _convert(value: Any, kind: ColumnType) -> Any:
    if kind is ColumnType.DATE:
        if isinstance(value, datetime):
            return int(DatetimeMS(value))
        return int(value) if isinstance(value, DatetimeMS) else _wrap(value)
    if kind is ColumnType.AMOUNT:
        if isinstance(value, Decimal128):
            return str(value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number or value is None or value is MISSING else _wrap(value)
    return value
