"""A server that says exactly what a test wants, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket, bytes], None]


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A complete HTTP answer, after which the connection ends."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def google_error(status: int, reason: str, *, location: str = "", message: str = "no") -> bytes:
    """An error in the shape of Google's."""
    body = (
        f'{{"error": {{"code": {status}, "message": "{message}", "errors": [{{"domain": "global", '
        f'"reason": "{reason}", "location": "{location}", "message": "{message}"}}]}}}}'
    )
    return answer(f"{status} -", body.encode(), "Content-Type: application/json")


@contextlib.contextmanager
def serving(handle: Handler | bytes) -> Iterator[str]:
    """Serve until the block ends; `handle` gets each connection and its request's head."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                block = connection.recv(65536)
                if not block:
                    return
                request += block
            if isinstance(handle, bytes):
                _read_body(connection, request)
                connection.sendall(handle)
            else:
                handle(connection, request)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=talk, args=[connection], daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _read_body(connection: socket.socket, request: bytes) -> None:
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    if b"\nexpect: 100-continue" in head.lower():  # botocore would wait a second for it
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while missing > 0:
        block = connection.recv(65536)
        if not block:
            return
        missing -= len(block)
