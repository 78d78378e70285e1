"""A day of 10,003 entries: three parts, of which the commit marks the first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from tests.faults.steps import TRANSACTION, WRITE_PART, Stage, Step
from tests.faults.world import DAY, NEXT_DAY, World, item_for

COUNT = 10_003


def _seed_many(world: World) -> list[str]:
    entries: list[dict[str, Any]] = [
        {
            "_id": ObjectId(),
            "date": datetime(2026, 1, 18, 3, tzinfo=UTC),
            "reference": f"JV-{number}",
            "currency": "THB",
            "amount": Decimal128("12.50"),
        }
        for number in range(COUNT)
    ]
    world.database["journalentries"].insert_many(entries)
    world.database["exportqueues"].insert_many([item_for(entry["_id"]) for entry in entries])
    return [str(entry["_id"]) for entry in entries]


def _completed(world: World) -> int:
    return world.database["exportqueues"].count_documents({"status": "completed"})


def test_a_manifest_half_written_and_a_marking_half_done_are_brought_to_their_end(
    world: World,
) -> None:
    entries = _seed_many(world)
    assert world.killed(Step(kind=WRITE_PART, nth=2), "after")
    assert world.killed(Step(kind=TRANSACTION, nth=2), "before")
    assert _completed(world) == 5_000
    more = world.seed(3, start=1)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert world.check() == {DAY: entries, NEXT_DAY: more}
    assert world.database["exportmanifests"].count_documents({"markedAt": None}) == 0


@pytest.mark.parametrize(
    ("nth", "stage", "completed"),
    [
        pytest.param(2, "after", 5_000, marks=pytest.mark.storm),
        pytest.param(3, "before", 10_000, marks=pytest.mark.storm),
        (3, "after", 10_000),
        pytest.param(4, "before", COUNT, marks=pytest.mark.storm),
    ],
)
def test_marking_that_was_broken_off_is_finished_by_the_same_day(
    world: World, nth: int, stage: Stage, completed: int
) -> None:
    entries = _seed_many(world)
    assert world.killed(Step(kind=TRANSACTION, nth=nth), stage)
    assert _completed(world) == completed

    assert world.run().statuses == ["already_exported"]

    assert world.check() == {DAY: entries}
