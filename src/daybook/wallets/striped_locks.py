"""Striped locks: within one process, movements of the same wallet run one after the other.

MongoDB lets only one of two transactions on a document win; the other starts over after
a pause. Requests that wait for a lock here waste no tries, and none of them starves. The locks
only save retries: other processes do not see them, and the conditional update is what keeps a
balance right.

A lock is held briefly, unless another process blocks a wallet for long, such as one that died
in its transaction: then each try ends in a conflict while the wallet does not change. A process
has few threads, and one such wallet must not occupy all of them. So once this is detected, the
requests that wait for the wallet are counted, and those beyond a limit are refused at once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from bson import ObjectId

from daybook.errors import DatabaseError

_STRIPES = 1024
HELD_AFTER_SECONDS = 1.0
"""After conflicts for this long with an unchanged wallet, another process must hold it."""

Versions = Callable[[], Sequence[Any]]
"""Reads the current version of each wallet that a request moves."""


class TooContended(DatabaseError):
    """Other requests held the same documents, or kept changing them, until the time was up.

    A request that was not in a group has changed nothing. One whose time ends while the leader of
    its group commits may be booked all the same: the same request under the same key shows it.
    """


class StripedLocks:
    """The locks of one process, which serves `threads` requests at once; None means no limit.

    At most half of the threads wait for wallets of one stripe that other processes hold, and at
    most three quarters for any wallets that they hold. Owners that share a stripe share its lock.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        self._stalled: Counter[int] = Counter()
        self._all_stalled = 0
        self._counts = threading.Lock()
        self._most_at_one = None if threads is None else max(1, threads // 2)
        self._most_in_all = None if threads is None else max(1, threads - max(1, threads // 4))

    @contextmanager
    def of(
        self, owners: Iterable[ObjectId], versions: Versions, *, max_wait_seconds: float
    ) -> Iterator[HeldStripes]:
        """Hold the locks of all these owners' wallets. Raises `TooContended` after the wait."""
        stripes = sorted({int.from_bytes(owner.binary[-4:], "big") % _STRIPES for owner in owners})
        held_stripes = HeldStripes(
            self, stripes, versions, deadline=time.monotonic() + max_wait_seconds
        )
        try:
            held_stripes.take()
            yield held_stripes
        finally:
            held_stripes.end()

    def lock(self, stripe: int) -> threading.Lock:
        return self._locks[stripe]

    def is_held(self, stripes: Collection[int]) -> bool:
        """Whether a request waits for a wallet of these stripes that another process holds."""
        with self._counts:
            return any(self._stalled[stripe] for stripe in stripes)

    def stall(self, stripes: Collection[int]) -> None:
        """Count a request that waits for another process. Raises `TooContended`."""
        with self._counts:
            if self._all_stalled == self._most_in_all or any(
                self._stalled[stripe] == self._most_at_one for stripe in stripes
            ):
                raise TooContended("others hold the wallet, and enough requests wait for them")
            self._stalled.update(stripes)
            self._all_stalled += 1

    def unstall(self, stripes: Collection[int]) -> None:
        with self._counts:
            self._stalled.subtract(stripes)
            self._stalled = +self._stalled
            self._all_stalled -= 1


class HeldStripes:
    """The locks that one request holds; used by one thread."""

    def __init__(
        self,
        striped_locks: StripedLocks,
        stripes: Collection[int],
        versions: Versions,
        *,
        deadline: float,
    ) -> None:
        self._striped_locks = striped_locks
        self._stripes = stripes
        self._versions = versions
        self._deadline = deadline
        self._held: ExitStack | None = None
        self._is_stalled = False
        self._seen: Sequence[Any] | None = None
        self._seen_at = 0.0

    @property
    def is_stalled(self) -> bool:
        """Whether this request is counted as waiting for another process."""
        return self._is_stalled

    @property
    def is_held_elsewhere(self) -> bool:
        """Whether some request is counted as waiting for another process that holds a wallet."""
        return self._striped_locks.is_held(self._stripes)

    def take(self) -> None:
        """Acquire the locks, unless they are held already. Raises `TooContended`."""
        if self._held is not None:
            return
        with ExitStack() as held:
            for lock in map(self._striped_locks.lock, self._stripes):
                if not lock.acquire(timeout=max(0.0, self._deadline - time.monotonic())):
                    raise TooContended("waited for others on the wallet until the time was up")
                held.callback(lock.release)
            self._held = held.pop_all()

    def conflicted(self) -> None:
        """After a try that met a conflict: keep the locks, unless another process holds the wallet.

        In that case release them, so that the second wallet of a transfer is free while another
        process holds the first, and count this request as waiting. Raises `TooContended` when
        too many requests wait already.
        """
        if not (
            self._is_stalled or self._striped_locks.is_held(self._stripes) or self._sees_no_change()
        ):
            return
        self._release()
        if not self._is_stalled:
            self._striped_locks.stall(self._stripes)
            self._is_stalled = True

    def _sees_no_change(self) -> bool:
        now = time.monotonic()
        if self._seen is not None and now - self._seen_at < HELD_AFTER_SECONDS:
            return False
        before, self._seen, self._seen_at = self._seen, self._versions(), now
        return before is not None and any(
            was == is_ for was, is_ in zip(before, self._seen, strict=True)
        )

    def end(self) -> None:
        self._release()
        if self._is_stalled:
            self._striped_locks.unstall(self._stripes)
            self._is_stalled = False

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
