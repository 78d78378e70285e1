"""Tasks: calls that Daybook asks to be made to itself later, and how they are named."""

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
    CONTINUATION = "continuation"  # goes on with an attempt that stopped at its deadline
    HALF_OPEN = "half_open"  # asks again when the circuit breaker may close
    RECHECK = "look_again"  # another run had the slot; see whether it came to an end


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of `POST /tasks/run`.

    The name is a hash of what the call is about, so that whoever creates it again creates
    the same: a queue refuses a name that it has, or recently had.
    """

    key: BatchKey
    kind: TaskKind
    generation: int
    attempt: int
    """The attempt that is to be made, gone on with, or looked after."""
    fence: int
    """Of the run that ended, or that holds the slot."""
    due: datetime
    """Aware; when the call is to be made."""
    after: str = ""
    """Name of the task in whose run a look-again task was made: one chain of looks, not many."""

    @property
    def name(self) -> str:
        """Letters and digits, without the queue."""
        day = self.key.batch_date or f"manual:{self.key.manual_key}"
        parts = (self.key.profile, day, self.generation, self.attempt, self.kind.value, self.fence)
        text = "\n".join([*map(str, parts), self.after])
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self) -> dict[str, Any]:
        """What the call carries."""
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
        """As the batch remembers it until its run begins."""
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
    """Makes calls later. Cloud Tasks in the cloud; without a queue the retry is only recorded."""

    def create(self, task: Task) -> None:
        """Have the call made when it is due; creating it again changes nothing.

        Raises `TaskError` when the queue cannot be reached or refuses.
        """
