"""Sharing: credits and debits of several wallets that wait are booked in one transaction.

A process books a few of these groups at a time, each in a lane; what comes meanwhile waits, and
is the next group. Every request holds the lock of its wallet while it waits, so no wallet is in
two groups. A group waits for nothing but MongoDB, and a request for a lane only briefly.

A transaction of many wallets meets more conflicts with other processes than one of a single
wallet, and a conflict costs all its movements. So sharing has a budget of conflicts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from daybook.wallets.waiting import Place, Waiting

LANES = 2
LANE_SECONDS = 0.5
"""How long a group waits for a lane. Then those in the lanes must be stuck, and it starts, too."""
_LINE = "all wallets"

_MOST_CONFLICTS = 5.0
"""The whole budget: as many conflicts, one after the other, end the sharing for a while."""
_PER_SUCCESS = 1 / 3
_PER_SECOND = 1.0
"""What is added to the budget by a group that was booked, and by time."""

Request = TypeVar("Request")
Response = TypeVar("Response")


class Lane:
    """What one group holds; used by one thread."""

    def __init__(self, lanes: threading.Semaphore, *, max_wait_seconds: float) -> None:
        self._lanes = lanes
        self._held = lanes.acquire(timeout=max_wait_seconds)

    def leave(self) -> None:
        """Let the next group start. May be called again."""
        if self._held:
            self._held = False
            self._lanes.release()


class Sharing(Generic[Request, Response]):
    """The lanes of one process, and its budget of conflicts."""

    def __init__(self, *, lane_seconds: float = LANE_SECONDS) -> None:
        self._lane_seconds = lane_seconds
        self._waiting: Waiting[Request, Response] = Waiting(at_once=LANES)
        self._lanes = threading.Semaphore(LANES)
        self._budget = _MOST_CONFLICTS
        self._counted_at = time.monotonic()
        self._lock = threading.Lock()

    def is_affordable(self) -> bool:
        """Whether the budget allows another conflict."""
        return self._count(0.0) >= 1.0

    @contextmanager
    def place(
        self, key: object, request: Request, *, size: int, max_wait_seconds: float
    ) -> Iterator[Place[Request, Response]]:
        """Wait in the line of the process; see `Waiting.place`."""
        with self._waiting.place(
            _LINE, key, request, size=size, max_wait_seconds=max_wait_seconds
        ) as place:
            yield place

    @contextmanager
    def group(
        self, leader: Place[Request, Response]
    ) -> Iterator[tuple[Sequence[Place[Request, Response]], Lane]]:
        """The leader and those that wait behind it, once there is a lane."""
        lane = Lane(self._lanes, max_wait_seconds=self._lane_seconds)
        try:
            with self._waiting.group(leader) as members:
                yield members, lane
        finally:
            lane.leave()

    def succeeded(self) -> None:
        """Count a transaction of several wallets that was committed."""
        self._count(_PER_SUCCESS)

    def conflicted(self) -> None:
        """Count one that another process kept from being booked."""
        self._count(-1.0)

    def _count(self, change: float) -> float:
        now = time.monotonic()
        with self._lock:
            grown = self._budget + (now - self._counted_at) * _PER_SECOND + change
            self._budget, self._counted_at = max(0.0, min(_MOST_CONFLICTS, grown)), now
            return self._budget
