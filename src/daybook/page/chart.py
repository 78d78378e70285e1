"""A bar chart of the last days: its geometry, which a template turns into SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daybook.page.overview import Point

WIDTH, HEIGHT = 560, 120
_TOP, _BOTTOM, _SIDE = 22.0, 100.0, 8.0
_BAR = 0.78
_LEAST_HEIGHT = 1.5


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A day's bar; `point` is None where nothing was delivered."""

    x: str
    y: str
    width: str
    height: str
    point: Point
    value: float


@dataclass(frozen=True, kw_only=True)
class Bars:
    bars: tuple[Bar, ...]
    median_y: str | None
    """None without a median."""


def bars(points: Sequence[Point], values: Sequence[float | None], middle: float | None) -> Bars:
    """One bar for each known value; the values belong to the points in order."""
    highest = max([value for value in values if value], default=0.0)
    step = (WIDTH - 2 * _SIDE) / max(len(points), 1)
    found = []
    for number, (point, value) in enumerate(zip(points, values, strict=True)):
        if not value or not highest:
            continue
        height = max(_LEAST_HEIGHT, value / highest * (_BOTTOM - _TOP))
        found.append(
            Bar(
                x=f"{_SIDE + number * step + step * (1 - _BAR) / 2:.1f}",
                y=f"{_BOTTOM - height:.1f}",
                width=f"{step * _BAR:.1f}",
                height=f"{height:.1f}",
                point=point,
                value=value,
            )
        )
    line = None
    if middle and highest:
        line = f"{_BOTTOM - middle / highest * (_BOTTOM - _TOP):.1f}"
    return Bars(bars=tuple(found), median_y=line)
