"""Dates: BSON's milliseconds as text in the profile's time zone and calendar.

The cells of a sheet show them by a number format, which is made here of the profile's format.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from daybook.display import shown
from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import Calendar, Profile
from daybook.export.rendering.cells.layout import Quote
from daybook.export.rendering.cells.values import RejectedValue, unwrapped

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUDDHIST_YEARS = 543
_BUCKET_MS = 15 * 60 * 1000
_CACHE_SIZE = 20_000
_DIRECTIVE = re.compile("%(.?)", re.DOTALL)
# Directives whose text depends neither on the platform nor on the machine (Python starts with
# the C locale), and whose year can be converted to the calendar.
_DIRECTIVES = "YymdHIMSfpjaAbBzZ%"
_COMPOSED = {"F": "%Y-%m-%d", "D": "%m/%d/%y", "T": "%H:%M:%S", "R": "%H:%M"}
TIME_DIRECTIVES = frozenset("HIMSfp")

# A directive, or the text between two of them.
_PIECE = re.compile("%(.)|([^%]+)", re.DOTALL)
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
# Thai, Buddhist calendar, Arabic digits: the form that Excel stores, and LibreOffice reads.
_BUDDHIST = "[$-107041E]"
_PLAIN = re.compile(r"[-/:., ]*")


class Date(NamedTuple):
    """A date as its cell prints it, and its month there."""

    text: str
    month: tuple[int, int] | None
    """(year, month) in the Common Era; None for a missing date."""


NO_DATE = Date("", None)


def check_format(date_format: str) -> None:
    """Raise `ConfigurationError` for a format with an unknown directive, or with none at all."""
    if not _DIRECTIVE.search(date_format):
        raise ConfigurationError(
            f"date_format {date_format!r}: has no directive such as %d, so each date would be this "
            "text; days first are %d/%m/%Y"
        )
    for found in _DIRECTIVE.finditer(composed(date_format)):
        if found[1] not in _DIRECTIVES or not found[1]:
            raise ConfigurationError(
                f"date_format {date_format!r}: {found[0]!r} is not supported; "
                f"use %{', %'.join(_DIRECTIVES)}"
            )


def composed(date_format: str) -> str:
    """The format with only simple directives."""
    return _DIRECTIVE.sub(lambda found: _COMPOSED.get(found[1], found[0]), date_format)


def directives(date_format: str) -> set[str]:
    """The letters of the format's directives, once each."""
    return {found[1] for found in _PIECE.finditer(composed(date_format)) if found[1]}


def date_code(profile: Profile) -> str:
    """The number format by which cells show dates as `date_format` and `calendar` would.

    Raises `ConfigurationError` for a format that has no such code.
    """
    used = directives(profile.date_format)
    unknown = sorted(used - set(_CODES) - {"%"})
    if unknown:
        raise _bad_format(profile, f"cells of an xlsx file cannot show %{unknown[0]}")
    if ("I" in used) != ("p" in used) or {"H", "I"} <= used:
        raise _bad_format(profile, "cells of an xlsx file show %I only with %p, and not with %H")
    if "M" in used and not used & {"H", "I"}:
        raise _bad_format(profile, "cells of an xlsx file show %M only with the hour")
    if "f" in used and "%S.%f" not in composed(profile.date_format):
        raise _bad_format(profile, "cells of an xlsx file show %f only as %S.%f")
    codes = "".join(map(_format_code, _PIECE.finditer(composed(profile.date_format))))
    return (_BUDDHIST if profile.calendar is Calendar.BUDDHIST_ERA else "") + codes


