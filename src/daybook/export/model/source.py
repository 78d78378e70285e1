"""The source of a profile: collections and field paths of the application that writes entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from daybook.export.model.column import ColumnType, Value, ValueKind

_OF_ENTRY = {
    "date": "date",
    "reference": "reference",
    "description": "description",
    "currency": "currency",
    "amount": "amount",
}
_OF_LINE = {
    "accountCode": "account_code",
    "accountName": "account_name",
    "debit": "debit",
    "credit": "credit",
    "description": "line_description",
}
_NAMES: Mapping[ValueKind, Mapping[str, str]] = {
    ValueKind.ENTRY: _OF_ENTRY,
    ValueKind.LINE: _OF_LINE,
}
"""Names in the value of a column → the field of `Source` that holds the path."""
_PATHS = {*_OF_ENTRY.values(), *_OF_LINE.values()}
_OF_LINES = "line."
LAST_ITEM = ".-1"
"""The end of a path that reads the last item of an array."""


@dataclass(frozen=True, kw_only=True)
class LineCollection:
    """The lines of entries as documents of a collection of their own."""

    collection: str
    key: str
    """The field of a line that holds the `_id` of its entry; it needs an index."""
    order: str = ""
    """The field of an entry that lists the `_id` of each of its lines. Without it, lines are in
    the order of their own `_id`, and nothing shows when one is missing.
    """


@dataclass(frozen=True, kw_only=True)
class Source:
    """Collections, and paths in an entry or, from `account_code` on, in one of its lines.

    The values of columns use the names of the default paths: `entry.date` prints whichever field
    `date` names, so that a preset fits every source. A path that ends in `.-1` reads the last
    item of an array.
    """

    entries: str = "journalentries"
    queue: str = "exportqueues"
    date: str = "date"
    reference: str = "reference"
    """Also the field by which receipts name an entry. With a collection of lines, `line.PATH` is
    that of the entry's first line that has one.
    """
    description: str = "description"
    currency: str = "currency"
    amount: str = "amount"
    """The amount of an entry without lines."""
    lines: str | LineCollection = "lines"
    account_code: str = "accountCode"
    account_name: str = "accountName"
    line_description: str = "description"
    debit: str = "debit"
    credit: str = "credit"

    @property
    def lines_name(self) -> str:
        """Where the lines are, as faults name it: the path in the entry, or the collection."""
        return self.lines if isinstance(self.lines, str) else self.lines.collection

    @property
    def names(self) -> Mapping[str, str]:
        """Path → the default path of the same meaning, as faults name them."""
        paths = {one.name: str(one.default) for one in fields(self) if one.name in _PATHS}
        named = {getattr(self, name): default for name, default in paths.items()}
        return {**named, self.lines_name: "lines"}

    @property
    def reference_in_line(self) -> str | None:
        """The path of the reference in a line; None when it is a field of the entry."""
        if isinstance(self.lines, str) or not self.reference.startswith(_OF_LINES):
            return None
        return self.reference.removeprefix(_OF_LINES)

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """The source of its `asdict`; fields of another version are left out or the default."""
        known = {one.name for one in fields(cls)}
        found = {name: value for name, value in doc.items() if name in known}
        if isinstance(lines := found.get("lines"), Mapping):
            names = {one.name for one in fields(LineCollection)}
            found["lines"] = LineCollection(**{n: v for n, v in lines.items() if n in names})
        return cls(**found)

    def path_of(self, value: Value) -> str:
        """The path that the value of a column reads, in the entry or in its line."""
        name = _NAMES.get(value.kind, {}).get(value.path)
        return value.path if name is None else str(getattr(self, name))

    def implied_type(self, value: Value) -> ColumnType | None:
        """The type of a value whose type is known; None for other fields."""
        match value.kind:
            case ValueKind.NUMBER:
                return ColumnType.NUMBER
            case ValueKind.AMOUNT | ValueKind.ABSOLUTE:
                return ColumnType.AMOUNT
            case ValueKind.SIDE | ValueKind.TEXT:
                return ColumnType.TEXT
            case ValueKind.BATCH_DATE:
                return ColumnType.DATE
        path = self.path_of(value)
        if value.kind is ValueKind.LINE:
            return ColumnType.AMOUNT if path in (self.debit, self.credit) else None
        if path == self.date:
            return ColumnType.DATE
        if path == self.amount:
            return ColumnType.AMOUNT
        return ColumnType.TEXT if path in ("_id", self.currency) else None


MEDICI = Source(
    entries="medici_journals",
    date="datetime",
    reference="line.meta.ref",
    description="memo",
    lines=LineCollection(collection="medici_transactions", key="_journal", order="_transactions"),
    account_code="accounts",
    account_name="account_path.-1",
    line_description="memo",
)
"""The bookkeeping library of that name for Node: https://github.com/flash-oss/medici"""

SOURCES: Mapping[str, Source] = {"medici": MEDICI}
"""Source presets."""
