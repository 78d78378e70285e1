"""Text for readers: hidden characters, counts, times and durations."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.text.display import clean, duration, escaped, moment, number, visible, visible_lines

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


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (1234, "1,234 entries")]
)
def test_a_count_has_its_plural(count: int, said: str) -> None:
    assert number(count, "entry", "entries") == said
    assert number(count, "item") == said.replace("entry", "item").replace("entries", "items")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.35, "0.3 s"),
        (0.96, "1 s"),
        (1.4, "1 s"),
        (45.678901, "46 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3599, "59 min 59 s"),
        (3599.7, "1 h"),
        (5400, "1 h 30 min"),
        (86_399, "24 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_rounded_to_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(min_value=0, max_value=1e7))
def test_a_duration_is_never_far_from_the_truth(seconds: float) -> None:
    said = duration(seconds)
    assert re.fullmatch(r"0\.[1-9] s|\d+ s|\d+ min( \d+ s)?|\d+ h( \d+ min)?|\d+ d( \d+ h)?", said)
    sizes = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    meant = sum(float(value) * sizes[unit] for value, unit in re.findall(r"([\d.]+) (\w+)", said))
    assert abs(meant - seconds) <= max(0.5 if seconds > 0.95 else 0.06, seconds / 47)


def test_a_time_is_local_and_names_its_zone() -> None:
    at = datetime(2026, 1, 18, 18, 30, tzinfo=UTC)
    assert moment(at, ZoneInfo("Asia/Bangkok")) == "2026-01-19 01:30 (Asia/Bangkok)"
    assert moment(at) == "2026-01-18 18:30 (UTC)"
