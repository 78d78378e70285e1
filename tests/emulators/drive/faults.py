"""Faults on demand: what goes wrong, at which request, and how often."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What happens to a request."""

    ANSWER_LOST = "answer_lost"
    """The act takes effect, then the connection is cut without an answer."""
    ANSWER_CUT = "answer_cut"
    """The act takes effect, then the connection is cut in the middle of the answer."""
    CUT_BEFORE = "cut_before"
    """The connection is cut after the request's headers; nothing takes effect."""
    CUT_BODY = "cut_body"
    """The connection is cut after `at_bytes` (default: half) of the request's body. A chunk
    leaves behind what had arrived, rounded down to 256 KiB; other requests leave nothing."""
    DELAY_BEFORE = "delay_before"
    """`seconds` pass before the act. The act happens even if the client has gone."""
    DELAY_AFTER = "delay_after"
    """`seconds` pass between the act and the answer."""
    HOLD_BEFORE = "hold_before"
    """The request waits before the act until `release()`."""
    HOLD_AFTER = "hold_after"
    """The answer waits after the act until `release()`."""
    STATUS = "status"
    """An error with `status` and `reason` in Google's shape; nothing takes effect unless
    `after` is set."""
    HTML_PAGE = "html_page"
    """As STATUS, but the body is an HTML page (`status` is 502 by default)."""
    TRUNCATED_JSON = "truncated_json"
    """The act takes effect; the answer's JSON stops half-way, although HTTP is intact."""
    EMPTY_JSON = "empty_json"
    """The act takes effect; the answer keeps its status, but is `{}`."""
    LYING_MD5 = "lying_md5"
    """The act takes effect; a wrong `md5Checksum` is reported."""
    WRONG_FIELDS = "wrong_fields"
    """The act takes effect; the resource is reported with other values of `fields`, and without
    those that are null there."""
    SESSION_EXPIRED = "session_expired"
    """The upload session is gone from now on; answers `status` (404 by default, or 410)."""
    NOT_MADE = "not_made"
    """The session takes all bytes but does not make the file: 308, with all of them held."""
    PARTIAL_CHUNK = "partial_chunk"
    """Of a chunk only `at_bytes` (default: half), rounded down to 256 KiB, are taken."""


@dataclass(kw_only=True)
class Fault:
    """One planned fault; `hits` counts how often it struck."""

    kind: FaultKind
    on: frozenset[str] | None = None
    """Operations that count; None counts every request."""
    nth: int = 1
    """Strikes first at the nth request that counts, from when the fault was planned."""
    times: int | None = 1
    """How many requests in a row it strikes; None is forever."""
    seconds: float = 0.0
    status: int | None = None
    reason: str | None = None
    message: str | None = None
    at_bytes: int | None = None
    after: bool = False
    fields: Mapping[str, Any] | None = None
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"nth and times start at 1, got {self.nth} and {self.times}")
        if self.kind is FaultKind.STATUS and self.status is None:
            raise ValueError("a status fault needs its status")
        if (self.kind is FaultKind.WRONG_FIELDS) != (self.fields is not None):
            raise ValueError("wrong fields need their values, and nothing else has any")

    def matches(self, operation: str) -> bool:
        """Count the request; True when the fault strikes it."""
        if self.on is not None and operation not in self.on:
            return False
        self.seen += 1
        strikes = self.seen >= self.nth and (
            self.times is None or self.seen < self.nth + self.times
        )
        self.hits += strikes
        return strikes


@dataclass(frozen=True, kw_only=True)
class Struck:
    """The faults that strike one request."""

    faults: tuple[Fault, ...] = ()

    def first(self, *kinds: FaultKind) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind in kinds), None)

    def seconds(self, kind: FaultKind) -> float:
        return sum(fault.seconds for fault in self.faults if fault.kind is kind)


class FaultPlan:
    """All planned faults; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._released = threading.Event()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all faults and let held requests go."""
        with self._lock:
            self._faults.clear()
        self.release()

    def release(self) -> None:
        """Let every request go that a HOLD fault holds now."""
        with self._lock:
            self._released.set()
            self._released = threading.Event()

    def hold(self, closing: threading.Event) -> None:
        """Wait until `release()`, or until the stand-in is closing."""
        with self._lock:
            released = self._released
        while not released.wait(0.05) and not closing.is_set():
            pass

    def strike(self, operation: str) -> Struck:
        with self._lock:
            return Struck(faults=tuple(fault for fault in self._faults if fault.matches(operation)))

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)


def planned(
    kind: FaultKind | str,
    *,
    on: str | Sequence[str] | None = None,
    nth: int = 1,
    times: int | None = 1,
    seconds: float = 0.0,
    status: int | None = None,
    reason: str | None = None,
    message: str | None = None,
    at_bytes: int | None = None,
    after: bool = False,
    fields: Mapping[str, Any] | None = None,
) -> Fault:
    """A fault from plain values, as tests and the control API give them."""
    names = None if on is None else frozenset([on] if isinstance(on, str) else on)
    unknown = (names or frozenset()) - OPERATIONS
    if unknown:
        raise ValueError(f"unknown operations {sorted(unknown)}; known are {sorted(OPERATIONS)}")
    return Fault(
        kind=FaultKind(kind),
        on=names,
        nth=nth,
        times=times,
        seconds=seconds,
        status=status,
        reason=reason,
        message=message,
        at_bytes=at_bytes,
        after=after,
        fields=fields,
    )


OPERATIONS = frozenset(
    {
        "about",
        "chunk",
        "chunk_last",
        "create",
        "create_media",
        "create_multipart",
        "delete",
        "download",
        "drive_get",
        "generateIds",
        "get",
        "list",
        "session_cancel",
        "session_finish",
        "session_open",
        "session_query",
        "unknown",
        "update",
    }
)
