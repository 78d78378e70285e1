"""Rows of two files on disk, put together by the entry that they name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from types import TracebackType
from typing import Self

Row = tuple[str, ...]

_CACHE_KIB = 8192
_TABLE = "CREATE TABLE row (side INTEGER, number INTEGER, entry BLOB, cells BLOB)"


class Side(IntEnum):
    OURS = 0
    THEIRS = 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """The rows of an entry in one file, in their order."""

    first: int
    """Where the first of them is in the file; of two entries the earlier has the smaller."""
    rows: tuple[Row, ...]


class Spool:
    """A temporary database, deleted with the end of the `with` block.

    Memory holds a few MiB and the rows of one entry, however long the files are.
    """

    def __enter__(self) -> Self:
        # An empty name is a file that SQLite deletes: https://sqlite.org/inmemorydb.html#temp_db
        self._database = sqlite3.connect("", isolation_level=None)
        for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "temp_store = FILE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(_TABLE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def add(self, side: Side, rows: Iterable[Row], named: Callable[[Row], str]) -> None:
        """Store a file's rows; a row that names no entry continues the one before it."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO row VALUES (?, ?, ?, ?)", _stored(side, rows, named)
        )
        self._database.execute("COMMIT")

    def rows(self, side: Side) -> Iterator[Row]:
        """A file's rows in their order."""
        query = "SELECT cells FROM row WHERE side = ? ORDER BY rowid"
        with closing(self._database.execute(query, (side,))) as found:
            for (cells,) in found:
                yield _cells(cells)

    def entries(self) -> Iterator[tuple[str, Found | None, Found | None]]:
        """Each entry with its rows in ours and in theirs; in no order."""
        query = "SELECT entry, side, number, cells FROM row ORDER BY entry, side, number"
        with closing(self._database.execute(query)) as found:
            for entry, rows in groupby(found, key=lambda row: row[0]):
                sides: dict[int, Found] = {}
                for side, of_side in groupby(rows, key=lambda row: row[1]):
                    numbered = [(number, _cells(cells)) for _, _, number, cells in of_side]
                    sides[side] = Found(
                        first=numbered[0][0], rows=tuple(cells for _, cells in numbered)
                    )
                yield _text(entry), sides.get(Side.OURS), sides.get(Side.THEIRS)


def _stored(
    side: Side, rows: Iterable[Row], named: Callable[[Row], str]
) -> Iterator[tuple[int, int, bytes, bytes]]:
    entry = ""
    for number, row in enumerate(rows):
        entry = named(row) or entry
        yield side, number, _bytes(entry), _bytes(json.dumps(row, ensure_ascii=False))


def _bytes(text: str) -> bytes:
    # Some encodings give halves of characters, which SQLite does not take as text.
    return text.encode("utf-8", "surrogatepass")


def _cells(stored: bytes) -> Row:
    return tuple(json.loads(_text(stored)))


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
