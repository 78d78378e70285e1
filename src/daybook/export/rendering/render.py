"""Rendering: the parts of a manifest become the bytes of one file, and its figures.

The bytes are a pure function of the manifest, the entries and the profile,
however the manifest is cut into parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from daybook.errors import ConfigurationError
from daybook.export.model.figures import EntryFault, Figures, Rejected, RejectionReason
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.rendering.cells.layout import Rows
from daybook.export.rendering.cells.page import Entry, Page
from daybook.export.rendering.cells.readers import Readers
from daybook.export.rendering.cells.rejected_value import RejectedValue
from daybook.export.rendering.cells.tally import Tally


class Renderer:
    """Turns the parts of one manifest into bytes, in order, and adds up their figures.

    `batch_date` only decides what counts as another month; a manual export has none.
    """

    def __init__(self, profile: Profile, batch_date: date | None) -> None:
        """Raises `ConfigurationError` when no file can be written as the profile says."""
        self._profile = profile
        self._readers = Readers(profile)
        self._tally = Tally(profile, batch_date)
        self._rejected: list[Rejected] = []
        self.faulty: list[Rejected] = []
        """The rejected items, in order, whose entries are in no file: all but the duplicates."""

    def header(self) -> bytes:
        """The byte order mark, if the encoding has one, and the header row.

        Raises `ConfigurationError` for a title that the encoding cannot hold, or that
        contains a control character.
        """
        try:
            titles = [self._readers.text.read(column.title) for column in self._profile.columns]
        except RejectedValue as unfit:
            raise ConfigurationError(
                f"profile {self._profile.name}: column title: {unfit.why}"
            ) from unfit
        return self._readers.dialect.header(titles)

    def part(self, part: Part, rows: Rows) -> bytes:
        """The rows of a part's entries, in the manifest's order.

        Entries that cannot go into the file are rejected with their faults, and do
        not keep the others out.
        """
        fit: dict[int, Entry] = {}
        unfit: dict[int, list[EntryFault]] = {}
        for position, entry in enumerate(rows.find(part.entry_ids)):
            if position in part.duplicates:
                where = part.duplicates[position]
                why = f"the entry is already in {where}"
                unfit[position] = [RejectedValue(RejectionReason.DUPLICATE, why).at()]
            elif entry is None:
                unfit[position] = [rows.why_missing(part.entry_ids[position]).at()]
            else:
                fit[position] = entry
        content = self._render(fit, unfit)
        rejected = list(_rejected(part, unfit))
        self._rejected += rejected
        self.faulty += (item for item in rejected if item.reason is not RejectionReason.DUPLICATE)
        self._readers.trim()
        return content

    @property
    def duplicate_count(self) -> int:
        """Rejected items whose entries are in this or in an earlier file."""
        return len(self._rejected) - len(self.faulty)

    def figures(self) -> Figures:
        """Of all parts so far."""
        return self._tally.figures(self._rejected)

    def _render(self, fit: dict[int, Entry], unfit: dict[int, list[EntryFault]]) -> bytes:
        """The entries' rows; what turns out to be unfit moves from one dict to the other."""
        while fit:
            page = Page(self._readers, list(fit.values()))
            if not page.faults():
                try:
                    content = self._readers.dialect.rows(page.columns)
                except UnicodeEncodeError:
                    pass
                else:
                    self._tally.add(page)
                    return content
            page.check_encoding()
            positions = list(fit)
            for at, faults in page.faults().items():
                unfit[positions[at]] = faults
                del fit[positions[at]]
        return b""


def _rejected(part: Part, unfit: dict[int, list[EntryFault]]) -> Iterable[Rejected]:
    for position in sorted(unfit):
        yield Rejected.of(part.queue_ids[position], part.entry_ids[position], unfit[position])
