"""The HTTP side of the stand-in for Cloud Tasks: requests, faults, answers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.emulators.drive.faults import Fault, FaultKind, Struck
from tests.emulators.drive.log import LoggedRequest, Moment
from tests.emulators.tasks.answers import Answer, TasksError, html_page, refusal
from tests.emulators.tasks.routes import Route, find_route

if TYPE_CHECKING:
    from tests.emulators.tasks import TasksEmulator


class ConnectionCut(Exception):
    """The connection is to be cut without an answer."""


class TasksServer(ThreadingHTTPServer):
    """One thread per connection; all connections are cut when it stops."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], emulator: TasksEmulator) -> None:
        super().__init__(address, Handler)
        self.emulator = emulator
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: what goes wrong in a handler is kept by the emulator."""


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 600
    server: TasksServer

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client went away, as clients do in these tests
        except Exception as error:
            self.server.emulator.broke(error)
            raise

    def version_string(self) -> str:
        return "ESF"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr: `requests` is the log."""

    def _serve(self) -> None:
        emulator = self.server.emulator
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        route = find_route(self.command, self.path, body)
        entry = emulator.log.begin(
            operation=route.operation,
            method=self.command,
            path=route.path,
            identity=_identity(self.headers.get("Authorization")),
            content_range=None,
        )
        emulator.log.received(entry.number, len(body))
        struck = emulator.faults.strike(route.operation)
        emulator.log.note(entry.number, faults=tuple(fault.kind for fault in struck.faults))
        try:
            answer = self._answer(route, entry, struck)
            emulator.log.note(entry.number, status=answer.status)
            self._send(answer)
        except ConnectionCut:
            self._cut()
        finally:
            emulator.log.note(entry.number, ended=True)

    def _answer(self, route: Route, entry: LoggedRequest, struck: Struck) -> Answer:
        emulator = self.server.emulator
        emulator.call_hooks(_moment("before", entry))
        emulator.pause(struck.seconds(FaultKind.DELAY_BEFORE))
        if struck.first(FaultKind.HOLD_BEFORE):
            emulator.faults.hold(emulator.closing)
        if struck.first(FaultKind.CUT_BEFORE) or emulator.down == "cut":
            raise ConnectionCut
        if emulator.down:
            return refusal(503).answer()
        planned = struck.first(FaultKind.STATUS, FaultKind.HTML_PAGE)
        if planned and not planned.after:
            return _planned_answer(planned)
        answer = self._act(route)
        emulator.log.note(entry.number, acted=True)
        emulator.call_hooks(_moment("after", entry))
        emulator.pause(struck.seconds(FaultKind.DELAY_AFTER))
        if struck.first(FaultKind.HOLD_AFTER):
            emulator.faults.hold(emulator.closing)
        if struck.first(FaultKind.ANSWER_LOST):
            raise ConnectionCut
        if struck.first(FaultKind.TRUNCATED_JSON):
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        if struck.first(FaultKind.EMPTY_JSON):
            answer = replace(answer, body=b"{}")
        return _planned_answer(planned) if planned else answer

    def _act(self, route: Route) -> Answer:
        emulator = self.server.emulator
        try:
            if emulator.require_auth and not self.headers.get("Authorization"):
                raise refusal(401)
            return route.act(emulator.world, route.call)
        except TasksError as error:
            return error.answer()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _cut(self) -> None:
        """Reset the connection, so that the client knows at once."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _identity(authorization: str | None) -> str:
    return (authorization or "").removeprefix("Bearer ") or "anonymous"


def _moment(stage: str, entry: LoggedRequest) -> Moment:
    return Moment(stage=stage, operation=entry.operation, number=entry.number, nth=entry.nth)


def _planned_answer(fault: Fault) -> Answer:
    if fault.kind is FaultKind.HTML_PAGE:
        return html_page(fault.status or 502)
    return refusal(fault.status or 500, message=fault.message, reason=fault.reason).answer()
