"""Resumable upload sessions.

https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.emulators.drive.answers import DriveError, PlainRefusal, bad_request
from tests.emulators.drive.items import Identity
from tests.emulators.drive.metadata import Metadata

CHUNK_MULTIPLE = 256 * 1024
SESSION_LIFE = timedelta(days=7)

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, kw_only=True)
class ContentRange:
    """A `Content-Range` header; `first` is None for a query."""

    first: int | None
    last: int | None
    total: int | None

    @property
    def is_query(self) -> bool:
        return self.first is None

    @property
    def completes(self) -> bool:
        """True when, with all bytes before it present, the file would be whole."""
        if self.is_query:
            return self.total is not None
        return self.total is not None and self.last == self.total - 1


def parse_range(header: str | None, body_bytes: int) -> ContentRange:
    """The range of a PUT; without a header the body is the whole file."""
    if header is None:
        return ContentRange(first=0, last=body_bytes - 1, total=body_bytes)
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise _unparsable()
    first, last, total = match.groups()
    found = ContentRange(
        first=int(first) if first else None,
        last=int(last) if last else None,
        total=None if total == "*" else int(total),
    )
    if found.first is not None and found.last is not None:
        if found.last < found.first:
            raise _unparsable()
        if found.total is not None and found.last >= found.total:
            raise _unparsable()
    return found


@dataclass(kw_only=True)
class Session:
    """One upload session and what has arrived in it."""

    id: str
    identity: Identity
    metadata: Metadata
    media_type: str | None
    announced_bytes: int | None
    all_drives: bool
    fields: str | None
    opened: datetime
    data: bytearray = field(default_factory=bytearray)
    total: int | None = None
    file_id: str | None = None
    """Set once the file has been made."""
    failure: DriveError | None = None
    """Set once completing it was refused for good; every later PUT gets it again."""
    gone_status: int | None = None
    """404 or 410 once cancelled or made to expire."""

    @property
    def held(self) -> int:
        return len(self.data)

    def check_alive(self, now: datetime) -> None:
        if self.gone_status is not None:
            raise session_gone(self.gone_status)
        if now - self.opened >= SESSION_LIFE:
            raise session_gone(404)

    def take(
        self, sent: ContentRange, body: bytes, *, at_most: int | None = None, whole: bool = True
    ) -> bool:
        """Take a chunk's bytes; True when the file is now complete.

        Bytes that are already held are skipped without being compared. What does not
        complete the file is taken in multiples of 256 KiB only, the rest is dropped.
        `whole` is False for a body that broke off, `at_most` limits what is taken.
        """
        first, last = sent.first, sent.last
        if first is None or last is None:
            return self._complete_at(sent.total)
        if whole and last - first + 1 != len(body):
            raise bad_request(
                f"Invalid request.  The Content-Range header announces {last - first + 1} "
                f"byte(s), the body has {len(body)}."
            )
        self._agree(sent.total)
        if first > self.held:
            raise offset_too_far(first, self.held)
        fresh = body[self.held - first :]
        ends = sent.completes and whole
        if at_most is not None and at_most < len(fresh):
            fresh, ends = fresh[: max(at_most, 0)], False
        if not ends:
            aligned = (self.held + len(fresh)) // CHUNK_MULTIPLE * CHUNK_MULTIPLE
            fresh = fresh[: max(0, aligned - self.held)]
        self.data += fresh
        return ends and self.held == sent.total

    def _complete_at(self, total: int | None) -> bool:
        if total is None:
            return False
        self._agree(total)
        if total < self.held:
            raise bad_request(
                f"Invalid request.  {self.held} byte(s) are held, more than the {total} announced."
            )
        return self.held == total

    def _agree(self, total: int | None) -> None:
        for earlier in (self.total, self.announced_bytes):
            if total is not None and earlier is not None and total != earlier:
                raise bad_request(
                    f"Invalid request.  The total of {total} byte(s) contradicts the "
                    f"{earlier} announced before."
                )
        self.total = total if total is not None else self.total


def offset_too_far(offset: int, held: int) -> DriveError:
    """Drive's own words, double space included, seen with 503 and as plain text."""
    return PlainRefusal(
        503,
        "backendError",
        "Invalid request.  According to the Content-Range header, the upload offset is "
        f"{offset} byte(s), which exceeds already uploaded size of {held} byte(s).",
    )


def session_gone(status: int) -> DriveError:
    return PlainRefusal(status, "notFound", "Not Found" if status == 404 else "Gone")


def _unparsable() -> DriveError:
    return PlainRefusal(400, "badRequest", "Failed to parse Content-Range header.")
