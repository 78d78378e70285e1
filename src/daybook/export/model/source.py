"""The source of a profile: collections and field paths of the application that writes entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class Source:
    """Collections, and paths in an entry or, from `account_code` on, in one of its lines.

    The values of columns use the names of the default paths: `entry.date` prints whichever field
    `date` names, so that a preset fits every source.
    """

    entries: str = "journalentries"
    queue: str = "exportqueues"
    date: str = "date"
    reference: str = "reference"
    """Also the field by which receipts name an entry."""
    description: str = "description"
    currency: str = "currency"
    amount: str = "amount"
    """The amount of an entry without lines."""
    lines: str = "lines"
    account_code: str = "accountCode"
    account_name: str = "accountName"
    line_description: str = "description"
    debit: str = "debit"
    credit: str = "credit"

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
