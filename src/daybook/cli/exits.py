"""What the exit code of a command means."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The command's help says what a code means for it: see `stated`."""

    OK = 0  # done, or there was nothing to do
    FAILED = 1  # the operation failed, or found a difference
    USAGE = 2  # wrong arguments or input; click's own code
    CONFIGURATION = 3  # a setting or the database has to be changed first
    ACCEPTED = 4  # not done yet: in progress elsewhere, stopped on demand, or to be tried again
    BROKEN_OFF = 130  # aborted by Ctrl-C; the code that shells use for it


def stated(*, failed: str, accepted: str | None, blocked: str) -> str:
    """The codes of one command, for its help."""
    codes = {
        Exit.OK: "done, or nothing to do",
        Exit.FAILED: failed,
        Exit.USAGE: "wrong arguments",
        Exit.CONFIGURATION: blocked,
        Exit.ACCEPTED: accepted,
        Exit.BROKEN_OFF: "broken off by Ctrl-C",
    }
    said = (f"{code.value} {text}" for code, text in codes.items() if text is not None)
    return f"Exit codes: {'; '.join(said)}."
