"""Variables of the tests themselves.

They begin like Daybook's settings, and every command warns of such a variable that is none. So the
commands that tests start do not see them.
"""

from __future__ import annotations

import os

_FOR_USERS = "DAYBOOK_"
_HIDDEN = "TESTS_OF_DAYBOOK_"
NAMES = ("TEST_MONGODB_URI", "FUZZ_SECONDS", "FAULTS_FORMAT")


def hide() -> None:
    """Give each variable a name under which workers find it, and commands do not."""
    for name in NAMES:
        value = os.environ.pop(_FOR_USERS + name, None)
        if value is not None:
            os.environ[_HIDDEN + name] = value


def get(name: str) -> str | None:
    """The variable `DAYBOOK_` + name, after `hide`; None when it is not set, or empty."""
    return os.environ.get(_HIDDEN + name) or None
