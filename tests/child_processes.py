"""The processes below another one, by Linux's /proc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


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


def _children_of(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (thread / "children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # The thread has ended since it was listed; its children are another's.
        yield from map(int, children.split())
