"""The running counts and control totals of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from daybook.export.model.figures import CurrencyTotals, Figures, Rejected
from daybook.export.model.profile import Profile
from daybook.export.rendering.cells.currency import decimals_of
from daybook.export.rendering.cells.money import to_decimal
from daybook.export.rendering.cells.page import Page


@dataclass(kw_only=True)
class _Sums:
    """Of one currency, in minor units."""

    debit: int = 0
    credit: int = 0
    amount: int = 0


class Tally:
    """Adds up what goes into the file, page by page."""

    def __init__(self, profile: Profile, batch_date: date | None) -> None:
        self._decimals = profile.decimals
        self._month = (batch_date.year, batch_date.month) if batch_date else None
        self._sums: dict[str, _Sums] = {}
        self._entry_count = 0
        self._row_count = 0
        self._normalised_count = 0
        self._other_month_count = 0

    def add(self, page: Page) -> None:
        self._entry_count += len(page.currencies)
        self._row_count += page.ends[-1]
        self._normalised_count += page.normalised_count()
        if self._month is not None:
            months = page.months()
            self._other_month_count += len(months) - months.count(self._month) - months.count(None)
        at = 0
        for currency, run in groupby(page.currencies):
            start = page.ends[at]
            at += len(list(run))
            rows = slice(start, page.ends[at])
            sums = self._sums.setdefault(currency, _Sums())
            sums.debit += sum(page.debits.minor[rows])
            sums.credit += sum(page.credits.minor[rows])
            sums.amount += sum(page.amounts.minor[rows])

    def figures(self, rejected: Sequence[Rejected]) -> Figures:
        return Figures(
            entry_count=self._entry_count,
            row_count=self._row_count,
            normalised_count=self._normalised_count,
            other_month_count=self._other_month_count,
            totals={currency: self._totals(currency) for currency in sorted(self._sums)},
            rejected_count=len(rejected),
            rejected=tuple(rejected),
        )

    def _totals(self, currency: str) -> CurrencyTotals:
        decimals = decimals_of(currency, self._decimals)
        sums = self._sums[currency]
        return CurrencyTotals(
            debit=to_decimal(sums.debit, decimals),
            credit=to_decimal(sums.credit, decimals),
            amount=to_decimal(sums.amount, decimals),
        )
