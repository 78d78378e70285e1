"""A child process that never outlives its parent (on Linux)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future

STOP_TIMEOUT_SECONDS = 20.0

# prctl(PR_SET_PDEATHSIG) survives the exec, so the child is killed with its parent. An
# intermediate process sets it, because `preexec_fn` may deadlock when there are other threads.
_LAUNCH = """
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


class Ended(Exception):
    """The child ended without being asked to."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"ended with code {code}")
        self.code = code
        self.stderr = stderr


class Child:
    """A child that is killed when this process dies, whichever thread started it.

    Linux sends the parent-death signal when the *thread* that started the child ends, so a
    thread of its own starts the child and lives as long as it does.
    """

    def __init__(self, command: list[str]) -> None:
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]
        started = Future[subprocess.Popen[bytes]]()
        self._stderr = b""
        self._keeper = threading.Thread(
            target=self._keep, args=(command, started), name="child-keeper", daemon=True
        )
        self._keeper.start()
        self._popen = started.result()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait(self, seconds: float) -> None:
        """Raise `Ended` when the process ends within `seconds`."""
        self._keeper.join(seconds)
        if not self._keeper.is_alive():
            raise Ended(self._popen.returncode, self._stderr.decode(errors="replace").strip())

    def end(self, how: signal.Signals) -> None:
        """Signal the process and wait; kill it when it takes more than 20 seconds."""
        self._popen.send_signal(how)
        self._keeper.join(STOP_TIMEOUT_SECONDS)
        if self._keeper.is_alive():
            self._popen.kill()
            self._keeper.join()

    def _keep(self, command: list[str], started: Future[subprocess.Popen[bytes]]) -> None:
        try:
            # In its own session, Ctrl-C reaches only this process, which then ends the child.
            process = subprocess.Popen(  # noqa: S603  # the caller names the program
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            started.set_exception(error)
            return
        with process:
            started.set_result(process)
            self._stderr = process.stderr.read() if process.stderr else b""
