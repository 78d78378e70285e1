"""What a spreadsheet can hold, and how the cells of an xlsx file are written as text first.

An xlsx file is rendered in its text form: the CSV of the profile whose cells are exact and can be
read back, with dates of ISO 8601 and without a guard. The sheet is made of the same cells, and a
sheet that is read back gives the same text.
"""

from __future__ import annotations

import re
from dataclasses import replace

from daybook.errors import ConfigurationError
from daybook.export.model.profile import Calendar, FileFormat, FormulaGuard, Profile
from daybook.export.rendering.cells.dates import composed

MOST_ROWS = 1_048_575
"""Rows of a sheet below its header.

https://support.microsoft.com/en-us/office/1672b34d-7043-467e-8e27-269d656771c3
"""
MOST_CHARACTERS = 32_767
"""Of a cell, in UTF-16 units."""
MOST_DIGITS = 15
"""Digits that a spreadsheet keeps of a number."""

_FIRST_YEAR = 1901
"""Spreadsheets do not agree on the days before March 1900, nor whether there are any."""
_DIRECTIVE = re.compile("%(.)|([^%]+)", re.DOTALL)
_CODES = {
    "Y": "yyyy",
    "y": "yy",
    "m": "mm",
    "d": "dd",
    "H": "hh",
    "I": "hh",
    "M": "mm",
    "S": "ss",
    "f": "000",
    "p": "AM/PM",
    "a": "ddd",
    "A": "dddd",
    "b": "mmm",
    "B": "mmmm",
}
_TIME = frozenset("HIMSfp")
# Thai, Buddhist calendar, Arabic digits: the form that Excel stores, and LibreOffice reads.
_BUDDHIST = "[$-107041E]"
_PLAIN = re.compile(r"[-/:., ]*")


def text_form(profile: Profile) -> Profile:
    """The profile as whose CSV an xlsx file is rendered; any other profile is its own.

    Raises `ConfigurationError` for a date format that cells cannot have.
    """
    if profile.format is not FileFormat.XLSX:
        return profile
    date_code(profile)
    used = _directives(profile.date_format)
    date_format = "%Y-%m-%d"
    if used & _TIME:
        date_format += " %H:%M:%S"
    if "f" in used:
        date_format += ".%f"
    first, last = profile.years
    return replace(
        profile,
        delimiter=",",
        encoding="utf-8",
        line_end="\r\n",
        formula_guard=FormulaGuard.NONE,
        date_format=date_format,
        calendar=Calendar.COMMON_ERA,
        years=(max(first, _FIRST_YEAR), last),
    )


def date_code(profile: Profile) -> str:
    """The number format by which cells show dates as `date_format` and `calendar` would.

    Raises `ConfigurationError` for a format that has no such code.
    """
    used = _directives(profile.date_format)
    unknown = sorted(used - set(_CODES) - {"%"})
    if unknown:
        raise _bad(profile, f"cells of an xlsx file cannot show %{unknown[0]}")
    if ("I" in used) != ("p" in used) or {"H", "I"} <= used:
        raise _bad(profile, "cells of an xlsx file show %I only with %p, and not with %H")
    if "M" in used and not used & {"H", "I"}:
        raise _bad(profile, "cells of an xlsx file show %M only with the hour")
    if "f" in used and "%S.%f" not in composed(profile.date_format):
        raise _bad(profile, "cells of an xlsx file show %f only as %S.%f")
    codes = "".join(map(_code, _DIRECTIVE.finditer(composed(profile.date_format))))
    return (_BUDDHIST if profile.calendar is Calendar.BUDDHIST_ERA else "") + codes


def amount_code(decimals: int) -> str:
    """The number format of an amount with so many decimals."""
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def units(text: str) -> int:
    """The length of a text as a cell counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _directives(date_format: str) -> set[str]:
    return {found[1] for found in _DIRECTIVE.finditer(composed(date_format)) if found[1]}


def _code(found: re.Match[str]) -> str:
    directive, text = found.groups()
    return _literal(text or "%") if directive in (None, "%") else _CODES[directive]


def _literal(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return "".join(sign if _PLAIN.fullmatch(sign) else f"\\{sign}" for sign in text)


def _bad(profile: Profile, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"profile {profile.name}, date_format {profile.date_format!r}: {fault}"
    )
