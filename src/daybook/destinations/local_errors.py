"""What an error of the operating system means for a file on its way into a folder."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybook.errors import DestinationDoubt, DestinationError, DestinationRefused

_ADVICE = {
    errno.ENOENT: "the folder or file does not exist: create it, or correct DAYBOOK_DESTINATION",
    errno.ENOTDIR: "the path is no folder: correct DAYBOOK_DESTINATION",
    errno.EISDIR: "a folder has that name: move it away",
    errno.EACCES: "no permission: let this account write to the folder",
    errno.EPERM: "not permitted: the folder must be writable and its file system have hard links",
    errno.EOPNOTSUPP: "the folder's file system has no hard links: choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "a symbolic link leads in a circle",
}


@contextmanager
def translated(operation: str, path: Path, *, changes: bool = False) -> Iterator[None]:
    """Turn an `OSError` into the error that the port promises, naming `path`."""
    try:
        yield
    except OSError as error:
        said = f"cannot {operation} {path}: {error.strerror or type(error).__name__}"
        advice = _ADVICE.get(error.errno or 0)
        if advice is not None:
            raise DestinationRefused(f"{said} ({advice})") from error
        if changes:
            raise DestinationDoubt(f"{said}; it may have taken effect") from error
        raise DestinationError(said) from error
