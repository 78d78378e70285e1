"""What the exit code of a command means."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0  # done, or there was nothing to do
    FAILED = 1  # the operation failed, or found a difference
    USAGE = 2  # wrong arguments or input; click's own code
    CONFIGURATION = 3  # a setting or the database has to be changed first
    ACCEPTED = 4  # not done yet: in progress elsewhere, stopped on demand, or to be tried again
    BROKEN_OFF = 130  # aborted by Ctrl-C; the code that shells use for it
