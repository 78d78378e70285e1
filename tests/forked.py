"""Processes of Daybook that are forked from one that has imported it.

Importing takes the better part of a second, and hundreds of tests start a process. A forked
one has its own arguments, environment, folder, streams, signals and exit code. That Daybook
starts without this is tested by every module that uses `subprocess`, among them
`acceptance/test_http.py`, `test_serve.py`, `test_archive.py` and a day of `test_cli.py`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

MAX_REQUEST_BYTES = 200_000
_STREAMS = 3
_ONE_AT_A_TIME = threading.Lock()
IMPORTED_LATE = (
    *("functions_framework", "google.auth.transport.requests", "rich.console", "rich.progress"),
    "xlsxwriter",
)
"""What most processes import beside the modules of Daybook, once they need it."""


class Process:
    """As much of `subprocess.Popen` as tests use; streams are those of text, or None."""

    def __init__(
        self,
        arguments: Sequence[str],
        channel: socket.socket,
        stdout: IO[str] | None,
        stderr: IO[str] | None,
    ) -> None:
        self.args = list(arguments)
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._channel = channel
        self.pid = int(channel.recv(64))

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal; raises TimeoutExpired. Several threads may wait."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        if not poller.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.returncode = int(self._channel.recv(64, socket.MSG_PEEK))
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it says from here on, until it ends."""
        said = ["", ""]

        def read(at: int, stream: IO[str]) -> None:
            with stream:
                said[at] = stream.read()

        readers = [
            threading.Thread(target=read, args=(at, stream), daemon=True)
            for at, stream in enumerate((self.stdout, self.stderr))
            if stream is not None and not stream.closed
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return said[0], said[1]

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], env: Mapping[str, str], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """The module named first, run with the other arguments to its end."""
    process = start(arguments, env)
    try:
        said = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.wait(timeout), *said)


def start(
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
) -> Process:
    """The module named first, run with the other arguments in a session of its own.

    Without a file to write to, a stream is a pipe to the test. It reads nothing.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {"arguments": list(arguments), "env": dict(env), "folder": str(Path.cwd())}
    pipes: list[IO[str] | None] = []
    with ExitStack() as stack:
        stack.callback(theirs.close)
        fds = [stack.enter_context(Path(os.devnull).open("rb")).fileno()]
        for stream in (stdout, stderr):
            if stream is None:
                near, far = os.pipe()
                stack.callback(os.close, far)
                pipes.append(os.fdopen(near, encoding="utf-8"))
                fds.append(far)
            else:
                pipes.append(None)
                fds.append(stream.fileno())
        message = json.dumps(request).encode()
        with _ONE_AT_A_TIME:
            forking = _forking()
        socket.send_fds(forking, [message], [*fds, theirs.fileno()])
    return Process(arguments, ours, *pipes)


@cache
def _forking() -> socket.socket:
    """The channel to the process that forks, which ends when the channel is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={
                **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# In the process that forks


def _import_daybook() -> None:
    import daybook

    for found in pkgutil.walk_packages(daybook.__path__, "daybook."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    # main.py sets a variable that gunicorn reads when it is imported.
    assert "gunicorn" not in sys.modules
    gc.freeze()  # else each fork goes through these objects again when it ends


def _serve(control: socket.socket) -> Callable[[], None]:
    """Fork for each request. Returns, in every process, what is left for it to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, _STREAMS + 1)
        if not message:
            return lambda: None
        if os.fork() == 0:
            control.close()
            return _keep(json.loads(message), fds)
        for fd in fds:
            os.close(fd)


def _keep(request: Mapping[str, Any], fds: Sequence[int]) -> Callable[[], None]:
    """Fork once more, and tell the test which process that is and how it ended."""
    channel = socket.socket(fileno=fds[_STREAMS])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        channel.close()
        return lambda: _become(request, fds[:_STREAMS])
    for fd in fds[:_STREAMS]:
        os.close(fd)
    with suppress(BrokenPipeError):  # the test has ended
        channel.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: Mapping[str, Any], fds: Sequence[int]) -> None:
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    for stream, fd in enumerate(fds):
        os.dup2(fd, stream)
        os.close(fd)
    sys.argv = list(request["arguments"])
    runpy.run_module(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _import_daybook()
    _serve(socket.socket(fileno=int(sys.argv[1])))()