class DateReader:
    """Turns dates in the form of `layout` into cells, caching them by quarter of an hour."""

    def __init__(
        self,
        quote: Quote,
        zone: ZoneInfo,
        date_format: str,
        calendar: Calendar,
        years: tuple[int, int],
    ) -> None:
        """Raises `ConfigurationError` for a format with an unknown directive."""
        self._first_year, self._last_year = years
        self._quote = quote
        self._zone = zone
        self._format = composed(date_format)
        self._years = _BUDDHIST_YEARS if calendar is Calendar.BUDDHIST_ERA else 0
        self._buckets: dict[int, Date | None] = {}
        check_format(date_format)

    def trim(self) -> None:
        """Clear the cache once it is large. Call between pages."""
        if len(self._buckets) > _CACHE_SIZE:
            self._buckets.clear()

    def read(self, value: Any) -> Date:
        """Raises `RejectedValue` for anything but a date of a plausible year."""
        if not isinstance(value, int):
            if unwrapped(value) is None:
                return NO_DATE
            what = shown(unwrapped(value))
            if isinstance(unwrapped(value), str):
                raise RejectedValue(
                    RejectionReason.STORED_AS_TEXT,
                    f"{what} is stored as text, not as a date",
                    value=what,
                )
            raise RejectedValue(RejectionReason.INVALID_DATE, f"{what} is not a date", value=what)
        bucket = value // _BUCKET_MS
        try:
            date = self._buckets[bucket]
        except KeyError:
            date = self._buckets[bucket] = self._whole_bucket(bucket)
        return date if date is not None else self._date(value)

    def column(self, values: list[Any]) -> list[Date]:
        """Read many values fast. Raises `RejectedValue` or TypeError."""
        known = self._buckets.get
        dates = [known(value // _BUCKET_MS) for value in values]
        if None not in dates:
            return cast("list[Date]", dates)
        return list(map(self.read, values))

    def of_day(self, day: date) -> str:
        """The text of a day, which the plausible years do not apply to."""
        return self._print(datetime.combine(day, time(), self._zone)).text

    def _whole_bucket(self, bucket: int) -> Date | None:
        """The text of the whole bucket, or None when its dates print differently.

        With the same offset at both ends, local time runs without a jump in between, so if both
        ends print alike, everything between them does.
        """
        try:
            first = self._local(bucket * _BUCKET_MS)
            last = self._local((bucket + 1) * _BUCKET_MS - 1)
        except RejectedValue:
            return None
        date = self._print(first)
        same = first.utcoffset() == last.utcoffset() and date == self._print(last)
        return date if same else None

    def _date(self, milliseconds: int) -> Date:
        return self._print(self._local(milliseconds))

    def _local(self, milliseconds: int) -> datetime:
        try:
            local = (_EPOCH + timedelta(milliseconds=milliseconds)).astimezone(self._zone)
        except OverflowError:
            raise RejectedValue(
                RejectionReason.INVALID_DATE,
                f"{milliseconds} ms from 1970 is not a date between the years 1 and 9999",
                value=f"{milliseconds} ms",
            ) from None
        if not self._is_plausible(local.year):
            raise self._implausible(local)
        return local

    def _is_plausible(self, year: int) -> bool:
        return self._first_year <= year <= self._last_year

    def _implausible(self, local: datetime) -> RejectedValue:
        value = f"{local.year:04d}-{local.month:02d}-{local.day:02d}"
        common = local.year - _BUDDHIST_YEARS
        if self._is_plausible(common):
            return RejectedValue(
                RejectionReason.BUDDHIST_YEAR,
                f"{value} is a year of the Buddhist Era in a date of the Common Era, "
                f"where it is {common}",
                value=value,
            )
        return RejectedValue(
            RejectionReason.IMPLAUSIBLE_YEAR,
            f"{value} is outside the years {self._first_year} to {self._last_year}",
            value=value,
        )

    def _print(self, local: datetime) -> Date:
        year = local.year + self._years

        def directive(found: re.Match[str]) -> str:
            # Some platforms print years before 1000 without leading zeros.
            if found[1] == "Y":
                return f"{year:04d}"
            if found[1] == "y":
                return f"{year % 100:02d}"
            return local.strftime(found[0])

        text = _DIRECTIVE.sub(directive, self._format)
        return Date(self._quote(text), (local.year, local.month))


def _format_code(found: re.Match[str]) -> str:
    directive, text = found.groups()
    return _literal(text or "%") if directive in (None, "%") else _CODES[directive]


def _literal(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return "".join(sign if _PLAIN.fullmatch(sign) else f"\\{sign}" for sign in text)


def _bad_format(profile: Profile, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"profile {profile.name}, date_format {profile.date_format!r}: {fault}"
    )
