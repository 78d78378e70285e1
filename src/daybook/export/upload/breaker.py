"""The circuit breaker: a destination that keeps failing is not called for a while.

It is stored in MongoDB, one document per destination, since instances share nothing else. The
circuit is closed, open until a time, then half-open: one run may try, for as long as it holds
its lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from daybook.display import number
from daybook.errors import CircuitOpen
from daybook.export.model.fields import Fields
from daybook.export.slot import slot as slots
from daybook.export.slot.slot import Slot
from daybook.export.slot.state import lease_of
from daybook.mongo.query import Query

COLLECTION = "circuitbreakers"
KINDS = ("google_drive", "local_folder", "s3")
"""The `_id` for `DAYBOOK_DESTINATION` is its kind, whatever its address."""
ADDRESSES = ("drive://", "file://", "s3://")
"""The `_id` for any other destination is its address, which begins with one of these."""
ALL = Query(
    name="breakers",
    collection=COLLECTION,
    filter=dict,
    arguments=lambda _: {},
    small="there is one document per destination",
)
QUERIES = (ALL,)
CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clocks of two instances may differ, see `MachineClock`."""
AFTER_LEASE = timedelta(seconds=5)
"""How long after the trial run's lease ends to try again."""


def is_own(doc_id: object) -> bool:
    """Whether a document with this `_id` is Daybook's."""
    return doc_id in KINDS or (isinstance(doc_id, str) and doc_id.startswith(ADDRESSES))


class BreakerState(StrEnum):
    CLOSED = "closed"  # the destination is used
    OPEN = "open"  # the destination is not called
    HALF_OPEN = "half_open"  # one run at a time may try


@dataclass(frozen=True, kw_only=True)
class BreakerRecord:
    """A breaker as stored."""

    failures: int = 0
    """Attempts in a row that failed because of the destination."""
    open_until: datetime | None = None
    opened_at: datetime | None = field(default=None, compare=False)
    """By the clock of the process that opened it; None while it is closed."""
    trial: Mapping[str, Any] | None = None
    """`slot` and lease `owner` of the run that may try."""

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any] | None) -> Self:
        """Raises `DocumentDamaged`."""
        if doc is None:
            return cls()
        fields = Fields.of(doc, COLLECTION)
        open_until, trial = fields.time_or_none("openUntil"), fields.inner_or_none("trial")
        if trial is not None:
            trial.text("slot")
            trial.text("owner")
        return cls(
            failures=fields.whole("failures"),
            open_until=open_until,
            opened_at=None if open_until is None else fields.time_or_none("openedAt"),
            trial=doc.get("trial"),
        )

    def state_at(self, now: datetime) -> BreakerState:
        """The state at `now`.

        A breaker that was opened in the future was opened by a process whose clock was wrong: it
        must not stay open until then, so one run may try.
        """
        if self.open_until is None:
            return BreakerState.CLOSED
        credible = self.opened_at is None or self.opened_at <= now + CLOCKS_DIFFER
        return BreakerState.OPEN if credible and now < self.open_until else BreakerState.HALF_OPEN


def after_failure(
    state: BreakerRecord, *, now: datetime, failures: int, reset_seconds: float
) -> BreakerRecord:
    """Count a failed attempt; at `failures` in a row, or on a trial, it opens."""
    count = state.failures + 1
    if state.open_until is None and count < failures:
        return BreakerRecord(failures=count)
    return BreakerRecord(
        failures=count, open_until=now + timedelta(seconds=reset_seconds), opened_at=now
    )


class Breaker:
    """The breaker of one destination."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        name: str,
        *,
        failures: int,
        reset_seconds: float,
    ) -> None:
        self._collection = database[COLLECTION]
        self._slots = database[slots.COLLECTION]
        self._name = name
        self._failures = failures
        self._reset_seconds = reset_seconds

    def state(self) -> BreakerRecord:
        return BreakerRecord.from_doc(self._collection.find_one({"_id": self._name}))

    def admit(self, slot: Slot, now: datetime) -> None:
        """Let the run that holds `slot` call the destination, or raise `CircuitOpen`."""
        while True:
            state = self.state()
            if state.open_until is None:
                return
            if state.state_at(now) is BreakerState.OPEN:
                raise CircuitOpen(
                    f"{self._name} failed {number(state.failures, 'time')} in a row; the "
                    "circuit is open",
                    until=state.open_until,
                )
            mine = {"slot": slot.id, "owner": slot.owner}
            left = None if state.trial == mine else self._trial_left(state)
            if left is not None:
                raise CircuitOpen(
                    f"{self._name} is being tried by another run", until=now + left + AFTER_LEASE
                )
            claimed = self._collection.update_one(
                {"_id": self._name, "openUntil": state.open_until, "trial": state.trial},
                {"$set": {"trial": mine}},
            )
            if claimed.matched_count:
                return

    def let_try(self, now: datetime) -> bool:
        """Make an open circuit half-open at once: the next run may try the destination.

        For an operator who knows that the cause is removed. A trial that fails opens it again.
        Returns whether the circuit was open.
        """
        state = self.state()
        if state.state_at(now) is not BreakerState.OPEN:
            return False
        changed = self._collection.update_one(
            {"_id": self._name, "openUntil": state.open_until},
            {"$set": {"openUntil": now, "trial": None, "updatedAt": now}},
        )
        return changed.matched_count > 0

    def record_failure(self, now: datetime) -> BreakerRecord | None:
        """Count a failed attempt that is already recorded.

        Not in a transaction: profiles share this document, and if a killed process locked
        it, all of them would have to wait. A kill before this write loses the count of one
        failure. Returns the new record when the circuit went from closed to open.
        """
        while True:
            before = self.state()
            state = after_failure(
                before,
                now=now,
                failures=self._failures,
                reset_seconds=self._reset_seconds,
            )
            if self._replace(before, state, now):
                opened = before.open_until is None and state.open_until is not None
                return state if opened else None

    def _replace(self, before: BreakerRecord, state: BreakerRecord, now: datetime) -> bool:
        """Store `state` unless another run has changed the record since `before` was read."""
        changes: dict[str, Any] = {
            "failures": state.failures,
            "openUntil": state.open_until,
            "trial": None,
            "updatedAt": now,
        }
        if state.opened_at is not None:
            changes["openedAt"] = state.opened_at
        unchanged = {
            "_id": self._name,
            "failures": before.failures,
            "openUntil": before.open_until,
            "trial": before.trial,
        }
        absent = before == BreakerRecord()
        try:
            stored = self._collection.update_one(unchanged, {"$set": changes}, upsert=absent)
        except DuplicateKeyError:
            return False  # another run inserted it at the same moment
        return bool(stored.matched_count) or stored.did_upsert

    def close(self, now: datetime) -> None:
        """Reset the failures: the destination works."""
        if self.state() == BreakerRecord():
            return
        self._collection.update_one(
            {"_id": self._name},
            {"$set": {"failures": 0, "openUntil": None, "trial": None, "updatedAt": now}},
        )

    def _trial_left(self, state: BreakerRecord) -> timedelta | None:
        """How much longer the trial run's lease lasts; None when there is no such run."""
        if state.trial is None:
            return None
        lease = lease_of(self._slots, state.trial["slot"])
        if lease is None or lease.owner != state.trial["owner"] or lease.left <= timedelta():
            return None
        return lease.left
