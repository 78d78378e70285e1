"""The limits of a run: its stop token, time budget and retry budget."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from daybook.errors import DestinationError, Interrupted, RunTimeout

_SLICE_SECONDS = 0.25


class StopToken:
    """Tells a run at each boundary whether to stop."""

    def __init__(self, stopping: Callable[[], bool], *, deadline_seconds: float) -> None:
        self._stopping = stopping
        self._deadline_seconds = deadline_seconds
        self._ends_at = time.monotonic() + deadline_seconds

    def check_process(self) -> None:
        """Raise `Interrupted` when the process has been asked to end."""
        if self._stopping():
            raise Interrupted("the process was asked to end")

    def check(self) -> None:
        """Raise `Interrupted` also when the invocation has used up its time."""
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
    """Wait until `future` is done, for at most `seconds`; returns whether it is done.

    It waits in slices, with `check` before each: a main thread that waits on a lock runs no
    signal handler.
    """
    ends_at = time.monotonic() + seconds
    while not future.done():
        check()
        left = ends_at - time.monotonic()
        if left <= 0:
            return False
        wait([future], timeout=min(left, _SLICE_SECONDS))
    return True


_T = TypeVar("_T")


class TimeBudget:
    """Adds up the time spent inside `with` blocks; beyond the limit they raise `RunTimeout`.

    All renderings of a run share one budget, so starting over does not reset it. `clock` gives
    seconds and never goes back.
    """

    def __init__(
        self,
        limit_seconds: float,
        stop_token: StopToken,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop_token = stop_token
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._spent_seconds = 0.0
        self._since = 0.0

    def __enter__(self) -> Self:
        self._since = self._clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spent_seconds += self._clock() - self._since
        if error is None and self._spent_seconds > self._limit_seconds:
            raise self._over()

    def result(self, reading: Future[_T]) -> _T:
        """Wait for a read, at most for the rest of the budget.

        Raises `Interrupted` when the process has to end.
        """
        left = self._limit_seconds - self._spent_seconds
        if not wait_for(reading, seconds=left, check=self._stop_token.check_process):
            raise self._over()
        return reading.result()

    def _over(self) -> RunTimeout:
        return RunTimeout(
            f"rendering took longer than DAYBOOK_CSV_TIMEOUT_SECONDS ({self._limit_seconds:g} s)"
        )


TOTAL_SECONDS = 4.0
FIRST_SECONDS = 0.1


class RetryBudget:
    """Waits with jitter before a repeat, longer each time, at most `TOTAL_SECONDS` in all."""

    def __init__(self, sleep: Callable[[float], None], stop_token: StopToken) -> None:
        self._sleep = sleep
        self._stop_token = stop_token
        self._left_seconds = TOTAL_SECONDS
        self._next_seconds = FIRST_SECONDS

    def wait(self, error: DestinationError) -> None:
        """Wait before a repeat; raises `error` when it is permanent or the budget is used up.

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
        """Make the next wait short again after a success. The budget is not refilled."""
        self._next_seconds = FIRST_SECONDS
