import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.text.visible import clean, escaped, visible, visible_lines

BIDIRECTIONAL = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
REORDERING = [
    *(
        chr(code)
        for code in range(0x10000)
        if unicodedata.bidirectional(chr(code)) in BIDIRECTIONAL
    ),
    *("\u200e", "\u200f", "\u061c"),
]


@pytest.mark.parametrize("sign", REORDERING)
def test_what_reorders_text_is_named(sign: str) -> None:
    assert visible(f"INV{sign}1") == f"INV[U+{ord(sign):04X}]1"


HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("text", ["ใบแจ้งหนี้เลขที่ 1", "👩💻", "\u00a0", "\u3000", "مرحبا", "e\u0301"])
def test_letters_and_white_space_stay_as_they_are(text: str) -> None:
    assert visible(text) == text
    assert escaped(text) == text


@pytest.mark.parametrize("sign", ["\n", "\r", "\t", "\x1b", "\x9b", "\x85", "\u2028", "\u200b"])
def test_a_line_is_one_line(sign: str) -> None:
    assert visible(f"INV{sign}1") == f"INV[U+{ord(sign):04X}]1"


@given(st.text(st.characters()))
def test_any_line_can_be_encoded_and_hides_nothing(text: str) -> None:
    line = visible(text)
    assert line.encode().decode() == line
    assert {unicodedata.category(sign) for sign in line} & HIDDEN == set()
    assert visible(line) == line
    assert visible_lines(text).split("\n") == [visible(each) for each in text.split("\n")]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ใบแจ้งหนี้\u200bเลขที่ 1", "ใบแจ้งหนี้\u200bเลขที่ 1"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ("INV\u202e1\x1b[2J\x9b", "INV1[2J"),
        ("A\udc80", "A\ufffd"),
    ],
)
def test_a_message_loses_what_controls_and_reorders_and_nothing_else(
    text: str, written: str
) -> None:
    assert clean(text) == written


@given(st.text(st.characters()))
def test_any_text_in_a_message_is_one_line_that_can_be_encoded(text: str) -> None:
    line = clean(text)
    assert line.encode().decode() == line
    assert {unicodedata.category(sign) for sign in line} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert not set(line) & set(REORDERING)


@given(st.dictionaries(st.text(), st.text(st.characters()) | st.sampled_from(REORDERING)))
def test_escaped_json_has_the_same_values(doc: dict[str, str]) -> None:
    text = escaped(json.dumps(doc, ensure_ascii=False))
    assert json.loads(text) == doc
    assert text.encode()
    assert {unicodedata.category(sign) for sign in text} & HIDDEN == set()
