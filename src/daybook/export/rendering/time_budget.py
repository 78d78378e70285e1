"""The time budget: how long a run has been rendering, and how long it still may."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from daybook.errors import RunTimeout
from daybook.export.model.stop_token import StopToken, wait_for

_T = TypeVar("_T")


class TimeBudget:
    """Adds up the time spent inside `with` blocks; over the limit they raise `RunTimeout`.

    One for all of a run's renderings, so that starting over does not start the clock anew.
    """

    def __init__(self, limit_seconds: float, stop_token: StopToken) -> None:
        self._stop_token = stop_token
        self._limit_seconds = limit_seconds
        self._spent_seconds = 0.0
        self._since = 0.0

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spent_seconds += time.monotonic() - self._since
        if error is None and self._spent_seconds > self._limit_seconds:
            raise self._over()

    def result(self, reading: Future[_T]) -> _T:
        """Wait for what is being read, for no longer than the time that is left.

        Raises `Interrupted` when the process has to end meanwhile.
        """
        left = self._limit_seconds - self._spent_seconds
        if not wait_for(reading, seconds=left, check=self._stop_token.check_process):
            raise self._over()
        return reading.result()

    def _over(self) -> RunTimeout:
        return RunTimeout(
            f"rendering took longer than DAYBOOK_CSV_TIMEOUT_SECONDS ({self._limit_seconds:g} s)"
        )
