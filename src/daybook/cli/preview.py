"""A planned file as it is made: its first rows, and the file itself if it is wanted."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import click

from daybook.export.model.profile import FileFormat, Profile


class Preview:
    """Receives the bytes of a planned file."""

    def __init__(self, profile: Profile, head: int | None, file: IO[bytes] | None) -> None:
        self._profile = profile
        self._head = head
        self._file = file
        self._first = b""
        self._whole = profile.format is FileFormat.XLSX
        """Whether no row can be read before the file is complete."""
        self.kept = False

    def write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        if self._head is not None and (self._whole or len(self.rows()) <= self._head):
            self._first += data

    def keep(self) -> None:
        """The file is complete."""
        self.kept = True

    def rows(self) -> list[list[str]]:
        """The header and the first rows, as far as they have been written."""
        # They load the driver, which `--help` need not.
        from daybook.audit.explain import rows_of
        from daybook.audit.workbook import rows_of_sheet

        most = (self._head or 0) + 1
        if self._whole:
            return list(islice(rows_of_sheet(io.BytesIO(self._first), self._profile), most))
        return rows_of(self._first, self._profile)[:most]


@contextmanager
def preview(profile: Profile, *, head: int | None, out: Path | None) -> Iterator[Preview]:
    """What to hand the bytes to; the file `out` appears, or is replaced, only if it is kept."""
    if out is None:
        yield Preview(profile, head, None)
        return
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            shown = Preview(profile, head, file)
            yield shown
        if shown.kept:
            os.replace(part, out)
    except OSError as error:
        raise click.UsageError(f"--out {out}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
