"""Explaining how entries differ from their rows in a file."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from daybook.audit.difference import VerifyDifference, VerifyKind
from daybook.display import file_rows, number
from daybook.export.model.figures import RejectionReason
from daybook.export.model.ids import hashable
from daybook.export.model.profile import Profile
from daybook.export.model.source import Column, Value, ValueKind
from daybook.export.queue.named_entries import called
from daybook.export.rendering.cells.money import normalised
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.entry_id import displayed

Row = list[str]

_NUMBER = re.compile(r"-\d+(\.\d+)?([Ee][+-]?\d+)?", re.ASCII)

_FIELD_LIMIT = 2**31 - 1
_SHOWN_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One entry and its rows as rendered now."""

    entry_id: Any
    content: bytes
    rows: list[Row]
    rejection: str | None
    """Why it can no longer be printed; None if it can."""
    reasons: frozenset[RejectionReason] = frozenset()
    """The reasons for the same; empty for an entry that can be printed."""


def rows_of(content: bytes, profile: Profile) -> list[Row]:
    """The rows of a CSV, or of an xlsx file's text form."""
    profile = text_form(profile)
    csv.field_size_limit(_FIELD_LIMIT)  # the default would refuse a long description
    text = content.decode(profile.encoding, "replace")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=profile.delimiter))


def explain(
    profile: Profile,
    pieces: Sequence[Piece],
    rows: Sequence[Row],
    *,
    first_row: int,
    references: Mapping[Hashable, str],
) -> Iterator[VerifyDifference]:
    """The differences, entry by entry; `references` are those of the pieces' `hashable` IDs."""
    numbered = list(enumerate(rows, start=first_row))
    id_column = next(
        (
            at
            for at, column in enumerate(profile.columns)
            if column.value == "entry._id" and not column.once and not column.cut
        ),
        None,
    )
    if id_column is None:
        yield from _explain_in_order(profile, pieces, numbered, references)
        return
    rows_by_entry: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row_number, row in numbered:
        rows_by_entry[row[id_column] if id_column < len(row) else ""].append((row_number, row))
    for piece in pieces:
        key = piece.rows[0][id_column] if piece.rows else displayed(piece.entry_id)
        yield from _explain_entry(profile, piece, rows_by_entry.pop(key, []), references)
    for extra in rows_by_entry.values():
        for row_number, row in extra:
            text = shown_short(", ".join(row))
            yield VerifyDifference(
                kind=VerifyKind.ROW_EXTRA,
                detail=f"{file_rows(row_number)}, belongs to no entry of the manifest: {text}",
                row=row_number,
            )


def _explain_in_order(
    profile: Profile,
    pieces: Sequence[Piece],
    numbered: Sequence[tuple[int, Row]],
    references: Mapping[Hashable, str],
) -> Iterator[VerifyDifference]:
    at = 0
    for piece in pieces[:-1]:
        own = numbered[at : at + len(piece.rows)]
        yield from _explain_entry(profile, piece, own, references)
        at += len(piece.rows)
    yield from _explain_entry(profile, pieces[-1], numbered[at:], references)


def _explain_entry(
    profile: Profile,
    piece: Piece,
    delivered: Sequence[tuple[int, Row]],
    references: Mapping[Hashable, str],
) -> Iterator[VerifyDifference]:
    reference = references.get(hashable(piece.entry_id)) or _printed(profile, delivered)
    entry = called(piece.entry_id, reference)
    if piece.rejection is not None:
        where = file_rows(delivered[0][0], delivered[-1][0]) if delivered else "no row any more"
        yield VerifyDifference(
            kind=VerifyKind.ENTRY_UNFIT,
            detail=f"entry {entry}: the file has {where}, but now: {piece.rejection}",
            entry_id=piece.entry_id,
            row=delivered[0][0] if delivered else None,
        )
        return
    for found, expected in zip_longest(delivered, piece.rows):
        if found is None:
            yield VerifyDifference(
                kind=VerifyKind.ROW_MISSING,
                detail=f"entry {entry} gives a row that is not in the file: "
                f"{shown_short(', '.join(expected))}",
                entry_id=piece.entry_id,
            )
        elif expected is None:
            yield VerifyDifference(
                kind=VerifyKind.ROW_EXTRA,
                detail=f"{file_rows(found[0])}: entry {entry} no longer gives this row: "
                f"{shown_short(', '.join(found[1]))}",
                entry_id=piece.entry_id,
                row=found[0],
            )
        elif not same_rows(profile, [found[1]], [expected]):
            yield VerifyDifference(
                kind=VerifyKind.ROW_CHANGED,
                detail=f"{file_rows(found[0])}, entry {entry}: "
                + _cells(profile, found[1], expected),
                entry_id=piece.entry_id,
                row=found[0],
            )


def _printed(profile: Profile, delivered: Sequence[tuple[int, Row]]) -> str | None:
    """The reference in the file's own rows, for an entry that was deleted or has lost its own."""
    for at, column in enumerate(profile.columns):
        if column.value == "entry.reference" and delivered and at < len(delivered[0][1]):
            return delivered[0][1][at].strip() or None
    return None


def _cells(profile: Profile, found: Row, expected: Row) -> str:
    titles = [column.title for column in profile.columns]
    if len(found) != len(titles):
        return f"it has {number(len(found), 'cell')} instead of {len(titles)}"
    return "; ".join(
        f"{title}: the file says {shown_short(cell)}, the entry gives {shown_short(given)}"
        for title, column, cell, given in zip(titles, profile.columns, found, expected, strict=True)
        if not _same_cell(profile, column, cell, given)
    )


def same_rows(profile: Profile, found: Sequence[Row], expected: Sequence[Row]) -> bool:
    """Whether rows have the same content, even if spelt as by an earlier version.

    Quotes disappear when rows are read. Other differences in spelling are numbers in text
    columns, which had an apostrophe, and currencies, which were printed as stored.
    """
    return len(found) == len(expected) and all(
        len(one) == len(other) == len(profile.columns)
        and all(
            _same_cell(profile, column, cell, wanted)
            for column, cell, wanted in zip(profile.columns, one, other, strict=True)
        )
        for one, other in zip(found, expected, strict=True)
    )


def _same_cell(profile: Profile, column: Column, found: str, expected: str) -> bool:
    if found == expected:
        return True
    value = Value.parse(column.value)
    path = profile.source.path_of(value)
    if value.kind is ValueKind.ENTRY and path == profile.source.currency:
        return normalised(found) == expected
    return found == f"'{expected}" and _NUMBER.fullmatch(expected) is not None


def shown_short(text: str) -> str:
    quoted = repr(text)
    return quoted if len(quoted) <= _SHOWN_LENGTH else quoted[: _SHOWN_LENGTH - 1] + "…"
