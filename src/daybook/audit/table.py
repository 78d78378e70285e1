"""A file with a header as a table of texts: CSV as spreadsheets write it, or xlsx.

A CSV is read row by row. Of an xlsx file memory holds the whole sheet.
"""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any

from daybook import display
from daybook.errors import BadRequest

DELIMITERS = ",;\t|"
_ENCODINGS = ("utf-8-sig", "cp874")
_ZIP = b"PK\x03\x04"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_FIELD_LIMIT = 2**31 - 1
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Table:
    """A header and its rows, each as long as the header."""

    titles: tuple[str, ...]
    rows: Iterator[tuple[str, ...]]
    """To be taken once, while the file is open. Raises `BadRequest` naming the row."""


def read_table(
    file: IO[bytes], *, where: str, encoding: str | None = None, delimiter: str | None = None
) -> Table:
    """Read a CSV or an xlsx file; the first row that is not blank is the header.

    Without an `encoding` it is UTF-8, UTF-16 with its mark, or else cp874; without a `delimiter`
    it is the one that the header has most of. In an xlsx the first sheet is read; numbers become
    plain decimals, and dates ISO dates. Raises `BadRequest` naming `where` and the row.
    """
    start = _start(file)
    if start.startswith(_ZIP):
        return _table(_sheet_rows(file, where), where)
    name = _encoding_of(file, start, where, encoding)
    if delimiter is None:
        with closing(_lines(file, name)) as lines:
            delimiter = _delimiter(lines)
    csv.field_size_limit(_FIELD_LIMIT)  # the default would refuse a long description
    reader = csv.reader(_lines(file, name), delimiter=delimiter, strict=True)
    return _table(_csv_rows(reader, where), where)


def _start(file: IO[bytes]) -> bytes:
    file.seek(0)
    start = file.read(len(_ZIP))
    file.seek(0)
    return start


def _encoding_of(file: IO[bytes], start: bytes, where: str, encoding: str | None) -> str:
    """The first that the whole file can be read in."""
    tried = (encoding,) if encoding else _ENCODINGS
    if encoding is None and start.startswith(_UTF_16):
        tried = ("utf-16",)
    for name in tried:
        if _name(name) == "utf-16" and not start.startswith(_UTF_16):
            name = "utf-16-le"  # noqa: PLW2901  (what bytes without a mark are taken for)
        why = _fault(file, name)
        if why is None:
            return name
    raise BadRequest(f"cannot be read as {' or '.join(tried)} ({why})", where=where)


def _name(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return encoding


def _fault(file: IO[bytes], name: str) -> str | None:
    """Why the file cannot be read in the encoding; None if it can."""
    try:
        "x".encode(name)  # refuses those that are not of texts, unlike the look-up
        decoder = codecs.getincrementaldecoder(name)()
    except (LookupError, UnicodeError) as error:
        return str(error)
    file.seek(0)
    at_bytes = 0
    while True:
        block = file.read(_BLOCK_BYTES)
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return f"{error.reason} at byte {at_bytes - waiting + error.start:,}"
        except UnicodeError as error:
            return str(error)
        if not block:
            return None
        at_bytes += len(block)


def _lines(file: IO[bytes], encoding: str) -> Generator[str, None, None]:
    """The lines with their ends, from the start of the file, which stays open."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        for line in text:  # noqa: UP028  (`yield from` would close the file with this generator)
            yield line
    finally:
        if not file.closed:  # an error may have closed it before the rest of the rows is dropped
            text.detach()


def _delimiter(lines: Iterator[str]) -> str:
    """The separator that the first line has most of; a comma when it has none."""
    header = next((line for line in lines if line.strip("\r\n")), "")
    return max(DELIMITERS, key=header.count)


def _csv_rows(reader: Any, where: str) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadRequest(f"is no CSV at line {reader.line_num}: {error}", where=where) from error


def _sheet_rows(file: IO[bytes], where: str) -> Iterator[tuple[int, list[str]]]:
    import python_calamine  # only here: it is not needed for CSV

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(file)
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
    return Table(titles=titles, rows=_rows(filled, len(titles), where))


def _rows(
    filled: Iterable[tuple[int, Sequence[str]]], width: int, where: str
) -> Iterator[tuple[str, ...]]:
    for at, row in filled:
        if any(cell.strip() for cell in row[width:]):
            raise BadRequest(
                f"row {at} has {display.number(len(row), 'cell')}, the header {width}: "
                f"{display.shortened(', '.join(row))}",
                where=where,
            )
        cells = tuple(row[:width])
        yield cells + ("",) * (width - len(cells))
