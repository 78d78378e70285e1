"""HTML of the pages: Jinja2 with everything that comes from data escaped, made visible and inert.

The geometry of charts is computed here, and a template turns it into SVG. The strip of a calendar
is made without a template, which would take half of the page's time: twenty profiles have 1,800
days.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from daybook.display import visible
from daybook.page.days import CalendarDay, DayState
from daybook.page.language import Tongue
from daybook.page.overview import Point

_LINKED = frozenset({"http", "https", "file"})
"""Schemes of the links that destinations build."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect x='2' y='2' width='12' height='12' rx='3' fill='%231f7a4d'/%3E%3C/svg%3E"
)
_CHART_WIDTH, _CHART_HEIGHT = 560, 120
_CHART_TOP, _CHART_BOTTOM, _CHART_SIDE = 22.0, 100.0, 8.0
_BAR_SHARE = 0.78
_LEAST_BAR_HEIGHT = 1.5
_MARKS: Mapping[str, Markup] = {
    state: Markup(
        '<svg class="mark {0}" width="12" height="12" aria-hidden="true"><use href="#m-{0}"/></svg>'
    ).format(state.value)
    for state in DayState
}
_FOLDER = Path(__file__).parent / "templates"


@cache
def style() -> str:
    """The style sheet, which every page contains."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")


@cache
def security_policy() -> str:
    """The Content-Security-Policy: no script, nothing from elsewhere, this style sheet alone.

    https://www.w3.org/TR/CSP3/
    """
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{digest}'",
            "img-src data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def render(
    template: str,
    tongue: Tongue,
    *,
    default_language: str,
    **context: Any,
) -> str:
    """The page of a template. Strings in the context are escaped; only `Markup` is not."""

    def url(path: str, /, **parameters: str | None) -> str:
        """A path of ours with its parameters; it keeps the language that was asked for."""
        if tongue.language != default_language:
            parameters.setdefault("lang", tongue.language)
        given = {name: text for name, text in parameters.items() if text is not None}
        return f"{path}?{urlencode(given, quote_via=quote)}" if given else path

    return (
        _environment()
        .get_template(template)
        .render(
            tongue=tongue,
            t=tongue.words,
            url=url,
            link_of=link_of,
            bars=bars,
            mark_of=mark_of,
            chart_size=(_CHART_WIDTH, _CHART_HEIGHT),
            states=tuple(DayState),
            style=_constant(style()),
            icon=_constant(ICON),
            default_language=default_language,
            **context,
        )
    )


def link_of(text: object) -> str | None:
    """The address of a stored link; None for one that could do more than open a file."""
    if not isinstance(text, str) or not text.isprintable():
        return None
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        return None
    return text if scheme in _LINKED and text.startswith(scheme) else None


def _constant(text: str) -> Any:
    return Markup(text)  # noqa: S704  (a file of ours)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_finalized,
    )


def _finalized(value: Any) -> Any:
    """Every text that a template prints: with hidden characters by their numbers.

    Autoescape does the rest afterwards. Markup is ours.
    """
    if value is None:
        return ""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return visible(value)
    return value


def encoded(parameters: Mapping[str, str]) -> str:
    return urlencode(parameters, quote_via=quote)


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
    step = (_CHART_WIDTH - 2 * _CHART_SIDE) / max(len(points), 1)
    found = []
    for number, (point, value) in enumerate(zip(points, values, strict=True)):
        if not value or not highest:
            continue
        height = max(_LEAST_BAR_HEIGHT, value / highest * (_CHART_BOTTOM - _CHART_TOP))
        found.append(
            Bar(
                x=f"{_CHART_SIDE + number * step + step * (1 - _BAR_SHARE) / 2:.1f}",
                y=f"{_CHART_BOTTOM - height:.1f}",
                width=f"{step * _BAR_SHARE:.1f}",
                height=f"{height:.1f}",
                point=point,
                value=value,
            )
        )
    line = None
    if middle and highest:
        line = f"{_CHART_BOTTOM - middle / highest * (_CHART_BOTTOM - _CHART_TOP):.1f}"
    return Bars(bars=tuple(found), median_y=line)


def mark_of(state: str) -> Markup:
    """The state's mark; its shape is in the symbols of `marks.html`."""
    return _MARKS[state]


def strip(
    cells: Sequence[CalendarDay],
    *,
    suffix: str,
    days: Mapping[date, str],
    words: Mapping[DayState, str],
) -> Markup:
    """A link for each day that has a state.

    `suffix` is the query string that selects the profile; `days` and `words` are the names of
    days and states.
    """
    made: list[str] = []
    parameters = escape(suffix)
    for cell in cells:
        mark = _MARKS[cell.state]
        if cell.state is DayState.NONE:
            made.append(f'<span class="day">{mark}</span>')
        else:
            made.append(
                f'<a class="day" href="/days/{cell.day}{parameters}" '
                f'title="{escape(days[cell.day])}: {escape(words[cell.state])}">{mark}</a>'
            )
    return Markup("".join(made))  # noqa: S704  (each part is escaped above)
