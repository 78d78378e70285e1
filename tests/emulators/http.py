"""The HTTP side that stand-ins have in common: connections, and what becomes of a broken one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, Protocol, TypeVar


class ConnectionCut(Exception):
    """The connection is to be cut without a (complete) answer."""


class Keeper(Protocol):
    """Keeps what goes wrong in handlers."""

    def broke(self, error: Exception) -> None: ...


Emulator = TypeVar("Emulator", bound=Keeper)


class Server(ThreadingHTTPServer, Generic[Emulator]):
    """The connections to a stand-in, with one thread per connection; `cut_all` ends them all."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[Handler], emulator: Emulator
    ) -> None:
        super().__init__(address, handler)
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
        """Cut every open connection, idle ones included."""
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
    server: Server[Any]

    def serve(self) -> None:
        """Answer one request of any method."""
        raise NotImplementedError

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client went away, as clients do in these tests
        except Exception as error:
            self.server.emulator.broke(error)
            raise

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr: `requests` is the log."""

    def read_all(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def cut(self) -> None:
        """Reset the connection, so that the client knows at once."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
