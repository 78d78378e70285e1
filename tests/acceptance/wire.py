"""Both functions behind their real server, and requests to them byte by byte."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from bench.load.process import cpu_seconds
from daybook.http.ledger.routes import ROUTES as LEDGER
from daybook.http.routes import ROUTES as DAYBOOK
from daybook.mongo.migrate import migrate
from tests import forked
from tests.child_processes import children_of
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
UNKNOWN_ID = "0123456789abcdef01234567"

ROUTES = {"daybook": DAYBOOK, "ledger": LEDGER}
EVERY = [(target, route) for target, routes in ROUTES.items() for route in routes]
MAKING = [(target, route) for target, route in EVERY if "POST" in ROUTES[target][route]]
SHOWING = [(target, route) for target, route in EVERY if "GET" in ROUTES[target][route]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    kind: str | None
    allow: str | None
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Server:
    process: forked.Process
    port: int
    output: Path

    def send(self, request: bytes, *, method: str = "GET") -> Answer:
        """Send the bytes and nothing after them."""
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS) as connection:
            # gunicorn answers some requests without reading them to their end.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            response = HTTPResponse(connection, method=method)
            response.begin()
            return Answer(
                status=response.status,
                kind=response.getheader("Content-Type"),
                allow=response.getheader("Allow"),
                body=response.read(),
            )

    def errors(self) -> list[str]:
        """What the log says of requests that reached code of ours, or the server's, as errors."""
        lines = self.output.read_text(errors="replace").splitlines()
        return [line for line in lines if "request_crashed" in line or "Traceback" in line]

    def cpu_seconds(self) -> float:
        """What the worker has computed so far, however busy the machine is."""
        (worker,) = children_of(self.process.pid)
        return cpu_seconds(worker)


@contextmanager
def serving(
    target: str, mongo_uri: str, database: str, folder: Path, **env: str
) -> Iterator[Server]:
    """The function's process; `env` are variables beside those that it needs."""
    port, output = free_port(), folder / f"{target}.log"
    with output.open("wb") as stream:
        process = forked.start(
            [
                *("functions_framework", "--target", target),
                *("--source", str(ROOT / "main.py")),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            {
                **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
                "DAYBOOK_MONGODB_URI": mongo_uri,
                "DAYBOOK_DATABASE": database,
                "DAYBOOK_DESTINATION": folder.as_uri(),
                **env,
            },
            stdout=stream,
            stderr=stream,
        )
    server = Server(process=process, port=port, output=output)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < until, output.read_text()
            try:
                server.send(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                break
            except ConnectionError:
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@contextmanager
def both(
    mongo_uri: str, mongo_client: MongoClient[dict[str, Any]], folder: Path
) -> Iterator[dict[str, Server]]:
    """Both functions on one migrated database."""
    database = f"wire_{ObjectId()}"
    migrate(mongo_client[database], now=datetime.now(UTC))
    with (
        serving("daybook", mongo_uri, database, folder) as daybook,
        serving("ledger", mongo_uri, database, folder) as ledger,
    ):
        yield {"daybook": daybook, "ledger": ledger}
    mongo_client.drop_database(database)


def path_of(route: str) -> str:
    for name in ("ownerUserId", "transactionId", "code", "id"):
        route = route.replace(f"{{{name}}}", UNKNOWN_ID)
    return route.replace("{date}", "2026-01-18")


def method_of(target: str, route: str) -> str:
    return "POST" if "POST" in ROUTES[target][route] else "GET"


def request(
    method: str, path: str | bytes, *headers: str | bytes, body: bytes = b"", version: str = "1.1"
) -> bytes:
    target = path.encode() if isinstance(path, str) else path
    lines = [
        method.encode() + b" " + target + f" HTTP/{version}".encode(),
        b"Host: daybook.example",
        b"Connection: close",
        *(line.encode("latin-1") if isinstance(line, str) else line for line in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
