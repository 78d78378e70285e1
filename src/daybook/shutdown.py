"""Whether this process has been told to end (SIGTERM), asked from any thread."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

CUT_AFTER_SECONDS = 3.0
"""How long a request that is under way may still take; the process is killed after ten."""


class Shutdown:
    """One per process.

    Under functions-framework the signal belongs to gunicorn, whose worker stops taking
    requests and lets those under way go on. Handlers may be set in the main thread only,
    where no code of ours runs in a worker; so the worker itself is asked. It is the object
    that handles the signal, and says by `alive` whether it came
    (https://github.com/benoitc/gunicorn, gunicorn/workers/base.py).
    """

    def __init__(self) -> None:
        self._told = threading.Event()
        self._told_at: float | None = None

    def requested(self) -> bool:
        """Whether what is at work should stop at its next boundary."""
        if not self._told.is_set() and _worker_is_stopping():
            self.request()
        return self._told.is_set()

    def cuts(self) -> bool:
        """Whether even a request that is under way has to be given up by now."""
        if not self.requested() or self._told_at is None:
            return False
        return time.monotonic() - self._told_at > CUT_AFTER_SECONDS

    def request(self) -> None:
        """Have whatever is at work stop at its next boundary."""
        if self._told_at is None:
            self._told_at = time.monotonic()
        self._told.set()

    def listen(self) -> None:
        """Take SIGTERM and Ctrl-C as a request, in a command; a second Ctrl-C breaks off."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.request()


def _worker_is_stopping() -> bool:
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False
