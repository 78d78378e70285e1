"""A run that is killed or frozen inside a transaction, whose locks MongoDB keeps for a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.steps import TRANSACTION, WRITE_RECORD, Step
from tests.faults.world import DAY, World, freeze, kill

MakeWorld = Callable[..., World]

LEASE_SECONDS = 2.0
RESUMED_WITHIN_SECONDS = LEASE_SECONDS + 5.0 + 5.0
"""Five seconds after the lease, and as many for starting processes on a busy machine."""

INSIDE = {
    "the attempt's start": Step(kind=TRANSACTION),
    "the batch opened": Step(kind="update exportbatches open"),
    "the record inserted": Step(kind=WRITE_RECORD),
    "the batch committed": Step(kind="update exportbatches committed"),
    "the items marked": Step(kind="update exportqueues"),
    "the part closed": Step(kind="update exportmanifests"),
    "the marking signed off": Step(kind="update exportbatches marked"),
}
"""Statements of a run's transactions; each is killed once it has taken effect."""


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Nothing in it ends a transaction or a lease except time and the runs themselves."""
    return make_world(lease_seconds=LEASE_SECONDS)


@pytest.mark.parametrize("step", INSIDE.values(), ids=INSIDE.keys())
def test_the_day_resumes_soon_after_the_lease(world: World, step: Step) -> None:
    entries = world.seed()
    worker, trap = world.trapped(step, "after", kill)
    worker.wait()
    assert trap.sprung, f"the run never came to {trap}"
    killed = time.monotonic()
    assert world.run(DAY).statuses == ["in_progress"]

    world.run_until_done()

    assert time.monotonic() - killed < RESUMED_WITHIN_SECONDS
    assert world.check() == {DAY: entries}


@pytest.mark.parametrize("nth", [1, 2, 3], ids=["attempt", "commit", "marking signed off"])
def test_a_commit_that_wakes_up_later_is_refused(world: World, nth: int) -> None:
    entries = world.seed()
    worker, trap = world.trapped(
        Step(kind="commitTransaction", nth=nth), "before", freeze, hold=True
    )
    assert trap.wait(lambda: worker.ended), f"the run never came to {trap}"
    frozen = time.monotonic()
    world.run_until_done()
    assert time.monotonic() - frozen < RESUMED_WITHIN_SECONDS
    before = world.check()

    worker.wake()
    trap.release()
    worker.wait()

    assert worker.statuses[0] in {"in_progress", "already_exported"}
    assert world.check() == before == {DAY: entries}
