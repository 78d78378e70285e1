"""A batch's attempts, as stored with it: when each one began, how it ended, what was due next.

For people only: no run decides by them. An attempt that was altered by hand is left out instead of
stopping a run; batches of earlier versions have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from daybook.errors import DocumentDamaged
from daybook.export.batch.batch import COLLECTION, Batch
from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import BatchState

KEPT = 20
"""The latest attempts of a batch, over all generations."""
LONGEST_MESSAGE = 1000
"""Characters of an error that an attempt keeps; the batch's `error` has all of them."""
FIELDS = ("attempts", "state", "generation", "attempt", "committedAt", "recordedElsewhere")
"""What `of_batch` reads."""


class AttemptOutcome(StrEnum):
    EXPORTED = "exported"  # the day's file was recorded
    RECORDED_ELSEWHERE = "recorded_elsewhere"  # another application had recorded the day
    EMPTY = "empty"  # signed off without a file
    FAILED = "failed"  # with the attempt's error
    UNFINISHED = "unfinished"  # no end was recorded: its process died, or an operator ended the day


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a batch."""

    generation: int
    number: int
    """Of its generation, from 1."""
    started_at: datetime | None
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    """None while it runs, or waits to be continued."""
    error_type: str | None = None
    error: str | None = None
    next_at: datetime | None = None
    """When the next attempt was due; None when none followed automatically."""

    @classmethod
    def from_doc(cls, doc: Any) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields(doc, collection=COLLECTION, doc_id=None, path="attempts.")
        error = fields.inner_or_none("error")
        return cls(
            generation=fields.whole("generation"),
            number=fields.whole("attempt"),
            started_at=fields.time_or_none("startedAt"),
            ended_at=fields.time_or_none("endedAt"),
            outcome=fields.one_of("outcome", AttemptOutcome) if fields.has("outcome") else None,
            error_type=None if error is None else error.text("type"),
            error=None if error is None else error.text("message"),
            next_at=fields.time_or_none("nextAttemptAt"),
        )

    def to_doc(self) -> dict[str, Any]:
        """As it is stored, and as JSON has it."""
        return {
            "generation": self.generation,
            "attempt": self.number,
            "startedAt": self.started_at,
            "endedAt": self.ended_at,
            "outcome": None if self.outcome is None else self.outcome.value,
            "error": None
            if self.error_type is None
            else {"type": self.error_type, "message": self.error},
            "nextAttemptAt": self.next_at,
        }


def of_batch(doc: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """The attempts of a stored batch, oldest first.

    Where the outcome of one is not stored with it, it follows from the batch's state.
    """
    return tuple(_ended(attempt, doc) for attempt in _stored(doc))


def to_docs(attempts: tuple[Attempt, ...]) -> list[dict[str, Any]]:
    return [attempt.to_doc() for attempt in attempts[-KEPT:]]


def with_begun(batch: Batch, *, number: int, now: datetime) -> tuple[Attempt, ...]:
    """The batch's attempts and one that begins now; those before it have ended."""
    before = (
        replace(attempt, outcome=AttemptOutcome.UNFINISHED) if attempt.outcome is None else attempt
        for attempt in of_batch(batch.doc)
    )
    begun = Attempt(
        generation=batch.generation, number=number, started_at=now, ended_at=None, outcome=None
    )
    return (*before, begun)


def with_failed(
    batch: Batch, *, error: Mapping[str, Any], next_at: datetime | None, now: datetime
) -> tuple[Attempt, ...]:
    """The batch's attempts, the current one failed.

    If it has failed before, it keeps its error: a batch may also fail after its last attempt.
    """
    before = of_batch(batch.doc)
    current = (batch.generation, batch.attempt)
    known = [one for one in before[-1:] if (one.generation, one.number) == current]
    if batch.attempt == 0 or any(one.outcome is not None for one in known):
        return before
    # An earlier version has begun its attempt without storing it.
    began = known[0].started_at if known else _time(batch.doc.get("startedAt"))
    failed = Attempt(
        generation=batch.generation,
        number=batch.attempt,
        started_at=began,
        ended_at=now,
        outcome=AttemptOutcome.FAILED,
        error_type=error["type"],
        error=error["message"][:LONGEST_MESSAGE],
        next_at=next_at,
    )
    return (*before[: len(before) - len(known)], failed)


def _stored(doc: Mapping[str, Any]) -> list[Attempt]:
    stored = doc.get("attempts")
    found = []
    for one in stored[-KEPT:] if isinstance(stored, list) else ():
        try:
            found.append(Attempt.from_doc(one))
        except DocumentDamaged:
            continue
    return found


def _ended(attempt: Attempt, doc: Mapping[str, Any]) -> Attempt:
    """The attempt with its outcome, by the batch's state where none was stored."""
    if attempt.outcome is not None:
        return attempt
    state = doc.get("state")
    if (attempt.generation, attempt.number) != _current(doc):
        return replace(attempt, outcome=AttemptOutcome.UNFINISHED)
    if state == BatchState.OPEN.value:
        return attempt
    if state not in (BatchState.COMMITTED.value, BatchState.EMPTY.value):
        return replace(attempt, outcome=AttemptOutcome.UNFINISHED)
    outcome = AttemptOutcome.EMPTY
    if state == BatchState.COMMITTED.value:
        elsewhere = doc.get("recordedElsewhere")
        outcome = AttemptOutcome.RECORDED_ELSEWHERE if elsewhere else AttemptOutcome.EXPORTED
    return replace(attempt, outcome=outcome, ended_at=_time(doc.get("committedAt")))


def _current(doc: Mapping[str, Any]) -> tuple[Any, Any]:
    return doc.get("generation"), doc.get("attempt")


def _time(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
