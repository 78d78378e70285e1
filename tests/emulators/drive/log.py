"""What has been asked of the stand-in, for tests to look at and to wait for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LoggedRequest:
    """One request; `status` is None while it is under way and when it got no answer."""

    number: int
    """Counts all requests from 1."""
    nth: int
    """Counts the requests of this operation from 1."""
    operation: str
    method: str
    path: str
    identity: str
    content_range: str | None = None
    body_bytes: int = 0
    status: int | None = None
    acted: bool = False
    """True once the act has been carried out (and perhaps refused)."""
    ended: bool = False
    faults: tuple[str, ...] = ()

    def moment(self, stage: str) -> Moment:
        return Moment(stage=stage, operation=self.operation, number=self.number, nth=self.nth)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A point within a request at which hooks are called."""

    stage: str
    """ "before" the act, with the body arrived (unless CUT_BEFORE strikes: then there will be no
    act), or "after" it, with no answer sent."""
    operation: str
    number: int
    nth: int


Hook = Callable[[Moment], None]


class RequestLog:
    """All requests in the order in which they arrived; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[LoggedRequest] = []
        self._per_operation: Counter[str] = Counter()
        self.bytes_received = 0

    def begin(
        self, *, operation: str, method: str, path: str, identity: str, content_range: str | None
    ) -> LoggedRequest:
        with self._changed:
            self._per_operation[operation] += 1
            entry = LoggedRequest(
                number=len(self._requests) + 1,
                nth=self._per_operation[operation],
                operation=operation,
                method=method,
                path=path,
                identity=identity,
                content_range=content_range,
            )
            self._requests.append(entry)
            self._changed.notify_all()
            return entry

    def note(self, number: int, **changes: Any) -> None:
        with self._changed:
            self._requests[number - 1] = replace(self._requests[number - 1], **changes)
            self._changed.notify_all()

    def received(self, number: int, size: int) -> None:
        with self._changed:
            self.bytes_received += size
            entry = self._requests[number - 1]
            self._requests[number - 1] = replace(entry, body_bytes=entry.body_bytes + size)

    def all(self) -> list[LoggedRequest]:
        with self._changed:
            return list(self._requests)

    def wait_for(
        self, wanted: Callable[[list[LoggedRequest]], bool], timeout_seconds: float
    ) -> list[LoggedRequest]:
        """Block until `wanted` holds for the log; raises TimeoutError."""
        until = time.monotonic() + timeout_seconds
        with self._changed:
            while not wanted(self._requests):
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    seen = dict(self._per_operation)
                    raise TimeoutError(f"not within {timeout_seconds} s; requests seen: {seen}")
            return list(self._requests)
