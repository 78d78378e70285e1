"""A delivered file as it is read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

from daybook.audit.workbook import text_of
from daybook.destinations.base import Destination
from daybook.export.batch.batch import delivered_to
from daybook.export.model.profile import FileFormat, Profile

WINDOW_BYTES = 1024 * 1024
DRIVE = "google_drive"
"""The one kind of destination that is not stored with what earlier versions delivered."""


def delivered_elsewhere(destination: Destination, batch: Mapping[str, Any]) -> str | None:
    """Where the file of a stored batch was delivered, in words; None if to `destination`.

    None also when it is not known and may have been this one.
    """
    place = delivered_to(batch)
    if place == destination.identity or (place is None and destination.kind == DRIVE):
        return None
    if place is None or place.startswith("drive:"):
        account = "" if place is None else place.removeprefix("drive:").partition("@http")[0]
        return "Google Drive" + (f" (by {account})" if account else "")
    return place


class DeliveredBytes:
    """A file while it is read, with its digests; `drain` reads the rest."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._buffer = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def skip(self, expected: bytes) -> bool:
        """Skip `expected` if it comes next."""
        self._fill(len(expected))
        if not self._buffer.startswith(expected):
            return False
        del self._buffer[: len(expected)]
        return True

    def window(self, size_bytes: int = WINDOW_BYTES) -> bytes:
        """The next bytes, without consuming them."""
        self._fill(size_bytes)
        return bytes(self._buffer[:size_bytes])

    def take(self, count: int) -> bytes:
        self._fill(count)
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def drain(self) -> None:
        for block in self._blocks:
            self._count(block)
        self._buffer.clear()

    def _fill(self, size_bytes: int) -> None:
        while len(self._buffer) < size_bytes:
            block = next(self._blocks, None)
            if block is None:
                return
            self._count(block)
            self._buffer += block

    def _count(self, block: bytes) -> None:
        self._md5.update(block)
        self._sha256.update(block)
        self.size_bytes += len(block)


@contextmanager
def delivered(
    blocks: Iterator[bytes], profile: Profile
) -> Iterator[tuple[DeliveredBytes, DeliveredBytes]]:
    """The file as it is, and its rows as they were rendered; of a CSV both are the same.

    An xlsx file is read to its end at once, and its rows from a temporary file. What reads them
    raises `WorkbookUnreadable`.
    """
    if profile.format is not FileFormat.XLSX:
        file = DeliveredBytes(blocks)
        yield file, file
        return
    with TemporaryFile() as spool:
        file = DeliveredBytes(_copied(blocks, spool))
        file.drain()
        yield file, DeliveredBytes(text_of(spool, profile))


def _copied(blocks: Iterator[bytes], to: IO[bytes]) -> Iterator[bytes]:
    for block in blocks:
        to.write(block)
        yield block
