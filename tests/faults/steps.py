"""Steps: the requests of a run to MongoDB and Drive, and traps that spring at one of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from daybook.export.slot.slot import REHEARSAL
from tests.emulators.drive.log import Moment
from tests.emulators.mongo_proxy import Action, Event, Phase

Stage = Literal["before", "after"]

HOLD_SECONDS = 120.0
_POLL_SECONDS = 0.01
_READS = ("find ", "listIndexes ", "getMore ")

SEAL = "findAndModify exportslots push seals"
TAKE = "findAndModify exportslots take"
STORE_MANIFEST = "findAndModify exportslots set manifest,upload"
COMMIT = "findAndModify exportslots transaction, emptied"
TRANSACTION = "findAndModify exportslots transaction"
WRITE_PART = "insert exportmanifests"
WRITE_RECORD = "insert exportlogs"
LAST_CHUNK = "drive chunk_last"
WHOLE = "drive create_multipart"


@dataclass(frozen=True, kw_only=True)
class Step:
    """The nth request of a kind in a run, from 1."""

    kind: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.kind} #{self.nth}"

    @property
    def drive_operation(self) -> str | None:
        """As the stand-in names it; None for a command to MongoDB."""
        source, _, operation = self.kind.partition(" ")
        return operation if source == "drive" else None


class Point(NamedTuple):
    """Where a run is killed."""

    step: Step
    stage: Stage


def each_kind_once(steps: Iterable[Step]) -> list[Point]:
    """Reads leave nothing behind, so there killing before and after is the same.

    Every commit of a transaction is a kind of its own.
    """
    points = []
    for step in steps:
        if step.nth > 1 and step.kind != "commitTransaction":
            continue
        points.append(Point(step, "before"))
        if not step.kind.startswith(_READS):
            points.append(Point(step, "after"))
    return points


def kind_of(event: Event) -> str:
    """A command by name, collection and, for the slot, by what it changes there."""
    kind = f"{event.name} {event.collection or ''}".rstrip()
    if event.collection == "exportslots" and event.name == "findAndModify":
        return f"{kind} {_slot_change(event.document['update'])}"
    if event.collection == "exportbatches" and event.name == "update":
        return f"{kind} {_batch_change(event.document)}"
    return kind


def _slot_change(update: Any) -> str:
    if isinstance(update, list):
        return "take" if "fence" in update[0]["$set"] else "renew"
    if "$push" in update:
        return "push " + ",".join(update["$push"])
    sets = update.get("$set", {})
    if "writes" in update.get("$inc", {}):
        return "transaction, emptied" if "fileId" in sets else "transaction"
    return "set " + ",".join(sorted(sets))


def _batch_change(command: Mapping[str, Any]) -> str:
    update = command["updates"][0]["u"]
    sets = update.get("$set", {})
    if "state" in sets:
        return str(sets["state"])
    if "markedAt" in sets:
        return "marked"
    if "pendingTask" in sets:
        return "follows"
    return "announced" if "alertedAt" in sets else "counted"


class Steps:
    """Numbers the requests as they come, from MongoDB's proxy and from Drive's stand-in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.before: Counter[str] = Counter()
        """Requests to Drive, by operation, that came before and do not count."""
        self._under_way: dict[int, Step] = {}
        self._rehearsed: set[tuple[Any, Any]] = set()
        self.seen: list[Step] = []

    def mongo(self, event: Event) -> Action | None:
        """A hook for the proxy."""
        if event.phase is Phase.BEFORE:
            step = self._next(kind_of(event) + self._rehearsal(event.document))
            self._under_way[event.number] = step
            return self.at(step, "before")
        return self.at(self._under_way[event.number], "after")

    def _rehearsal(self, command: Mapping[str, Any]) -> str:
        """What tells the commands of a rehearsal from those of the commit."""
        transaction = (str(command.get("lsid")), command.get("txnNumber"))
        if command.get("comment") == REHEARSAL:
            self._rehearsed.add(transaction)
        return ", rehearsed" if transaction in self._rehearsed else ""

    def drive(self, moment: Moment) -> None:
        """A hook for the stand-in."""
        nth = moment.nth - self.before[moment.operation]
        step = Step(kind=f"drive {moment.operation}", nth=nth)
        if moment.stage == "before":
            with self._lock:
                self.seen.append(step)
        self.at(step, "before" if moment.stage == "before" else "after")

    def at(self, step: Step, stage: Stage) -> Action | None:
        """What happens at a step; nothing, unless a trap says otherwise."""

    def _next(self, kind: str) -> Step:
        with self._lock:
            self._counts[kind] += 1
            step = Step(kind=kind, nth=self._counts[kind])
            self.seen.append(step)
            return step


class Trap(Steps):
    """Springs once, at one step: `act` is called, in the request's own thread.

    What `act` returns goes to the proxy: CUT means that a command never arrived, or that
    its answer is lost. With `hold` the request then waits until `release`.
    """

    def __init__(
        self,
        step: Step,
        stage: Stage,
        act: Callable[[], Action | None],
        *,
        hold: bool = False,
    ) -> None:
        super().__init__()
        self._step = step
        self._stage = stage
        self._act = act
        self._claimed = threading.Lock()
        self._sprung = threading.Event()
        self._released = threading.Event()
        if not hold:
            self._released.set()

    def at(self, step: Step, stage: Stage) -> Action | None:
        if (step, stage) != (self._step, self._stage) or not self._claimed.acquire(blocking=False):
            return None
        action = self._act()
        self._sprung.set()
        self._released.wait(HOLD_SECONDS)
        return action

    @property
    def sprung(self) -> bool:
        return self._sprung.is_set()

    def release(self) -> None:
        self._released.set()

    def wait(self, ended: Callable[[], bool]) -> bool:
        """Until it has sprung, or the run ended without coming to the step: then False."""
        while not self._sprung.wait(_POLL_SECONDS):
            if ended():
                return self.sprung
        return True

    def __str__(self) -> str:
        seen = ", ".join(map(str, self.seen))
        return f"{self._stage} {self._step}, after {seen}"
