"""Text cells: formulas, quotes, characters; and the cells of a sheet."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl import load_workbook

from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import Calendar, FileFormat, FormulaGuard, Profile
from daybook.export.model.source import Column, ColumnType
from daybook.export.rendering import sheets
from daybook.export.rendering.cells.dates import date_code
from daybook.export.rendering.cells.layout import Dialect
from daybook.export.rendering.cells.readers import cell_number
from daybook.export.rendering.cells.text import (
    TextReader,
    looks_like_formula,
    plain_text,
    text_form,
)
from daybook.export.rendering.cells.values import RejectedValue
from tests.rendering import entry, render, render_file

TRIGGERS = "=+-@\t\r\n＝＋－＠"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NASTY_TEXT = st.text(st.sampled_from(list(TRIGGERS + "\",;|' a1ก\u00a0\u200b\ufeff\u00ad\u2060")))
TEXTS = st.one_of(ANY_TEXT, NASTY_TEXT).map(lambda text: _CONTROL.sub("", text))
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _profile(**settings):
    columns = (
        Column(title="Text", value="entry.text"),
        Column(title="Other", value="line.text"),
        Column(title="Amount", value="line.amount", type=ColumnType.AMOUNT),
    )
    settings = {"columns": columns, "require": frozenset(), **settings}
    return Profile(name="daily", **settings)


def _rows(content, delimiter=",", encoding="utf-8-sig"):
    text = io.StringIO(content.decode(encoding), newline="")
    return list(csv.reader(text, delimiter=delimiter, strict=True))


def _first_visible(text):
    """The first sign that a reader sees, by the categories of Unicode itself."""
    for sign in text:
        if sign in TRIGGERS or unicodedata.category(sign) not in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            return sign
    return ""


@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(list(",;\t|")))
def test_any_text_survives_the_file(texts, delimiter):
    entries = [entry(text=text, lines=[{"text": text, "debit": 0}]) for text in texts]
    profile = _profile(delimiter=delimiter, formula_guard=FormulaGuard.NONE)
    content, figures = render(entries, profile)
    assert figures.rejected == ()
    assert _rows(content, delimiter)[1:] == [[text, text, "0.00"] for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["=1+1", "plain"])
@example(["\u200b\u00a0=1+1"])
@example([" \t=1"])
def test_no_text_cell_can_be_a_formula_and_only_the_apostrophe_is_added(texts):
    entries = [entry(text=text, lines=[{"text": text, "debit": 0}]) for text in texts]
    rows = _rows(render(entries, _profile())[0])[1:]
    for text, (cell, line_cell, _) in zip(texts, rows, strict=True):
        visible = _first_visible(cell)
        assert not visible or visible not in TRIGGERS
        assert cell == line_cell
        assert cell in (text, "'" + text)


@given(TEXTS)
def test_only_what_begins_like_a_formula_is_guarded(text):
    visible = _first_visible(text)
    if looks_like_formula(text):
        # More is invisible than the categories say: fillers and variation selectors.
        assert set(text) & set(TRIGGERS)
    else:
        assert not visible or visible not in TRIGGERS


def test_every_invisible_character_is_looked_behind():
    missed = [
        f"U+{code:04X}"
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zs", "Zl", "Zp")
        and not looks_like_formula(chr(code) + "=1")
    ]
    assert missed == []


@pytest.mark.parametrize("sign", ["a", "1", "ก", "(", "é", "中", "😀", "_", "'", "/", "\u0301"])
def test_what_follows_a_visible_character_is_no_formula(sign):
    assert not looks_like_formula(sign + "=1")


@pytest.mark.parametrize("sign", ["\u3164", "\ufe0f", "\u115f", "\u2800", "\U000e0100", "\u034f"])
def test_blank_letters_and_selectors_are_looked_behind_too(sign):
    assert looks_like_formula(sign + "=1")


@given(st.integers(-(10**12), 10**12).filter(bool))
def test_the_guard_never_touches_a_number(minor):
    amount = Decimal128(f"{minor // 100}.{minor % 100:02d}" if minor > 0 else f"{minor}.00")
    bare = entry(lines=[], amount=amount)
    cell = _rows(render([bare], _profile())[0])[1][2]
    assert cell == str(amount)
    assert float(cell) == float(str(amount))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        *((-5, "-5"), (Int64(-(2**62)), str(-(2**62))), (-5.0, "-5"), (-0.25, "-0.25")),
        *((Decimal128("-1.50"), "-1.50"), (Decimal128("-1E+6000"), "-1E+6000"), (-1e-7, "-1e-07")),
        # Text that looks like a number is text; what is not finite computes to an error.
        *(("-5", "'-5"), ("+5", "'+5"), (float("-inf"), "'-inf")),
        (Decimal128("-Infinity"), "'-Infinity"),
    ],
)
def test_a_number_in_a_text_column_gets_no_apostrophe_and_a_text_does(value, cell):
    rows = _rows(render([entry(text=value, _id=value)], _profile())[0])
    assert rows[1][0] == cell
    ids = (Column(title="ID", value="entry._id"), Column(title="Text", value="entry.text"))
    assert _rows(render([entry(_id=value)], _profile(columns=ids))[0])[1][0] == cell


ALLOWED = "\t\r\n"
CONTROLS = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Cc"]


@pytest.mark.parametrize("sign", CONTROLS)
def test_control_characters_other_than_tab_and_line_breaks_are_rejected(sign):
    entries = [entry(text="plain"), entry(text=f"ab{sign}=1"), entry(_id=f"x{sign}", text="a")]
    content, figures = render(entries, _profile())
    if sign in ALLOWED:
        assert figures.rejected == ()
        assert _rows(content)[3][0] == f"ab{sign}=1"
        return
    (rejected,) = figures.rejected
    assert rejected.reason is RejectionReason.CONTROL_CHARACTER
    code = f"U+{ord(sign):04X}"
    assert rejected.detail == f"text: character 3 is the control character {code}"
    assert rejected.faults[0].value == code
    with_ids = (Column(title="ID", value="entry._id"), Column(title="Text", value="entry.text"))
    assert len(render(entries, _profile(columns=with_ids))[1].rejected) == 2


def test_a_title_with_a_control_character_is_an_error_of_the_profile():
    columns = (Column(title="a\x07", value="entry.text"),)
    with pytest.raises(ConfigurationError, match="column title: character 2 is the control"):
        render([], _profile(columns=columns))


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("special", list(',;\t"\n\r'))
def test_what_any_separator_setting_of_a_spreadsheet_could_split_is_quoted(delimiter, special):
    texts = ["plain", f"fee{special}=1+2"]
    entries = [entry(text=text, lines=[{"text": text, "debit": 0}]) for text in texts]
    content, _ = render(entries, _profile(delimiter=delimiter))
    quoted = '"' + texts[1].replace('"', '""') + '"'
    assert content.decode("utf-8-sig").endswith(
        f"plain{delimiter}plain{delimiter}0.00\r\n{quoted}{delimiter}{quoted}{delimiter}0.00\r\n"
    )


def test_the_guard_can_be_turned_off():
    content, _ = render([entry(text="=1+1")], _profile(formula_guard=FormulaGuard.NONE))
    assert _rows(content)[1][0] == "=1+1"


def test_a_title_is_guarded_and_quoted_like_any_text():
    columns = (
        Column(title="=cmd()", value="entry.text"),
        Column(title='a,"b"', value="entry.reference"),
    )
    assert _rows(render([], _profile(columns=columns))[0]) == [["'=cmd()", 'a,"b"']]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        (1000, "1000"),
        (Int64(2**62), "4611686018427387904"),
        (1000.0, "1000"),
        (0.5, "0.5"),
        (True, "True"),
        (Decimal128("1.50"), "1.50"),
        (ObjectId("65a8c0ffee65a8c0ffee65a8"), "65a8c0ffee65a8c0ffee65a8"),
        (Binary(bytes(range(16)), 4), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ],
)
def test_scalars_print_as_their_plain_text(value, text):
    assert plain_text(value) == text


@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, [], ["a"], b"abc", Binary(b"abc", 4), Regex("a"), Code("1")]
)
def test_what_has_no_plain_text_is_refused(value):
    with pytest.raises(RejectedValue) as caught:
        plain_text(value)
    assert caught.value.reason is RejectionReason.INVALID_TEXT


@given(st.lists(st.one_of(st.none(), TEXTS, ANY_TEXT, st.integers(), st.booleans(), st.floats())))
def test_a_column_reads_as_its_values_do(values):
    profile = _profile()
    reader = TextReader(Dialect(profile), profile.formula_guard)
    try:
        singly = [
            TextReader(Dialect(profile), profile.formula_guard).read(value) for value in values
        ]
    except RejectedValue:
        with pytest.raises(RejectedValue):
            reader.column(values)
        return
    assert reader.column(values) == singly
    assert reader.column(values) == singly


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_file_of_one_column_has_no_empty_lines(texts):
    profile = _profile(columns=(Column(title="Text", value="entry.text"),))
    entries = [entry({}, text=text) for text in texts]
    assert len(_rows(render(entries, profile)[0])) == 1 + len(texts)
    assert all(row != [] for row in _rows(render(entries, profile)[0]))


@pytest.mark.parametrize(
    "delimiter", ["", ",,", '"', "'", "\n", "\r", ".", "-", "=", "a", "1", " "]
)
def test_a_delimiter_that_would_break_the_file_is_refused(delimiter):
    with pytest.raises(ConfigurationError, match="delimiter"):
        Dialect(_profile(delimiter=delimiter))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"encoding": "utf-16"}, "encoding"),
        ({"line_end": "\r"}, "line end"),
        ({"columns": ()}, "no columns"),
    ],
)
def test_what_makes_no_readable_file_is_refused(settings, what):
    with pytest.raises(ConfigurationError, match=what):
        Dialect(_profile(**settings))


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
