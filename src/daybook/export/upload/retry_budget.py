"""Bounded waiting between repeats of a request inside one run."""

from __future__ import annotations

import random
from collections.abc import Callable

from daybook.errors import DestinationError
from daybook.export.model.stop_token import StopToken

TOTAL_SECONDS = 4.0
FIRST_SECONDS = 0.1


class RetryBudget:
    """Waits with jitter before a repeat, longer each time, `TOTAL_SECONDS` in all."""

    def __init__(self, sleep: Callable[[float], None], stop_token: StopToken) -> None:
        self._sleep = sleep
        self._stop_token = stop_token
        self._left_seconds = TOTAL_SECONDS
        self._next_seconds = FIRST_SECONDS

    def wait(self, error: DestinationError) -> None:
        """Wait before a repeat; raises `error` when it is permanent or patience is used up.

        Raises `Interrupted` when the process has to end.
        """
        self._stop_token.check_process()
        pause = self._next_seconds * random.uniform(0.75, 1.0)  # noqa: S311  (jitter, no secret)
        if error.permanent or pause > self._left_seconds:
            raise error
        self._left_seconds -= pause
        self._next_seconds *= 2
        self._sleep(pause)

    def progress(self) -> None:
        """Something worked: the next wait is short again. What was used up stays so."""
        self._next_seconds = FIRST_SECONDS
