"""Rendering: the parts of a manifest become the bytes of one file, and its figures.

The bytes are a pure function of the manifest, the entries and the profile, however the manifest is
cut into parts: CSV as it is rendered, xlsx once all rows are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from types import TracebackType
from typing import Self

from daybook.errors import ConfigurationError
from daybook.export.model.figures import (
    MONTHS,
    CurrencyTotals,
    EntryFault,
    Figures,
    Rejected,
    RejectionReason,
)
from daybook.export.model.part import Part
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.rendering.cells.layout import Entries, Entry
from daybook.export.rendering.cells.money import decimals_of, to_decimal
from daybook.export.rendering.cells.page import Page
from daybook.export.rendering.cells.readers import Readers
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.cells.values import RejectedValue
from daybook.export.rendering.sheets import MOST_ITEMS_SHARED, Sheets


@dataclass(kw_only=True)
class _Sums:
    """Totals of one currency, in minor units."""

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
        self._other_months = Counter[tuple[int, int]]()
        self._no_currency_count = 0

    def add(self, page: Page) -> None:
        self._entry_count += len(page.currencies)
        self._row_count += page.ends[-1]
        self._normalised_count += page.normalised_count()
        if self._month is not None:
            self._other_months.update(
                month for month in page.months() if month not in (None, self._month)
            )
        self._no_currency_count += page.no_currency_count()
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
            other_month_count=self._other_months.total(),
            other_months={
                f"{year:04}-{month:02}": count
                for (year, month), count in sorted(self._other_months.most_common(MONTHS))
            },
            no_currency_count=self._no_currency_count,
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


class Renderer:
    """Turns the parts of one manifest into bytes, in order, and adds up their figures.

    `batch_date` decides which entries are of another month; a manual export has none. The bytes
    of an xlsx profile are those of its `text_form`.
    """

    def __init__(
        self,
        profile: Profile,
        batch_date: date | None,
        *,
        receive: Callable[[Page], None] | None = None,
    ) -> None:
        """`receive` gets each page of which no entry is rejected, in order.

        Raises `ConfigurationError` when the profile cannot produce a file.
        """
        profile = text_form(profile)
        self._receive = receive
        self._profile = profile
        self._readers = Readers(profile, batch_date)
        self._tally = Tally(profile, batch_date)
        self._rejected: list[Rejected] = []
        self.faulty: list[Rejected] = []
        """Rejected items, in order, whose entries are in no file: all except the duplicates."""

    def header(self) -> bytes:
        """The byte order mark, if the encoding has one, and the header row.

        Raises `ConfigurationError` for a title that the encoding cannot represent, or that
        contains a control character.
        """
        try:
            titles = [self._readers.text.read(column.title) for column in self._profile.columns]
        except RejectedValue as error:
            raise ConfigurationError(
                f"profile {self._profile.name}: column title: {error.why}"
            ) from error
        self._readers.check_constants()
        return self._readers.dialect.header(titles)

    def part(self, part: Part, entries: Entries) -> bytes:
        """The rows of a part's entries, in the manifest's order.

        Entries that cannot go into the file are rejected with their faults; the others are
        rendered.
        """
        accepted: dict[int, Entry] = {}
        faults_at: dict[int, list[EntryFault]] = {}
        for position, entry in enumerate(entries.find(part.entry_ids)):
            if position in part.duplicates:
                where = part.duplicates[position]
                why = f"the entry is already in {where}"
                faults_at[position] = [RejectedValue(RejectionReason.DUPLICATE, why).at()]
            elif entry is None:
                faults_at[position] = [entries.why_missing(part.entry_ids[position]).at()]
            else:
                accepted[position] = entry
        content = self._render(accepted, faults_at)
        rejected = list(_rejected(part, faults_at))
        self._rejected += rejected
        self.faulty += (item for item in rejected if item.reason is not RejectionReason.DUPLICATE)
        self._readers.trim()
        return content

    @property
    def duplicate_count(self) -> int:
        """Rejected items whose entries are in this or in an earlier file."""
        return len(self._rejected) - len(self.faulty)

    def figures(self) -> Figures:
        """The figures of all parts so far."""
        return self._tally.figures(self._rejected)

    def _render(self, accepted: dict[int, Entry], faults_at: dict[int, list[EntryFault]]) -> bytes:
        """The entries' rows; entries with faults move from `accepted` to `faults_at`."""
        while accepted:
            page = Page(self._readers, list(accepted.values()))
            if not page.faults():
                try:
                    content = self._readers.dialect.rows(page.columns)
                except UnicodeEncodeError:
                    pass
                else:
                    self._tally.add(page)
                    if self._receive is not None:
                        self._receive(page)
                    return content
            page.check_encoding()
            positions = list(accepted)
            for at, faults in page.faults().items():
                faults_at[positions[at]] = faults
                del accepted[positions[at]]
        return b""


class FileRenderer:
    """The bytes of a file, in order: `header`, each `part`, `end`. Use it as a block.

    The bytes are a pure function of the manifest, the entries and the profile.
    """

    def __init__(self, profile: Profile, batch_date: date | None, *, item_count: int) -> None:
        """`item_count` is the manifest's. Raises `ConfigurationError`, as `Renderer` does."""
        self._sheets = None
        if profile.format is FileFormat.XLSX:
            huge = item_count > MOST_ITEMS_SHARED
            self._sheets = Sheets(profile, batch_date, huge=huge)
        receive = None if self._sheets is None else self._sheets.add
        self.renderer = Renderer(profile, batch_date, receive=receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sheets is not None:
            self._sheets.__exit__(kind, error, trace)

    def header(self) -> bytes:
        """What precedes the rows; see `Renderer.header`."""
        content = self.renderer.header()
        return content if self._sheets is None else b""

    def part(self, part: Part, entries: Entries) -> bytes:
        """The rows of a part as far as they are ready; see `Renderer.part`.

        Raises `ConfigurationError` when a sheet has no room for them.
        """
        content = self.renderer.part(part, entries)
        return content if self._sheets is None else b""

    def figures(self) -> Figures:
        return self.renderer.figures()

    def end(self) -> Iterator[bytes]:
        """The rest of the file, in blocks; it is made before this returns."""
        return iter(()) if self._sheets is None else self._sheets.finish(self.figures())


def _rejected(part: Part, faults_at: dict[int, list[EntryFault]]) -> Iterable[Rejected]:
    for position in sorted(faults_at):
        yield Rejected.of(part.queue_ids[position], part.entry_ids[position], faults_at[position])
