"""SIGKILL at every step of a run, and at random moments; then run again until done."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from threading import Event

import pytest

from tests.faults.steps import LAST_CHUNK, WHOLE, Point, Step, Steps, each_kind_once
from tests.faults.world import DAY, NEXT_DAY, World, kill_in_flight

MakeWorld = Callable[..., World]


def _seed(world: World) -> list[str]:
    """Six entries, one of which is rejected; returns the others."""
    entries = world.seed()
    world.set_debit(entries[2], "999.00")
    return entries[:2] + entries[3:]


def _steps_of_a_clean_run(world: World) -> list[Step]:
    world.reset()
    _seed(world)
    steps = Steps()
    assert world.watched(steps).go().wait().statuses == ["exported"]
    return steps.seen


def _kill_at(world: World, points: Iterable[Point]) -> list[str]:
    """Kill a run at each point, finish the day, and tell what went wrong where."""
    broken = []
    for point in points:
        world.reset()
        entries = _seed(world)
        try:
            assert world.killed(*point), "the run never came to this step"
            world.run_until_done()
            assert world.check() == {DAY: entries}
        except (AssertionError, TimeoutError) as error:
            broken.append(f"killed {point.stage} {point.step}: {error}")
    return broken


def test_killed_at_each_kind_of_step_of_a_small_upload(world: World) -> None:
    points = each_kind_once(_steps_of_a_clean_run(world))

    assert len(points) > 40
    assert _kill_at(world, points) == []


def test_killed_at_each_step_that_only_a_large_upload_has(make_world: MakeWorld) -> None:
    world = make_world(small=False)
    steps = _steps_of_a_clean_run(world)
    own = [step for step in steps if "upload" in step.kind or step.drive_operation in _LARGE]

    assert {step.drive_operation for step in own} >= _LARGE
    assert _kill_at(world, each_kind_once(own)) == []


_LARGE = {"session_open", "chunk", "chunk_last"}


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_request_under_way_when_its_run_dies_makes_the_file(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE)
    entries = world.seed()
    worker, _ = world.trapped(Step(kind=kind), "before", kill_in_flight)
    worker.wait()
    world.bury()

    world.run_until_done()

    assert world.check() == {DAY: entries}


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_request_that_arrives_after_the_next_run_is_refused(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE)
    entries = world.seed()
    worker, late = world.trapped(Step(kind=kind), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    assert world.run().statuses == ["exported"]

    late.release()
    _await_end(world, kind)

    assert world.check() == {DAY: entries}


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_request_that_arrives_during_the_next_run_is_its_file(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE)
    entries = world.seed()
    worker, late = world.trapped(Step(kind=kind), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    second = world.frozen(Step(kind=kind))

    late.release()
    _await_end(world, kind)

    assert second.wake().statuses == ["exported"]
    assert world.check() == {DAY: entries}


def _await_end(world: World, kind: str) -> None:
    operation = kind.removeprefix("drive ")
    world.drive.wait_for(operation, acted=True)


def _kill_at_random(world: World, dice: random.Random, kills: int, day: str) -> int:
    """Kill runs of a day, each after another pause, until it is done; tells how many."""
    for count in range(kills):
        worker = world.start(day).go()
        Event().wait(dice.uniform(0, 0.5))
        worker.kill()
        worker.wait()
        world.bury()
        if worker.statuses:
            return count
    world.run_until_done(day)
    return kills


def test_killed_at_random_moments_until_done(make_world: MakeWorld) -> None:
    dice = random.Random(20260118)
    for small in (True, False):
        world = make_world(small=small)
        world.reset()
        entries = world.seed()

        _kill_at_random(world, dice, 6, DAY)
        world.run_until_done()

        assert world.check() == {DAY: entries}


@pytest.mark.storm
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_storm_killed_at_every_step(make_world: MakeWorld, small: bool) -> None:
    world = make_world(small=small)
    steps = _steps_of_a_clean_run(world)
    points = [Point(step, stage) for step in steps for stage in ("before", "after")]

    broken = _kill_at(world, points)

    print(f"\n{len(points)} kills at {len(steps)} steps, {len(broken)} broke the guarantee")
    assert broken == []


@pytest.mark.storm
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_storm_killed_at_random_moments(make_world: MakeWorld, small: bool) -> None:
    world = make_world(small=small)
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    kills = 0
    for round_ in range(30):
        world.reset()
        entries = world.seed()
        kills += _kill_at_random(world, dice, 8, DAY)
        more = world.seed(start=6)
        kills += _kill_at_random(world, dice, 8, NEXT_DAY)
        world.run_until_done(NEXT_DAY)
        for _ in range(2):  # whichever day was left open: at rest, nothing more comes
            world.run(DAY)
        left = world.check()
        found = sorted(entry for delivered in left.values() for entry in delivered)
        assert found == sorted(entries + more), f"{seed=} {round_=}"
    print(f"\n{kills} kills at random moments in 30 rounds of two days, dice {seed}")
