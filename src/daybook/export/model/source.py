"""What a profile prints, and from where: its columns, and collections and paths of their values.

The collections are those of the application that writes the entries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

_PATH = re.compile(r"(entry|line)\.(.+)", re.DOTALL)

VALUES = (
    "entry.PATH, line.PATH, line.number, line.debit, line.credit, line.amount, line.absolute, "
    "line.side, batch.date or text:TEXT"
)
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
_PATHS = {*_OF_ENTRY.values(), *_OF_LINE.values()}
_OF_LINES = "line."
LAST_ITEM = ".-1"
"""The end of a path that reads the last item of an array."""


class ColumnType(StrEnum):
    TEXT = "text"  # guarded against formulas
    DATE = "date"  # a BSON date, printed in the profile's time zone
    AMOUNT = "amount"  # exact, printed with the currency's decimals
    NUMBER = "number"  # a number that is no amount of money, printed as it is stored


class ValueKind(StrEnum):
    ENTRY = "entry"  # a field of the entry
    LINE = "line"  # a field of the line
    NUMBER = "line.number"  # the line's number, from 1
    AMOUNT = "line.amount"  # debit minus credit, or the amount of an entry without lines
    ABSOLUTE = "line.absolute"  # the same without its sign
    SIDE = "line.side"  # on which side that amount is
    BATCH_DATE = "batch.date"  # the batch date; blank in a manual export
    TEXT = "text"  # the same text in every row


_COMPUTED = {
    kind.value: kind
    for kind in (
        *(ValueKind.NUMBER, ValueKind.AMOUNT, ValueKind.ABSOLUTE, ValueKind.SIDE),
        ValueKind.BATCH_DATE,
    )
}


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a column prints; `path` is the field's path, or the text of `ValueKind.TEXT`."""

    kind: ValueKind
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` saying what the text must be."""
        if text in _COMPUTED:
            return cls(kind=_COMPUTED[text])
        if text.startswith("text:"):
            return cls(kind=ValueKind.TEXT, path=text.removeprefix("text:"))
        found = _PATH.fullmatch(text)
        if found is None or not is_path(found[2]):
            raise ValueError(f"must be {VALUES}")
        return cls(kind=ValueKind(found[1]), path=found[2])


def is_path(text: str) -> bool:
    """Whether the text is a field path, such as `meta.ref`."""
    # A part that starts with $ would be an operator or a variable in the projection.
    return all(part and not part.startswith("$") and "\0" not in part for part in text.split("."))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column; `value` is text that `Value.parse` reads."""

    title: str
    value: str
    type: ColumnType | None = None
    """None: the type that the value implies, and text for any other field."""
    once: bool = False
    """Whether it is filled only on an entry's first row."""
    sides: tuple[str, str] = ("debit", "credit")
    """What `line.side` prints for a debit and for a credit."""
    max_length: int | None = None
    """Characters that a value may have; an entry with a longer one is rejected."""
    cut: bool = False
    """Whether longer texts are truncated instead."""


_NAMES: Mapping[ValueKind, Mapping[str, str]] = {
    ValueKind.ENTRY: _OF_ENTRY,
    ValueKind.LINE: _OF_LINE,
}
"""Names in the value of a column → the field of `Source` that holds the path."""


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
