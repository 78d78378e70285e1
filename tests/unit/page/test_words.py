"""The page's words: both languages say the same, and data stays text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from jinja2 import Environment, nodes

from daybook.export.outcome import Status
from daybook.page import html
from daybook.page.days import DayState
from daybook.page.language import Tongue
from daybook.page.words import en, th
from tests.pages import SOURCES

TODAY = date(2026, 1, 19)
BANGKOK = ZoneInfo("Asia/Bangkok")
HOSTILE = '"><img src=x onerror=alert(1)>\u202e{0.__class__}'


def tongue(language: str) -> Tongue:
    return Tongue(language=language, zone=BANGKOK, today=TODAY)  # type: ignore[arg-type]


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_words_with_the_same_names() -> None:
    assert en.WORDS.keys() == th.WORDS.keys()
    assert {key: names(text) for key, text in en.WORDS.items()} == {
        key: names(text) for key, text in th.WORDS.items()
    }


def test_every_state_has_a_word_and_a_mark() -> None:
    marks = (html._FOLDER / "marks.html").read_text(encoding="utf-8")
    for state in DayState:
        assert f"state_{state.value}" in en.WORDS
        assert f'<symbol id="m-{state.value}"' in marks


def test_every_outcome_of_a_run_has_a_word() -> None:
    assert {f"status_{status.value}" for status in Status} <= en.WORDS.keys()


def test_every_word_that_a_template_names_exists() -> None:
    for template in html._FOLDER.glob("*.html"):
        text = template.read_text(encoding="utf-8")
        # A name that a state or an action completes is checked where that is listed.
        for key in re.findall(r'\bt\("(\w+)"(?! ~)', text):
            assert key in en.WORDS, (template.name, key)


@pytest.mark.parametrize("language", ["en", "th"])
def test_data_in_a_sentence_is_text(language: str) -> None:
    said = str(tongue(language).words("entry_title", name=HOSTILE))
    assert "<" not in said
    assert "[U+202E]" in said
    assert "{0.__class__}" in said
    assert "\u202e" not in said


def test_a_command_in_a_text_is_code_and_its_data_text() -> None:
    said = str(tongue("en").coded("Run `daybook run <x>` now, <b>"))
    assert said == "Run <code>daybook run &lt;x&gt;</code> now, &lt;b&gt;"


@pytest.mark.parametrize(
    ("language", "day", "long"),
    [
        ("en", "Mon 19 Jan", "Monday 19 January 2026"),
        ("th", "จ. 19 ม.ค.", "วันจันทร์ที่ 19 มกราคม 2569"),
    ],
)
def test_dates_are_written_as_people_do(language: str, day: str, long: str) -> None:
    assert tongue(language).day(TODAY) == day
    assert tongue(language).long_day(TODAY) == long


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "//evil.example/x",
        "https://[",
        "",
        None,
        7,
    ],
)
def test_no_link_can_do_more_than_open_a_file(link: object) -> None:
    assert html.link_of(link) is None


@pytest.mark.parametrize("link", ["https://drive.google.com/x", "http://h/x", "file:///tmp/x.csv"])
def test_the_destinations_links_are_links(link: str) -> None:
    assert html.link_of(link) == link


def test_every_sentence_is_given_all_that_it_names() -> None:
    calls = [*_calls_of_templates(), *_calls_of_modules()]
    assert len(calls) > 100
    for place, key, given in calls:
        assert names(en.WORDS[key]) <= given, (place, key)


def _calls_of_templates() -> Iterator[tuple[str, str, set[str]]]:
    """Where, the key, and what is given, of each call whose key is written out."""
    environment = Environment(autoescape=True)
    for template in html._FOLDER.glob("*.html"):
        tree = environment.parse(template.read_text(encoding="utf-8"))
        for call in tree.find_all(nodes.Call):
            key = call.args[0] if call.args else None
            named = isinstance(call.node, nodes.Name) and call.node.name == "t"
            if named and isinstance(key, nodes.Const) and key.value in en.WORDS:
                yield f"{template.name}:{call.lineno}", key.value, {one.key for one in call.kwargs}


def _calls_of_modules() -> Iterator[tuple[str, str, set[str]]]:
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            key = call.args[0] if call.args else None
            if call.func.attr == "words" and isinstance(key, ast.Constant):
                yield (
                    f"{path.name}:{call.lineno}",
                    key.value,
                    {str(one.arg) for one in call.keywords},
                )
