"""One page of entries as columns of the file.

Columns of thousands of values are read by C loops over cached readings; only a column with an
invalid value is read again, value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from operator import add
from typing import Any, TypeVar

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.model.profile import Required
from daybook.export.model.source import ColumnType, ValueKind
from daybook.export.rendering.cells.dates import NO_DATE, Date
from daybook.export.rendering.cells.layout import ID, Cell, Entry, Field, Rows
from daybook.export.rendering.cells.money import (
    BLANK,
    NO_CURRENCY,
    Amounts,
    difference,
)
from daybook.export.rendering.cells.readers import Readers
from daybook.export.rendering.cells.text import TextReader, plain_text, too_long, truncated
from daybook.export.rendering.cells.values import Reader, RejectedValue, unwrapped

_T = TypeVar("_T")


class Page:
    """The columns of some entries; they are read when the page is created."""

    def __init__(self, readers: Readers, entries: Sequence[Entry]) -> None:
        self._rows = Rows(entries, lines_path=readers.lines_path)
        self.ends = self._rows.ends
        """The rows of entry i are `ends[i]` to `ends[i + 1]`."""
        self._readers = readers
        self._layout = readers.layout
        currencies = self._read(self._layout.currency, readers.currency, NO_CURRENCY)
        self.currencies = [currency.code for currency in currencies]
        """The code that each entry is counted under."""
        self._currency_cells = [currency.cell for currency in currencies]
        amount_readers = {name: readers.amount(name) for name in set(self.currencies)}
        self._amount_readers = [amount_readers[name] for name in self.currencies]
        self._amounts: dict[Field, Amounts] = {}
        self._dates: dict[Field, Sequence[Date]] = {}
        self._texts: dict[tuple[Field, TextReader], Sequence[str]] = {}
        self.debits = self._amounts_of(self._layout.debit)
        self.credits = self._amounts_of(self._layout.credit)
        self._check_required()
        self.amounts = self._net_amounts()
        """Debit minus credit of each row, or the amount of an entry without lines."""
        self.columns = [self._cells(cell) for cell in self._layout.cells]
        """One cell per row in each column."""

    def faults(self) -> dict[int, list[EntryFault]]:
        """The faults of all entries that have any, by position of the entry, in order of lines.

        Such an entry is in the page with blanks for what cannot be read.
        """
        return {
            at: sorted(faults, key=lambda fault: fault.line or 0)
            for at, faults in self._rows.faults.items()
        }

    def check_encoding(self) -> None:
        """Add faults for texts that the file's encoding cannot represent."""
        unencodable = self._readers.dialect.unencodable
        for cell, cells in zip(self._layout.cells, self.columns, strict=True):
            checked = -1
            for row, text in enumerate(cells):
                if text.isascii():
                    continue
                at = self._rows.entry_of(row)
                of_line = cell.field is not None and cell.field.of_line
                if not of_line and at == checked:
                    continue
                checked = at
                rejected = unencodable(self._plain(cell, text, row if of_line else at))
                if rejected is not None:
                    line = row - self.ends[at] + 1 if of_line else None
                    path = cell.column.value if cell.field is None else cell.field.path
                    self._rows.faults[at].append(rejected.at(path, line=line))

    def _plain(self, cell: Cell, printed: str, at: int) -> str:
        """The text of a cell before it was guarded and quoted."""
        if cell.field is None or cell.field.type is not ColumnType.TEXT:
            return printed
        value = unwrapped(self._rows.values(cell.field)[at])
        if cell.field == self._layout.currency:
            return plain_text(value)
        return self._readers.text_of(cell).unguarded(value)

    def normalised_count(self) -> int:
        """How many doubles were read as the nearest whole minor unit."""
        return sum(amounts.normalised_count for amounts in self._amounts.values())

    def no_currency_count(self) -> int:
        """How many entries name no currency."""
        return self._currency_cells.count("")

    def names_currency(self) -> list[bool]:
        """Whether each entry names a currency."""
        return list(map(bool, self._currency_cells))

    def months(self) -> list[tuple[int, int] | None]:
        """The (year, month) of each entry's date, None when it is unknown."""
        field = self._layout.date
        if field in self._dates:
            return [date.month for date in self._dates[field]]
        months = []
        for value in self._rows.values(field):
            try:
                months.append(self._readers.date.read(value).month)
            except RejectedValue:  # the date is not printed, so the entry is not at fault
                months.append(None)
        return months

    def _read(self, field: Field, reader: Reader[_T], blank: _T) -> Sequence[_T]:
        """Read a column; an invalid value becomes blank and a fault of its entry."""
        values = self._rows.values(field)
        try:
            return reader.column(values)
        except (RejectedValue, TypeError):
            return [
                self._read_one(field, at, reader.read, value, blank)
                for at, value in enumerate(values)
            ]

    def _read_one(
        self, field: Field, at: int, read: Callable[[Any], _T], value: Any, blank: _T
    ) -> _T:
        try:
            return read(value)
        except RejectedValue as rejected:
            entry = self._rows.entry_of(at) if field.of_line else at
            line = at - self.ends[entry] + 1 if field.of_line else None
            if field.type is ColumnType.AMOUNT:
                if (
                    rejected.reason is RejectionReason.TOO_MANY_DECIMALS
                    and not self.currencies[entry]
                ):
                    return blank  # the allowed number of decimals depends on the currency
                self._rows.uncountable.add(entry)
            elif field == self._layout.currency:
                self._rows.uncountable.add(entry)
            self._rows.faults[entry].append(rejected.at(field.path, line=line))
            return blank

    def _amounts_of(self, field: Field) -> Amounts:
        """The amounts of a field, by row or by entry; each field is read and counted once."""
        if field not in self._amounts:
            values = self._rows.values(field)
            if field == self._layout.amount and not self._layout.prints(field):
                # With lines, the entry's own amount is not used and may hold anything.
                bare = set(self._rows.without_lines)
                values = [value if at in bare else None for at, value in enumerate(values)]
            self._amounts[field] = self._read_amounts(field, values)
        return self._amounts[field]

    def _read_amounts(self, field: Field, values: list[Any]) -> Amounts:
        readers = self._amount_readers
        one = readers.count(readers[0]) == len(readers)
        if field.of_line and not one:
            readers = self._rows.per_row(readers)
        try:
            if one:
                return readers[0].column(values)
            pairs = zip(readers, values, strict=True)
            return Amounts.of([reader.read_cached(value) for reader, value in pairs])
        except (RejectedValue, TypeError):
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
        first = self._amount_readers[0]
        if self._amount_readers.count(first) == len(self._amount_readers):
            places = [first.decimals] * self.ends[-1]
        else:
            places = self._rows.per_row(reader.decimals for reader in self._amount_readers)
        net = difference(self.debits, self.credits, places)
        self._check_balances(net.minor)
        if self._readers.dialect.is_sheet:
            self._check_sizes(net.minor)
        field = self._layout.amount
        required = Required.AMOUNT in self._readers.require
        required = required and Required.LINES not in self._readers.require  # then it is at fault
        for at in self._rows.without_lines:
            amounts = self._amounts_of(field)
            net.minor[self.ends[at]] = amounts.minor[at]
            net.text[self.ends[at]] = amounts.text[at]
            if required and not amounts.text[at] and at not in self._rows.uncountable:
                self._add_missing(at, field.path, None, "missing, and there are no lines")
        return net

    def _check_required(self) -> None:
        """Find required values that entries do not have."""
        require, layout = self._readers.require, self._layout
        if layout.reference is not None:
            values = list(map(unwrapped, self._rows.values(layout.reference)))
            for at, blank in enumerate(self._readers.text.blanks(values)):
                if blank:
                    self._add_missing(at, layout.reference.path, None, "missing or blank")
        if Required.LINES in require:
            for at in self._rows.without_lines:
                if at not in self._rows.uncountable:
                    self._add_missing(at, self._readers.lines_path, None, "missing or empty")
        if Required.DATE in require:
            dates = self._dates_of(layout.date)
            if NO_DATE in dates:
                values, bare = self._rows.values(layout.date), set(self._rows.without_lines)
                for at, date in enumerate(dates):
                    lacking = date == NO_DATE and unwrapped(values[at]) is None
                    if lacking and at not in bare:
                        self._add_missing(at, layout.date.path, None, "missing")
        if layout.account is not None:
            values = self._rows.values(layout.account)
            blanks = self._readers.text.blanks(values)
            for at, index in self._rows.lines_with(blanks):
                self._add_missing(at, layout.account.path, index, "missing or blank")
        if Required.AMOUNT in require:
            debit, credit = self._rows.values(layout.debit), self._rows.values(layout.credit)
            texts = map(add, self.debits.text, self.credits.text)
            for at, index in self._rows.lines_with([not text for text in texts]):
                row = self.ends[at] + index
                if debit[row] is None and credit[row] is None:
                    why = f"missing, and so is {layout.credit.path}"
                    self._add_missing(at, layout.debit.path, index, why)
                    self._rows.uncountable.add(at)

    def _add_missing(self, at: int, path: str, index: int | None, why: str) -> None:
        line = None if index is None else index + 1
        fault = RejectedValue(RejectionReason.MISSING_VALUE, why).at(path, line=line)
        self._rows.faults[at].append(fault)

    def _check_balances(self, minor: Sequence[int]) -> None:
        running = list(accumulate(minor, initial=0))
        after = [running[end] for end in self.ends]
        if not any(after):
            return
        for at, reader in enumerate(self._amount_readers):
            if after[at] != after[at + 1] and at not in self._rows.uncountable:
                rows = slice(self.ends[at], self.ends[at + 1])
                debit = reader.of(sum(self.debits.minor[rows]))
                credit = reader.of(sum(self.credits.minor[rows]))
                fault = RejectedValue(
                    RejectionReason.UNBALANCED,
                    f"debit {debit.text} is not credit {credit.text}",
                    value=f"{debit.text} ≠ {credit.text}",
                )
                self._rows.faults[at].append(fault.at(self._readers.lines_path))

    def _check_sizes(self, minor: Sequence[int]) -> None:
        """A line's debit and credit may fit where their difference does not."""
        for at, reader in enumerate(self._amount_readers):
            for row in range(self.ends[at], self.ends[at + 1]):
                if not reader.fits(minor[row]):
                    fault = reader.too_many_digits(minor[row])
                    line = row - self.ends[at] + 1
                    self._rows.faults[at].append(fault.at(self._layout.debit.path, line=line))

    def _cells(self, cell: Cell) -> Sequence[str]:
        cells = self._all_cells(cell)
        column = cell.column
        if column.max_length is not None and not self._limits_itself(cell):
            cells = self._limited(cell, cells, column.max_length)
        if column.once:
            first = [""] * len(cells)
            for start in self.ends[:-1]:
                first[start] = cells[start]
            return first
        return cells

    def _all_cells(self, cell: Cell) -> Sequence[str]:
        """The column's cell in every row."""
        field = cell.field
        if field is None:
            return self._computed(cell)
        cells: Sequence[str]
        match cell.type:
            case ColumnType.AMOUNT:
                cells = self._amounts_of(field).text
            case ColumnType.DATE:
                cells = [date.text for date in self._dates_of(field)]
            case ColumnType.NUMBER:
                cells = self._read(field, self._readers.number, "")
            case _ if field.key == ID:
                cells = self._ids(cell, field)
            case _ if field == self._layout.currency:
                cells = self._currency_cells
            case _:
                cells = self._texts_of(cell, field)
        return cells if field.of_line else self._rows.per_row(cells)

    def _computed(self, cell: Cell) -> Sequence[str]:
        """The cells of a column that prints no field."""
        match cell.value.kind:
            case ValueKind.NUMBER:
                return self._line_numbers()
            case ValueKind.AMOUNT:
                return self.amounts.text
            case ValueKind.ABSOLUTE:
                return [text.removeprefix("-") for text in self.amounts.text]
            case ValueKind.SIDE:
                return self._sides(cell)
            case ValueKind.BATCH_DATE:
                return [self._readers.batch_date] * self.ends[-1]
            case _:
                return [self._readers.text_of(cell).read(cell.value.path)] * self.ends[-1]

    def _sides(self, cell: Cell) -> list[str]:
        """The side of each row's amount; the line's own side decides for zero."""
        debit, credit = map(self._readers.text_of(cell).read, cell.column.sides)
        rows = zip(self.amounts.minor, self.debits.text, self.credits.text, strict=True)
        return [
            credit if minor < 0 or (not minor and of_credit and not of_debit) else debit
            for minor, of_debit, of_credit in rows
        ]

    def _limits_itself(self, cell: Cell) -> bool:
        """Whether the reader of the column's texts has applied its `max_length`."""
        if cell.field is None:
            return cell.value.kind in (ValueKind.SIDE, ValueKind.TEXT)
        return cell.type is ColumnType.TEXT and cell.field != self._layout.currency

    def _limited(self, cell: Cell, cells: Sequence[str], most: int) -> Sequence[str]:
        if max(map(len, cells)) <= most:
            return cells
        if cell.column.cut:
            return [text if len(text) <= most else truncated(text, most) for text in cells]
        for row, text in enumerate(cells):
            if len(text) > most:
                at = self._rows.entry_of(row)
                of_line = cell.value.kind is not ValueKind.ENTRY
                line = row - self.ends[at] + 1 if of_line else None
                path = cell.column.value if cell.field is None else cell.field.path
                if of_line or row == self.ends[at]:
                    self._rows.faults[at].append(too_long(text, most).at(path, line=line))
        return cells

    def _texts_of(self, cell: Cell, field: Field) -> Sequence[str]:
        reader = self._readers.text_of(cell)
        if (field, reader) not in self._texts:
            self._texts[field, reader] = self._read(field, reader, "")
        return self._texts[field, reader]

    def _line_numbers(self) -> list[str]:
        numbers = [str(number) for number in range(1, max(self._rows.counts) + 1)]
        of_count = {count: numbers[:count] for count in set(self._rows.counts)}
        cells = list(chain.from_iterable(map(of_count.__getitem__, self._rows.counts)))
        for at in self._rows.without_lines:
            cells[self.ends[at]] = ""
        return cells

    def _ids(self, cell: Cell, field: Field) -> Sequence[str]:
        values = self._rows.values(field)
        if cell.column.max_length is None and set(map(type, values)) == {str}:
            return values  # hex digits need neither guard nor quotes
        read = self._readers.text_of(cell).read
        return [
            self._read_one(field, at, read, unwrapped(value), "") for at, value in enumerate(values)
        ]
