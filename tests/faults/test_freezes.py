"""A run that is frozen, overtaken meanwhile, and woken up."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from bson import ObjectId

from tests import books
from tests.faults.steps import COMMIT, LAST_CHUNK, SEAL, STORE_MANIFEST, WHOLE, Stage, Step, Steps
from tests.faults.world import DAY, NEXT_DAY, World

MakeWorld = Callable[..., World]


STAGES: tuple[Stage, ...] = ("before", "after")


class Freeze(NamedTuple):
    """Where a run is frozen, and whether its file is visible by then."""

    small: bool
    kind: str
    stage: Stage = "before"
    visible: bool = False


FREEZES = {
    "manifest written": Freeze(True, STORE_MANIFEST),
    "before seal": Freeze(True, SEAL),
    "after seal": Freeze(True, SEAL, "after"),
    "before the whole file": Freeze(True, WHOLE),
    "whole file sent": Freeze(True, WHOLE, "after", visible=True),
    "before commit": Freeze(True, COMMIT, visible=True),
    "before last chunk": Freeze(False, LAST_CHUNK),
    "last chunk sent": Freeze(False, LAST_CHUNK, "after", visible=True),
    "chunks sent": Freeze(False, SEAL),
}
everywhere = pytest.mark.parametrize("freeze", FREEZES.values(), ids=FREEZES.keys())


def _overtaken(make_world: MakeWorld, freeze: Freeze) -> tuple[World, list[str]]:
    world = make_world(small=freeze.small)
    return world, world.seed()


@everywhere
def test_a_woken_run_changes_nothing(make_world: MakeWorld, freeze: Freeze) -> None:
    world, entries = _overtaken(make_world, freeze)
    frozen = world.frozen(Step(kind=freeze.kind), freeze.stage)
    world.expire_lease()
    world.run_until_done()
    before = world.check()

    assert frozen.wake().statuses[0] in {"in_progress", "already_exported"}

    assert world.check() == before == {DAY: entries}


@everywhere
def test_an_entry_edited_while_the_run_stood_still_is_in_the_file_as_sealed(
    make_world: MakeWorld, freeze: Freeze
) -> None:
    world, entries = _overtaken(make_world, freeze)
    frozen = world.frozen(Step(kind=freeze.kind), freeze.stage)
    world.database["journalentries"].update_one(
        {"_id": ObjectId(entries[2])}, {"$set": {"reference": "EDITED"}}
    )
    world.expire_lease()
    world.run_until_done()

    frozen.wake()

    assert world.check(edited=[DAY] if freeze.visible else []) == {DAY: entries}
    references = books.references(world.drive.files()[0].content)
    assert ("EDITED" in references) is not freeze.visible


@everywhere
def test_the_next_day_runs_while_the_run_is_frozen(make_world: MakeWorld, freeze: Freeze) -> None:
    world, entries = _overtaken(make_world, freeze)
    frozen = world.frozen(Step(kind=freeze.kind), freeze.stage)
    more = world.seed(2, start=6)
    world.expire_lease()
    assert world.run(NEXT_DAY).statuses == ["exported"]

    frozen.wake()
    afterwards = world.run(DAY).statuses

    if freeze.visible:
        assert world.check() == {DAY: entries, NEXT_DAY: more}
        assert afterwards == ["already_exported"]
    else:
        assert world.check() == {NEXT_DAY: entries + more}
        assert afterwards == ["empty"]


def test_a_woken_run_sweeps_nothing_away_that_its_successor_works_on(world: World) -> None:
    entries = world.seed()
    sweeping = world.frozen(Step(kind="find exportmanifests"))
    world.expire_lease()
    successor = world.frozen(Step(kind=SEAL), "after")

    assert sweeping.wake().statuses == ["in_progress"]

    assert successor.wake().statuses == ["exported"]
    assert world.check() == {DAY: entries}


def _bring_to_rest(world: World) -> list[str]:
    """Undisturbed runs of both days; returns what is delivered, in whichever file."""
    world.bury()
    for day in (DAY, NEXT_DAY):
        world.run_until("exported", "already_exported", "empty", day=day)
    return sorted(entry for delivered in world.check().values() for entry in delivered)


def _steps_of_a_clean_run(world: World) -> list[Step]:
    world.seed()
    steps = Steps()
    world.watched(steps).go().wait()
    return steps.seen


@pytest.mark.storm
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("overtaker", [DAY, NEXT_DAY], ids=["same day", "next day"])
def test_storm_frozen_at_every_step_and_overtaken(
    make_world: MakeWorld, small: bool, overtaker: str
) -> None:
    world = make_world(small=small)
    steps = _steps_of_a_clean_run(world)
    broken = []
    for step in steps:
        world.reset()
        entries = world.seed()
        frozen = world.frozen_or_ended(step)
        world.bury()
        try:
            world.run(overtaker)
            frozen.wake()
            assert _bring_to_rest(world) == sorted(entries)
        except AssertionError as error:
            broken.append(f"frozen before {step}: {error}")
    print(f"\n{len(steps)} runs frozen and overtaken, {len(broken)} broke the guarantee")
    assert broken == []


@pytest.mark.storm
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_storm_two_runs_frozen_at_any_two_steps(make_world: MakeWorld, small: bool) -> None:
    """Each is woken while the other is frozen, the first one first or last."""
    world = make_world(small=small)
    steps = _steps_of_a_clean_run(world)
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    broken = []
    for _ in range(100):
        world.reset()
        entries = world.seed()
        places = [(dice.choice(steps), dice.choice(STAGES)) for _ in range(2)]
        day, first_wakes_first = dice.choice([DAY, NEXT_DAY]), dice.choice([True, False])
        try:
            first = world.frozen_or_ended(*places[0])
            world.bury()
            second = world.frozen_or_ended(*places[1], day=day)
            world.bury()
            for frozen in (first, second) if first_wakes_first else (second, first):
                frozen.wake()
            assert _bring_to_rest(world) == sorted(entries)
        except (AssertionError, TimeoutError) as error:
            at = " and ".join(f"{stage} {step}" for step, stage in places)
            broken.append(f"{at}, {day}, {first_wakes_first=}: {error}")
    print(f"\n100 pairs of runs frozen and woken, {len(broken)} broke the guarantee, dice {seed}")
    assert broken == []
