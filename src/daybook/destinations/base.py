"""The port that every destination implements.

A destination keeps one file per ID. An ID is issued once, stored by the caller before any byte
is sent, and whatever races, at most one file is ever stored under it. Bytes are sent whole or
through an upload session; a file becomes visible to `find_file` with the one request that
completes it, never half-done.

All calls block, each for at most `REQUEST_TIMEOUT_SECONDS`, and may be made from any
thread: a daily run and a manual export of one process share a destination.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daybook.errors import DestinationRefused, IdInvalid

_FORBIDDEN = frozenset("/\\\0")
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def require_plain_name(name: str) -> None:
    """Raise `DestinationRefused` for a name that could leave its folder or be hidden."""
    if not name or name.startswith(".") or _FORBIDDEN & set(name):
        raise DestinationRefused(
            f"file name {name!r} refused: it must not be empty, begin with a dot, "
            "or contain / \\ or NUL"
        )


def require_plain_id(file_id: str) -> None:
    """Raise `IdInvalid` for an ID that `new_id` cannot have returned."""
    if not file_id or not set(file_id) <= _ID_CHARACTERS:
        raise IdInvalid(f"file id {file_id!r} is not one that was issued here")


def media_type(name: str) -> str:
    """The media type of a file, by its name."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "text/csv")


_MEDIA_TYPES = {"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}

REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """What is known about a file before its first byte is sent."""

    id: str
    name: str
    properties: Mapping[str, str]
    """Stored with the file from the start: profile, date, batch, fence."""
    description: str | None = None
    """A note for the reader, if it is known that early and the destination supports it."""


@dataclass(frozen=True, kw_only=True)
class DeliveredFile:
    """A complete file as the destination itself reports it."""

    id: str
    name: str
    size_bytes: int
    md5: str
    """Hex digest of the content, computed by the destination or from what it holds."""
    link: str
    """Where a person opens it; for path destinations, the address after publishing."""
    sha256: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """A delivered, published file as the destination reports it now; anyone may have changed it."""

    name: str
    size_bytes: int | None
    """None when the destination does not say, as Drive of a file that was converted."""
    md5: str | None = None
    """Hex digest; None when the destination cannot say without reading the content."""
    sha256: str | None = None
    version: str | None = None
    """Opaque; the content is the same as long as this is. None when the destination has none."""
    trashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Held:
    """The progress of an upload session."""

    size_bytes: int
    """Bytes that the destination holds, counted from the start of the file."""
    complete: bool = False
    """True once the file has been created from them."""
    file: DeliveredFile | None = None
    """That file, if the response describes it completely; otherwise `find_file` does."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of `doctor`."""

    name: str
    ok: bool
    detail: str
    """What was found and, if not ok or a warning, what to do about it."""
    warning: bool = False
    """Whether it should be changed although Daybook works with it; only if `ok`."""


class Destination(Protocol):
    """Where the files of a profile go.

    Besides the errors named below, each method may raise `DestinationError` (transient),
    `UncertainResponse` (the request may have taken effect) and `DestinationRefused`
    (permanent: no access, no storage, no folder).
    """

    identity: str
    """Account and place that the IDs are issued to. A stored ID is dropped when it changes."""

    kind: str
    """The name under which errors are counted: `google_drive`, `s3`, `local_folder`."""

    chunk_multiple_bytes: int
    """Every chunk but the last must be a multiple of this."""

    publishes: bool
    """Whether files stay hidden until `publish`. Drive shows them from the start."""

    def new_id(self) -> str:
        """Issue an ID under which at most one file can ever be stored."""

    def check_name(self, name: str) -> None:
        """Raise `DestinationRefused` when a new file could not get this name.

        Path destinations refuse a name that is already taken; Drive accepts any.
        """

    def send_whole(self, file: NewFile, content: bytes) -> DeliveredFile | None:
        """Create the file in one request.

        Returns it if the response describes it completely; otherwise `find_file` does.
        Raises `IdTaken`, `IdInvalid`.
        """

    def open_session(self, file: NewFile) -> str:
        """Open an upload and return the session's address, which works like a password.

        Raises `IdTaken`, `IdInvalid`.
        """

    def send_chunk(self, session: str, content: bytes, *, offset: int, last: bool) -> Held:
        """Send bytes `offset` to `offset + len(content)`; `last` completes the file.

        The destination may take fewer than were sent: continue from `Held.size_bytes`.
        `content` is never empty.
        Raises `SessionExpired`, `IdTaken`, `IdInvalid`.
        """

    def finish(self, session: str, size_bytes: int) -> Held:
        """Complete a file whose `size_bytes` bytes the session already holds, sending none.

        `Held.complete` stays False when the session holds another number of bytes.
        Raises `SessionExpired`, `IdTaken`, `IdInvalid`.
        """

    def held(self, session: str) -> Held:
        """Ask how many bytes have arrived, changing nothing. Raises `SessionExpired`."""

    def find_file(self, file_id: str) -> DeliveredFile | None:
        """The complete file under the ID before it is published, or None when there is none."""

    def link(self, file_id: str, name: str) -> str:
        """Where a person will open the file, before it exists; `find_file` may know better."""

    def publish(self, file_id: str, name: str) -> str:
        """Give a committed file its real name, never overwriting, and return its link.

        Publishing again after success changes nothing. Drive shows files from the start, so
        there it only returns the link.
        Raises `DestinationRefused` when another file has the name.
        """

    def describe(self, file_id: str, text: str) -> None:
        """Attach a note for the reader, if the destination supports it."""

    def metadata(self, file_id: str, name: str) -> FileMetadata | None:
        """The file that was published under the name, in one request; None when it is gone.

        A local folder reads the file, since nothing else knows its digest. S3 knows none, but a
        version.
        """

    def read(self, file_id: str, name: str) -> Iterator[bytes]:
        """Stream the bytes of a delivered, published file."""

    def check(self) -> list[Finding]:
        """Check access and capabilities without lasting changes."""
