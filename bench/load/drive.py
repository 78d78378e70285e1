"""The Drive stand-in answering as slowly as Drive is seen to, and when it was at work.

Google publishes no response times. These are what users of the API have measured:

- <https://github.com/XTLS/Xray-core/pull/6748>: against a real account, from a server
  10 to 30 ms away, 686 ms for creating a file, 541 ms for changing a description, 229 ms
  for `files.get` by id.
- <https://github.com/SparkFund/google-apps-clj/issues/15>: 625 to 1,615 ms for uploading
  1 KB in one request, about 690 ms in the middle.
- <https://pastebin.com/r14HpHEZ>: a log of rclone 1.62, a chunk of 8 MiB every 2 s.
- <https://github.com/rclone/rclone/issues/397>: 0.7 to 5 MB/s for one user, 25 to 37 MB/s
  of large files for another, both on 1 Gbit/s.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.faults import FaultKind
from tests.emulators.drive.log import LoggedRequest, RequestLog

READ_SECONDS = 0.23
CHANGE_SECONDS = 0.54
CREATE_SECONDS = 0.69
UPLOAD_BYTES_PER_SECOND = 5_000_000.0

ANSWER_SECONDS: Mapping[str, float] = {
    "generateIds": READ_SECONDS,
    "get": READ_SECONDS,
    "session_query": READ_SECONDS,
    "chunk": READ_SECONDS,  # with 8 MiB at the speed above it makes the 2 s of the log
    "session_open": CREATE_SECONDS,  # an assumption, as for the next
    "chunk_last": CREATE_SECONDS,
    "create_multipart": CREATE_SECONDS,
    "update": CHANGE_SECONDS,
}
"""How long an answer takes beside the bytes, by the stand-in's name of the request."""

_UPLOADS = frozenset({"chunk", "chunk_last", "create_multipart"})
_LAST_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One request; both times are of `time.monotonic()`."""

    operation: str
    body_bytes: int
    began: float
    ended: float


class PacedDrive:
    """The stand-in, `slower` times as slow as `ANSWER_SECONDS` and the speed above say."""

    def __init__(self, emulator: DriveEmulator, *, slower: float) -> None:
        self.emulator = emulator
        self._log = _TimedLog()
        emulator.log = self._log
        emulator.bytes_per_second = UPLOAD_BYTES_PER_SECOND / slower
        for operation, seconds in ANSWER_SECONDS.items():
            emulator.fault(
                FaultKind.DELAY_AFTER, on=operation, times=None, seconds=seconds * slower
            )

    @property
    def url(self) -> str:
        return self.emulator.url

    @property
    def folder_id(self) -> str:
        return self.emulator.folder_id

    def answered(self) -> list[Answered]:
        """All requests so far, in order, once the last of them has its answer."""
        self._log.wait_for(
            lambda found: all(request.ended for request in found), _LAST_ANSWER_SECONDS
        )
        return self._log.answered()


@contextmanager
def paced_drive(*, slower: float) -> Iterator[PacedDrive]:
    """A stand-in of its own, empty, on a free port."""
    with DriveEmulator() as emulator:
        yield PacedDrive(emulator, slower=slower)


def busy_seconds(requests: list[Answered]) -> float:
    """How long at least one of them was under way."""
    total, until = 0.0, float("-inf")
    for request in sorted(requests, key=lambda request: request.began):
        total += max(0.0, request.ended - max(until, request.began))
        until = max(until, request.ended)
    return total


def by_operation(requests: list[Answered]) -> dict[str, int]:
    return dict(sorted(Counter(request.operation for request in requests).items()))


def uploaded_bytes(requests: list[Answered]) -> int:
    """The bodies of all uploads; a multipart one has some 600 bytes beside the file."""
    return sum(request.body_bytes for request in requests if request.operation in _UPLOADS)


class _TimedLog(RequestLog):
    """The stand-in's log, with the time at which each request began and ended."""

    def __init__(self) -> None:
        super().__init__()
        self._times = threading.Lock()
        self._began: dict[int, float] = {}
        self._ended: dict[int, float] = {}

    def begin(self, **about: Any) -> LoggedRequest:
        at = time.monotonic()
        entry = super().begin(**about)
        with self._times:
            self._began[entry.number] = at
        return entry

    def note(self, number: int, **changes: Any) -> None:
        if changes.get("ended"):
            with self._times:
                self._ended[number] = time.monotonic()
        super().note(number, **changes)

    def answered(self) -> list[Answered]:
        with self._times:
            return [
                Answered(
                    operation=request.operation,
                    body_bytes=request.body_bytes,
                    began=self._began[request.number],
                    ended=self._ended[request.number],
                )
                for request in self.all()
                if request.number in self._ended
            ]
