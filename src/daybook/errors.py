"""Every error that Daybook raises on purpose.

A message names the operation, what it was about, and what to do. `type` is the
word that answers, records and metrics carry; `permanent` errors are not retried.
"""

from datetime import datetime
from typing import Self

from daybook import write_errors
from daybook.write_errors import WriteError

UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a foreign answer raises when it is not of the expected shape.

Google's libraries read token servers' and APIs' answers without checking them, so these come
out of them as well.
"""

_LONGEST_NAME = 80


class DaybookError(Exception):
    """Base of all of Daybook's own errors."""

    type = "unknown"
    permanent = False


class BadRequest(DaybookError):
    """Input from outside that cannot be understood; `where` names the field, cut off if long."""

    type = "bad_request"
    permanent = True

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(message)
        self.where = where[:_LONGEST_NAME]


class TooLarge(BadRequest):
    """A body beyond what the route reads."""


class KeyReused(BadRequest):
    """The idempotency key belongs to an earlier, different request."""


class Forbidden(DaybookError):
    """The caller is known, and may not do this."""

    type = "forbidden"
    permanent = True


class ConfigurationError(DaybookError):
    """A setting, profile or database that nobody can run with until it is changed."""

    type = "configuration"
    permanent = True


class FencedOut(DaybookError):
    """Another run holds the slot; this one must stop and record nothing."""

    type = "fenced_out"


class RunTimeout(DaybookError):
    """The run used up a time limit of its own."""

    type = "timeout"


class Interrupted(DaybookError):
    """The run stopped at a boundary, with all it has done kept; another call goes on from there."""

    type = "interrupted"


class CircuitOpen(DaybookError):
    """The circuit breaker is open: the destination is not touched before `until` (aware)."""

    type = "circuit_open"

    def __init__(self, message: str, *, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class TooManyRejected(DaybookError):
    """More entries were rejected than a healthy source would produce."""

    type = "too_many_rejected"
    permanent = True


class RecordsDisagree(DaybookError):
    """Two collections tell different things of one batch; only a person can say which is right."""

    type = "records_disagree"
    permanent = True


class QueueChanging(DaybookError):
    """The queue kept changing under the plan; the next attempt plans afresh."""

    type = "queue_changing"


class DatabaseError(DaybookError):
    """MongoDB did not answer, or refused; `permanent` when only a change there helps."""

    type = "mongodb"

    def __init__(self, message: str, *, refused: WriteError | None = None) -> None:
        super().__init__(message)
        self.refused = refused
        """What the server said; None for what is not from the driver."""
        self.permanent = refused is not None and refused.permanent

    @classmethod
    def of(cls, operation: str, error: Exception) -> Self:
        """From a driver's error: the first write error, where it happened, and what to do."""
        refused = write_errors.describe(error)
        return cls(f"{operation}: {refused}", refused=refused)


class DocumentDamaged(DatabaseError):
    """A document of Daybook's own was altered; names collection, `_id`, field and what to do."""

    type = "document_damaged"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.permanent = True


class DestinationError(DaybookError):
    """The destination failed in a way that may pass (5xx, rate limit, cut connection)."""

    type = "destination"


class UncertainResponse(DestinationError):
    """The answer to a request was lost or doubtful: it may or may not have taken effect."""


class DestinationRefused(DestinationError):
    """The destination will keep refusing until somebody changes something."""

    permanent = True


class IdTaken(DestinationError):
    """A file already exists under the id (Drive: 409 `fileIdInUse`)."""


class IdInvalid(DestinationError):
    """The destination does not accept the id (another identity's, or never issued)."""


class SessionExpired(DestinationError):
    """The upload session no longer exists (Drive: 404 or 410); open a new one."""


class TaskError(DaybookError):
    """The task queue did not answer, or refused: a call that has to follow is not ensured."""

    type = "tasks"
