"""Runs in processes of their own, to be killed, frozen and woken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.child_processes import freeze

WAIT_SECONDS = 90.0


class Worker:
    """One forked process with one or several calls of `run_day` for a day.

    `outcomes` are the answers of the calls, `raised` the errors that came out of them
    instead, `events` its log records; they fill while it runs.
    """

    def __init__(self, zygote: Zygote, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.outcomes: list[dict[str, Any]] = []
        self.raised: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._zygote = zygote
        self._channel = channel
        self._code: int | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def go(self) -> Self:
        self._channel.sendall(b"g")
        return self

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        # Until it is reaped the pid is its own, even when it has ended.
        if self._code is None:
            freeze(self.pid)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def wait(self) -> Self:
        """Until the process has ended, however. Raises TimeoutError."""
        self._reader.join(WAIT_SECONDS)
        if self._reader.is_alive():
            raise TimeoutError(f"the run did not end within {WAIT_SECONDS:g} s: {self.events}")
        if self._code is None:
            self._code = self._zygote.reap(self.pid)
        return self

    @property
    def ended(self) -> bool:
        return not self._reader.is_alive()

    @property
    def statuses(self) -> list[str]:
        """What the calls answered, or the name of the error that they raised."""
        return [outcome["status"] for outcome in self.outcomes] + [
            error["raised"] for error in self.raised
        ]

    def events_named(self, name: str, *, severity: str | None = None) -> list[dict[str, Any]]:
        return [
            event
            for event in self.events
            if event.get("event") == name and severity in (None, event["severity"])
        ]

    def close(self) -> None:
        """Make sure that nothing of it goes on."""
        if self._code is None:
            self.kill()
            self.wait()
        self._channel.close()

    def _signal(self, number: signal.Signals) -> None:
        # Until it is reaped the pid is its own, even when it has ended.
        if self._code is None:
            os.kill(self.pid, number)

    def _read(self) -> None:
        # Killed before it read its `go`, it resets the channel instead of closing it.
        with suppress(ConnectionResetError), self._channel.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    return  # killed while it wrote
                said = json.loads(line)
                if "outcome" in said:
                    self.outcomes.append(said["outcome"])
                elif "raised" in said:
                    self.raised.append(said)
                else:
                    self.events.append(said)


class Zygote:
    """The process that forks the workers; see zygote.py."""

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._control.close()
        self._process.wait(WAIT_SECONDS)

    def start(self, env: Mapping[str, str], day: str, *, callers: int = 1) -> Worker:
        """Fork a worker that does nothing before `go()`."""
        ours, theirs = socket.socketpair()
        request = json.dumps({"env": dict(env), "day": day, "callers": callers}).encode()
        with theirs:
            answer = self._ask(request, [theirs.fileno()])
        return Worker(self, answer["pid"], ours)

    def reap(self, pid: int) -> int:
        code: int = self._ask(json.dumps({"reap": pid}).encode(), [])["code"]
        return code

    def _ask(self, request: bytes, fds: list[int]) -> dict[str, Any]:
        with self._lock:
            socket.send_fds(self._control, [request], fds)
            answer: dict[str, Any] = json.loads(self._control.recv(4096))
        return answer
