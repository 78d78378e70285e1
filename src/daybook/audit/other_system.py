"""Comparing a day with the file that another system made for it.

Which entries are only in one of the two, and which differ in which column. Rows belong together
by the entry's ID, or by another column that names the entry; columns by their titles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from operator import itemgetter
from typing import Any

from daybook import display
from daybook.audit.spool import Row, Side, Spool
from daybook.errors import BadRequest
from daybook.export.model.profile import Calendar, Profile
from daybook.export.model.source import Column, ColumnType
from daybook.export.rendering.cells.dates import composed
from daybook.export.rendering.cells.layout import Layout
from daybook.export.rendering.cells.text import looks_like_formula

_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)
_BUDDHIST_ERA = 543
_NAMING = ("entry._id", "entry.reference")
"""Values by which rows are matched, the first one that both files have."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A column that both files have."""

    column: Column
    type: ColumnType
    ours: int
    theirs: int
    their_title: str


@dataclass(frozen=True, kw_only=True)
class CellDifference:
    row: int
    """The row of the entry, from 1."""
    column: str
    """Daybook's title."""
    ours: str
    theirs: str


@dataclass(frozen=True, kw_only=True)
class EntryDifference:
    """An entry whose rows are not the same in both files."""

    entry: str
    cells: tuple[CellDifference, ...]
    our_rows: int
    their_rows: int

    def to_doc(self) -> dict[str, Any]:
        return {
            "entry": self.entry,
            "ourRows": self.our_rows,
            "theirRows": self.their_rows,
            "cells": [
                {"row": one.row, "column": one.column, "ours": one.ours, "theirs": one.theirs}
                for one in self.cells
            ],
        }


@dataclass(frozen=True, kw_only=True)
class FileComparison:
    """What the two files have in common, and every difference."""

    key: str
    """Daybook's title of the column that names the entries."""
    compared: tuple[tuple[str, str], ...]
    """Titles of the compared columns, Daybook's and theirs."""
    our_other_titles: tuple[str, ...]
    their_other_titles: tuple[str, ...]
    our_entries: int
    their_entries: int
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]
    differing: tuple[EntryDifference, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Entry → why Daybook's file leaves it out."""

    @property
    def same(self) -> bool:
        return not (self.only_ours or self.only_theirs or self.differing)

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "same" if self.same else "differs",
            "key": self.key,
            "columns": [{"ours": ours, "theirs": theirs} for ours, theirs in self.compared],
            "otherColumns": {
                "ours": list(self.our_other_titles),
                "theirs": list(self.their_other_titles),
            },
            "entryCounts": {"ours": self.our_entries, "theirs": self.their_entries},
            "onlyOurs": list(self.only_ours),
            "onlyTheirs": [
                {"entry": entry, "reason": self.reasons.get(entry)} for entry in self.only_theirs
            ],
            "differing": [one.to_doc() for one in self.differing],
        }


def paired(profile: Profile, theirs: Sequence[str], named: Mapping[str, str]) -> list[Pair]:
    """The profile's columns that their file has too; `named` maps titles of theirs to ours.

    Titles that are not named are matched regardless of case and spaces. Raises `BadRequest` for
    a named title that a file does not have, or has twice, and when no column is in common.
    """
    ours = [column.title for column in profile.columns]
    for their_title, our_title in named.items():
        for title, titles, whose in (
            (their_title, theirs, "their file"),
            (our_title, ours, "Daybook's file"),
        ):
            if titles.count(title) != 1:
                has = "has twice" if title in titles else "does not have"
                raise BadRequest(
                    f"{whose} {has} a column {display.quoted(title)}; it has {_listed(titles)}",
                    where="columns",
                )
    taken = set(named.values())
    alike = {_alike(title): title for title in ours if title not in taken}
    pairs = []
    for at, their_title in enumerate(theirs):
        wanted = named.get(their_title)
        if wanted is None and theirs.count(their_title) == 1:
            wanted = alike.pop(_alike(their_title), None)
        if wanted is not None:
            cell = Layout.of(profile).cells[ours.index(wanted)]
            pairs.append(
                Pair(
                    column=cell.column,
                    type=cell.type,
                    ours=ours.index(wanted),
                    theirs=at,
                    their_title=their_title,
                )
            )
    if not pairs:
        raise BadRequest(
            f"the two files have no column in common: theirs has {_listed(theirs)}, Daybook's "
            f"{_listed(ours)}",
            where="columns",
        )
    return sorted(pairs, key=lambda pair: pair.ours)


def naming(pairs: Sequence[Pair], key: str | None) -> Pair:
    """The column that names the entries; raises `BadRequest` when there is none."""
    for pair in pairs:
        if key is not None and pair.column.title == key:
            return pair
    if key is None:
        for value in _NAMING:
            for pair in pairs:
                if pair.column.value == value and not pair.column.once:
                    return pair
    wanted = "no column in common names the entries" if key is None else f"no such column: {key}"
    raise BadRequest(
        f"{wanted}; in common are {', '.join(pair.column.title for pair in pairs)}", where="key"
    )


def keep(spool: Spool, side: Side, rows: Iterable[Row], key: Pair) -> None:
    """Store a file's rows for `compare_tables`, each with the entry that it names."""
    at = key.ours if side is Side.OURS else key.theirs
    spool.add(side, rows, lambda row: _plain(row[at]))


