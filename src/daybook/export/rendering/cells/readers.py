"""The readers of a profile's values, with what they remember from page to page."""

from __future__ import annotations

from daybook.export.model.profile import Profile
from daybook.export.rendering.cells.currency import CurrencyReader, decimals_of
from daybook.export.rendering.cells.dates import DateReader
from daybook.export.rendering.cells.dialect import Dialect
from daybook.export.rendering.cells.layout import Layout
from daybook.export.rendering.cells.money import AmountReader
from daybook.export.rendering.cells.text import TextReader


class Readers:
    """One reader of each type, and one of amounts per number of decimals."""

    def __init__(self, profile: Profile) -> None:
        """Raises `ConfigurationError` for a column, date format or currency that is not valid."""
        self.dialect = Dialect(profile)
        quote = self.dialect.quote
        self.layout = Layout.of(profile)
        self.lines_path = profile.source.lines
        self.text = TextReader(self.dialect, profile.formula_guard)
        self.date = DateReader(
            quote, profile.time_zone, profile.date_format, profile.calendar, profile.years
        )
        self.currency = CurrencyReader(profile.currency, profile.decimals)
        self.require = profile.require
        self._decimals = profile.decimals
        self._amounts: dict[int, AmountReader] = {}

    def amount(self, currency: str) -> AmountReader:
        decimals = decimals_of(currency, self._decimals)
        if decimals not in self._amounts:
            self._amounts[decimals] = AmountReader(decimals)
        return self._amounts[decimals]

    def trim(self) -> None:
        """Keep memory flat. Call between pages."""
        self.text.trim()
        self.date.trim()
        self.currency.trim()
        for reader in self._amounts.values():
            reader.trim()
