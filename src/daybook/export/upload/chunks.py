"""Chunks: all of an upload but its last bytes, sent one at a time while the next are rendered."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context

from daybook.destinations.base import Destination
from daybook.errors import (
    DestinationError,
    IdInvalid,
    IdTaken,
    Interrupted,
    SessionExpired,
)
from daybook.export.model.settlement import Prefix
from daybook.export.slot.slot import Slot
from daybook.export.upload.lookup import bytes_held
from daybook.export.upload.retry_budget import RetryBudget

_SLICE_SECONDS = 0.25


class RestartUpload(Exception):
    """The session cannot be carried on; render again into a new one under the same id."""


class Chunks:
    """Sends into one session. Every chunk that is acknowledged is vouched for in the slot."""

    def __init__(
        self, slot: Slot, destination: Destination, retry_budget: RetryBudget, *, filename: str
    ) -> None:
        self._slot = slot
        self._destination = destination
        self._retry_budget = retry_budget
        self._filename = filename
        self._in_flight: tuple[Future[None], Prefix] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upload")
        self.count = 0
        """How many this run has sent."""
        self.answered = True
        """False once a chunk's outcome is unknown; then nobody may carry the session on."""

    def send(self, session: str, content: bytes, prefix: Prefix) -> None:
        """Begin to send a chunk; `prefix` is the file up to its end.

        `settle` comes before, for one may be in flight at a time.
        """
        self._slot.touch_upload()
        start = prefix.size_bytes - len(content)
        # In this run's context, so that the records of the thread carry its fields too.
        future = self._pool.submit(copy_context().run, self._send_all, session, content, start)
        self._in_flight = (future, prefix)
        self.count += 1

    def settle(self) -> None:
        """Wait for the chunk in flight.

        Raises `RestartUpload`, `DestinationError`, `Interrupted`.
        """
        if self._in_flight is None:
            return
        future, prefix = self._in_flight
        self._in_flight = None
        _wait(future)
        try:
            future.result()
        except SessionExpired as error:
            self.answered = False
            raise RestartUpload from error
        except (DestinationError, Interrupted):
            self.answered = False
            raise
        self._slot.store_prefix(prefix)

    def end(self) -> None:
        """Wait for the chunk in flight, which only tells whether it was answered."""
        if self._in_flight is None:
            return
        future, prefix = self._in_flight
        _wait(future)
        if future.exception() is not None:
            self.answered = False
        else:
            self._slot.store_prefix(prefix)

    def close(self) -> None:
        self._pool.shutdown()

    def _send_all(self, session: str, content: bytes, start: int) -> None:
        """Send one chunk, in pieces if the destination takes it so."""
        at = 0
        while at < len(content):
            try:
                held = self._destination.send_chunk(
                    session, content[at:], offset=start + at, last=False
                )
            except (SessionExpired, IdTaken, IdInvalid):
                raise
            except DestinationError as error:
                self._retry_budget.wait(error)
                held = bytes_held(self._destination, session, self._retry_budget)
            arrived = held.size_bytes - start
            if held.complete or not 0 <= arrived <= len(content):
                raise SessionExpired(
                    f"upload of {self._filename}: the session holds {held.size_bytes} bytes, "
                    f"which this run did not send"
                )
            if arrived == at:
                self._retry_budget.wait(
                    DestinationError(f"upload of {self._filename}: no byte of a chunk was taken")
                )
            else:
                self._retry_budget.progress()
            at = arrived


def _wait(future: Future[None]) -> None:
    """Wait in slices: in a main thread that waits for a lock no signal would be noticed."""
    while not future.done():
        wait([future], timeout=_SLICE_SECONDS)
