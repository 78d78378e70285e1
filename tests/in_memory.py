"""Data that a mongod keeps in memory, since a disk makes it wait for every write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybook.local.scratch import make_scratch_dir

ROOM_BYTES = 8 * 1024**3
"""Free memory that makes a folder in it harmless."""


@contextmanager
def in_memory() -> Iterator[Path | None]:
    """A folder that no disk slows down; None where there is no room for one.

    What killed test runs have left in memory is removed first, as on a disk.
    """
    shared = Path("/dev/shm")  # noqa: S108  (not predictable: a new folder in it)
    if not shared.is_dir():
        yield None
        return
    folder = make_scratch_dir(shared)
    try:
        yield folder if shutil.disk_usage(shared).free >= ROOM_BYTES else None
    finally:
        shutil.rmtree(folder)
