"""What the user of the database may do, told in words that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import OperationFailure

from daybook import write_errors
from daybook.errors import ConfigurationError
from daybook.write_errors import Cause


@contextmanager
def permitted(operation: str) -> Iterator[None]:
    """Raise `ConfigurationError` that says which command the user of the database lacks."""
    try:
        yield
    except OperationFailure as error:
        refused = write_errors.describe(error)
        if refused.cause is not Cause.PRIVILEGE:
            raise
        raise ConfigurationError(f"{operation}: {refused}") from error
