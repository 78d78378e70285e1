"""The function and a MongoDB on this machine, for `serve` and the demonstration."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from daybook.errors import ConfigurationError, DaybookError
from daybook.local.mongod import EmbeddedMongod

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0

_MAIN = Path(__file__).parents[3] / "main.py"
_POLL_SECONDS = 0.05
_CHECK_SECONDS = 0.5
# On Linux, the function ends when this process is killed. An intermediate process requests
# that, because `preexec_fn` may deadlock when there are other threads.
_LAUNCH = """
import ctypes, os, runpy, signal, sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the process that started the function has ended")
runpy.run_module("functions_framework", run_name="__main__", alter_sys=True)
"""


class FunctionEnded(DaybookError):
    """The function's process ended without being stopped."""

    type = "function_ended"


@contextmanager
def complete_environment(
    env: Mapping[str, str], data_dir: Path
) -> Iterator[tuple[dict[str, str], EmbeddedMongod | None]]:
    """`env` completed with an embedded MongoDB, kept in `data_dir`, and a folder there.

    Yields it with the MongoDB, which is None when `env` names one. Raises `ConfigurationError`
    when MongoDB cannot run here.
    """
    complete = dict(env)
    mongod = None
    with ExitStack() as stack:
        if not complete.get("DAYBOOK_MONGODB_URI", "").strip():
            mongod = stack.enter_context(EmbeddedMongod(data_dir / "mongo"))
            complete["DAYBOOK_MONGODB_URI"] = mongod.uri
        if not complete.get("DAYBOOK_DESTINATION", "").strip():
            folder = (data_dir / "exports").absolute()
            make_folder(folder)
            complete["DAYBOOK_DESTINATION"] = folder.as_uri()
        yield complete, mongod


def without_own(env: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """`env` without the variables that an earlier `serve` over `data_dir` printed.

    They may have been exported in the terminal in which `serve` is started again: its MongoDB
    ended with it. While it still runs, they are kept.
    """
    kept = dict(env)
    if kept.get("DAYBOOK_MONGODB_URI") == EmbeddedMongod(data_dir / "mongo").former_uri:
        kept.pop("DAYBOOK_MONGODB_URI", None)
        if kept.get("DAYBOOK_DESTINATION") == (data_dir / "exports").absolute().as_uri():
            del kept["DAYBOOK_DESTINATION"]
    return kept


class FunctionServer:
    """A function in a functions-framework process, ready inside a `with` block.

    `env` is its environment; `port` 0 means any free port, and `option` is what chooses another
    one; `output` is the file descriptor that its logs go to; `target` is `daybook` or `ledger`.
    Must be entered in the main thread. Entering raises `ConfigurationError` when the port is
    taken, `FunctionEnded` when the function does not start.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        port: int,
        output: int,
        target: str = "daybook",
        option: str = "--port",
    ) -> None:
        self._target = target
        self._option = option
        self._env = dict(env)
        self._wanted_port = port
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.port = _usable_port(self._wanted_port, option=self._option)
        # In its own session, Ctrl-C reaches only this process, which then ends the function.
        self._process = subprocess.Popen(  # noqa: S603  # Python itself
            [
                *(sys.executable, "-c", _LAUNCH, str(os.getpid())),
                *("--target", self._target, "--source", str(_MAIN)),
                *("--host", HOST, "--port", str(self.port)),
            ],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )
        try:
            self._until_ready(self._process, time.monotonic() + START_TIMEOUT_SECONDS)
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
        """Raises `FunctionEnded` when the function has ended on its own."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            name = "the function" if self._target == "daybook" else f"the {self._target}"
            raise FunctionEnded(f"{name} ended with code {code}")

    def stop(self) -> None:
        """Stop the function after its current requests. Stopping again changes nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while not _answers(self.port):
            if process.poll() is not None:
                raise FunctionEnded(
                    f"the function ended with code {process.returncode} before it was ready"
                )
            if time.monotonic() > deadline:
                raise FunctionEnded(
                    f"the function did not answer within {START_TIMEOUT_SECONDS:.0f} s"
                )
            time.sleep(_POLL_SECONDS)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=START_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (ConnectionError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def wait(*servers: FunctionServer, mongod: EmbeddedMongod | None) -> NoReturn:
    """Block while all of them run.

    Raises `FunctionEnded` or `DatabaseError` when one ends on its own.
    """
    while True:
        if mongod is not None:
            mongod.check()
        for server in servers:
            server.check()
        time.sleep(_CHECK_SECONDS)


def _usable_port(wanted: int, *, option: str) -> int:
    with socket.socket() as probe:
        # As the server does: a port that a connection has just left is not taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise ConfigurationError(
                f"port {wanted} of {HOST} cannot be used ({error.strerror}): choose another "
                f"with {option}"
            ) from error
        port: int = probe.getsockname()[1]
    return port


def make_folder(folder: Path) -> None:
    """Create a folder for files; raises `ConfigurationError` when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"folder {folder} for the files: {error.strerror}") from error
