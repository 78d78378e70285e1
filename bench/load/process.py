"""What /proc tells of the function's processes: memory and processor time."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.child_processes import children_of

_PROC = Path("/proc")
_KIB_PER_MIB = 1024
_RESET_PEAK = "5"  # https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html


class FunctionProcess:
    """The process that serves the function, and the one that started it.

    functions-framework loads the function, then gunicorn forks the process that answers:
    https://docs.gunicorn.org/en/stable/design.html
    """

    def __init__(self) -> None:
        """Finds them among the children of this process; there must be one server."""
        (self.parent,) = [pid for pid in children_of(os.getpid()) if _is_server(pid)]
        (self.worker,) = children_of(self.parent)

    def reset_peak(self) -> None:
        (_PROC / str(self.worker) / "clear_refs").write_text(_RESET_PEAK)

    def resident_mib(self) -> float:
        return _kib(self.worker, "status", "VmRSS:") / _KIB_PER_MIB

    def peak_mib(self) -> float:
        """The most that was resident since the last `reset_peak`."""
        return peak_mib(self.worker)

    def parent_private_mib(self) -> float:
        """What the parent has in memory that the worker does not share with it."""
        private = ("Private_Clean:", "Private_Dirty:")
        return sum(_kib(self.parent, "smaps_rollup", name) for name in private) / _KIB_PER_MIB


def cpu_seconds(pid: int) -> float:
    """What a process has used of processors so far, user and system time."""
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields 14 and 15, of which
    # the process's name, which may hold blanks, is the second.
    after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """The most that a process has had resident since it began to run its program.

    `ru_maxrss` begins with what the process that started this one had at that time:
    https://man7.org/linux/man-pages/man2/getrusage.2.html
    """
    return _kib(pid, "status", "VmHWM:") / _KIB_PER_MIB


class Peaks:
    """Watches what processes have resident while the block runs.

    A process that has ended has no memory left to ask for, so each is asked every 20 ms.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self.mib = dict.fromkeys(pids, 0.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for pid in self.mib:
                with suppress(FileNotFoundError, ProcessLookupError, LookupError):
                    self.mib[pid] = peak_mib(pid)


def available() -> bool:
    """Whether this system has what is read here."""
    return (_PROC / "self" / "smaps_rollup").exists()


def _is_server(pid: int) -> bool:
    return b"--target" in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")


def _kib(pid: int, file: str, name: str) -> int:
    for line in (_PROC / str(pid) / file).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(f"/proc/{pid}/{file} has no line {name}")
