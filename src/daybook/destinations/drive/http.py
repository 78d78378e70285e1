"""HTTP requests to Drive, with a limit on the time of each as a whole."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

import requests
from google.auth.exceptions import GoogleAuthError
from urllib3.exceptions import HTTPError, NewConnectionError

from daybook.destinations.drive.errors import CREDENTIALS_ADVICE, Effect, refused, unanswered
from daybook.errors import UNREADABLE, DestinationError, DestinationRefused

CONNECT_TIMEOUT_SECONDS = 10.0
_BLOCK_BYTES = 64 * 1024
_POLL_SECONDS = 0.25
"""How often a waiting request checks whether the process has to end."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request; `operation` is its name in messages, where the URL must not appear."""

    operation: str
    method: str
    url: str
    effect: Effect
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    body: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A complete response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def never() -> bool:
    """For a process that is never asked to end."""
    return False


class DriveHttp:
    """Sends requests through `session`, each within `timeout_seconds` as a whole.

    A request in flight is abandoned once `cut` says that the process must end.
    """

    def __init__(
        self,
        session: requests.Session,
        *,
        timeout_seconds: float,
        cut: Callable[[], bool] = never,
    ) -> None:
        self._session = session
        self._timeout_seconds = timeout_seconds
        self._cut = cut

    def expect(self, request: Request, *statuses: int, in_session: bool = False) -> HttpResponse:
        """Send, and require one of `statuses`. Raises the error of `refused` for any other."""
        answer = self.send(request)
        if answer.status in statuses:
            return answer
        raise refused(
            request.operation,
            answer.status,
            answer.body,
            effect=request.effect,
            in_session=in_session,
        )

    def send(self, request: Request) -> HttpResponse:
        """Send a request and read its response, whatever its status.

        Socket timeouts restart with every byte, so a server that trickles could hold up the run
        for hours. Therefore the request has a thread of its own, which is stopped when the time
        is over, or when a signal interrupts the wait.

        Raises `DestinationError` when nothing was sent, else the error of `unanswered`.
        """
        stopped = threading.Event()
        outcome: Future[HttpResponse] = Future()

        def run() -> None:
            try:
                outcome.set_result(self._exchange(request, stopped))
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                outcome.set_exception(error)

        # In the caller's context, so that what libraries log has the run's fields.
        work = partial(copy_context().run, run)
        threading.Thread(target=work, name=f"drive {request.operation}", daemon=True).start()
        try:
            error = self._wait_for(request, outcome)
        finally:
            stopped.set()
        if error is not None:
            # The original is not chained: its text quotes the URL, and so a session's address.
            raise _translated(request, error)
        return outcome.result()

    def _wait_for(self, request: Request, outcome: Future[HttpResponse]) -> BaseException | None:
        ends_at = time.monotonic() + self._timeout_seconds
        while True:
            left = ends_at - time.monotonic()
            try:
                return outcome.exception(max(0.0, min(left, _POLL_SECONDS)))
            except TimeoutError:
                if self._cut():
                    reason = "abandoned because the process was asked to end"
                elif left <= _POLL_SECONDS:
                    reason = f"no answer within {self._timeout_seconds:g} s"
                else:
                    continue
            raise unanswered(request.operation, reason, effect=request.effect)

    def _exchange(self, request: Request, stopped: threading.Event) -> HttpResponse:
        with self._session.request(
            request.method,
            request.url,
            params=request.params,
            headers=dict(request.headers or {}),
            data=_RequestBody(request.body, stopped) if request.body else None,
            timeout=(min(CONNECT_TIMEOUT_SECONDS, self._timeout_seconds), self._timeout_seconds),
            allow_redirects=False,  # 308 is a response of the upload protocol
            stream=True,
        ) as response:
            body = bytearray()
            for block in response.iter_content(_BLOCK_BYTES):
                if stopped.is_set():
                    raise _Stopped
                body += block
            return HttpResponse(
                status=response.status_code, headers=response.headers, body=bytes(body)
            )


class _Stopped(Exception):
    """The response is no longer needed."""


class _RequestBody:
    """A request's body in pieces; it can be sent again after a token was renewed."""

    def __init__(self, pieces: tuple[bytes, ...], stopped: threading.Event) -> None:
        self._pieces = pieces
        self._stopped = stopped

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            for start in range(0, len(piece), _BLOCK_BYTES):
                if self._stopped.is_set():
                    raise _Stopped
                yield piece[start : start + _BLOCK_BYTES]


def _translated(request: Request, error: BaseException) -> BaseException:
    kind = type(error).__name__
    if isinstance(error, GoogleAuthError):
        # A token is fetched before the request, or after a 401: Drive has done nothing.
        what = f"Drive {request.operation}: no access token ({kind}). {CREDENTIALS_ADVICE}"
        return DestinationRefused(what) if _token_was_refused(error) else DestinationError(what)
    if isinstance(error, OSError | HTTPError):
        if _never_connected(error):
            return DestinationError(f"Drive {request.operation}: no connection ({kind})")
        return unanswered(
            request.operation, f"the connection failed ({kind})", effect=request.effect
        )
    if isinstance(error, UNREADABLE):
        # From google-auth, which does not check the token server's response.
        return unanswered(
            request.operation, f"an answer could not be read ({kind})", effect=request.effect
        )
    return error


def _token_was_refused(error: GoogleAuthError) -> bool:
    """True when Google refused; False when Google or the metadata server could not be reached.

    google-auth raises `RefreshError` for both; a refusal contains the response body.
    """
    if error.retryable or len(error.args) < 2:
        return False
    body = error.args[1]
    try:
        said = (json.loads(body) if isinstance(body, str) else body)["error"]
        return isinstance(said, str) or 400 <= int(said["code"]) < 429
    except UNREADABLE:
        return False


def _never_connected(error: Exception) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
