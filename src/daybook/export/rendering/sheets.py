"""The sheets of an xlsx file: every text is a text, every amount a number, every date a date.

XlsxWriter gives no byte of the file before all cells are known, so the file is written to a
temporary directory first. Its bytes are a pure function of the cells, of `huge` and of the
versions of XlsxWriter and zlib.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

from daybook.errors import ConfigurationError, DaybookError
from daybook.export.model.figures import Figures
from daybook.export.model.profile import Profile
from daybook.export.model.source import Column, ColumnType
from daybook.export.rendering.cells.dates import date_code
from daybook.export.rendering.cells.layout import Layout
from daybook.export.rendering.cells.page import Page
from daybook.export.rendering.cells.text import MOST_DIGITS

JOURNAL, TOTALS = "Journal", "Totals"
MOST_ITEMS_SHARED = 20_000
"""Items of a manifest up to which the texts of a file are shared between its cells.

Every reader understands shared texts, but they are all in memory until the end. Larger files have
each text in its cell, which some programs that import files show as blank.
"""

MOST_ROWS = 1_048_575
"""Rows of a sheet below its header.

https://support.microsoft.com/en-us/office/1672b34d-7043-467e-8e27-269d656771c3
"""

_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""When every file says it was created: the time of a run would make the bytes differ."""
_BLOCK_BYTES = 1024 * 1024
_WIDTHS = {
    ColumnType.TEXT: 24,
    ColumnType.DATE: 12,
    ColumnType.AMOUNT: 16,
    ColumnType.NUMBER: 8,
}
# One page wide, every width counts: those below print eleven columns on A4 at about 8 points.
_WIDTHS_ON_A_PAGE = {
    **_WIDTHS,
    ColumnType.AMOUNT: 20,  # of 15 digits, with their separators and a sign
    ColumnType.NUMBER: 6,
}
_WIDTHS_OF_VALUES = {
    "entry._id": 26,
    "entry.reference": 18,
    "entry.currency": 9,
    "line.accountCode": 14,
}
_LONGEST_DATE = datetime(2026, 9, 30, 22, 30, 30, 300_300, UTC)  # Wednesday, 30 September
_A4 = 9
_MARGIN_INCHES = 0.4
_LINE_POINTS = 15
_MOST_LINES = 27  # of a row: a spreadsheet's rows have at most 409 points
# XlsxWriter takes a text that begins and ends like this for markup of its own, and escapes only
# the first of two escapes that share an underscore. Such texts are given to it as markup.
_MARKUP = re.compile(r"<r>.*</r>", re.DOTALL)
_HEX = "[0-9a-fA-F]{4}"
_NOT_IN_XML = "\r\ufffe\uffff"
_SHARED = re.compile(f"_x{_HEX}(?=_x{_HEX}_|[{_NOT_IN_XML}])")
_ESCAPED = re.compile(f"_(?=x{_HEX}[_{_NOT_IN_XML}])|[{_NOT_IN_XML}]")


