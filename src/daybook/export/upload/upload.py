"""Uploading the bytes of one file while they are rendered, until it becomes visible.

Requests for what an ID or a session holds are repeated within the retry budget.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from daybook.destinations.base import DeliveredFile, Destination, Held, NewFile
from daybook.errors import (
    DaybookError,
    DestinationError,
    IdInvalid,
    IdTaken,
    Interrupted,
    SessionExpired,
    UncertainResponse,
)
from daybook.export.model.budgets import RetryBudget, StopToken, wait_for
from daybook.export.model.seal import Content, Prefix, Seal, is_as_sent, resume_at
from daybook.export.slot.slot import Slot
from daybook.export.slot.state import UploadState


class RestartUpload(Exception):
    """The session cannot be resumed; render again into a new one under the same ID."""


class Chunks:
    """Sends chunks into one session; the slot stores the digest of each acknowledged prefix."""

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
        """Number of chunks that this run has sent."""
        self.answered = True
        """False once a chunk's outcome is unknown; the session must not be resumed then."""

    def send(self, session: str, content: bytes, prefix: Prefix) -> None:
        """Start sending a chunk; `prefix` is the file up to its end.

        Call `drain` before it: only one chunk may be in flight.
        """
        self._slot.touch_upload()
        start = prefix.size_bytes - len(content)
        # In this run's context, so that log records from the thread carry its fields too.
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
        """Wait for the chunk in flight, only to note whether it was answered."""
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
        """Send one chunk, in pieces if the destination takes only part of it."""
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


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """Sizes in bytes; `chunk` is a multiple of what the destination requires."""

    chunk: int
    whole: int
    """Files up to this size are sent in one request."""


