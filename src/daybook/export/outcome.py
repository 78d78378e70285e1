"""The outcome of a run, as HTTP, the command line and the logs report it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from daybook.display import scrubbed
from daybook.errors import DaybookError
from daybook.export.batch.batch import Batch
from daybook.export.model.lifecycle import BatchState, Task
from daybook.export.model.notice import RejectedEntry


class Status(StrEnum):
    EXPORTED = "exported"  # this run delivered the file
    ALREADY_EXPORTED = "already_exported"  # an earlier run did
    EMPTY = "empty"  # nothing was queued
    PLANNED = "planned"  # dry run
    IN_PROGRESS = "in_progress"  # another run holds the slot
    CONTINUED = "continued"  # stopped at its deadline; the next invocation continues it
    RETRY_SCHEDULED = "retry_scheduled"  # failed; the next attempt is scheduled
    CIRCUIT_OPEN = "circuit_open"  # the destination's circuit is open
    FAILED = "failed"  # failed for good, or never started


ACCEPTED = frozenset(
    {Status.IN_PROGRESS, Status.CONTINUED, Status.RETRY_SCHEDULED, Status.CIRCUIT_OPEN}
)

FACTS = (
    "filename",
    "fileId",
    "webViewLink",
    "entryCount",
    "rowCount",
    "rejectedCount",
    "normalisedCount",
    "otherMonthCount",
    "otherMonths",
    "noCurrencyCount",
    "totals",
    "md5",
    "sha256",
    "sizeBytes",
)
"""Fields of a batch document that describe its file, under the names that responses use."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run's outcome. `facts` are the file's figures under their names on the wire."""

    status: Status
    profile: str
    batch_date: str | None = None
    batch_id: str | None = None
    attempt: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    next_attempt_at: datetime | None = None
    batch: Batch | None = field(default=None, repr=False)
    """The batch as the run last read it."""
    rejected: Sequence[RejectedEntry] | None = None
    """What a dry run would reject; None for a run, whose rejected entries are recorded."""
    needs_recheck: bool = False
    """True when a later call has to check on the run that holds the slot."""
    task_missing: bool = False
    """True when that call could not be created, so the caller has to repeat this one."""
    duration_seconds: float = 0.0

    @classmethod
    def of_batch(
        cls,
        status: Status,
        batch: Batch,
        *,
        error: DaybookError | None = None,
        duration_seconds: float = 0.0,
    ) -> Outcome:
        """The outcome that the stored batch shows."""
        failure: Mapping[str, str] | None = None
        if error is not None:
            failure = {"type": error.type, "message": scrubbed(str(error))}
        elif status in (Status.FAILED, Status.RETRY_SCHEDULED) and batch.doc.get("error"):
            failure = {name: batch.doc["error"][name] for name in ("type", "message")}
        return cls(
            status=status,
            profile=batch.key.profile,
            batch_date=batch.key.batch_date,
            batch_id=str(batch.id),
            attempt=batch.attempt,
            facts={name: batch.doc[name] for name in FACTS if name in batch.doc},
            error=failure,
            next_attempt_at=batch.next_attempt_at,
            batch=batch,
            duration_seconds=duration_seconds,
        )

    @property
    def pending(self) -> Task | None:
        """The call that has to follow, as it is recorded with the batch."""
        return None if self.batch is None else self.batch.pending

    @property
    def delivered(self) -> bool:
        """Whether the file is delivered and recorded, even if not all of its items are marked."""
        return self.batch is not None and self.batch.state is BatchState.COMMITTED

    @property
    def signed_off(self) -> bool:
        """Whether the day has ended without a file while rejected entries are yet to be marked."""
        batch = self.batch
        return batch is not None and batch.state is BatchState.EMPTY and batch.unmarked

    @property
    def http_status(self) -> int:
        if self.task_missing:
            return 503
        if self.status is Status.FAILED:
            return 500
        return 202 if self.status in ACCEPTED else 200

    def to_doc(self) -> dict[str, Any]:
        """The JSON response of a run: every figure is present, null when unknown."""
        doc: dict[str, Any] = {
            "status": self.status.value,
            "profile": self.profile,
            "batchDate": self.batch_date,
            "batchId": self.batch_id,
            "attempt": self.attempt,
            **{name: self.facts.get(name) for name in FACTS},
            "durationSeconds": round(self.duration_seconds, 3),
        }
        if self.rejected is not None:
            doc["rejected"] = [one.to_doc() for one in self.rejected]
        if self.error is not None:
            doc["error"] = dict(self.error)
        if self.next_attempt_at is not None:
            doc["nextAttemptAt"] = self.next_attempt_at.isoformat()
        return doc
