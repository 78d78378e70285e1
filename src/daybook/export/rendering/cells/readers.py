"""The readers of a profile: what its columns, formats and currencies make of a value.

They are made once for a file, and cache what they have read from page to page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from daybook.display import shown
from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import Profile
from daybook.export.model.source import ValueKind
from daybook.export.rendering.cells.dates import DateReader
from daybook.export.rendering.cells.layout import Cell, Dialect, Layout
from daybook.export.rendering.cells.money import AmountReader, CurrencyReader, decimals_of
from daybook.export.rendering.cells.text import MOST_DIGITS, TextReader, plain_number
from daybook.export.rendering.cells.values import RejectedValue

_MOST_MAGNITUDE = 300
"""Powers of ten, up or down, within which every double has all of its digits."""


class Readers:
    """One reader per type, and one for amounts per number of decimals."""

    def __init__(self, profile: Profile, batch_date: date | None) -> None:
        """Raises `ConfigurationError` for an invalid column, date format or currency.

        `batch_date` is printed by `batch.date`.
        """
        self.dialect = Dialect(profile)
        quote = self.dialect.quote
        self.layout = Layout.of(profile)
        self.lines_path = profile.source.lines_name
        self.text = TextReader(self.dialect, profile.formula_guard)
        self.date = DateReader(
            quote, profile.time_zone, profile.date_format, profile.calendar, profile.years
        )
        self.batch_date = "" if batch_date is None else self.date.of_day(batch_date)
        self.number = NumberReader(of_sheet=self.dialect.is_sheet)
        self.currency = CurrencyReader(profile.currency, profile.decimals)
        self.require = profile.require
        self._decimals = profile.decimals
        self._amounts: dict[int, AmountReader] = {}
        self._profile = profile
        self._texts: dict[tuple[int | None, bool, bool], TextReader] = {
            (None, False, False): self.text
        }

    def text_of(self, cell: Cell) -> TextReader:
        """The reader of a text column: `text`, unless the column has rules of its own."""
        column = cell.column
        key = (column.max_length, column.cut, cell.mapped)
        if key not in self._texts:
            self._texts[key] = TextReader(
                self.dialect,
                self._profile.formula_guard,
                max_length=column.max_length,
                cut=column.cut,
                accounts=self._profile.accounts if cell.mapped else None,
            )
        return self._texts[key]

    def check_constants(self) -> None:
        """Raise `ConfigurationError` for a text of the profile that cannot be printed."""
        for cell in self.layout.cells:
            texts: Iterable[str] = ()
            if cell.value.kind is ValueKind.TEXT:
                texts = (cell.value.path,)
            elif cell.value.kind is ValueKind.SIDE:
                texts = cell.column.sides
            elif cell.mapped:
                texts = self._profile.accounts.values()
            # Accounts are read by their codes, so they are checked as plain text.
            reader = TextReader(
                self.dialect,
                self._profile.formula_guard,
                max_length=cell.column.max_length,
                cut=cell.column.cut,
            )
            for text in texts:
                try:
                    fault = self.dialect.unencodable(reader.read(text))
                except RejectedValue as error:
                    fault = error
                if fault is not None:
                    raise ConfigurationError(
                        f"profile {self._profile.name}, column {cell.column.title!r}: "
                        f"{text!r}: {fault.why}"
                    )

    def amount(self, currency: str) -> AmountReader:
        decimals = decimals_of(currency, self._decimals)
        if decimals not in self._amounts:
            most = MOST_DIGITS if self.dialect.is_sheet else None
            self._amounts[decimals] = AmountReader(decimals, most_digits=most)
        return self._amounts[decimals]

    def trim(self) -> None:
        """Keep the caches small. Call between pages."""
        for text in self._texts.values():
            text.trim()
        self.date.trim()
        self.currency.trim()
        for reader in self._amounts.values():
            reader.trim()


class NumberReader:
    """Turns numbers into cells; those of a sheet are printed without an exponent."""

    def __init__(self, *, of_sheet: bool) -> None:
        self._of_sheet = of_sheet

    def read(self, value: Any) -> str:
        """Raises `RejectedValue` for anything but a finite number or null."""
        if value is None:
            return ""
        text = plain_number(value)
        if text is not None:
            return cell_number(text) if self._of_sheet else text
        what = shown(value)
        if isinstance(value, str):
            raise RejectedValue(
                RejectionReason.STORED_AS_TEXT,
                f"{what} is stored as text, not as a number",
                value=what,
            )
        raise RejectedValue(RejectionReason.INVALID_AMOUNT, f"{what} is not a number", value=what)

    def column(self, values: list[Any]) -> Sequence[str]:
        """Read many values. Raises `RejectedValue`."""
        return list(map(self.read, values))


def cell_number(text: str) -> str:
    """A number as a sheet gives it back. Raises `RejectedValue` for one that it cannot keep."""
    number = Decimal(text)
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if not digits:
        return "0"
    if len(digits) > MOST_DIGITS or abs(number.adjusted()) > _MOST_MAGNITUDE:
        raise RejectedValue(
            RejectionReason.TOO_LARGE,
            f"{text} has more than the {MOST_DIGITS} digits that a spreadsheet keeps",
            value=text,
        )
    return f"{number.normalize():f}"
