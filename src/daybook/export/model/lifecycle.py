"""When a batch starts, retries and fails, and the tasks by which Daybook calls itself later.

The decisions are pure functions of state and time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, Self

from daybook.export.model.fields import Fields
from daybook.export.model.profile import BatchKey


class BatchState(StrEnum):
    OPEN = "open"  # being worked on, or waiting for its next attempt
    COMMITTED = "committed"  # its file is delivered and recorded
    EMPTY = "empty"  # nothing was queued; signed off
    FAILED = "failed"  # failed for good; its entries stay queued


class Next(StrEnum):
    START = "start"  # start the attempt that the step names
    RESUME = "resume"  # resume it: it stopped at a boundary and was handed back
    REPORT = "report"  # nothing to do; respond with what is stored
    GIVE_UP = "give_up"  # attempts are used up, the last without a recorded end: store `failed`


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a run does once it holds the slot and has settled it."""

    next: Next
    attempt: int


def next_step(
    *,
    state: BatchState | None,
    attempt: int,
    ended_attempt: int,
    continued: bool,
    same_delivery: bool,
    max_attempts: int,
) -> Step:
    """The next step for a call that requests a run now.

    `attempt` is the last one started, `ended_attempt` the last one whose end was
    recorded: if they differ, that attempt is `continued`, or it crashed, and it counts.
    `same_delivery` is true when this trigger has already started an attempt.
    """
    done = state is BatchState.COMMITTED or state is BatchState.FAILED
    if done or (state is BatchState.EMPTY and same_delivery):
        return Step(next=Next.REPORT, attempt=attempt)
    if state is None or state is BatchState.EMPTY:
        return Step(next=Next.START, attempt=1)
    if continued and attempt > ended_attempt:
        return Step(next=Next.RESUME, attempt=attempt)
    if attempt >= max_attempts:
        return Step(next=Next.GIVE_UP, attempt=attempt)
    if same_delivery and ended_attempt == attempt and attempt > 0:
        return Step(next=Next.REPORT, attempt=attempt)
    return Step(next=Next.START, attempt=attempt + 1)


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """What a task calls for: to start, resume, or check one attempt of a generation."""

    generation: int
    attempt: int


def task_applies(
    call: TaskCall,
    *,
    state: BatchState,
    finished: bool,
    generation: int,
    attempt: int,
    ended_attempt: int,
) -> bool:
    """Whether a delivered task still has something to do; a late or repeated one has not.

    If the batch is at the attempt before, the task's own attempt starts. If it is at the task's
    attempt and no end is recorded, the attempt is running, was continued, or crashed.
    """
    if call.generation != generation:
        return False
    if state is BatchState.COMMITTED:
        return not finished
    if state is BatchState.EMPTY:
        return call.attempt == attempt + 1  # it was requested after the day was signed off
    if state is not BatchState.OPEN:
        return False
    return call.attempt == attempt + 1 or (call.attempt == attempt and attempt > ended_attempt)


def attempt_to_recheck(*, attempt: int, ended_attempt: int) -> int:
    """The attempt that a recheck is about: the one that is running, else the next."""
    return attempt if attempt > ended_attempt else attempt + 1


def next_attempt_at(
    *, attempt: int, permanent: bool, delays_seconds: Sequence[int], now: datetime
) -> datetime | None:
    """When the next attempt is due after attempt `attempt` failed; None when there is none."""
    if permanent or attempt > len(delays_seconds):
        return None
    return now + timedelta(seconds=delays_seconds[attempt - 1])


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
