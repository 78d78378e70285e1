"""Counts, times and durations as people read them in English."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def file_rows(first: int, last: int | None = None) -> str:
    """`row 3 of the data, 4 in a spreadsheet`; rows count from 1 below the header."""
    if last is None or last == first:
        return f"row {first} of the data, {first + 1} in a spreadsheet"
    return f"rows {first} to {last} of the data, {first + 1} to {last + 1} in a spreadsheet"


def number(count: int, one: str, many: str | None = None) -> str:
    """A count such as `1 entry` or `1,234 entries`; the plural is `one` with an s unless given."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def moment(at: datetime, zone: ZoneInfo | None = None) -> str:
    """An aware time to the minute, with the name of its zone: `2026-01-18 18:20 (Asia/Bangkok)`.

    `zone` is where the reader is; without it the time is shown in its own zone.
    """
    local = at if zone is None else at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} ({local.tzinfo})"


def hour(at: datetime) -> str:
    """For a title: an aware time without its date, in its own zone: `18:20 (Asia/Bangkok)`."""
    return f"{at:%H:%M} ({at.tzinfo})"


def duration(seconds: float) -> str:
    """A duration in at most two units, rounded: `0.4 s`, `12 s`, `2 min 5 s`, `1 h 30 min`."""
    if seconds < 1:
        tenths = round(seconds, 1)
        if tenths < 1:
            return "0 s" if tenths <= 0 else f"{tenths:.1f} s"
    left = round(seconds)
    for (size, unit), (smaller, name) in pairwise(_UNITS):
        if left >= size:
            whole, rest = divmod(round(left / smaller) * smaller, size)
            return f"{whole} {unit}" + (f" {rest // smaller} {name}" if rest else "")
    return f"{left} s"
