"""Temporary data directories, and removal of those that killed processes left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "daybook-mongod-"


def make_scratch_dir(parent: Path | None = None) -> Path:
    """A new directory with this process's ID in its name; abandoned ones are removed first.

    It is made in the system's directory for temporary files, unless `parent` is given.
    """
    parent = parent or Path(tempfile.gettempdir())
    _discard_abandoned(parent)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))


def _discard_abandoned(parent: Path) -> None:
    """Remove temporary data directories whose owner was killed before it could do so."""
    for path in parent.glob(f"{_PREFIX}*-*"):
        owner = path.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)) and not _locked(path / "mongod.lock"):
            shutil.rmtree(path, ignore_errors=True)  # another start may be removing it as well


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _locked(path: Path) -> bool:
    """Whether a running mongod, in any process namespace, holds its lock file."""
    if not path.exists():
        return False
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
