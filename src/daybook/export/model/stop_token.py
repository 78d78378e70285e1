"""When a run stops at its next boundary: at its deadline, or when the process has to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from daybook.errors import Interrupted


class StopToken:
    """Asked at each boundary of a run."""

    def __init__(self, stopping: Callable[[], bool], *, deadline_seconds: float) -> None:
        self._stopping = stopping
        self._deadline_seconds = deadline_seconds
        self._ends_at = time.monotonic() + deadline_seconds

    def check_process(self) -> None:
        """Raise `Interrupted` when the process has been told to end."""
        if self._stopping():
            raise Interrupted("the process was told to end")

    def check(self) -> None:
        """Raise `Interrupted` then, or when the invocation has used up its time."""
        self.check_process()
        if time.monotonic() > self._ends_at:
            raise Interrupted(
                "the invocation has used up DAYBOOK_RUN_DEADLINE_SECONDS "
                f"({self._deadline_seconds:g} s)"
            )
