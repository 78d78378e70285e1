"""What a spreadsheet can hold: date formats as cells know them, digits, rows."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from openpyxl import load_workbook

from daybook.errors import ConfigurationError
from daybook.export.model.profile import Calendar, FileFormat, Profile
from daybook.export.model.source import Column, ColumnType
from daybook.export.rendering import sheets
from daybook.export.rendering.cells.number import cell_number
from daybook.export.rendering.cells.spreadsheet import date_code, text_form
from daybook.export.rendering.cells.values import RejectedValue
from tests.rendering import entry, render_file


def profile(**more: Any) -> Profile:
    return Profile(name="daily", format=FileFormat.XLSX, **more)


@pytest.mark.parametrize(
    ("date_format", "code", "text"),
    [
        ("%Y-%m-%d", "yyyy-mm-dd", "%Y-%m-%d"),
        ("%d/%m/%y", "dd/mm/yy", "%Y-%m-%d"),
        ("%d %b %Y", "dd mmm yyyy", "%Y-%m-%d"),
        ("%A, %d. %B", "dddd, dd. mmmm", "%Y-%m-%d"),
        ("%F %T", "yyyy-mm-dd hh:mm:ss", "%Y-%m-%d %H:%M:%S"),
        ("%D %I:%M %p", "mm/dd/yy hh:mm AM/PM", "%Y-%m-%d %H:%M:%S"),
        ("%H:%M:%S.%f", "hh:mm:ss.000", "%Y-%m-%d %H:%M:%S.%f"),
        ("day %d%%", "\\d\\a\\y dd\\%", "%Y-%m-%d"),
    ],
)
def test_cells_show_dates_as_the_format_says(date_format: str, code: str, text: str) -> None:
    plain = profile(date_format=date_format)
    assert date_code(plain) == code
    assert text_form(plain).date_format == text
    assert text_form(text_form(plain)) == text_form(plain)
    thai = profile(date_format=date_format, calendar=Calendar.BUDDHIST_ERA)
    assert date_code(thai) == f"[$-107041E]{code}"


@pytest.mark.parametrize("date_format", ["%j", "%d %Z", "%z", "%I:%M", "%H %p", "%d.%M", "%S,%f"])
def test_a_format_that_cells_cannot_have_is_refused(date_format: str) -> None:
    with pytest.raises(ConfigurationError, match="date_format"):
        date_code(profile(date_format=date_format))


@pytest.mark.parametrize(
    ("stored", "printed"),
    [("7", "7"), ("-0.50", "-0.5"), ("1E+3", "1000"), ("-0", "0"), ("0E+9", "0")],
)
def test_numbers_are_printed_as_a_sheet_gives_them_back(stored: str, printed: str) -> None:
    assert cell_number(stored) == printed


@pytest.mark.parametrize("stored", ["1234567890123456", "0.1234567890123456", "1E+301", "1E-301"])
def test_a_number_that_a_cell_would_round_is_rejected(stored: str) -> None:
    with pytest.raises(RejectedValue) as raised:
        cell_number(stored)
    assert raised.value.reason.value == "too_large"


def test_a_file_has_no_more_rows_than_a_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", 4)
    _, figures = render_file([entry(), entry()], profile())
    assert figures.row_count == 4
    with pytest.raises(ConfigurationError, match="at most 4 rows"):
        render_file([entry(), entry(), entry()], profile())


@pytest.mark.parametrize("item_count", [1, 1_000_000])
def test_times_numbers_and_blank_rows_are_in_the_file(item_count: int) -> None:
    columns = (
        Column(title="When", value="entry.date"),
        Column(title="Rate", value="entry.rate", type=ColumnType.NUMBER),
    )
    when = datetime(2026, 1, 17, 18, 30, 5, tzinfo=UTC)
    entries = [
        entry(lines=[], amount=1, date=when, rate=1.25),
        entry(lines=[], amount=1, date=None),
        entry(lines=[], amount=1, date=when),
    ]
    found = profile(columns=columns, date_format="%d/%m/%Y %H:%M")
    content, figures = render_file(entries, found, item_count=item_count)
    assert figures.row_count == 3
    rows = list(load_workbook(io.BytesIO(content))["Journal"].iter_rows(values_only=True))
    local = datetime(2026, 1, 18, 1, 30, 5)  # noqa: DTZ001  (a cell's date has no time zone)
    assert rows == [("When", "Rate"), (local, 1.25), (None, None), (local, None)]
