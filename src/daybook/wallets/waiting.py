"""Lines of requests that wait for the same wallet, within one process.

The first request of a line leads. It waits until it may change the wallet, takes those that have
arrived meanwhile into its group, and hands the lead to the next. No request depends on its leader:
if the leader fails for any reason, each member continues alone, and a request whose time is up
leaves the line or the group.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from daybook.wallets.striped_locks import TooContended

MAX_MEMBERS = 32
"""Of one group, the leader included: a larger group makes the requests behind it wait longer."""

LINGER_SECONDS = 0.002
"""How long a leader waits for others if a group has just ended: callers that have their answers
often send the next request. It is less than a booking takes; on a quiet wallet there is no wait."""
RECENT_SECONDS = 0.02
"""How long after its end a group counts as just ended."""
_RECORDS = 1024

Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(kw_only=True, eq=False)
class Place(Generic[Request, Response]):
    """The place of one request. Without the lead and without a response, it continues alone."""

    line: Hashable
    key: Hashable
    """No group has two requests with equal keys."""
    request: Request
    size: int = 1
    """How many movements the request has."""
    leads: bool = False
    response: Response | None = None
    """Set by the leader of its group."""
    woken: threading.Event = field(default_factory=threading.Event)
    """Set once the request has the lead or its response, or continues alone."""


class Waiting(Generic[Request, Response]):
    """All places of a process. A line exists while one of its requests leads.

    Of one line, so many groups are booked `at_once`.
    """

    def __init__(self, *, at_once: int = 1) -> None:
        self._at_once = at_once
        self._lines: dict[Hashable, deque[Place[Request, Response]]] = {}
        self._lock = threading.Lock()
        self._group_ended_at = [0.0] * _RECORDS
        """Indexed by the line's hash, so another line's group may make a leader wait too."""

    @contextmanager
    def place(
        self,
        line: Hashable,
        key: Hashable,
        request: Request,
        *,
        size: int = 1,
        max_wait_seconds: float,
    ) -> Iterator[Place[Request, Response]]:
        """Wait in the line; raises `TooContended` after the time."""
        place = Place[Request, Response](line=line, key=key, request=request, size=size)
        try:
            self._enter(place)
            if not place.woken.wait(max_wait_seconds):
                raise TooContended("waited for others on the wallet until the time was up")
            yield place
        finally:
            self._leave(place)

    @contextmanager
    def group(
        self, leader: Place[Request, Response]
    ) -> Iterator[Sequence[Place[Request, Response]]]:
        """The leader and those that wait behind it, who continue when the block ends."""
        record = hash(leader.line) % _RECORDS
        if self._is_alone(leader) and (
            time.monotonic() - self._group_ended_at[record] < RECENT_SECONDS
        ):
            time.sleep(LINGER_SECONDS)
        members = self._take(leader)
        try:
            yield members
        finally:
            for member in members:
                member.woken.set()
            if len(members) > self._at_once:
                self._group_ended_at[record] = time.monotonic()

    def count(self) -> int:
        """How many requests wait in all lines, without those that lead or are in a group."""
        with self._lock:
            return sum(map(len, self._lines.values()))

    def _enter(self, place: Place[Request, Response]) -> None:
        with self._lock:
            if place.line in self._lines:
                self._lines[place.line].append(place)
            else:
                self._lines[place.line] = deque()
                self._lead(place)

    def _is_alone(self, leader: Place[Request, Response]) -> bool:
        with self._lock:
            return not self._lines[leader.line]

    def _take(self, leader: Place[Request, Response]) -> list[Place[Request, Response]]:
        members, room = {leader.key: leader}, MAX_MEMBERS - leader.size
        with self._lock:
            waiting = self._lines[leader.line]
            for place in list(waiting):
                if place.size <= room and place.key not in members:
                    members[place.key] = place
                    room -= place.size
                    waiting.remove(place)
            self._hand_over(leader)
        return list(members.values())

    def _leave(self, place: Place[Request, Response]) -> None:
        with self._lock:
            if place.leads:
                self._hand_over(place)
            elif place in self._lines.get(place.line, ()):
                self._lines[place.line].remove(place)

    def _hand_over(self, leader: Place[Request, Response]) -> None:
        leader.leads = False
        waiting = self._lines[leader.line]
        if waiting:
            self._lead(waiting.popleft())
        else:
            del self._lines[leader.line]

    @staticmethod
    def _lead(place: Place[Request, Response]) -> None:
        place.leads = True
        place.woken.set()
