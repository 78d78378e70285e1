"""An xlsx file read back: its sheet `Journal` in the text form in which it was rendered.

Only what Daybook and office programs write is read: the file may have been opened and saved.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import IO, Any
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from daybook.errors import DaybookError
from daybook.export.model.profile import Profile
from daybook.export.model.source import ColumnType
from daybook.export.rendering.cells.layout import Dialect, Layout
from daybook.export.rendering.cells.text import text_form
from daybook.export.rendering.sheets import JOURNAL

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ESCAPE = re.compile("_x([0-9a-fA-F]{4})_")
_COLUMN = re.compile("[A-Z]+")
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  (a cell's date has no time zone)
_UNREADABLE = (
    *(BadZipFile, zlib.error, ElementTree.ParseError, LookupError, ValueError, OverflowError),
    *(InvalidOperation, NotImplementedError, RuntimeError, EOFError, OSError),
)
"""What reading raises for a file that is damaged, encrypted, or none of this kind."""


class WorkbookUnreadable(DaybookError):
    """The file is not an xlsx file with a sheet `Journal`."""

    type = "workbook_unreadable"
    permanent = True


def text_of(file: IO[bytes], profile: Profile) -> Iterator[bytes]:
    """The sheet as the bytes of the profile's `text_form`, row by row.

    Raises `WorkbookUnreadable`.
    """
    quoted = Dialect(text_form(profile)).quoted
    for row in rows_of_sheet(file, profile):
        # As the renderer writes it: an empty line would not count as a row.
        line = ",".join(map(quoted, row)) or '""'
        yield f"{line}\r\n".encode()


def rows_of_sheet(file: IO[bytes], profile: Profile) -> Iterator[list[str]]:
    """The header and the rows of the sheet, each cell as text. Raises `WorkbookUnreadable`."""
    try:
        with ZipFile(file) as book:
            yield from _Sheet(book, profile).rows()
    except _UNREADABLE as error:
        raise WorkbookUnreadable(
            f"the file cannot be read as xlsx ({type(error).__name__}: {error})"
        ) from error


class _Sheet:
    def __init__(self, book: ZipFile, profile: Profile) -> None:
        self._book = book
        profile = text_form(profile)
        self._date_format = profile.date_format
        self._types = [cell.type for cell in Layout.of(profile).cells]
        self._texts = self._shared()
        self._decimals = self._number_formats()

    def rows(self) -> Iterator[list[str]]:
        expected = 1
        width = len(self._types)
        with self._book.open(self._path()) as stream:
            for element in _each(stream, f"{_MAIN}row"):
                number = int(element.get("r", expected))
                for _ in range(expected, number):
                    yield [""] * width
                expected = number + 1
                yield self._cells(element, is_header=number == 1)

    def _cells(self, row: ElementTree.Element, *, is_header: bool) -> list[str]:
        cells = [""] * len(self._types)
        for at, element in enumerate(row.findall(f"{_MAIN}c")):
            place = _COLUMN.match(element.get("r", ""))
            column = at if place is None else _index(place[0])
            text = self._text(element, None if is_header else self._type(column))
            if column < len(cells):
                cells[column] = text
            elif text:
                cells += [""] * (column - len(cells)) + [text]
        return cells

    def _type(self, column: int) -> ColumnType | None:
        return self._types[column] if column < len(self._types) else None

    def _text(self, cell: ElementTree.Element, kind: ColumnType | None) -> str:
        formula = cell.find(f"{_MAIN}f")
        if formula is not None:
            return f"={formula.text or ''}"
        stored = cell.get("t", "n")
        if stored == "inlineStr":
            return _string(cell.find(f"{_MAIN}is"))
        value = cell.findtext(f"{_MAIN}v")
        if value is None:
            return ""
        if stored == "s":
            return self._texts[int(value)]
        if stored != "n":
            return _unescaped(value)
        number = float(value)
        if kind is ColumnType.DATE:
            milliseconds = round(number * 86_400_000)
            return (_EPOCH + timedelta(milliseconds=milliseconds)).strftime(self._date_format)
        exact = Decimal(repr(number))
        places = self._decimals.get(cell.get("s", "0")) if kind is ColumnType.AMOUNT else None
        if places is not None and exact == round(exact, places):
            return f"{exact:.{places}f}"
        return f"{exact.normalize():f}" if exact else "0"

    def _path(self) -> str:
        book = self._parsed("xl/workbook.xml")
        relation = next(
            sheet.get(_RELATION)
            for sheet in book.iter(f"{_MAIN}sheet")
            if sheet.get("name") == JOURNAL
        )
        target = next(
            one.get("Target", "")
            for one in self._parsed("xl/_rels/workbook.xml.rels")
            if one.get("Id") == relation
        )
        return target[1:] if target.startswith("/") else f"xl/{target}"

    def _shared(self) -> Sequence[str]:
        if "xl/sharedStrings.xml" not in self._book.namelist():
            return ()
        texts: list[str] = []
        with self._book.open("xl/sharedStrings.xml") as stream:
            texts += map(_string, _each(stream, f"{_MAIN}si"))
        return texts

    def _number_formats(self) -> Mapping[str, int]:
        """The decimals that a cell's style shows, by the number of the style."""
        if "xl/styles.xml" not in self._book.namelist():
            return {}
        styles = self._parsed("xl/styles.xml")
        codes = {
            one.get("numFmtId"): one.get("formatCode", "") for one in styles.iter(f"{_MAIN}numFmt")
        }
        codes = {"1": "0", "2": "0.00", "3": "#,##0", "4": "#,##0.00", **codes}
        found = {}
        for at, style in enumerate(styles.iterfind(f"{_MAIN}cellXfs/{_MAIN}xf")):
            code = codes.get(style.get("numFmtId"))
            if code is not None:
                found[str(at)] = len(code.partition(".")[2])
        return found

    def _parsed(self, name: str) -> ElementTree.Element:
        return ElementTree.fromstring(self._book.read(name))  # noqa: S314 -- expat limits entities


def _each(stream: IO[bytes], tag: str) -> Iterator[ElementTree.Element]:
    """The elements with the tag, none of which is kept."""
    parents: list[ElementTree.Element] = []
    # expat limits how far entities expand.
    for event, element in ElementTree.iterparse(stream, events=("start", "end")):  # noqa: S314
        if event == "start":
            parents.append(element)
            continue
        parents.pop()
        if element.tag == tag:
            yield element
            parents[-1].clear()


def _string(element: ElementTree.Element | None) -> str:
    """The text of a string, of all its runs; what tells how to read it aloud is not part of it."""
    if element is None:
        return ""
    runs: list[Any] = [element, *element.findall(f"{_MAIN}r")]
    return "".join(_unescaped(run.findtext(f"{_MAIN}t") or "") for run in runs)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _index(letters: str) -> int:
    """A is 0."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