class Sheets:
    """Collects the pages of a file in a temporary directory, which leaving the block removes."""

    def __init__(self, profile: Profile, batch_date: date | None, *, huge: bool) -> None:
        """`huge` files are made row by row, in flat memory; see `MOST_ITEMS_SHARED`."""
        from xlsxwriter import Workbook

        self._profile = profile
        self._batch_date = batch_date
        self._types = [cell.type for cell in Layout.of(profile).cells]
        self._folder = TemporaryDirectory(prefix="daybook-")
        self._path = Path(self._folder.name) / "file.xlsx"
        self._book = Workbook(
            str(self._path),
            {
                "constant_memory": huge,
                "in_memory": False,
                "tmpdir": self._folder.name,
                "strings_to_formulas": False,
                "strings_to_numbers": False,
                "strings_to_urls": False,
            },
        )
        self._book.set_properties({"created": _CREATED})
        self._bold = self._book.add_format({"bold": True})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        # On paper, a long text takes several lines, since the next cell would cover its end. The
        # writer keeps the height of each row in memory, and huge files are not printed.
        self._wraps = profile.one_page_wide and not huge
        cell = {"valign": "top"} if self._wraps else {}
        self._text = self._book.add_format({**cell, "text_wrap": True}) if self._wraps else None
        self._number = self._book.add_format(cell) if self._wraps else None
        self._date = self._book.add_format({**cell, "num_format": date_code(profile)})
        self._amount = cache(
            lambda decimals: self._book.add_format({**cell, "num_format": _amount_code(decimals)})
        )
        self._row = 0
        self._widths = list(map(self._width, profile.columns, self._types))
        self._sheet = self._journal()
        self._write: dict[ColumnType, Callable[[int, int, str], int]] = {
            ColumnType.TEXT: self._write_text,
            ColumnType.DATE: self._write_date,
            ColumnType.AMOUNT: self._write_amount,
            ColumnType.NUMBER: self._write_number,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def add(self, page: Page) -> None:
        """Add rows. Raises `ConfigurationError` when there are more than a sheet has."""
        if self._row + page.ends[-1] > MOST_ROWS:
            raise ConfigurationError(
                f"profile {self._profile.name}: a sheet has at most {MOST_ROWS:,} rows below its "
                'header, and the file needs more: use format = "csv", or divide the items '
                "between several profiles with match"
            )
        writers = [self._write[kind] for kind in self._types]
        for cells in zip(*page.columns, strict=True):
            self._row += 1
            if self._wraps and (lines := self._lines(cells)) > 1:
                # LibreOffice does not fit rows to their texts when it opens the file.
                self._sheet.set_row(self._row, lines * _LINE_POINTS)
            failed = 0
            for at, (write, text) in enumerate(zip(writers, cells, strict=True)):
                if text:
                    failed = failed or write(self._row, at, text)
            if not any(cells):  # or the row would not exist
                failed = self._sheet.write_blank(self._row, 0, None, self._bold)
            if failed:
                raise DaybookError(
                    f"profile {self._profile.name}: XlsxWriter refused row {self._row} ({failed})"
                )

    def finish(self, figures: Figures) -> Iterator[bytes]:
        """Make the file and return its bytes in blocks; call it once, after the last page."""
        self._sheet.autofilter(0, 0, self._row, len(self._types) - 1)
        self._totals(figures)
        self._book.close()
        return self._blocks()

    def _blocks(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    def _journal(self) -> Any:
        sheet = self._book.add_worksheet(JOURNAL)
        sheet.freeze_panes(1, 0)
        # Codes and IDs of digits are texts on purpose.
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        for at, width in enumerate(self._widths):
            sheet.set_column(at, at, width)
        if self._profile.one_page_wide:
            _fit_to_page_width(sheet)
            sheet.set_landscape()
            sheet.repeat_rows(0)
        self._sheet = sheet
        for at, column in enumerate(self._profile.columns):
            self._write_text(0, at, column.title, self._bold)
        return sheet

    def _totals(self, figures: Figures) -> None:
        sheet = self._book.add_worksheet(TOTALS)
        sheet.set_column(0, 3, 20)
        if self._profile.one_page_wide:
            sheet.set_column(0, 3, _WIDTHS_ON_A_PAGE[ColumnType.AMOUNT])
            _fit_to_page_width(sheet)
        sheet.write_string(0, 0, "Profile", self._bold)
        sheet.write_string(0, 1, self._profile.name)
        sheet.write_string(1, 0, "Date", self._bold)
        if self._batch_date is not None:
            sheet.write_datetime(1, 1, self._batch_date, self._day)
        sheet.write_string(2, 0, "Entries", self._bold)
        sheet.write_number(2, 1, figures.entry_count)
        sheet.write_string(3, 0, "Rows", self._bold)
        sheet.write_number(3, 1, figures.row_count)
        for at, title in enumerate(("Currency", "Debit", "Credit", "Amount")):
            sheet.write_string(5, at, title, self._bold)
        for row, (currency, totals) in enumerate(figures.totals.items(), start=6):
            sheet.write_string(row, 0, currency)
            for at, total in enumerate((totals.debit, totals.credit, totals.amount), start=1):
                self._write_total(sheet, row, at, total)

    def _lines(self, cells: Sequence[str]) -> int:
        """How many lines the longest text of a row takes, roughly and not too few."""
        texts = (
            _wrapped(text, width)
            for text, width, kind in zip(cells, self._widths, self._types, strict=True)
            if kind is ColumnType.TEXT
        )
        return min(_MOST_LINES, max(texts, default=1))

    def _width(self, column: Column, kind: ColumnType) -> int:
        """The width of a column, in digits."""
        if not self._profile.one_page_wide:
            return _WIDTHS[kind]
        if kind is ColumnType.DATE:
            longest = _LONGEST_DATE.strftime(self._profile.date_format)
            return max(_WIDTHS[kind], len(longest) + 2)
        if kind is ColumnType.TEXT and column.value in _WIDTHS_OF_VALUES:
            return _WIDTHS_OF_VALUES[column.value]
        return _WIDTHS_ON_A_PAGE[kind]

    def _write_total(self, sheet: Any, row: int, at: int, total: Decimal) -> None:
        """A sum may have more digits than a spreadsheet keeps: then it is a text, and exact."""
        if len(total.as_tuple().digits) > MOST_DIGITS:
            sheet.write_string(row, at, f"{total:f}")
        else:
            sheet.write_number(row, at, float(total), self._amount(_decimals(f"{total:f}")))

    def _write_text(self, row: int, at: int, text: str, style: Any = None) -> int:
        style = style or self._text
        if not _is_misread(text):
            return int(self._sheet.write_string(row, at, text, style))
        most = self._sheet.xls_strmax
        self._sheet.xls_strmax = sys.maxsize  # of a text that fits the markup may be longer
        try:
            return int(self._sheet.write_string(row, at, _markup(text), style))
        finally:
            self._sheet.xls_strmax = most

    def _write_date(self, row: int, at: int, text: str) -> int:
        when = datetime.fromisoformat(text)
        return int(self._sheet.write_datetime(row, at, when, self._date))

    def _write_amount(self, row: int, at: int, text: str) -> int:
        style = self._amount(_decimals(text))
        return int(self._sheet.write_number(row, at, float(text), style))

    def _write_number(self, row: int, at: int, text: str) -> int:
        return int(self._sheet.write_number(row, at, float(text), self._number))


def _amount_code(decimals: int) -> str:
    """The number format of an amount with so many decimals."""
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def _wrapped(text: str, width: int) -> int:
    """The lines of a text in a column: a word that does not fit leaves its line unfilled."""
    if len(text) <= width and "\n" not in text:
        return 1
    return sum(max(1, math.ceil(len(line) / (width - 3))) for line in text.split("\n"))


def _fit_to_page_width(sheet: Any) -> None:
    """A4, all columns on each page, as many pages as the rows need."""
    sheet.set_paper(_A4)
    sheet.fit_to_pages(1, 0)
    sheet.set_margins(*[_MARGIN_INCHES] * 4)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _is_misread(text: str) -> bool:
    """Whether XlsxWriter would not write the text as it is."""
    if text.startswith("<r>"):
        return _MARKUP.fullmatch(text) is not None
    return "_x" in text and _SHARED.search(text) is not None


def _markup(text: str) -> str:
    """The text as a single run, in which XlsxWriter finds nothing to escape."""
    # ECMA-376, part 1, 22.9.2.19 (ST_Xstring): _xHHHH_ is a character.
    escaped = _ESCAPED.sub(lambda found: f"&#95;x{ord(found[0]):04X}&#95;", escape(text))
    return f'<r><t xml:space="preserve">{escaped}</t></r>'
