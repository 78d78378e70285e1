"""Rendering: Jinja2 with everything that comes from data escaped, made visible and inert."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from daybook.page import chart
from daybook.page.days import DayState
from daybook.page.language import Tongue
from daybook.page.strip import mark_of
from daybook.text.display import visible

_FOLDER = Path(__file__).parent / "templates"
_LINKED = frozenset({"http", "https", "file"})
"""Schemes of the links that destinations build."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect x='2' y='2' width='12' height='12' rx='3' fill='%231f7a4d'/%3E%3C/svg%3E"
)


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
            bars=chart.bars,
            mark_of=mark_of,
            chart_size=(chart.WIDTH, chart.HEIGHT),
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
