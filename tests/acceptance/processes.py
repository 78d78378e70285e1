"""The function's processes as they are deployed: to be told to end, killed, and replaced.

One address leads to whichever process is in service, as Cloud Run's does; tasks are
delivered there. MongoDB, Drive and the queue stay where they are.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from daybook.mongo.migrate import migrate
from tests import forked
from tests.child_processes import children_of
from tests.emulators.drive import DriveEmulator
from tests.emulators.mongo_proxy import Hook, MongoProxy
from tests.emulators.tasks import QUEUE, TasksEmulator
from tests.faults.invariants import Rest
from tests.ports import free_port
from tests.reusable import empty

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.01
_UNANSWERED_SECONDS = 0.5
CHUNK_BYTES = 256 * 1024
DAY, NEXT_DAY = "2026-01-18", "2026-01-19"
PASSWORD = "correct-horse-battery"
SECRET_TEXTS = (PASSWORD, "Consulting for", "Petty cash", "TAX-")
"""The password of MongoDB, and what entries say."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
"""Of the requests that tests make themselves."""


class Instance:
    """functions-framework with its gunicorn: a parent that gets the signals, and a worker."""

    def __init__(self, env: Mapping[str, str], output: Path) -> None:
        self.env = dict(env)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = output
        self._looked_at = 0
        self._ready = False
        self.told = False
        """Whether it has been told to end, so that it serves nobody any more."""
        with output.open("wb") as stream:
            self._process = forked.start(
                [
                    *("functions_framework", "--target", "daybook"),
                    *("--source", str(ROOT / "main.py")),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                ],
                {
                    **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
                    **self.env,
                },
                stdout=stream,
                stderr=stream,
            )

    def ready(self) -> Instance:
        """Wait until it answers; it has its connection to MongoDB then."""
        until = time.monotonic() + START_SECONDS
        while not self._ready:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < until, f"not ready within {START_SECONDS:g} s: {self.output}"
            try:
                requests.get(f"{self.url}/health", timeout=START_SECONDS)
            except requests.ConnectionError:
                time.sleep(_POLL_SECONDS)
            else:
                self._ready = True
        return self

    # Requests

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, **headers: str
    ) -> requests.Response:
        """Headers as keywords, with `_` for `-`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return requests.post(
            self.url + path,
            json=dict(body or {}),
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", **named},
            timeout=ANSWER_SECONDS,
        )

    def begin(
        self, path: str, body: Mapping[str, Any] | None = None, **headers: str
    ) -> Future[requests.Response]:
        """The same, answered in the future."""
        return in_background(lambda: self.post(path, body, **headers))

    # Ends

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def worker(self) -> int:
        """The process id of the only worker (on Linux)."""
        (pid,) = children_of(self._process.pid)
        return pid

    def tell_to_end(self, *, worker: bool = False) -> None:
        """SIGTERM, to the parent as Cloud Run sends it, or past it."""
        self.told = self.told or not worker
        os.kill(self.worker if worker else self._process.pid, signal.SIGTERM)

    def wait_until_told(self) -> None:
        """Until the worker knows: it takes no further request then."""
        while True:
            try:
                requests.get(f"{self.url}/health", timeout=_UNANSWERED_SECONDS)
            except requests.RequestException:
                return

    def wait(self, seconds: float) -> int:
        """Its exit code; raises TimeoutExpired when it has not ended within `seconds`."""
        return self._process.wait(seconds)

    def crash(self) -> None:
        """SIGKILL for both processes at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    # What it said

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def said_since_last(self) -> str:
        """What it has put out since this was asked last."""
        output = self.output
        new, self._looked_at = output[self._looked_at :], len(output)
        return new

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its log; raises ValueError for a line that is no JSON."""
        return [json.loads(line) for line in self.output.splitlines()]


class Instances:
    """Starts processes, one of each kind ahead of its time, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spares: dict[tuple[tuple[str, str], ...], Instance] = {}
        self.started: list[Instance] = []

    def start(self, env: Mapping[str, str], *, spare: bool = False) -> Instance:
        """A process that is ready; with `spare` the next one like it warms up already."""
        kind = tuple(sorted(env.items()))
        instance = self._spares.pop(kind, None) or self._begin(env)
        instance.ready()
        if spare:
            self._spares[kind] = self._begin(env)
        return instance

    def end(self) -> None:
        for instance in self.started:
            instance.crash()

    def _begin(self, env: Mapping[str, str]) -> Instance:
        instance = Instance(env, self._folder / f"{len(self.started)}.log")
        self.started.append(instance)
        return instance


class Front:
    """A TCP address whose connections go on to the process that is in service."""

    def __init__(self) -> None:
        self._target: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, instance: Instance) -> None:
        self._target = instance.port

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target or 0))
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


def in_background(call: Callable[[], requests.Response]) -> Future[requests.Response]:
    outcome: Future[requests.Response] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again by the waiting thread)
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def until(holds: Callable[[], object], *, within_seconds: float) -> float:
    """How long it took until `holds`; fails when it does not within the time."""
    started = time.monotonic()
    while not holds():
        passed = time.monotonic() - started
        assert passed < within_seconds, f"not within {within_seconds:g} s"
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


