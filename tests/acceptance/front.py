"""One address for several processes of the function: each connection goes to the next one."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self


class Front:
    """Passes bytes on, as Cloud Run's front end does; give it the ports before a call comes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ports: Sequence[int] = ()
        self.served: Counter[int] = Counter()
        """Port → connections that were passed to it."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        turn = 0
        with suppress(OSError):  # the listener has been closed
            while True:
                caller, _ = self._listener.accept()
                port = self.ports[turn % len(self.ports)]
                turn += 1
                self.served[port] += 1
                function = socket.create_connection(("127.0.0.1", port))
                for source, target in ((caller, function), (function, caller)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other direction has ended the connection
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
