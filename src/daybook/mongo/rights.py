"""What the user of the database may do, told in words that help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import OperationFailure

from daybook.errors import ConfigurationError

_UNAUTHORIZED = 13
# "not authorized on books to execute command { aggregate: "users", pipeline: [ … ] }"
_REFUSED = re.compile(r"not authorized on (\S+) to execute command \{ (\w+): \"?([^\s\",}]+)")


@contextmanager
def permitted(operation: str) -> Iterator[None]:
    """Raise `ConfigurationError` that says which command the user of the database lacks."""
    try:
        yield
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        found = _REFUSED.search(str(error))
        if found is None:
            what = str(error).partition(", full error:")[0]
        else:
            what = "the user may not run `{1}` on {0}.{2}".format(*found.groups())
        raise ConfigurationError(
            f"{operation}: {what}; give the user of DAYBOOK_MONGODB_URI the role that "
            "docs/security.md names"
        ) from error
