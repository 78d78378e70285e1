"""Whether this process has been asked to end (SIGTERM); usable from any thread."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

CUT_AFTER_SECONDS = 3.0
"""How long a request in flight may still take; the process is killed after ten seconds."""


class Shutdown:
    """Whether to stop; one object per process.

    Under functions-framework the signal belongs to gunicorn, whose worker stops taking requests
    and lets those in flight finish. Handlers can be set only in the main thread, where a worker
    runs none of our code, so the worker itself is asked. It is the object that handles the
    signal, and its `alive` says whether the signal came
    (https://github.com/benoitc/gunicorn, gunicorn/workers/base.py).
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._requested_at: float | None = None

    def requested(self) -> bool:
        """Whether current work should stop at its next boundary."""
        if not self._requested.is_set() and _worker_is_stopping():
            self.request()
        return self._requested.is_set()

    def cuts(self) -> bool:
        """Whether even a request in flight has to be abandoned by now."""
        if not self.requested() or self._requested_at is None:
            return False
        return time.monotonic() - self._requested_at > CUT_AFTER_SECONDS

    def request(self) -> None:
        """Ask current work to stop at its next boundary."""
        if self._requested_at is None:
            self._requested_at = time.monotonic()
        self._requested.set()

    def listen(self) -> None:
        """Treat SIGTERM and Ctrl-C as a request, in a command; a second Ctrl-C interrupts it."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.request()


def _worker_is_stopping() -> bool:
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False
