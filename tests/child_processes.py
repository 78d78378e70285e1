"""Processes that tests watch and stop, by Linux's /proc."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_STOPPED = frozenset("TtZX")
"""Stopped, traced, ended: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""


def children_of(pid: int) -> set[int]:
    """The process ids of its children, whichever of its threads started them.

    https://man7.org/linux/man-pages/man5/proc_tid_children.5.html
    """
    return set(_children_of(pid))


def descendants_of(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children_of(waiting.pop()) - found
        found |= below
        waiting += below
    return found


def freeze(pid: int) -> None:
    """Send SIGSTOP, and wait until every thread has stopped.

    One thread takes the signal and then stops the others. On a busy machine, these go on until it
    is its turn.
    """
    os.kill(pid, signal.SIGSTOP)
    while _PROC.exists() and not all(state in _STOPPED for state in _states(pid)):
        time.sleep(0.001)


def _states(pid: int) -> Iterator[str]:
    """A letter for each thread; none when the process has ended."""
    for stat in (_PROC / str(pid)).glob("task/*/stat"):
        try:
            # After the name, which may hold blanks and parentheses.
            yield stat.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue


def _children_of(pid: int) -> Iterator[int]:
    for thread in (_PROC / str(pid) / "task").iterdir():
        try:
            children = (thread / "children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # The thread has ended since it was listed; its children are another's.
        yield from map(int, children.split())
