"""A TCP gate in front of a server: open it, shut it (connections break), or stall it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Gate:
    """Listens on `port` of 127.0.0.1 and passes on to `target` while it is open."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._shut = False
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Break all connections, and every new one at once."""
        self._shut = True
        for end in self._pairs:
            _break(end)
        self._pairs.clear()

    def open(self) -> None:
        self._shut = False

    def stall(self) -> None:
        """Keep connections, but let no answer through until `flow`."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self.shut()
        self.flow()
        _break(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self._shut:
                _break(near)
                continue
            far = socket.create_connection(self._target)
            self._pairs += [near, far]
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                self._flowing.wait()
                sink.sendall(content)
        _break(source)
        _break(sink)


def _break(end: socket.socket) -> None:
    with suppress(OSError):  # already broken
        end.shutdown(socket.SHUT_RDWR)
    end.close()
