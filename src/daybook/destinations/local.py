"""A folder on this machine as a destination.

Until it is published, a file is a hidden directory `.daybook-ID` that contains `content` and
`file.json`. It is prepared under a session's name, `.daybook-ID.TOKEN`, and created by a rename:
a directory cannot be renamed onto one that is not empty, so of all sessions for an ID one
succeeds, with its content and properties at once
(https://pubs.opengroup.org/onlinepubs/9699919799/functions/rename.html).

Publishing links `content` to the real name, which fails when the name is taken, and then
removes `content`. The directory stays with `file.json` in it and so keeps the ID taken for
ever. After a crash between any two steps, publishing again continues where it stopped.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import json
import os
import re
import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from daybook.destinations.base import (
    DeliveredFile,
    FileMetadata,
    Finding,
    Held,
    NewFile,
    require_plain_id,
    require_plain_name,
)
from daybook.errors import (
    UNREADABLE,
    DestinationError,
    DestinationRefused,
    IdTaken,
    SessionExpired,
    UncertainResponse,
)

_PREFIX = ".daybook-"
_CONTENT = "content"
_ABOUT = "file.json"
_BLOCK_BYTES = 1024 * 1024
_SESSION = re.compile(r"\.daybook-(?P<id>[A-Za-z0-9_-]+)\.[0-9a-f]{32}")
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


class LocalDestination:
    """The folder `root`, which must exist and support hard links."""

    kind = "local_folder"
    chunk_multiple_bytes = 1
    publishes = True

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.identity = self._root.as_uri()

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def check_name(self, name: str) -> None:
        require_plain_name(name)
        with translated("look for", self._root / name):
            if os.path.lexists(self._root / name):
                raise self._name_taken(name)

    def send_whole(self, file: NewFile, content: bytes) -> None:
        session = self.open_session(file)
        self.send_chunk(session, content, offset=0, last=True)

    def open_session(self, file: NewFile) -> str:
        require_plain_id(file.id)
        require_plain_name(file.name)
        session = f"{_PREFIX}{file.id}.{secrets.token_hex(16)}"
        about = {"id": file.id, "name": file.name, "properties": dict(file.properties)}
        with translated("create", self._root / session, changes=True):
            if self._hidden_dir(file.id).exists():
                raise self._id_taken(file.id)
            (self._root / session).mkdir()
            _write(self._root / session / _CONTENT, b"", offset=0)
            _write(self._root / session / _ABOUT, json.dumps(about).encode(), offset=0)
        return session

    def send_chunk(self, session: str, content: bytes, *, offset: int, last: bool) -> Held:
        if not content:
            raise ValueError("a chunk is never empty")
        file_id, path = _id_of(session), self._root / session / _CONTENT
        with translated("write", path, changes=True):
            try:
                size_bytes = path.stat().st_size
                if offset > size_bytes:
                    return Held(size_bytes=size_bytes)
                _write(path, content, offset=offset)
                if last:
                    self._complete(session)
            except FileNotFoundError:
                raise self._no_session(file_id) from None
        return Held(size_bytes=offset + len(content), complete=last)

    def finish(self, session: str, size_bytes: int) -> Held:
        file_id, path = _id_of(session), self._root / session / _CONTENT
        with translated("write", path, changes=True):
            try:
                held_bytes = path.stat().st_size
                if held_bytes == size_bytes:
                    self._complete(session)
            except FileNotFoundError:
                raise self._no_session(file_id) from None
        return Held(size_bytes=held_bytes, complete=held_bytes == size_bytes)

    def held(self, session: str) -> Held:
        file_id, path = _id_of(session), self._root / session / _CONTENT
        with translated("look at", path):
            try:
                return Held(size_bytes=path.stat().st_size)
            except FileNotFoundError:
                self._root.stat()
                raise self._session_gone(file_id) from None

    def find_file(self, file_id: str) -> DeliveredFile | None:
        require_plain_id(file_id)
        content = self._hidden_dir(file_id) / _CONTENT
        with translated("read", content):
            self._root.stat()
            try:
                name, properties = _about(self._hidden_dir(file_id) / _ABOUT)
                digests = _Digests.of(content)
            except FileNotFoundError:
                return None
        return DeliveredFile(
            id=file_id,
            name=name,
            size_bytes=digests.size_bytes,
            md5=digests.md5,
            sha256=digests.sha256,
            link=self.link(file_id, name),
            properties=properties,
        )

    def link(self, file_id: str, name: str) -> str:  # noqa: ARG002  (of all destinations)
        return (self._root / name).as_uri()

    def publish(self, file_id: str, name: str) -> str:
        require_plain_id(file_id)
        require_plain_name(name)
        hidden, real = self._hidden_dir(file_id), self._root / name
        with translated("publish", real, changes=True):
            if not hidden.exists():
                raise self._nothing_to_publish(hidden, real)
            content = hidden / _CONTENT
            if content.exists():
                try:
                    self._link(content, real)
                except FileNotFoundError:
                    if content.exists() or not real.exists():
                        raise  # otherwise another run has published it at the same moment
                _sync(self._root)
                content.unlink(missing_ok=True)
                _sync(hidden)
            for session in self._root.glob(f"{hidden.name}.*"):
                _discard(session)
        return real.as_uri()

    def describe(self, file_id: str, text: str) -> None:
        """A folder has no place for a note."""

    def metadata(self, file_id: str, name: str) -> FileMetadata | None:
        require_plain_id(file_id)
        require_plain_name(name)
        with translated("read", self._root / name):
            self._root.stat()
            try:
                digests = _Digests.of(self._root / name)
            except FileNotFoundError:
                return None
        return FileMetadata(
            name=name, size_bytes=digests.size_bytes, md5=digests.md5, sha256=digests.sha256
        )

    def read(self, file_id: str, name: str) -> Iterator[bytes]:
        require_plain_id(file_id)
        require_plain_name(name)
        with translated("read", self._root / name), (self._root / name).open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def check(self) -> list[Finding]:
        probe = self._root / f".daybook-doctor-{secrets.token_hex(8)}"
        try:
            with translated("write and link", probe, changes=True):
                _write(probe, b"", offset=0)
                try:
                    os.link(probe, f"{probe}.link")
                    os.unlink(f"{probe}.link")
                finally:
                    probe.unlink()
        except DestinationError as error:
            return [Finding(name="folder", ok=False, detail=str(error))]
        return [Finding(name="folder", ok=True, detail=f"{self._root} takes files")]

    def _hidden_dir(self, file_id: str) -> Path:
        return self._root / f"{_PREFIX}{file_id}"

    def _complete(self, session: str) -> None:
        file_id = _id_of(session)
        _sync(self._root / session)
        try:
            (self._root / session).rename(self._hidden_dir(file_id))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _discard(self._root / session)
            raise self._id_taken(file_id) from error
        _sync(self._root)

    def _link(self, content: Path, real: Path) -> None:
        try:
            os.link(content, real)
        except FileExistsError as error:
            # After a crash before `content` was removed, the same file already has this name.
            if not (real.is_file() and filecmp.cmp(content, real, shallow=False)):
                raise self._name_taken(real.name) from error

    def _no_session(self, file_id: str) -> DestinationError:
        """Why a session cannot be written to; raises `OSError` when the folder itself is gone."""
        self._root.stat()
        if self._hidden_dir(file_id).exists():
            return self._id_taken(file_id)
        return self._session_gone(file_id)

    def _session_gone(self, file_id: str) -> SessionExpired:
        return SessionExpired(f"the upload session of id {file_id} in {self._root} is gone")

    def _id_taken(self, file_id: str) -> IdTaken:
        return IdTaken(f"a file exists already under id {file_id} in {self._root}")

    def _nothing_to_publish(self, hidden: Path, real: Path) -> DestinationError:
        """Why a committed file is missing: the whole folder, or only the file's directory.

        A mount point without its disk is often an empty folder. The folder that files were
        delivered to has a hidden directory for each of them.
        """
        said = f"cannot publish {real}"
        if not self._root.exists():
            return DestinationError(f"{said}: the folder {self._root} is not there; mount its disk")
        if not any(self._root.glob(f"{_PREFIX}*")):
            return DestinationError(
                f"{said}: the folder {self._root} has no hidden folder of Daybook's at all; "
                "mount its disk"
            )
        return DestinationRefused(
            f"{said}: {hidden.name} was deleted from {self._root}; restore it from a backup"
        )

    def _name_taken(self, name: str) -> DestinationRefused:
        return DestinationRefused(
            f"{self._root / name} exists already and is another file: move it away, then retry"
        )


@dataclass(frozen=True, kw_only=True)
class _Digests:
    """What the content of a file adds up to."""

    size_bytes: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises `OSError`."""
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        size_bytes = 0
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                md5.update(block)
                sha256.update(block)
                size_bytes += len(block)
        return cls(size_bytes=size_bytes, md5=md5.hexdigest(), sha256=sha256.hexdigest())


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


def _id_of(session: str) -> str:
    parts = _SESSION.fullmatch(session)
    if parts is None:
        raise SessionExpired("the stored upload session is not one of a local folder")
    return parts["id"]


def _about(path: Path) -> tuple[str, dict[str, str]]:
    """Name and properties of a hidden file; raises `DestinationRefused` when damaged."""
    about = path.read_bytes()
    try:
        found = json.loads(about)
        name, properties = found["name"], found["properties"]
        require_plain_name(name)
        return name, dict(properties)
    except (DestinationRefused, *UNREADABLE) as error:
        raise DestinationRefused(
            f"{path} is damaged ({type(error).__name__}): restore it from a backup, then retry"
        ) from error


def _write(path: Path, content: bytes, *, offset: int) -> None:
    """Write `content` from `offset` on, end the file after it, and flush it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    with open(descriptor, "wb") as stream:
        stream.truncate(offset)
        stream.seek(offset)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    """Flush a directory's entries to the disk, so that a power cut undoes no rename."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(session: Path) -> None:
    """Clean up; what cannot be removed is hidden and harmless."""
    shutil.rmtree(session, ignore_errors=True)
