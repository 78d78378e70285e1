"""The rows of a page of entries: one for each line, or one for an entry without lines."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, TypeVar

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.rendering.cells.layout import LINES, Field
from daybook.export.rendering.cells.values import RejectedValue, unwrapped
from daybook.text.display import shown

Entry = Mapping[str, Any]
_T = TypeVar("_T")
_NO_LINES: list[Entry] = [{}]


class Rows:
    """The rows of some entries, the values in them, and the faults found so far."""

    def __init__(self, entries: Sequence[Entry], *, lines_path: str) -> None:
        self.faults: dict[int, list[EntryFault]] = defaultdict(list)
        """By position of the entry."""
        self.uncountable: set[int] = set()
        """Entries with an amount, a currency or lines that cannot be read: an unbalanced total
        or a missing amount would only repeat that fault."""
        self.without_lines: list[int] = []
        """Entries that have one row all the same."""
        self._invalid_lines: list[tuple[int, int]] = []
        """(entry, index of the line) of lines that are not documents."""
        self._lines_path = lines_path
        self._entries = entries
        self._lines: list[Entry] = []
        self._values_of: dict[Field, list[Any]] = {}
        self.counts = self._take_lines()
        """How many rows each entry has."""
        self.ends = list(accumulate(self.counts, initial=0))
        """The rows of entry i are `ends[i]` to `ends[i + 1]`."""

    def entry_of(self, row: int) -> int:
        return bisect_right(self.ends, row) - 1

    def values(self, field: Field) -> list[Any]:
        """The field's value in each entry, or in each row; shared, so not to be changed."""
        if field not in self._values_of:
            documents = self._lines if field.of_line else self._entries
            try:
                values = list(map(itemgetter(field.key), documents))
            except KeyError:
                values = [document.get(field.key) for document in documents]
            self._values_of[field] = values
        return self._values_of[field]

    def per_row(self, values: Iterable[_T]) -> list[_T]:
        return list(chain.from_iterable(map(repeat, values, self.counts)))

    def lines_with(self, marks: list[bool]) -> Iterable[tuple[int, int]]:
        """(entry, index of the line) of the marked rows that are lines."""
        if True not in marks:
            return
        others = {self.ends[at] for at in self.without_lines}
        others.update(self.ends[at] + index for at, index in self._invalid_lines)
        for row, marked in enumerate(marks):
            if marked and row not in others:
                at = self.entry_of(row)
                yield at, row - self.ends[at]

    def _take_lines(self) -> list[int]:
        """Collect the rows of all entries and return how many each has."""
        lines_of = [entry[LINES] for entry in self._entries]
        for at, lines in enumerate(lines_of):
            if type(lines) is not list or not lines:
                lines_of[at] = _NO_LINES
                self.without_lines.append(at)
                self._check_lines(at, lines)
            elif None in lines:
                lines_of[at] = self._replace_invalid(at, lines)
        self._lines = list(chain.from_iterable(lines_of))
        return list(map(len, lines_of))

    def _check_lines(self, at: int, lines: Any) -> None:
        if isinstance(lines, RejectedValue):
            self.faults[at].append(lines.at(self._lines_path))
            self.uncountable.add(at)
        elif lines and unwrapped(lines) is not None:
            what = shown(unwrapped(lines))
            fault = RejectedValue(
                RejectionReason.INVALID_LINES, f"{what} is not an array", value=what
            )
            self.faults[at].append(fault.at(self._lines_path))
            self.uncountable.add(at)

    def _replace_invalid(self, at: int, lines: list[Entry | None]) -> list[Entry]:
        for index, line in enumerate(lines):
            if line is None:
                fault = RejectedValue(RejectionReason.INVALID_LINES, "is not a document")
                self.faults[at].append(fault.at(line=index + 1))
                self._invalid_lines.append((at, index))
        self.uncountable.add(at)
        return [line or {} for line in lines]
