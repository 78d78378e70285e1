"""What one exploration starts from, what may happen in it, and which rule it breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .world import Batch, Budget, Run, Slot, World


class Mutation(Enum):
    """A rule of the protocol, broken; the model must then find how that goes wrong."""

    SEAL_AFTER_REQUEST = "the seal is stored after the request that makes the file visible"
    ID_GIVEN_UP_WHILE_FREE = "a new id is taken although no file was seen at the old one"
    SESSION_AFTER_CRASH = "a session is resumed that was not handed back"
    COMMIT_UNFENCED = "the commit does not check the fence"
    SEAL_UNFENCED = "the seal is stored because a clock allows it, whatever fence is stored"
    ID_UNFENCED = "the id is stored whatever fence is stored"
    MANIFEST_UNFENCED = "the manifest is stored whatever fence is stored"
    MARKING_UNFENCED = "items beyond the transaction are marked whatever fence is stored"
    REJECTED_COMPLETED_TOO = "what is completed without a fence are all items, rejected ones too"
    HANDOVER_KEPT = "taking the slot leaves the session marked as handed back"
    HANDED_BACK_IN_DOUBT = "a session is handed back with a request unanswered"
    PREFIX_UNCHECKED = "a session is resumed without comparing the prefix"
    SESSION_OF_ANOTHER_DAY = "a session is resumed for another day or manifest"
    SETTLE_SKIPPED = "a run plans without asking for the id"
    SEALS_DROPPED = "the seals are dropped when the id is found free"
    MATCH_BY_BYTES = "a file is matched by size and digests alone"
    MANIFEST_OUTLIVES_COMMIT = "a manifest that was stored before a commit is gone on with after it"
    REFUSAL_TAKEN_FOR_SUCCESS = "a refusal of the id as taken counts as the file having been made"
    QUEUE_UNCHECKED = "the seal is stored without looking whether the items are still queued"
    REHEARSAL_SKIPPED = "the seal is stored without rehearsing the commit"
    TWO_PLANS_ONE_FENCE = "a run that plans again writes its parts under the same fence"
    MARKED_TWICE = "marking forgets which parts it has marked"
    SWEEP_UNFENCED = "a run sweeps parts that were written under a later fence than its own"
    SWEEP_FORGETS_SEALS = "parts that only a seal names are swept"
    SWEEP_FORGETS_UNMARKED = "parts of a committed file that are not marked yet are swept"
    SWEEP_FORGETS_PLAN = "parts that the slot's manifest names are swept before it is replaced"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Queue and runs at the start; runs of one day start in order, days in any."""

    run_days: tuple[int, ...]
    queue: tuple[int, ...] = (0, 1)
    """The entry of each queue item."""
    late: int = 0
    """How many items, from the end, are not there yet."""
    spoiled: frozenset[tuple[int, int]] = frozenset()
    """(entry, version) that is rejected."""
    budget: Budget = field(default_factory=Budget)
    marked_in_transaction: int = 9
    """How many items the commit marks; the rest follow in two steps of their own."""
    refused_at_open: bool = True
    """Whether Drive answers 409 when a session is opened, or only at its end."""
    private: bool = False
    """Whether the files' properties are hidden, as Drive hides them from other applications."""
    refusing: bool = False
    """Whether MongoDB refuses commits at the start, until an operator repairs that."""
    mutations: frozenset[Mutation] = frozenset()

    def breaks(self, mutation: Mutation) -> bool:
        return mutation in self.mutations

    @property
    def day_count(self) -> int:
        """The days of the runs, and two more for the clean runs that follow."""
        return max(self.run_days) + 3

    def start(self) -> World:
        waiting = len(self.queue) - self.late
        return World(
            entries=(0,) * (max(self.queue) + 1),
            items=("queued",) * waiting + ("absent",) * self.late,
            slot=Slot(),
            batches=(Batch(),) * self.day_count,
            parts=(),
            files=(),
            sessions=(),
            requests=(),
            runs=tuple(Run(day) for day in self.run_days),
            budget=self.budget,
            refusing=self.refusing,
        )
