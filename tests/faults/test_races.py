"""The same request ten times at once, and a lease that really runs out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.steps import SEAL, Step
from tests.faults.world import DAY, World, kill

MakeWorld = Callable[..., World]


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_ten_callers_in_two_processes_make_one_file(make_world: MakeWorld, small: bool) -> None:
    world = make_world(small=small)
    entries = world.seed()
    workers = [world.start(callers=5) for _ in range(2)]

    for worker in workers:
        worker.go()
    statuses = Counter(status for worker in workers for status in worker.wait().statuses)

    assert statuses.total() == 10
    assert statuses["exported"] == 1
    assert set(statuses) <= {"exported", "in_progress", "already_exported"}
    assert world.check() == {DAY: entries}


def test_a_lease_that_runs_out_lets_the_next_run_in(make_world: MakeWorld) -> None:
    world = make_world(lease_seconds=1.0)
    entries = world.seed()
    frozen = world.frozen(Step(kind=SEAL))

    first = world.run()
    world.run_until("exported")

    assert first.statuses == ["in_progress"]
    assert frozen.wake().statuses == ["in_progress"]
    assert world.check() == {DAY: entries}


def test_a_run_keeps_a_lease_that_expired_while_no_run_took_it(world: World) -> None:
    entries = world.seed()
    frozen = world.frozen(Step(kind=SEAL))

    world.expire_lease()

    assert frozen.wake().statuses == ["exported"]
    assert world.check() == {DAY: entries}


def test_a_transaction_that_died_with_its_run_holds_up_the_next_run_only_for_a_while(
    world: World,
) -> None:
    """MongoDB ends it after `transactionLifetimeLimitSeconds`, and nothing else can."""
    entries = world.seed()
    admin = world.database.client.admin
    usual = admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
    limit = "transactionLifetimeLimitSeconds"
    admin.command({"setParameter": 1, limit: 2})
    try:
        worker, _ = world.trapped(Step(kind="insert exportlogs"), "after", kill)
        worker.wait()
        world.expire_lease()
        answer = world.run()
    finally:
        admin.command({"setParameter": 1, limit: usual[limit]})

    assert answer.statuses == ["already_exported"]
    assert world.check() == {DAY: entries}
