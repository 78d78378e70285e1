"""The stop token: a run stops at its next boundary after its deadline or after SIGTERM."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from daybook.errors import Interrupted

_SLICE_SECONDS = 0.25


class StopToken:
    """Checked at each boundary of a run."""

    def __init__(self, stopping: Callable[[], bool], *, deadline_seconds: float) -> None:
        self._stopping = stopping
        self._deadline_seconds = deadline_seconds
        self._ends_at = time.monotonic() + deadline_seconds

    def check_process(self) -> None:
        """Raise `Interrupted` when the process has been told to end."""
        if self._stopping():
            raise Interrupted("the process was told to end")

    def check(self) -> None:
        """Raise `Interrupted` then, and also when the invocation has used up its time."""
        self.check_process()
        if time.monotonic() > self._ends_at:
            raise Interrupted(
                "the invocation has used up DAYBOOK_RUN_DEADLINE_SECONDS "
                f"({self._deadline_seconds:g} s)"
            )


def wait_for(
    future: Future[Any],
    *,
    seconds: float = math.inf,
    check: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until `future` is done, for at most `seconds`; whether it is.

    In slices, with `check` before each: a main thread that waits on a lock runs no signal
    handler.
    """
    ends_at = time.monotonic() + seconds
    while not future.done():
        check()
        left = ends_at - time.monotonic()
        if left <= 0:
            return False
        wait([future], timeout=min(left, _SLICE_SECONDS))
    return True
