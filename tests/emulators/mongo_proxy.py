"""A TCP proxy between a MongoDB client and a real mongod that shows each command to a hook.

It reads the wire protocol's messages and changes no byte of them, except in a handshake that
a test alters. A test cuts, delays, or kills the client at any command it chooses.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

from tests.emulators.mongo_wire import OP_QUERY, OP_REPLY, decode, header_of, receive, with_body

HELLO = frozenset({"hello", "ismaster"})
UNCOUNTED = frozenset({*HELLO, "ping", "endsessions", "saslstart", "saslcontinue", "authenticate"})
"""Handshake and monitoring, in lower case; they pass without being shown."""


class Phase(Enum):
    BEFORE = "before"  # the command has come, mongod has not seen it
    AFTER = "after"  # mongod has answered, the client has not seen it


class Action(Enum):
    FORWARD = "forward"
    CUT = "cut"  # close this connection on both sides, forwarding nothing more


FORWARD, CUT = Action.FORWARD, Action.CUT


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command that a client sent, numbered from 1 in order of arrival."""

    number: int
    name: str
    database: str
    collection: str | None

    def __str__(self) -> str:
        return f"{self.number} {self.name} {self.collection or ''}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Event:
    """What the hook is shown, twice for each command that is answered."""

    command: Command
    phase: Phase
    document: dict[str, Any]
    """The command's body, with its document sequences under their names."""
    reply: dict[str, Any] | None = None
    """mongod's answer, in the phase AFTER."""

    @property
    def number(self) -> int:
        return self.command.number

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def collection(self) -> str | None:
        return self.command.collection


Hook = Callable[[Event], Action | None]
"""Called on the connection's own thread: blocking it delays that connection only.

None forwards. After a hook killed the client, FORWARD lets mongod still carry out the
command, like one that was on its way; CUT means that it never arrived.
"""


Handshake = Callable[[dict[str, Any]], dict[str, Any]]
"""Gets mongod's answer to the first `hello` of a connection, returns what the client gets."""


def neither(answer: dict[str, Any]) -> dict[str, Any]:
    """A handshake as a member answers it for some milliseconds while it steps down or up."""
    role = {"isWritablePrimary": False, "ismaster": False, "secondary": False}
    return answer | {name: value for name, value in role.items() if name in answer}


class MongoProxy:
    """`with MongoProxy("127.0.0.1", port) as proxy: MongoClient(proxy.uri)`.

    Leaving the block closes every connection and raises what a hook raised, if any did.
    """

    def __init__(self, target_host: str, target_port: int, hook: Hook | None = None) -> None:
        self._target = (target_host, target_port)
        self._lock = threading.Lock()
        self._commands: list[Command] = []
        self._connections: set[_Connection] = set()
        self._failures: list[Exception] = []
        self._down = False
        self._closed = False
        self.hook = hook
        self.handshake: Handshake | None = None

    @property
    def uri(self) -> str:
        """Direct, so that the client does not go on to the address mongod gives itself."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @property
    def commands(self) -> tuple[Command, ...]:
        """All counted commands so far."""
        with self._lock:
            return tuple(self._commands)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="mongo-proxy", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        # Closing alone would leave the acceptor asleep in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in self.cut():
            connection.join()
        if self._failures and error is None:
            raise ExceptionGroup("the proxy's hook or framing failed", self._failures)

    def cut(self) -> list[_Connection]:
        """Close every connection that is open now; new ones are accepted."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        return connections

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Cut everything, and refuse new connections until the block ends."""
        self._down = True
        self.cut()
        try:
            yield
        finally:
            self._down = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            if self._down:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()  # as a mongod that does not run would
                continue
            server.settimeout(None)
            connection = _Connection(self, client, server)
            with self._lock:
                self._connections.add(connection)
            connection.start()
            if self._down or self._closed:
                connection.close()

    def _number(self, document: dict[str, Any]) -> Command | None:
        name = next(iter(document))
        if name.lower() in UNCOUNTED:
            return None
        target = document.get("collection") if name == "getMore" else document[name]
        with self._lock:
            command = Command(
                number=len(self._commands) + 1,
                name=name,
                database=document["$db"],
                collection=target if isinstance(target, str) else None,
            )
            self._commands.append(command)
        return command

    def _show(self, event: Event) -> bool:
        """Whether the message may pass."""
        hook = self.hook
        return hook is None or hook(event) is not CUT

    def _handshake(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer if self.handshake is None else self.handshake(answer)

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def _fail(self, error: Exception) -> None:
        self._failures.append(error)


class _Connection:
    """One client connection and its twin to mongod, pumped by a thread in each direction."""

    def __init__(self, proxy: MongoProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._pending: dict[int, tuple[Command, dict[str, Any]]] = {}
        self._greeted = False
        self._hello_id: int | None = None
        self._lock = threading.Lock()
        self._running = 2
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [
            threading.Thread(target=self._pump, args=args, name="mongo-proxy-pump", daemon=True)
            for args in ((client, server, self._command), (server, client, self._reply))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Wake both threads; the last one to leave closes the sockets."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):  # the peer was faster
                end.shutdown(socket.SHUT_RDWR)

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        passed: Callable[[bytes], bytes | None],
    ) -> None:
        try:
            while (message := receive(source)) is not None:
                if (forwarded := passed(message)) is None:
                    break
                sink.sendall(forwarded)
        except OSError:
            pass  # cut by the peer, or by `close`
        except Exception as error:  # noqa: BLE001  # shown where the `with` block ends
            self._proxy._fail(error)
        finally:
            self.close()
            if self._last_to_leave():
                self._client.close()
                self._server.close()
                self._proxy._forget(self)

    def _last_to_leave(self) -> bool:
        with self._lock:
            self._running -= 1
            return self._running == 0

    def _command(self, message: bytes) -> bytes | None:
        header = header_of(message)
        if header.opcode == OP_QUERY:  # the first handshake of an older driver
            return message
        document = decode(message)
        if not self._greeted and next(iter(document)).lower() in HELLO:
            self._hello_id = header.request_id
        self._greeted = True
        command = self._proxy._number(document)
        if command is None:
            return message
        self._pending[header.request_id] = (command, document)
        shown = Event(command=command, phase=Phase.BEFORE, document=document)
        return message if self._proxy._show(shown) else None

    def _reply(self, message: bytes) -> bytes | None:
        header = header_of(message)
        if header.response_to == self._hello_id:
            self._hello_id = None
            answer = decode(message)
            given = self._proxy._handshake(answer)
            return message if given is answer else with_body(message, given)
        asked = self._pending.pop(header.response_to, None)
        if header.opcode == OP_REPLY or asked is None:
            return message
        command, document = asked
        shown = Event(command=command, phase=Phase.AFTER, document=document, reply=decode(message))
        return message if self._proxy._show(shown) else None
