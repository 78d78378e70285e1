"""Text cells, guarded against formulas, and the text form of an xlsx file.

An xlsx file is rendered in that form first: as CSV whose cells are exact and can be read back, with
dates of ISO 8601 and without a guard. The sheet is made of the same cells, and a sheet that is read
back gives the same text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bson import Decimal128, ObjectId
from bson.binary import UUID_SUBTYPE, Binary

from daybook.display import shown
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import Calendar, FileFormat, FormulaGuard, Profile
from daybook.export.rendering.cells.dates import TIME_DIRECTIVES, date_code, directives
from daybook.export.rendering.cells.layout import Dialect
from daybook.export.rendering.cells.values import Cache, RejectedValue

# White space, control and format characters, and what else Unicode calls
# default-ignorable: nothing that a reader sees before the first visible character. TAB, CR
# and LF are not included because they are triggers themselves.
# https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
_INVISIBLE = (
    r"\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891"
    r"\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    r"\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# https://owasp.org/www-community/attacks/CSV_Injection
_TRIGGERS = r"=+\-@\t\r\n＝＋－＠"
_FORMULA = re.compile(f"[{_INVISIBLE}]*[{_TRIGGERS}]")
_SUSPECT = re.compile(f"[{_INVISIBLE}{_TRIGGERS}]")
# Unicode's category Cc, except for the three that text of several lines or columns may contain.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([Ee][+-]?\d+)?", re.ASCII)
_BLANK = re.compile(f"[{_INVISIBLE}\\t\\r\\n]*")
_EXACT_DOUBLE = 2**53
_UUID_BYTES = 16

MOST_CHARACTERS = 32_767
"""Characters of a cell, in UTF-16 units."""
MOST_DIGITS = 15
"""Digits that a spreadsheet keeps of a number."""

_FIRST_YEAR = 1901
"""Spreadsheets do not agree on the days before March 1900, nor whether there are any."""


def looks_like_formula(text: str) -> bool:
    """True when a spreadsheet could compute the text, or drop its start and then compute it."""
    return _FORMULA.match(text) is not None


class TextReader:
    """Turns values into text cells."""

    def __init__(
        self,
        dialect: Dialect,
        guard: FormulaGuard,
        *,
        max_length: int | None = None,
        cut: bool = False,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        """`max_length` and `cut` are a column's; `accounts` replace the codes that are read."""
        self._dialect = dialect
        self._max_length = max_length
        self._most = max_length
        """Characters up to which every text fits, in any units; None: any number."""
        if dialect.is_sheet:
            self._most = min(max_length or MOST_CHARACTERS, MOST_CHARACTERS // 2)
        self._cut = cut
        self._accounts = accounts
        self._guarded = guard is FormulaGuard.APOSTROPHE
        self._cache = Cache(self.read, keep=(str, type(None)))
        self._harmless = Cache(self._begins_harmlessly, keep=(str,))
        self._blank = Cache(is_blank, keep=(str, type(None)))

    def read(self, value: Any) -> str:
        """Raises `RejectedValue` for a value that has no plain text."""
        text = self._mapped(value)
        _check_control_characters(text)
        if self._guarded and looks_like_formula(text) and not _is_number(value, text):
            text = "'" + text
        return self._dialect.quote(self._limited(text))

    def unguarded(self, value: Any) -> str:
        """The text of a value that `read` accepts, without guard and quotes."""
        return self._limited(self._mapped(value))

    def _mapped(self, value: Any) -> str:
        text = plain_text(value)
        if self._accounts is None or is_blank(text):
            return text
        account = self._accounts.get(text)
        if account is None:
            what = shown(value)
            raise RejectedValue(
                RejectionReason.UNMAPPED_ACCOUNT,
                f"{what} is not among the profile's accounts",
                value=what,
            )
        return account

    def _limited(self, text: str) -> str:
        text = self._shortened(text)
        if self._dialect.is_sheet and len(text) > MOST_CHARACTERS // 2:
            length = units(text)
            if length > MOST_CHARACTERS:
                raise too_long(text, MOST_CHARACTERS, length)
        return text

    def _shortened(self, text: str) -> str:
        """The text, cut to the column's length if the column says so."""
        most = self._max_length
        if most is None or len(text) <= most:
            return text
        if self._cut:
            return truncated(text, most)
        raise too_long(text, most)

    def column(self, values: list[Any]) -> list[str]:
        """Read many values fast. Raises `RejectedValue` or TypeError."""
        if self._accounts is None and set(map(type, values)) == {str} and self._are_cells(values):
            return values
        return list(map(self._cache.__getitem__, values))

    def blanks(self, values: list[Any]) -> list[bool]:
        """Which of the values are blank; see `is_blank`."""
        try:
            return list(map(self._blank.__getitem__, values))
        except TypeError:  # a document or an array cannot be a key
            return list(map(is_blank, values))

    def trim(self) -> None:
        """Clear the caches once they are large. Call between pages."""
        self._blank.trim()
        self._cache.trim()
        self._harmless.trim()

    def _are_cells(self, values: list[str]) -> bool:
        """True when none of the strings needs a guard or quotes."""
        return (
            self._dialect.all_plain(values)
            and all(map(self._harmless.__getitem__, {text[:1] for text in values}))
            and (self._most is None or max(map(len, values)) <= self._most)
        )

    def _begins_harmlessly(self, sign: str) -> bool:
        return not self._guarded or _SUSPECT.match(sign) is None


def truncated(text: str, most: int) -> str:
    """At most so many characters of a text; a character and its combining marks go together."""
    while most and unicodedata.category(text[most]).startswith("M"):
        most -= 1
    return text[:most]


def too_long(text: str, most: int, length: int | None = None) -> RejectedValue:
    """`length` is given where it is not that of the string."""
    what = shown(text)
    return RejectedValue(
        RejectionReason.TOO_LONG,
        f"{what} has {length or len(text)} characters, at most {most} fit",
        value=what,
    )


def is_blank(value: Any) -> bool:
    """True for null, and for text of nothing but white space and invisible characters."""
    return value is None or (isinstance(value, str) and _BLANK.fullmatch(value) is not None)


def _is_number(value: Any, text: str) -> bool:
    """True for a value that is stored as a number: a spreadsheet computes `-5` to itself."""
    return isinstance(value, int | float | Decimal128) and _NUMBER.fullmatch(text) is not None


def plain_number(value: Any) -> str | None:
    """The text of a finite number; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal128):
        return None
    text = plain_text(value)
    return text if _NUMBER.fullmatch(text) else None


def _check_control_characters(text: str) -> None:
    found = None if text.isprintable() else _CONTROL.search(text)
    if found is not None:
        code = f"U+{ord(found[0]):04X}"
        raise RejectedValue(
            RejectionReason.CONTROL_CHARACTER,
            f"character {found.start() + 1} is the control character {code}",
            value=code,
        )


def plain_text(value: Any) -> str:
    """The text of a string, number, boolean, ObjectId or UUID; empty for null.

    Raises `RejectedValue` for anything else.
    """
    if type(value) is str:  # BSON's JavaScript code is a subclass
        return value
    if value is None:
        return ""
    # JavaScript has one kind of number: 1000 may be stored as the double 1000.0.
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_DOUBLE:
        return str(int(value))
    if isinstance(value, bool | int | float | ObjectId | Decimal128):
        return str(value)
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == _UUID_BYTES:
        return str(value.as_uuid())
    what = shown(value)
    raise RejectedValue(RejectionReason.INVALID_TEXT, f"{what} is not text", value=what)


def text_form(profile: Profile) -> Profile:
    """The profile as whose CSV an xlsx file is rendered; any other profile is its own.

    Raises `ConfigurationError` for a date format that cells cannot have.
    """
    if profile.format is not FileFormat.XLSX:
        return profile
    date_code(profile)
    used = directives(profile.date_format)
    date_format = "%Y-%m-%d"
    if used & TIME_DIRECTIVES:
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


def units(text: str) -> int:
    """The length of a text as a cell counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