def compare_tables(
    profile: Profile,
    pairs: Sequence[Pair],
    key: Pair,
    spool: Spool,
    *,
    our_titles: Sequence[str],
    their_titles: Sequence[str],
    reasons: Mapping[str, str],
) -> FileComparison:
    """Compare row by row what `keep` has stored; the rows of an entry may be in any order.

    `reasons` say why Daybook's file leaves out an entry, by its ID or its reference. Memory holds
    the rows of one entry, and what differs.
    """
    readers = [(pair, _Reader(profile, pair)) for pair in pairs if pair is not key]
    our_entries = their_entries = 0
    only_ours: list[tuple[int, str]] = []
    only_theirs: list[tuple[int, str]] = []
    differing: list[tuple[int, EntryDifference]] = []
    left_out: dict[str, str] = {}
    for entry, ours, theirs in spool.entries():
        our_entries += ours is not None
        their_entries += theirs is not None
        if theirs is not None and entry in reasons:
            left_out[entry] = reasons[entry]
        if ours is None or theirs is None:
            if ours is not None:
                only_ours.append((ours.first, entry))
            elif theirs is not None:
                only_theirs.append((theirs.first, entry))
        elif (found := _difference(entry, ours.rows, theirs.rows, readers)) is not None:
            differing.append((ours.first, found))
    used_ours, used_theirs = {pair.ours for pair in pairs}, {pair.theirs for pair in pairs}
    return FileComparison(
        key=key.column.title,
        compared=tuple((pair.column.title, pair.their_title) for pair in pairs),
        our_other_titles=tuple(title for at, title in enumerate(our_titles) if at not in used_ours),
        their_other_titles=tuple(
            title for at, title in enumerate(their_titles) if at not in used_theirs
        ),
        our_entries=our_entries,
        their_entries=their_entries,
        only_ours=tuple(entry for _, entry in sorted(only_ours)),
        only_theirs=tuple(entry for _, entry in sorted(only_theirs)),
        differing=tuple(one for _, one in sorted(differing, key=itemgetter(0))),
        reasons=left_out,
    )


def _listed(titles: Sequence[str]) -> str:
    return ", ".join(map(display.quoted, titles))


def _alike(title: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())


def _difference(
    entry: str,
    ours: Sequence[Row],
    theirs: Sequence[Row],
    readers: Sequence[tuple[Pair, _Reader]],
) -> EntryDifference | None:
    """Rows that are equal in any order are left out; the others are compared one by one."""
    left = list(theirs)
    unmatched: list[tuple[int, Row]] = []
    for number, row in enumerate(ours, start=1):
        at = next(
            (
                at
                for at, other in enumerate(left)
                if next(_cells(row, other, readers), None) is None
            ),
            None,
        )
        if at is None:
            unmatched.append((number, row))
        else:
            del left[at]
    if not unmatched and not left:
        return None
    cells = []
    for mine, other in zip_longest(unmatched, left):
        if mine is None or other is None:
            continue
        number, row = mine
        cells += [
            CellDifference(row=number, column=pair.column.title, ours=a, theirs=b)
            for pair, a, b in _cells(row, other, readers)
        ]
    return EntryDifference(
        entry=entry, cells=tuple(cells), our_rows=len(ours), their_rows=len(theirs)
    )


def _cells(
    ours: Row, theirs: Row, readers: Sequence[tuple[Pair, _Reader]]
) -> Iterator[tuple[Pair, str, str]]:
    for pair, reader in readers:
        a, b = ours[pair.ours], theirs[pair.theirs]
        if a != b and not reader.equal(a, b):
            yield pair, a, b


@dataclass(frozen=True)
class _Reader:
    """Compares the cells of a column: amounts by value, dates by day, texts by their characters."""

    profile: Profile
    pair: Pair

    def equal(self, ours: str, theirs: str) -> bool:
        ours, theirs = _plain(ours), _plain(theirs)
        if ours == theirs:
            return True
        match self.pair.type:
            case ColumnType.AMOUNT:
                # Other systems leave the side that is not used blank, or print zero.
                a, b = _number(ours or "0"), _number(theirs or "0")
                return a is not None and a == b
            case ColumnType.NUMBER:
                a, b = _number(ours), _number(theirs)
                return a is not None and a == b
            case ColumnType.DATE:
                first, second = self._day(ours), self._day(theirs)
                return first is not None and first == second
            case _:
                return False

    def _day(self, text: str) -> date | None:
        patterns = (composed(self.profile.date_format), "%Y-%m-%d", "%d/%m/%Y")
        if self.profile.calendar is Calendar.BUDDHIST_ERA:
            first, last = self.profile.years
            for pattern in patterns:
                found = _buddhist_day(text, pattern)
                # The other system may use the Common Era, as cells of an xlsx file do.
                if found is not None and first <= found.year <= last:
                    return found
        for pattern in patterns:
            found = _common_day(text, pattern)
            if found is not None:
                return found
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (moment.astimezone(self.profile.time_zone) if moment.tzinfo else moment).date()


def _common_day(text: str, pattern: str) -> date | None:
    try:
        return datetime.strptime(text, pattern).date()  # noqa: DTZ007  (only its day)
    except ValueError:
        return None


def _buddhist_day(text: str, pattern: str) -> date | None:
    """The day, in the Common Era, of a text whose year is of the Buddhist Era.

    The year is converted before the text is read: 29 February of 2567 is a day, and no day of the
    Common Era's 2567.
    """
    digits = 4 if "%Y" in pattern else 2
    for found in re.finditer(rf"(?=(\d{{{digits}}}))", text, re.ASCII):
        year = (int(found[1]) - _BUDDHIST_ERA) % 10**digits
        rest = text[found.end(1) :]
        day = _common_day(f"{text[: found.start(1)]}{year:0{digits}d}{rest}", pattern)
        if day is not None and day.year % 10**digits == year:  # else it was not the year
            return day
    return None


def _plain(cell: str) -> str:
    """Without blanks around it and without the apostrophe that guards against formulas."""
    text = unicodedata.normalize("NFC", cell).strip()
    return text[1:] if text.startswith("'") and looks_like_formula(text[1:]) else text


def _number(text: str) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
