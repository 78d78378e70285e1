"""The clock of this machine, corrected by MongoDB's when it is far off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from daybook import log
from daybook.text.display import duration

TOLERANCE = timedelta(minutes=1)
"""A smaller difference is not corrected: NTP keeps both clocks, and neither is exact."""

_KEPT_SECONDS = 30.0
"""How long a comparison is valid, so that a request makes only one."""
_ASKING_SECONDS = 2.0
"""How long MongoDB may take to answer; a later operation that needs it fails by itself."""
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC)


class MachineClock:
    """Reads this machine's clock, which may be wrong.

    Decisions by time, and times that are stored for other processes, use `compared_with`: a
    process whose clock is a year ahead would otherwise keep the circuit breaker open until
    next year, and take entries for a future day.
    """

    def __init__(self, read: Callable[[], datetime] = _now) -> None:
        self._read = read
        self._lock = Lock()
        self._offset = timedelta()
        self._compared_at: float | None = None

    def __call__(self) -> datetime:
        return self._read()

    def compared_with(self, client: MongoClient[dict[str, Any]]) -> Callable[[], datetime]:
        """The clock, moved by its difference from MongoDB's if that exceeds `TOLERANCE`.

        While MongoDB does not answer, the last known difference counts.
        """
        with self._lock:
            if not self._is_fresh():
                self._compare(client)
            offset = self._offset
        return lambda: self._read() + offset

    def _is_fresh(self) -> bool:
        at = self._compared_at
        return at is not None and time.monotonic() - at < _KEPT_SECONDS

    def _compare(self, client: MongoClient[dict[str, Any]]) -> None:
        before, started = self._read(), time.monotonic()
        try:
            with pymongo.timeout(_ASKING_SECONDS):
                theirs = client.admin.command("hello", codec_options=_AWARE)["localTime"]
        except PyMongoError:
            theirs = None  # what needs MongoDB fails by itself, with a better message
        self._compared_at = time.monotonic()
        if theirs is None:
            return
        waited = timedelta(seconds=self._compared_at - started)
        behind = theirs - (before + waited / 2)
        self._offset = behind if abs(behind) > TOLERANCE else timedelta()
        if self._offset:
            seconds = round(-behind.total_seconds())
            where = "ahead of" if seconds > 0 else "behind"
            log.event(
                logging.WARNING,
                "clock_wrong",
                f"This machine's clock is {duration(abs(seconds))} {where} MongoDB's, which is "
                "used instead: set both by NTP.",
                ahead_seconds=seconds,
            )
