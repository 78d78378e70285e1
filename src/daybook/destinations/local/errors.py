"""What an operating system error means for a file on its way into a folder."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybook.errors import DestinationError, DestinationRefused, UncertainResponse

_ADVICE = {
    errno.ENOENT: "the folder or file does not exist: create it, or correct DAYBOOK_DESTINATION",
    errno.ENOTDIR: "the path is not a folder: correct DAYBOOK_DESTINATION",
    errno.EISDIR: "a folder has that name: move it away",
    errno.EACCES: "no permission: let this account write to the folder",
    errno.EPERM: "not permitted: the folder must be writable and its file system have hard links",
    errno.EOPNOTSUPP: "the folder's file system has no hard links: choose another folder",
    errno.ENOSYS: "the folder's file system has no hard links: choose another folder",
    errno.EMLINK: "the folder's file system has no hard links: choose another folder",
    errno.EXDEV: "another file system is mounted inside the folder: choose another folder",
    errno.EFBIG: "the file is larger than the file system or the account's limit allows",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "a symbolic link leads in a circle",
}
_OUT_OF_REACH = "the network drive is out of reach: look at its server and the network"
_PASSING_ADVICE = {
    errno.EIO: "the disk or network drive reports a fault: look at it",
    errno.ENODEV: "the disk has gone: attach it again",
    errno.ENXIO: "the disk has gone: attach it again",
    errno.ESTALE: "the network drive was replaced under its mount: mount it again",
    errno.ENOTCONN: _OUT_OF_REACH,
    errno.EHOSTDOWN: _OUT_OF_REACH,
    errno.EHOSTUNREACH: _OUT_OF_REACH,
    errno.ENETUNREACH: _OUT_OF_REACH,
    errno.ETIMEDOUT: _OUT_OF_REACH,
    errno.EBUSY: "another program holds the folder or file",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "this machine has too many files open",
}
"""Advice for faults that may be over by the next attempt."""


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
        if error.errno in _PASSING_ADVICE:
            said += f" ({_PASSING_ADVICE[error.errno]})"
        if changes:
            raise UncertainResponse(f"{said}; it may have taken effect") from error
        raise DestinationError(said) from error
