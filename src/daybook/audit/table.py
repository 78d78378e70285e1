"""A file with a header as a table of texts: CSV as spreadsheets write it, or xlsx."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from daybook.errors import BadRequest
from daybook.text import display
from daybook.text.phrases import number

DELIMITERS = ",;\t|"
_ENCODINGS = ("utf-8-sig", "cp874")
_ZIP = b"PK\x03\x04"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_FIELD_LIMIT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Table:
    """A header and its rows, each as long as the header."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_table(
    content: bytes, *, where: str, encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """Read a CSV or an xlsx file; the first row that is not blank is the header.

    Without an `encoding` it is UTF-8, UTF-16 with its mark, or else cp874; without a `delimiter`
    it is the one that the header has most of. In an xlsx the first sheet is read; numbers become
    plain decimals, and dates ISO dates. Raises `BadRequest` naming `where` and the row.
    """
    if content.startswith(_ZIP):
        return _table(_sheet_rows(content, where), where)
    text = _decoded(content, where, encoding)
    csv.field_size_limit(_FIELD_LIMIT)  # the default would refuse a long description
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True
    )
    return _table(_csv_rows(reader, where), where)


def _decoded(content: bytes, where: str, encoding: str | None) -> str:
    tried = (encoding,) if encoding else _ENCODINGS
    if encoding is None and content.startswith(_UTF_16):
        tried = ("utf-16",)
    for name in tried:
        try:
            return content.decode(name)
        except (UnicodeDecodeError, LookupError) as error:
            why = str(error)
    raise BadRequest(f"cannot be read as {' or '.join(tried)} ({why})", where=where)


def _delimiter(text: str) -> str:
    """The separator that the first line has most of; a comma when it has none."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return max(DELIMITERS, key=header.count)


def _csv_rows(reader: Any, where: str) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadRequest(f"is no CSV at line {reader.line_num}: {error}", where=where) from error


def _sheet_rows(content: bytes, where: str) -> Iterator[tuple[int, list[str]]]:
    import python_calamine  # only here: it is not needed for CSV

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, IndexError, zipfile.BadZipFile) as error:
        raise BadRequest(f"is no xlsx file ({error})", where=where) from error
    for at, row in enumerate(rows, start=1):
        yield at, [_text(value) for value in row]


def _text(value: object) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            exact = Decimal(repr(value))
            return f"{exact:f}".removesuffix(".0")
        case datetime():
            midnight = value.time() == time()
            return value.date().isoformat() if midnight else value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return str(value)


def _table(rows: Iterable[tuple[int, Sequence[str]]], where: str) -> Table:
    filled = ((at, row) for at, row in rows if any(cell.strip() for cell in row))
    first = next(filled, None)
    if first is None:
        raise BadRequest("is empty: it must have a header", where=where)
    titles = tuple(title.strip() for title in first[1])
    while titles and not titles[-1]:
        titles = titles[:-1]
    found = []
    for at, row in filled:
        if any(cell.strip() for cell in row[len(titles) :]):
            raise BadRequest(
                f"row {at} has {number(len(row), 'cell')}, the header {len(titles)}: "
                f"{display.shortened(', '.join(row))}",
                where=where,
            )
        cells = tuple(row[: len(titles)])
        found.append(cells + ("",) * (len(titles) - len(cells)))
    return Table(titles=titles, rows=tuple(found))
