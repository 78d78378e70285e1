"""The port that every destination implements.

A destination keeps one file per id. An id is issued once, stored by the caller
before any byte is sent, and whatever races, at most one file comes to be under
it. Bytes are sent whole or through an upload session; a file becomes visible to
`find_file` with the one request that completes it, never half-done.

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
    """Raise `IdInvalid` for an id that could not have come from `new_id`."""
    if not file_id or not set(file_id) <= _ID_CHARACTERS:
        raise IdInvalid(f"file id {file_id!r} is not one that was issued here")


REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """What is known of a file before its first byte is sent."""

    id: str
    name: str
    properties: Mapping[str, str]
    """Travels with the file from the start: profile, date, batch, fence."""


@dataclass(frozen=True, kw_only=True)
class DeliveredFile:
    """A complete file as the destination itself reports it."""

    id: str
    name: str
    size_bytes: int
    md5: str
    """Hex digest of the content, computed by the destination or from what it holds."""
    link: str
    """Where a person opens it; for path destinations the address after publishing."""
    sha256: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Held:
    """How far an upload session has come."""

    size_bytes: int
    """Bytes that the destination holds, counted from the start of the file."""
    complete: bool = False
    """True once the file has been made from them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that `doctor` looked at."""

    name: str
    ok: bool
    detail: str
    """What was found and, when not ok or a warning, what to do about it."""
    warning: bool = False
    """Whether it should be changed although Daybook works with it; only of one that is ok."""


class Destination(Protocol):
    """Where the files of a profile go.

    Every method may raise, beside what it names: `DestinationError` (transient),
    `UncertainResponse` (the request may have taken effect), `DestinationRefused`
    (permanent: no access, no storage, no folder).
    """

    identity: str
    """Whom the ids are issued to. A stored id is dropped when this changes."""

    kind: str
    """What errors are counted under: `google_drive`, `s3`, `local_folder`."""

    chunk_multiple_bytes: int
    """Every chunk but the last must be a multiple of this."""

    publishes: bool
    """Whether files stay hidden until `publish`. Drive shows them from the start."""

    def new_id(self) -> str:
        """Issue an id under which exactly one file can ever come to be."""

    def check_name(self, name: str) -> None:
        """Raise `DestinationRefused` when `name` could not be given to a new file.

        Path destinations refuse a name that is already taken; Drive takes any.
        """

    def send_whole(self, file: NewFile, content: bytes) -> None:
        """Create the file in one request.

        Raises `IdTaken`, `IdInvalid`.
        """

    def open_session(self, file: NewFile) -> str:
        """Begin an upload and return the session's address, which works like a password.

        Raises `IdTaken`, `IdInvalid`.
        """

    def send_chunk(self, session: str, content: bytes, *, offset: int, last: bool) -> Held:
        """Send bytes `offset` to `offset + len(content)`; `last` completes the file.

        The destination may take fewer than were sent: go on from `Held.size_bytes`.
        `content` is never empty.
        Raises `SessionExpired`, `IdTaken`, `IdInvalid`.
        """

    def finish(self, session: str, size_bytes: int) -> Held:
        """Complete a file whose `size_bytes` bytes the session holds already, sending none.

        `Held.complete` stays False where the session holds another number.
        Raises `SessionExpired`, `IdTaken`, `IdInvalid`.
        """

    def held(self, session: str) -> Held:
        """Ask how much has arrived, changing nothing. Raises `SessionExpired`."""

    def find_file(self, file_id: str) -> DeliveredFile | None:
        """The complete file under the id before it is published, or None when there is none."""

    def link(self, file_id: str, name: str) -> str:
        """Where a person will open the file, before it exists; `find_file` may tell it better."""

    def publish(self, file_id: str, name: str) -> str:
        """Give a committed file its real name, never overwriting, and return its link.

        Repeating it after it succeeded changes nothing. Drive shows files from the
        start: there it only returns the link.
        Raises `DestinationRefused` when another file has the name.
        """

    def describe(self, file_id: str, text: str) -> None:
        """Attach a note for the reader, where the destination can hold one."""

    def read(self, file_id: str, name: str) -> Iterator[bytes]:
        """Stream a delivered, published file's bytes."""

    def check(self) -> list[Finding]:
        """Look at access and capabilities without changing anything that lasts."""
