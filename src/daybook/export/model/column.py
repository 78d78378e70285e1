"""A column of a file: its title, where its values come from, and how they are printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


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
_PATH = re.compile(r"(entry|line)\.(.+)", re.DOTALL)

VALUES = (
    "entry.PATH, line.PATH, line.number, line.debit, line.credit, line.amount, line.absolute, "
    "line.side, batch.date or text:TEXT"
)


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
