"""A process that has imported Daybook once and forks a child for every run.

Importing takes most of a second and a fork some milliseconds, so hundreds of runs can
be killed. It has no threads and no clients of its own, which makes forking safe.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from datetime import date
from typing import Any

# Imported before the fork for the sake of speed alone.
import google.auth.transport.requests  # noqa: F401

import daybook.destinations.drive.drive  # noqa: F401
from daybook import log
from daybook.app import App
from tests import commands

MAX_REQUEST_BYTES = 65536


class Channel:
    """A text stream of whole lines, one write each, to the test that asked for the run."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def wait_for_go(self) -> None:
        self._end.recv(1)

    def write(self, text: str) -> int:
        with self._lock:
            self._end.sendall(text.encode())
        return len(text)

    def flush(self) -> None:
        """Every write is on its way already."""

    def isatty(self) -> bool:
        return False


def serve(control: socket.socket) -> None:
    """Fork a child per request, reap one when told to, until the other side closes."""
    gc.freeze()  # what is imported stays, so no child needs to look through it
    children: set[int] = set()
    while True:
        message, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 1)
        if not message:
            break
        request = json.loads(message)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            children.discard(request["reap"])
            control.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _run_and_exit(fds[0], request)
        os.close(fds[0])
        children.add(pid)
        control.send(json.dumps({"pid": pid}).encode())
    for pid in children:  # a test that was broken off leaves none behind
        os.kill(pid, signal.SIGKILL)


def _run_and_exit(fd: int, request: dict[str, Any]) -> None:
    try:
        channel = Channel(socket.socket(fileno=fd))
        channel.wait_for_go()
        log.setup(channel)  # type: ignore[arg-type]  # as much of a stream as logging needs
        _run(channel, request)
    except BaseException:  # noqa: BLE001  # the process ends here, and must say why
        traceback.print_exc()
    finally:
        os._exit(0)


def _hurried(seconds: float) -> None:
    """Waits between repeats are counted by what was asked for, so they may be shorter."""
    time.sleep(seconds / 10)


def _run(channel: Channel, request: dict[str, Any]) -> None:
    app = replace(App.from_env(request["env"]), sleep=_hurried)
    day = date.fromisoformat(request["day"])
    start = threading.Barrier(request["callers"])

    def call() -> None:
        start.wait()
        try:
            answer: dict[str, Any] = {"outcome": commands.run_day(app, day).to_doc()}
        except Exception as error:  # noqa: BLE001  # the process boundary: the test sees it
            answer = {"raised": type(error).__name__, "trace": traceback.format_exc()}
        channel.write(json.dumps(answer) + "\n")

    callers = [threading.Thread(target=call) for _ in range(request["callers"] - 1)]
    for caller in callers:
        caller.start()
    call()
    for caller in callers:
        caller.join()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
