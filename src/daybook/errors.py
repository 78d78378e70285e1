"""All errors that Daybook raises on purpose.

A message names the operation, its subject, and what to do. `type` is the word in responses,
records and metrics; `permanent` errors are not retried.
"""

from datetime import datetime
from typing import Self

from daybook import write_errors
from daybook.write_errors import WriteError

UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a foreign response raises when it does not have the expected shape.

Google's libraries do not check the responses of token servers and APIs, so these errors come
from the libraries as well.
"""

_LONGEST_NAME = 80


RUN_MIGRATE = "run `daybook migrate`"
"""The end of an error of a missing index, by which alerts know that `migrate` is the remedy."""


class DaybookError(Exception):
    """Base class of Daybook's own errors."""

    type = "unknown"
    permanent = False


class BadRequest(DaybookError):
    """Invalid input from outside; `where` names the field, shortened if long."""

    type = "bad_request"
    permanent = True

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(message)
        self.where = where[:_LONGEST_NAME]


class TooLarge(BadRequest):
    """A body larger than the route reads."""


class KeyReused(BadRequest):
    """The idempotency key belongs to an earlier, different request."""


class Forbidden(DaybookError):
    """The caller is known, but may not do this."""

    type = "forbidden"
    permanent = True


class ConfigurationError(DaybookError):
    """A setting, profile or database with which nothing can run until it is changed."""

    type = "configuration"
    permanent = True


class FencedOut(DaybookError):
    """Another run holds the slot; this one must stop and record nothing."""

    type = "fenced_out"


class RunTimeout(DaybookError):
    """The run used up one of its own time limits."""

    type = "timeout"


class Interrupted(DaybookError):
    """The run stopped at a boundary and kept its work; another call continues from there."""

    type = "interrupted"


class CircuitOpen(DaybookError):
    """The circuit is open: the destination is not called before `until` (aware)."""

    type = "circuit_open"

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class TooManyRejected(DaybookError):
    """More entries were rejected than a healthy source would produce."""

    type = "too_many_rejected"
    permanent = True


class RecordsDisagree(DaybookError):
    """Two collections disagree about a batch; only a person can say which one is right."""

    type = "records_disagree"
    permanent = True


class QueueChanging(DaybookError):
    """The queue kept changing after each plan; the next attempt plans again."""

    type = "queue_changing"


class DatabaseError(DaybookError):
    """MongoDB did not respond, or refused; `permanent` when only a change there helps."""

    type = "mongodb"

    def __init__(self, message: str, *, refused: WriteError | None = None) -> None:
        super().__init__(message)
        self.refused = refused
        """The server's refusal; None when the error is not from the driver."""
        self.permanent = refused is not None and refused.permanent

    @classmethod
    def of(cls, operation: str, error: Exception) -> Self:
        """Made from a driver's error: the first write error, where it happened, and what to do."""
        refused = write_errors.describe(error)
        return cls(f"{operation}: {refused}", refused=refused)


class DocumentDamaged(DatabaseError):
    """One of Daybook's documents was altered; names collection, `_id`, field and what to do."""

    type = "document_damaged"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.permanent = True


class DestinationError(DaybookError):
    """The destination failed in a way that may pass (5xx, rate limit, lost connection)."""

    type = "destination"


class UncertainResponse(DestinationError):
    """The response to a request was lost or unclear: the request may have taken effect."""


class DestinationRefused(DestinationError):
    """The destination will keep refusing until a person changes something."""

    permanent = True


class IdTaken(DestinationError):
    """A file already exists under the ID (Drive: 409 `fileIdInUse`)."""


class IdInvalid(DestinationError):
    """The destination does not accept the ID (another identity's, or never issued)."""


class SessionExpired(DestinationError):
    """The upload session no longer exists (Drive: 404 or 410); open a new one."""


class TaskError(DaybookError):
    """The task queue did not respond, or refused: the call that has to follow is not assured."""

    type = "tasks"
