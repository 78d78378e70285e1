"""Counts, times and durations as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.text.phrases import duration, moment, number


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
