"""Ports of this machine for servers that tests start."""

from __future__ import annotations

import socket
from random import SystemRandom

_GIVEN = range(20_000, 32_768)
"""Below those that Linux and macOS give to outgoing connections: one of these may take a port
between the moment in which it was found free and the moment in which the server listens.
"""


def free_port() -> int:
    """A port on which nothing listens."""
    choices = SystemRandom()
    while True:
        port = choices.choice(_GIVEN)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
