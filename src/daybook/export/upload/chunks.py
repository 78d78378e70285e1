"""Chunks: all of an upload but its last bytes, sent one at a time while the next are rendered."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
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
from daybook.export.model.stop_token import wait_for
from daybook.export.slot.slot import Slot
from daybook.export.upload.lookup import bytes_held
from daybook.export.upload.retry_budget import RetryBudget


class RestartUpload(Exception):
    """The session cannot be resumed; render again into a new one under the same ID."""


class Chunks:
    """Sends into one session; the slot stores the digest of each acknowledged prefix."""

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
        """False once a chunk's outcome is unknown; the session must not be resumed then."""

    def send(self, session: str, content: bytes, prefix: Prefix) -> None:
        """Begin to send a chunk; `prefix` is the file up to its end.

        Call `drain` before it: only one chunk may be in flight.
        """
        self._slot.touch_upload()
        start = prefix.size_bytes - len(content)
        # In this run's context, so that the records of the thread carry its fields too.
        future = self._pool.submit(copy_context().run, self._send_all, session, content, start)
        self._in_flight = (future, prefix)
        self.count += 1

    def drain(self) -> None:
        """Wait for the chunk in flight.

        Raises `RestartUpload`, `DestinationError`, `Interrupted`.
        """
        if self._in_flight is None:
            return
        future, prefix = self._in_flight
        self._in_flight = None
        wait_for(future)
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
        wait_for(future)
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
