"""A sample entry in a profile's layout, and what the profile could not fill with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.source import ColumnType, ValueKind
from daybook.export.rendering.cells.layout import ID, LINES, Field, Layout
from daybook.export.rendering.cells.values import RejectedValue, missing
from daybook.export.rendering.render import Renderer

_ID = "6b02f41f45263142d9ff1aea"
_DAY = date(2026, 1, 18)
_NOON_MS = 1_768_712_400_000
"""2026-01-18 05:00 UTC, noon in Bangkok."""
_CODES = ("1100", "4000")
_NAMES = ("Cash", "Revenue")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample entry as the profile prints it."""

    content: bytes
    """Header and rows; without rows if the entry was rejected."""
    unfilled: tuple[str, ...]
    """Columns that stay blank in every row: `Company: entry.company`."""
    rejected: str | None
    """Why the profile rejects the entry; None if it does not."""


def sample(profile: Profile) -> Sample:
    """Render an entry of two lines that has every field that `source` names, and no other."""
    layout = Layout.of(profile)
    renderer = Renderer(profile, _DAY)
    header = renderer.header()
    part = Part(number=0, queue_ids=[None], entry_ids=[_ID], duplicates={})
    rows = renderer.part(part, _Page(_entry(profile, layout)))
    rejected = renderer.figures().rejected
    known = _known(profile)
    unfilled = tuple(
        f"{cell.column.title}: {cell.column.value}"
        for cell in layout.cells
        if cell.field is not None
        and cell.field.key != ID
        and (cell.value.kind, cell.field.path) not in known
    )
    return Sample(
        content=header + rows,
        unfilled=unfilled,
        rejected=rejected[0].detail if rejected else None,
    )


def _known(profile: Profile) -> Mapping[tuple[ValueKind, str], Any]:
    """The values that the sample has, per line where they are of a line."""
    source = profile.source
    codes = list(islice(profile.accounts, 2)) or list(_CODES)
    return {
        (ValueKind.ENTRY, source.date): _NOON_MS,
        (ValueKind.ENTRY, source.reference): "INV-1",
        (ValueKind.ENTRY, source.description): "Sample entry",
        (ValueKind.ENTRY, source.currency): profile.currency,
        (ValueKind.LINE, source.account_code): [codes[0], codes[-1]],
        (ValueKind.LINE, source.account_name): _NAMES,
        (ValueKind.LINE, source.line_description): ["Sample line", "Sample line"],
        (ValueKind.LINE, source.debit): [100, 0],
        (ValueKind.LINE, source.credit): [0, 100],
    }


def _entry(profile: Profile, layout: Layout) -> dict[str, Any]:
    """The entry in the form of `layout`."""
    known = _known(profile)
    entry: dict[str, Any] = {ID: _ID, LINES: [{}, {}]}
    for field in layout.fields:
        kind = ValueKind.LINE if field.of_line else ValueKind.ENTRY
        value = known.get((kind, field.path))
        for at, document in enumerate(entry[LINES] if field.of_line else [entry]):
            if field.key != ID:
                _set(document, field, value[at] if field.of_line and value else value)
    return entry


def _set(document: dict[str, Any], field: Field, value: Any) -> None:
    if field.type is ColumnType.DATE and not isinstance(value, int):
        document[field.key] = {}
    elif field.type is ColumnType.AMOUNT and not isinstance(value, int):
        document[field.key] = None
    elif value is not None:
        document[field.key] = value


class _Page:
    """A page of one entry."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._entry = entry

    def find(self, entry_ids: Sequence[Any]) -> list[Mapping[str, Any] | None]:
        return [self._entry for _ in entry_ids]

    def why_missing(self, entry_id: Any) -> RejectedValue:
        return missing(entry_id)
