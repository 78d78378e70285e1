"""The calls that have to follow runs on this machine, where no queue makes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.lifecycle import BatchState, Task, TaskKind, attempt_to_recheck
from daybook.export.slot import slot
from daybook.export.slot.state import lease_of
from daybook.local.courier import Courier
from daybook.mongo.query import Query

POLL_SECONDS = 1.0

_UNFINISHED = Query(
    name="batches_left_behind",
    collection=batches.COLLECTION,
    filter=lambda profile: {
        "profile": profile,
        "pendingTask": None,
        "$or": [
            {
                "state": BatchState.OPEN.value,
                "$expr": {"$gt": ["$attempt", {"$ifNull": ["$endedAttempt", 0]}]},
            },
            {"state": BatchState.COMMITTED.value, "markedAt": None},
        ],
    },
    arguments=lambda doc: {"profile": doc["profile"]},
)
QUERIES = (_UNFINISHED,)


def due_calls(database: Database[dict[str, Any]], profile: str, now: datetime) -> list[Task]:
    """The calls that are due now; none for a slot that a run holds.

    These are the calls that runs have recorded, and a recheck for each batch whose process died
    before it recorded one. The recheck is named after the run that died, so a second one has the
    same name. Raises `DocumentDamaged`.
    """
    recorded, damaged = batches.pending(database[batches.COLLECTION], profile)
    if damaged:
        raise damaged[0]
    calls = [call for call in recorded if call.due <= now]
    calls += [_recheck(batch, now) for batch in _unfinished(database, profile)]
    free = {slot_id: _is_free(database, slot_id) for slot_id in {c.key.slot_id for c in calls}}
    return [call for call in calls if free[call.key.slot_id]]


def _unfinished(database: Database[dict[str, Any]], profile: str) -> Iterator[Batch]:
    """Batches that a live run is working on, or that a dead one has left unfinished."""
    found = _UNFINISHED.find(database, profile=profile)
    return batches.own(found)


def _recheck(batch: Batch, now: datetime) -> Task:
    return Task(
        key=batch.key,
        kind=TaskKind.RECHECK,
        generation=batch.generation,
        attempt=attempt_to_recheck(attempt=batch.attempt, ended_attempt=batch.ended_attempt),
        fence=batch.doc.get("fence", 0),
        due=now,
    )


def _is_free(database: Database[dict[str, Any]], slot_id: str) -> bool:
    lease = lease_of(database[slot.COLLECTION], slot_id)
    return lease is None or lease.left <= timedelta()


class FollowUps:
    """Inside a `with` block, polls every second for calls that are due, and makes them.

    Failures are logged and retried; they never end the polling.
    """

    def __init__(
        self,
        find: Callable[[datetime], list[Task]],
        courier: Courier,
        clock: Callable[[], datetime],
    ) -> None:
        self._find = find
        self._courier = courier
        self._clock = clock
        self._failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._poll_until_stopped, name="follow-ups", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Does not wait for calls in flight: the function ends them when it stops."""
        self._stopped.set()
        self._courier.stop()
        self._thread.join()

    def poll(self) -> None:
        """Hand over the calls that are due now."""
        try:
            calls = self._find(self._clock())
        except Exception as error:  # noqa: BLE001  (the thread's boundary: serve continues)
            if not self._failing and not self._stopped.is_set():
                log.event(
                    logging.WARNING,
                    "follow_ups_unknown",
                    f"What has to follow cannot be looked up; trying again: {error}",
                    exc_info=None if isinstance(error, PyMongoError) else error,
                )
            self._failing = True
            return
        self._failing = False
        for call in calls:
            self._courier.hand_over(call)

    def _poll_until_stopped(self) -> None:
        self.poll()
        while not self._stopped.wait(POLL_SECONDS):
            self.poll()