class Upload:
    """Takes the file's bytes in order and sends them in chunks, one in flight at a time.

    Nothing becomes visible before `complete`; before calling it, the caller stores a seal of
    `content()`.
    """

    def __init__(
        self,
        slot: Slot,
        destination: Destination,
        file: NewFile,
        *,
        manifest_digest: str,
        limits: UploadLimits,
        retry_budget: RetryBudget,
        stop_token: StopToken,
        on_conflict: Callable[[], None],
        before_session: Callable[[], None],
    ) -> None:
        self._slot = slot
        self._destination = destination
        self._file = file
        self._manifest_digest = manifest_digest
        self._limits = limits
        self._retry_budget = retry_budget
        self._stop_token = stop_token
        self._on_conflict = on_conflict
        self._before_session = before_session
        self._chunks = Chunks(slot, destination, retry_budget, filename=file.name)
        self._session: str | None = None
        self._skip: Prefix | None = None
        self._buffer = bytearray()
        self._offset = 0  # bytes cut off the buffer so far
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.opened_fence = slot.fence
        """Fence of the run that started the upload, as in the file's properties."""
        self._answered = True
        """False while the outcome of the last request is unknown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end(hand_back=isinstance(error, DaybookError))
        finally:
            self._chunks.close()

    def _end(self, *, hand_back: bool) -> None:
        self._chunks.end()
        answered = self._answered and self._chunks.answered
        if hand_back and answered and self._session is not None:
            self._slot.hand_back_session()

    def resume(self, upload: UploadState) -> None:
        """Resume a session that the previous run handed back; raises `RestartUpload`."""
        try:
            held = bytes_held(self._destination, upload.session, self._retry_budget)
        except SessionExpired as error:
            raise RestartUpload from error
        skip = None if held.complete else resume_at(upload.prefixes, held.size_bytes)
        if skip is None:
            raise RestartUpload
        self._session = upload.session
        self.opened_fence = upload.opened_fence
        self._skip = skip if skip.size_bytes else None

    def write(self, data: bytes) -> None:
        """Take the next bytes; sends whatever exceeds a chunk."""
        self._buffer += data
        if self._skip is not None:
            self._skip_held()
        in_session = self._session is not None or len(self._buffer) > self._limits.whole
        while in_session and self._skip is None and len(self._buffer) > self._limits.chunk:
            self._send(self._cut(self._limits.chunk))

    def content(self) -> Content:
        """Digest of the whole file, including the rest in the buffer; call it once, at the end."""
        if self._skip is not None or not self._buffer:
            raise RestartUpload  # the session holds as much as the file has now, or more
        self._chunks.drain()
        self._stop_at_boundary()
        md5, sha256 = self._md5.copy(), self._sha256.copy()
        md5.update(self._buffer)
        sha256.update(self._buffer)
        return Content(
            size_bytes=self._offset + len(self._buffer),
            md5=md5.hexdigest(),
            sha256=sha256.hexdigest(),
        )

    def complete(self, seal: Seal) -> DeliveredFile | None:
        """Send what makes the file visible and return the file then stored under the ID.

        The response describes that file; unless it does so exactly as sealed, the ID is looked up.
        Returns None when the destination refuses the ID as taken but shows no file under it.
        Raises `RestartUpload`, `IdInvalid`, or the error that used up the retry budget.
        """
        content = bytes(self._buffer)
        whole = self._session is None and len(content) <= self._limits.whole
        if not whole and self._session is None:
            self._open_session()
        at = 0
        while True:
            try:
                self._answered = False
                held = self._complete_once(seal, content, at, whole=whole)
                self._answered = True
            except IdInvalid:
                raise
            except IdTaken as error:
                file = find_conflicting_file(
                    self._destination, self._file.id, self._retry_budget, error
                )
                if file is not None:
                    self._on_conflict()
                return file
            except SessionExpired as error:
                file = find_file(self._destination, self._file.id, self._retry_budget)
                if file is None:
                    raise RestartUpload from error
                return file
            except DestinationError as error:
                self._retry_budget.wait(error)
                file = find_file(self._destination, self._file.id, self._retry_budget)
                if file is not None:
                    return file
                at = self._held_of_last(at)
            else:
                if held.complete:
                    sealed = is_as_sent(held.file, self._file, seal)
                    return held.file if sealed else self._find_sent()
                arrived = self._within(held.size_bytes, len(content))
                if arrived == at:
                    self._retry_budget.wait(
                        DestinationError(
                            f"upload of {self._file.name}: the destination holds "
                            f"{held.size_bytes} bytes, takes no more and does not make the file"
                        )
                    )
                at = arrived

    def _complete_once(self, seal: Seal, content: bytes, at: int, *, whole: bool) -> Held:
        """Send the request that makes the file visible; `at` bytes of `content` are held."""
        size_bytes = self._offset + len(content)
        if whole:
            described = replace(self._file, description=seal.description)
            file = self._destination.send_whole(described, content)
            return Held(size_bytes=size_bytes, complete=True, file=file)
        assert self._session is not None  # noqa: S101  (opened by `complete`)
        self._slot.touch_upload()
        if at == len(content):
            return self._destination.finish(self._session, size_bytes)
        return self._destination.send_chunk(
            self._session, content[at:], offset=self._offset + at, last=True
        )

    def _held_of_last(self, at: int) -> int:
        """How much of an uncertain last chunk the session holds, perhaps all of it."""
        if self._session is None:
            return 0
        try:
            held = self._destination.held(self._session)
        except SessionExpired as error:
            raise RestartUpload from error
        except DestinationError:
            return at  # sending again will show it
        if held.complete:
            return at  # the response to the repeat is the file, or 409
        return self._within(held.size_bytes, len(self._buffer))

    def _within(self, held_bytes: int, length: int) -> int:
        at = held_bytes - self._offset
        if not 0 <= at <= length:
            raise RestartUpload
        return at

    def _find_sent(self) -> DeliveredFile | None:
        while True:
            file = find_file(self._destination, self._file.id, self._retry_budget)
            if file is not None:
                return file
            self._retry_budget.wait(
                UncertainResponse(
                    f"upload of {self._file.name}: the destination answered that the file was "
                    "made, but shows none under its ID"
                )
            )

    def _open_session(self) -> None:
        self._before_session()
        while True:
            try:
                session = self._destination.open_session(self._file)
                break
            except (IdTaken, IdInvalid):
                raise
            except DestinationError as error:
                self._retry_budget.wait(error)  # a second session under the ID is harmless
        self._session = session
        self._slot.store_upload(
            UploadState(
                session=session,
                manifest_digest=self._manifest_digest,
                opened_fence=self.opened_fence,
                filename=self._file.name,
            )
        )

    def _stop_at_boundary(self) -> None:
        """Each invocation sends a chunk, so that even one with too short a deadline progresses."""
        if self._chunks.count:
            self._stop_token.check()
        else:
            self._stop_token.check_process()

    def _send(self, content: bytes) -> None:
        if self._session is None:
            self._open_session()
        self._chunks.drain()
        self._stop_at_boundary()
        assert self._session is not None  # noqa: S101  (opened above)
        prefix = Prefix(size_bytes=self._offset, sha256=self._sha256.hexdigest())
        self._chunks.send(self._session, content, prefix)

    def _cut(self, count: int) -> bytes:
        content = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        self._md5.update(content)
        self._sha256.update(content)
        self._offset += count
        return content

    def _skip_held(self) -> None:
        """Drop what the session already holds, once its digest has been compared."""
        assert self._skip is not None  # noqa: S101  (checked by the caller)
        self._cut(min(len(self._buffer), self._skip.size_bytes - self._offset))
        if self._offset == self._skip.size_bytes:
            if self._sha256.hexdigest() != self._skip.sha256:
                raise RestartUpload
            self._skip = None


def find_file(
    destination: Destination, file_id: str, retry_budget: RetryBudget
) -> DeliveredFile | None:
    """The file stored under the ID; repeats the request while the destination fails."""
    while True:
        try:
            return destination.find_file(file_id)
        except DestinationError as error:
            retry_budget.wait(error)


def find_conflicting_file(
    destination: Destination, file_id: str, retry_budget: RetryBudget, error: IdTaken
) -> DeliveredFile | None:
    """The file under an ID that was refused as taken; None when none appears in time."""
    while True:
        file = find_file(destination, file_id, retry_budget)
        if file is not None:
            return file
        try:
            retry_budget.wait(error)
        except IdTaken:
            return None


def bytes_held(destination: Destination, session: str, retry_budget: RetryBudget) -> Held:
    """What a session holds; repeats the request while the destination fails.

    Raises `SessionExpired`.
    """
    while True:
        try:
            return destination.held(session)
        except SessionExpired:
            raise
        except DestinationError as error:
            retry_budget.wait(error)
