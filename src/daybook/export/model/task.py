"""Tasks: calls that Daybook schedules to itself, and their names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from daybook.export.model.batch_key import BatchKey
from daybook.export.model.fields import Fields


class TaskKind(StrEnum):
    RETRY = "retry"  # the next attempt after a failed one
    CONTINUATION = "continuation"  # resumes an attempt that stopped at its deadline
    HALF_OPEN = "half_open"  # tries again when the circuit may close
    RECHECK = "look_again"  # checks whether the run that held the slot has ended


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of `POST /tasks/run`.

    The name is a hash of the call's content, so that creating it again creates the same task: a
    queue refuses a name that it has, or recently had.
    """

    key: BatchKey
    kind: TaskKind
    generation: int
    attempt: int
    """The attempt to start, resume, or check."""
    fence: int
    """Fence of the run that ended, or that holds the slot."""
    due: datetime
    """When the call is to be made; aware."""
    after: str = ""
    """Name of the task whose run created a recheck, so that rechecks form one chain, not many."""

    @property
    def name(self) -> str:
        """Letters and digits, without the queue."""
        day = self.key.batch_date or f"manual:{self.key.manual_key}"
        parts = (self.key.profile, day, self.generation, self.attempt, self.kind.value, self.fence)
        text = "\n".join([*map(str, parts), self.after])
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self) -> dict[str, Any]:
        """The body of the call."""
        day: dict[str, Any] = {"batchDate": self.key.batch_date}
        if self.key.manual_key is not None:
            day = {"manualKey": self.key.manual_key}
        return {
            "profile": self.key.profile,
            **day,
            "generation": self.generation,
            "attempt": self.attempt,
            "kind": self.kind.value,
        }

    def to_doc(self) -> dict[str, Any]:
        """The form in which the batch stores the task until its run starts."""
        return {
            "kind": self.kind.value,
            "attempt": self.attempt,
            "fence": self.fence,
            "due": self.due,
        }

    @classmethod
    def from_fields(cls, fields: Fields, *, key: BatchKey, generation: int) -> Self:
        return cls(
            key=key,
            kind=fields.one_of("kind", TaskKind),
            generation=generation,
            attempt=fields.whole("attempt"),
            fence=fields.whole("fence"),
            due=fields.time("due"),
        )


class TaskQueue(Protocol):
    """Makes calls later: Cloud Tasks in the cloud; without a queue they are only recorded."""

    def create(self, task: Task) -> None:
        """Schedule the call for when it is due; creating it again changes nothing.

        Raises `TaskError` when the queue cannot be reached or refuses.
        """
