import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.visible import escaped, visible

BIDIRECTIONAL = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
REORDERING = [
    *(
        chr(code)
        for code in range(0x110000)
        if unicodedata.bidirectional(chr(code)) in BIDIRECTIONAL
    ),
    *("\u200e", "\u200f", "\u061c"),
]


@pytest.mark.parametrize("sign", REORDERING)
def test_what_reorders_text_is_named(sign: str) -> None:
    assert visible(f"INV{sign}1") == f"INV[U+{ord(sign):04X}]1"


@pytest.mark.parametrize(
    "text", ["ใบแจ้งหนี้\u200bเลขที่ 1", "a\tb\r\nc", "👩\u200d💻", "\u00a0", "مرحبا"]
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters()))
def test_any_text_can_be_encoded_and_has_no_control_character(text: str) -> None:
    shown = visible(text)
    assert shown.encode().decode() == shown
    assert {sign for sign in shown if unicodedata.category(sign) == "Cc"} <= set("\t\r\n")


@given(st.dictionaries(st.text(), st.text() | st.sampled_from(["\udc80", *REORDERING])))
def test_escaped_json_has_the_same_values(doc: dict[str, str]) -> None:
    text = escaped(json.dumps(doc, ensure_ascii=False))
    assert json.loads(text) == doc
    assert text.encode()
    assert not set(text) & set(REORDERING)
