"""Turns: within one process, what moves the same wallet goes one after the other.

MongoDB lets only one of two transactions on a document win; the other starts over after
a pause. Requests that wait here instead waste no tries and none of them starves. It is a
damper, not a lock: other processes know nothing of it, and the conditional update is
what keeps a balance right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from bson import ObjectId

from daybook.wallets.atomic import TooContended

_STRIPES = 1024


class Turns:
    """One per process. Owners that share a stripe share its turns, which harms nobody."""

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(_STRIPES)]

    @contextmanager
    def of(self, owners: Iterable[ObjectId], *, patience_seconds: float) -> Iterator[None]:
        """Wait for the turn of all these owners' wallets, so long in all. Raises `TooContended`."""
        deadline = time.monotonic() + patience_seconds
        stripes = sorted({int.from_bytes(owner.binary[-4:], "big") % _STRIPES for owner in owners})
        with ExitStack() as stack:
            for stripe in stripes:
                lock = self._locks[stripe]
                if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                    raise TooContended(f"waited {patience_seconds:g} s for others on the wallet")
                stack.callback(lock.release)
            yield