class Stage:
    """A database, a Drive and a queue, and the process that is in service.

    `reset` empties the database and puts a new Drive and a new queue in the place of the
    old ones, so that processes can be shared. With `proxied` a hook sees every command
    that goes to MongoDB.
    """

    def __init__(
        self,
        client: MongoClient[dict[str, Any]],
        mongo_uri: str,
        folder: Path,
        *,
        proxied: bool = False,
        **env: str,
    ) -> None:
        self.database = client[f"processes_{ObjectId()}"]
        self._server = parse_uri(mongo_uri)["nodelist"][0]
        self._proxied = proxied
        self._env = env
        self._ports = free_port(), free_port()
        self._instances = Instances(folder)
        self._in_service: dict[str, Instance] = {}
        self._whole, self._parts = ExitStack(), ExitStack()

    def __enter__(self) -> Self:
        self._whole.callback(self._instances.end)
        migrate(self.database, now=datetime.now(UTC))
        self._whole.callback(self.database.client.drop_database, self.database.name)
        self.database.command("createUser", "daybook", pwd=PASSWORD, roles=["readWrite"])
        self._whole.callback(self.database.command, "dropUser", "daybook")
        self.front = Front()
        self._whole.callback(self.front.close)
        host, port = self._server
        if self._proxied:
            self._proxy = self._whole.enter_context(MongoProxy(host, port))
            host, port = "127.0.0.1", self._proxy.port
        self._mongo = f"mongodb://daybook:{PASSWORD}@{host}:{port}/?directConnection=true"
        self.reset()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parts.__exit__(kind, error, trace)
        self._whole.__exit__(kind, error, trace)

    def reset(self) -> None:
        self.watch(None)
        self._parts.close()
        empty(self.database)
        self._parts = ExitStack()
        drive, tasks = self._ports
        self.drive = self._parts.enter_context(DriveEmulator(port=drive))
        self.tasks = self._parts.enter_context(TasksEmulator(port=tasks))

    def watch(self, hook: Hook | None) -> None:
        """Have `hook` see the commands to MongoDB from here on."""
        if self._proxied:
            self._proxy.hook = hook

    # Processes

    def serve(self, kind: str = "", *, spare: bool = False, **env: str) -> Instance:
        """The process in service of this kind, or a new one; tasks go to it from here on."""
        instance = self._in_service.get(kind)
        if instance is None or instance.told or not instance.running:
            instance = self._instances.start(self._environment(env), spare=spare)
            self._in_service[kind] = instance
        self.front.lead_to(instance)
        return instance

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """What is empty in `env` is not set."""
        every = {
            "DAYBOOK_MONGODB_URI": f"{self._mongo}&authSource={self.database.name}",
            "DAYBOOK_DATABASE": self.database.name,
            "DAYBOOK_DESTINATION": f"drive://{self.drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": self.drive.url,
            "DAYBOOK_TASKS_QUEUE": QUEUE,
            "DAYBOOK_TASKS_ENDPOINT": self.tasks.url,
            "DAYBOOK_SERVICE_URL": self.front.url,
            "DAYBOOK_UPLOAD_CHUNK_BYTES": str(CHUNK_BYTES),
            "DAYBOOK_MULTIPART_LIMIT_BYTES": "0",
            **self._env,
            **env,
        }
        return {name: value for name, value in every.items() if value}

    # The queue

    def seed(self, count: int, *, entry_bytes: int = 0) -> list[str]:
        """Queue balanced entries and return their ids; a file has their bytes twice."""
        now = datetime(2026, 1, 18, 4, tzinfo=UTC)
        amount, padding = Decimal128("100.25"), "y" * entry_bytes
        entries = [
            {
                "_id": ObjectId(),
                "date": now,
                "reference": f"TAX-{number}",
                "description": f"Consulting for customer {number} {padding}",
                "currency": "THB",
                "lines": [
                    {"accountCode": "5100", "accountName": "Petty cash", "debit": amount},
                    {"accountCode": "2100", "accountName": "Payable", "credit": amount},
                ],
            }
            for number in range(count)
        ]
        items = [
            {
                "_id": ObjectId(),
                "entryId": entry["_id"],
                "exportPath": "scheduled",
                "status": "queued",
                "createdAt": now,
                "updatedAt": now,
            }
            for entry in entries
        ]
        self.database["journalentries"].insert_many(entries)
        self.database["exportqueues"].insert_many(items)
        return [str(entry["_id"]) for entry in entries]

    # What is stored

    def slot(self, name: str = "daily") -> dict[str, Any]:
        return self.database["exportslots"].find_one({"_id": name}) or {}

    def batch(self, day: str = DAY) -> dict[str, Any]:
        (batch,) = self.database["exportbatches"].find({"batchDate": day})
        return batch

    def expire_lease(self) -> None:
        """As if the time of a run that was killed were over."""
        self.database.client.admin.command("killAllSessions", [])
        past = datetime.now(UTC) - timedelta(minutes=1)
        held = self.database["exportslots"].update_many(
            {"lease": {"$ne": None}}, {"$set": {"lease.expiresAt": past}}
        )
        assert held.modified_count == 1

    @property
    def sent_bytes(self) -> int:
        """Content that has reached Drive, in whichever request, however often."""
        return sum(
            request.body_bytes
            for request in self.drive.requests
            if request.operation in ("chunk", "chunk_last", "create_multipart")
        )

    def check(self, **unusual: Any) -> dict[str, list[str]]:
        """By committed day the entries in its file; raises when the guarantee is broken."""
        return Rest(database=self.database, drive=self.drive, **unusual).check()

    def check_secrets(self) -> None:
        """Nothing that a process has said since the last check gives a secret away."""
        secrets = [*SECRET_TEXTS, *(session.id for session in self.drive.sessions())]
        for instance in self._instances.started:
            said = instance.said_since_last()
            found = [text for text in secrets if text in said]
            assert not found, f"{found} in the log: {said}"
