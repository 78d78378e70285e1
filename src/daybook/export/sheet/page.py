"""One page of entries as columns of the file.

Columns of thousands of values are read by C loops over remembered readings; only
a column that holds something unfit is gone through again, value by value.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, TypeVar

from daybook.export.figures import Reason
from daybook.export.profile import Column, ColumnType
from daybook.export.sheet.dates import NO_DATE, Date
from daybook.export.sheet.layout import ID, LINE_NUMBER, LINES, Field
from daybook.export.sheet.memo import Reader
from daybook.export.sheet.money import BLANK, Amounts, difference
from daybook.export.sheet.readers import Readers
from daybook.export.sheet.unfit import Unfit, shown, unwrapped

Entry = Mapping[str, Any]
_T = TypeVar("_T")
_NO_LINES: list[Entry] = [{}]
_SHORT = 50


class Page:
    """What goes into the file of some entries, read when the page is built."""

    def __init__(self, readers: Readers, entries: Sequence[Entry]) -> None:
        self.unfit: dict[int, Unfit] = {}
        """First fault by position of the entry; such an entry stands in the page as blanks."""
        self._readers = readers
        self._layout = readers.layout
        self._entries = entries
        self._lines: list[Entry] = []
        self._bare: list[int] = []
        self._counts = self._take_lines()
        self.ends = list(accumulate(self._counts, initial=0))
        """The rows of entry i are `ends[i]` to `ends[i + 1]`."""
        self.currencies = self._read(self._layout.currency, readers.currency, "")
        """What each entry counts under."""
        amount_readers = {name: readers.amount(name) for name in set(self.currencies)}
        self._amount_readers = [amount_readers[name] for name in self.currencies]
        self._amounts: dict[Field, Amounts] = {}
        self._dates: dict[Field, Sequence[Date]] = {}
        self.debits = self._amounts_of(self._layout.debit)
        self.credits = self._amounts_of(self._layout.credit)
        self.amounts = self._net_amounts()
        """Debit minus credit of each row, or the amount of an entry without lines."""
        self.columns = [self._cells(cell.column, cell.field) for cell in self._layout.cells]
        """One cell per row each."""

    def normalised_count(self) -> int:
        """How many doubles were read as the whole minor unit next to them."""
        return sum(amounts.normalised_count for amounts in self._amounts.values())

    def months(self) -> list[tuple[int, int] | None]:
        """The (year, month) each entry is dated in, None where that cannot be said."""
        field = self._layout.date
        if field in self._dates:
            return [date.month for date in self._dates[field]]
        months = []
        for value in self._values(field):
            try:
                months.append(self._readers.date.read(value).month)
            except Unfit:  # the date is not printed, so it is no fault of the entry
                months.append(None)
        return months

    def entry_of(self, row: int) -> int:
        return bisect_right(self.ends, row) - 1

    def _take_lines(self) -> list[int]:
        """Line up the rows of all entries and return how many each has."""
        of_entries = [entry[LINES] for entry in self._entries]
        for at, lines in enumerate(of_entries):
            if type(lines) is not list or not lines or None in lines:
                of_entries[at] = _NO_LINES
                self._bare.append(at)
                self._check_lines(at, lines)
        self._lines = list(chain.from_iterable(of_entries))
        return list(map(len, of_entries))

    def _check_lines(self, at: int, lines: Any) -> None:
        path = self._readers.lines_path
        if type(lines) is list and lines:
            fault = Unfit(Reason.INVALID_LINES, "is no document")
            self._set_aside(at, f"{path}.{lines.index(None)}", fault)
        elif lines and unwrapped(lines) is not None:
            why = f"{shown(unwrapped(lines))} is no array"
            self._set_aside(at, path, Unfit(Reason.INVALID_LINES, why))

    def _set_aside(self, at: int, place: str, unfit: Unfit) -> None:
        self.unfit.setdefault(at, unfit.at(place))

    def _values(self, field: Field) -> list[Any]:
        of = self._lines if field.of_line else self._entries
        try:
            return list(map(itemgetter(field.key), of))
        except KeyError:
            return [values.get(field.key) for values in of]

    def _on_rows(self, of_entries: Iterable[_T]) -> list[_T]:
        return list(chain.from_iterable(map(repeat, of_entries, self._counts)))

    def _read(self, field: Field, reader: Reader[_T], blank: _T) -> Sequence[_T]:
        """Read a column; what is unfit becomes blank and its entry is set aside."""
        values = self._values(field)
        try:
            return reader.column(values)
        except (Unfit, TypeError):
            return [
                self._read_one(field, at, reader.read, value, blank)
                for at, value in enumerate(values)
            ]

    def _read_one(
        self, field: Field, at: int, read: Callable[[Any], _T], value: Any, blank: _T
    ) -> _T:
        try:
            return read(value)
        except Unfit as unfit:
            if field.of_line:
                entry = self.entry_of(at)
                line = at - self.ends[entry]
                self._set_aside(entry, f"{self._readers.lines_path}.{line}.{field.path}", unfit)
            else:
                self._set_aside(at, field.path, unfit)
            return blank

    def _amounts_of(self, field: Field) -> Amounts:
        """The amounts of a field, by row or by entry; each field is read and counted once."""
        if field not in self._amounts:
            values = self._values(field)
            if field == self._layout.amount and not self._layout.prints(field):
                # An entry with lines may hold anything here: nobody looks at it.
                bare = set(self._bare)
                values = [value if at in bare else None for at, value in enumerate(values)]
            self._amounts[field] = self._read_amounts(field, values)
        return self._amounts[field]

    def _read_amounts(self, field: Field, values: list[Any]) -> Amounts:
        readers = self._amount_readers
        one = readers.count(readers[0]) == len(readers)
        if field.of_line and not one:
            readers = self._on_rows(readers)
        try:
            if one:
                return readers[0].column(values)
            pairs = zip(readers, values, strict=True)
            return Amounts.of([reader.quick(value) for reader, value in pairs])
        except (Unfit, TypeError):
            if one:
                readers = [readers[0]] * len(values)
            return Amounts.of(
                [
                    self._read_one(field, at, readers[at].read, value, BLANK)
                    for at, value in enumerate(values)
                ]
            )

    def _dates_of(self, field: Field) -> Sequence[Date]:
        if field not in self._dates:
            self._dates[field] = self._read(field, self._readers.date, NO_DATE)
        return self._dates[field]

    def _net_amounts(self) -> Amounts:
        places = self._on_rows(reader.decimals for reader in self._amount_readers)
        net = difference(self.debits, self.credits, places)
        self._check_balances(net.minor)
        field = self._layout.amount
        for at in self._bare:
            amounts = self._amounts_of(field)
            net.minor[self.ends[at]] = amounts.minor[at]
            net.text[self.ends[at]] = amounts.text[at]
            if not amounts.text[at]:
                why = "missing, and there are no lines"
                self._set_aside(at, field.path, Unfit(Reason.INVALID_AMOUNT, why))
        return net

    def _check_balances(self, minor: Sequence[int]) -> None:
        running = list(accumulate(minor, initial=0))
        after = [running[end] for end in self.ends]
        if not any(after):
            return
        for at, reader in enumerate(self._amount_readers):
            if after[at] != after[at + 1]:
                rows = slice(self.ends[at], self.ends[at + 1])
                debit = reader.of(sum(self.debits.minor[rows]))
                credit = reader.of(sum(self.credits.minor[rows]))
                why = f"debit {_short(debit.text)} is not credit {_short(credit.text)}"
                self._set_aside(at, self._readers.lines_path, Unfit(Reason.UNBALANCED, why))

    def _cells(self, column: Column, field: Field | None) -> Sequence[str]:
        cells: Sequence[str]
        if field is None:
            if column.path == LINE_NUMBER:
                return self._line_numbers()
            return self.amounts.text
        match column.type:
            case ColumnType.AMOUNT:
                cells = self._amounts_of(field).text
            case ColumnType.DATE:
                cells = [date.text for date in self._dates_of(field)]
            case _ if field.key == ID:
                cells = self._ids(field)
            case _:
                cells = self._read(field, self._readers.text, "")
        return cells if field.of_line else self._on_rows(cells)

    def _line_numbers(self) -> list[str]:
        numbers = [str(number) for number in range(1, max(self._counts) + 1)]
        cells = list(chain.from_iterable(numbers[:count] for count in self._counts))
        for at in self._bare:
            cells[self.ends[at]] = ""
        return cells

    def _ids(self, field: Field) -> Sequence[str]:
        values = self._values(field)
        if all(type(value) is str for value in values):
            return values  # hex digits need no guard and no quotes
        read = self._readers.text.read
        return [
            self._read_one(field, at, read, unwrapped(value), "") for at, value in enumerate(values)
        ]


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
