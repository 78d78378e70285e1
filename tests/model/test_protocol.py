"""The protocol holds under every interleaving in these bounds, and each of its rules is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .explore import Outcome, explore
from .invariants import Invariant
from .scenario import Mutation, Scenario
from .world import Budget

SPOILED = frozenset({(1, 0)})

SCENARIOS = {
    "a small file on two days": Scenario(
        run_days=(0, 1), queue=(0,), budget=Budget(completions=1, lost=1)
    ),
    "a file in chunks on two days": Scenario(run_days=(0, 1), budget=Budget(edits=1)),
    "409 only at the end of a session": Scenario(
        run_days=(0, 1), budget=Budget(lost=1), refused_at_open=False
    ),
    "a session handed back": Scenario(run_days=(0, 0), budget=Budget(handbacks=1, edits=1, lost=1)),
    "a session handed back, then another day": Scenario(
        run_days=(0, 1), budget=Budget(handbacks=1)
    ),
    "a session of three chunks handed back": Scenario(
        run_days=(0, 0), queue=(0, 1, 2), budget=Budget(handbacks=1, edits=1)
    ),
    "a rejected item corrected and put back": Scenario(
        run_days=(0, 1),
        spoiled=SPOILED,
        marked_in_transaction=1,
        budget=Budget(edits=1, requeues=1),
    ),
    "items completed elsewhere": Scenario(run_days=(0, 0), budget=Budget(completions=1)),
    "an item comes late": Scenario(run_days=(0, 1), late=1, budget=Budget(arrivals=1)),
    "an entry queued a second time": Scenario(
        run_days=(0, 1), queue=(0, 0), late=1, budget=Budget(withdrawals=1, arrivals=1)
    ),
    "properties that this account does not see": Scenario(
        run_days=(0, 1), queue=(0,), private=True, budget=Budget(completions=1, lost=1)
    ),
    "a sweep while the breaker is open": Scenario(
        run_days=(0, 1), marked_in_transaction=1, budget=Budget(outages=1)
    ),
    "commits are refused until an operator helps": Scenario(
        run_days=(0, 1), queue=(0,), refusing=True, budget=Budget(repairs=1, lost=1)
    ),
    "three runs": Scenario(run_days=(0, 0, 1), queue=(0,)),
}

STORMS = {
    "three runs, an answer lost": Scenario(run_days=(0, 0, 1), queue=(0,), budget=Budget(lost=1)),
    "a session handed back, three runs": Scenario(
        run_days=(0, 0, 0), budget=Budget(handbacks=1, edits=1)
    ),
    "two days, everything at once": Scenario(
        run_days=(0, 1), budget=Budget(edits=1, completions=1, lost=1, handbacks=1)
    ),
    "an entry queued a second time and put back": Scenario(
        run_days=(0, 1),
        queue=(0, 0),
        late=1,
        budget=Budget(withdrawals=1, arrivals=1, requeues=1, lost=1),
    ),
    "three days": Scenario(run_days=(0, 1, 2), queue=(0,), budget=Budget(lost=1, completions=1)),
    "three runs, a file in chunks": Scenario(run_days=(0, 0, 1), budget=Budget(lost=1)),
    "rejected and put back, three runs": Scenario(
        run_days=(0, 1, 1),
        spoiled=SPOILED,
        marked_in_transaction=1,
        budget=Budget(edits=1, requeues=1),
    ),
}

SMALL = "a small file on two days"
BROKEN = {
    Mutation.SEAL_AFTER_REQUEST: (SMALL, Invariant.SEALED),
    Mutation.ID_GIVEN_UP_WHILE_FREE: (SMALL, Invariant.NO_ORPHAN),
    Mutation.SESSION_AFTER_CRASH: ("a session handed back", Invariant.SEALED),
    Mutation.COMMIT_UNFENCED: ("an entry queued a second time", Invariant.ENTRY_ONCE),
    Mutation.SEAL_UNFENCED: ("a file in chunks on two days", Invariant.NO_ORPHAN),
    Mutation.ID_UNFENCED: (SMALL, Invariant.NO_ORPHAN),
    Mutation.MANIFEST_UNFENCED: (SMALL, Invariant.MANIFEST),
    Mutation.MARKING_UNFENCED: ("a rejected item corrected and put back", Invariant.REQUEUE),
    Mutation.REJECTED_COMPLETED_TOO: (
        "a rejected item corrected and put back",
        Invariant.ITEMS,
    ),
    Mutation.MARKED_TWICE: ("a rejected item corrected and put back", Invariant.REQUEUE),
    Mutation.HANDOVER_KEPT: ("a session handed back, three runs", Invariant.SEALED),
    Mutation.HANDED_BACK_IN_DOUBT: ("a session handed back", Invariant.SEALED),
    Mutation.PREFIX_UNCHECKED: ("a session handed back", Invariant.SEALED),
    Mutation.SESSION_OF_ANOTHER_DAY: (
        "a session handed back, then another day",
        Invariant.SEALED,
    ),
    Mutation.SETTLE_SKIPPED: (SMALL, Invariant.NO_ORPHAN),
    Mutation.SEALS_DROPPED: (SMALL, Invariant.SEALED),
    Mutation.MATCH_BY_BYTES: (SMALL, Invariant.CONTENT),
    Mutation.REFUSAL_TAKEN_FOR_SUCCESS: (SMALL, Invariant.CONTENT),
    Mutation.MANIFEST_OUTLIVES_COMMIT: ("an entry queued a second time", Invariant.ENTRY_ONCE),
    Mutation.QUEUE_UNCHECKED: ("items completed elsewhere", Invariant.ELSEWHERE),
    Mutation.REHEARSAL_SKIPPED: (
        "commits are refused until an operator helps",
        Invariant.REHEARSED,
    ),
    Mutation.TWO_PLANS_ONE_FENCE: ("items completed elsewhere", Invariant.MANIFEST),
    Mutation.SWEEP_UNFENCED: (SMALL, Invariant.MANIFEST),
    Mutation.SWEEP_FORGETS_SEALS: ("three runs", Invariant.MANIFEST),
    Mutation.SWEEP_FORGETS_UNMARKED: ("a sweep while the breaker is open", Invariant.MANIFEST),
    Mutation.SWEEP_FORGETS_PLAN: (SMALL, Invariant.MANIFEST),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_guarantee_holds_under_every_interleaving(name: str) -> None:
    _assert_holds(name, SCENARIOS[name])


@pytest.mark.storm
@pytest.mark.parametrize("name", STORMS)
def test_the_guarantee_holds_in_wider_bounds(name: str) -> None:
    _assert_holds(name, STORMS[name])


@pytest.mark.parametrize("mutation", Mutation, ids=lambda mutation: mutation.name)
def test_a_broken_rule_leads_to_a_named_violation(mutation: Mutation) -> None:
    name, expected = BROKEN[mutation]
    sound = {**SCENARIOS, **STORMS}[name]
    violation = explore(replace(sound, mutations=frozenset({mutation}))).violation
    assert violation is not None, f"{mutation.value}: nothing found in {name!r}"
    print(f"{mutation.value}\n{violation}")
    assert violation.invariant is expected
    assert str(violation).startswith(f"{expected.name}: {expected.value}")
    assert 0 < len(violation.trace) <= 40


def _assert_holds(name: str, scenario: Scenario) -> None:
    outcome = explore(scenario)
    print(f"{name}: {_told(outcome)}")
    if outcome.violation is not None:
        pytest.fail(f"{name}\n{outcome.violation}", pytrace=False)
    assert outcome.commits > 0, "no batch was ever committed, so nothing was shown"


def _told(outcome: Outcome) -> str:
    return (
        f"{outcome.states} states, {outcome.steps} steps, "
        f"clean runs from {outcome.rests} stored states"
    )
