import csv
import io
import re
import unicodedata

import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex
from hypothesis import example, given
from hypothesis import strategies as st

from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import FormulaGuard, Profile
from daybook.export.model.source import Column, ColumnType
from daybook.export.rendering.cells.dialect import Dialect
from daybook.export.rendering.cells.text import TextReader, looks_like_formula, plain_text
from daybook.export.rendering.cells.values import RejectedValue
from tests.rendering import entry, render

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
def test_what_stands_behind_a_visible_sign_is_no_formula(sign):
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
