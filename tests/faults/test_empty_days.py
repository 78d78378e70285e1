"""SIGKILL at every step of a day that rejects all of its items: each is rejected once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from bson import Decimal128, ObjectId

from tests.faults.steps import TRANSACTION, Step, Steps, each_kind_once
from tests.faults.world import DAY, NEXT_DAY, THIRD_DAY, World, item_for

COUNT = 6_003
"""Three parts, of which the sign-off marks the first."""


def _seed_bad(world: World) -> None:
    for entry in world.seed(2):
        world.set_debit(entry, "999.00")


def _assert_all_rejected_once(world: World, day: str, count: int) -> None:
    database = world.database
    assert database["exportqueues"].count_documents({"status": "queued"}) == 0
    rejected = Counter(
        record["queueId"] for record in database["exportlogs"].find({"action": "entry_rejected"})
    )
    assert (len(rejected), set(rejected.values())) == (count, {1})
    (record,) = database["exportlogs"].find({"action": "batch_empty", "metadata.batchDate": day})
    assert record["metadata"]["rejectedCount"] == count
    batch = database["exportbatches"].find_one({"batchDate": day})
    assert batch is not None
    assert (batch["state"], batch["rejectedCount"]) == ("empty", count)
    assert batch["markedAt"] is not None


def _steps_of_a_clean_run(world: World) -> list[Step]:
    world.reset()
    _seed_bad(world)
    steps = Steps()
    assert world.watched(steps).go().wait().statuses == ["empty"]
    _assert_all_rejected_once(world, DAY, 2)
    return steps.seen


def test_killed_at_each_step_of_a_day_without_a_good_entry(world: World) -> None:
    points = each_kind_once(_steps_of_a_clean_run(world))
    assert len(points) > 20
    broken = []
    for step, stage in points:
        world.reset()
        _seed_bad(world)
        try:
            assert world.killed(step, stage), "the run never came to this step"
            assert world.run().statuses == ["empty"]
            _assert_all_rejected_once(world, DAY, 2)
        except AssertionError as error:
            broken.append(f"killed {stage} {step}: {error}")
    assert broken == []


@pytest.mark.parametrize(
    ("nth", "most", "next_run"),
    [
        # At the sign-off itself, where the steps of a small day are killed too.
        pytest.param(2, 0, NEXT_DAY, marks=pytest.mark.storm),
        (3, 1_000, NEXT_DAY),
        pytest.param(3, 1_000, THIRD_DAY, marks=pytest.mark.storm),
        (4, 6_000, THIRD_DAY),
    ],
)
def test_marking_that_was_broken_off_is_finished_by_the_next_run(
    world: World, nth: int, most: int, next_run: str
) -> None:
    entries = [
        {
            "_id": ObjectId(),
            "date": datetime(2026, 1, 18, 3, tzinfo=UTC),
            "currency": "THB",
            "amount": Decimal128("12.50"),
        }
        for _ in range(COUNT)
    ]
    queue = world.database["exportqueues"]
    world.database["journalentries"].insert_many(entries)
    queue.insert_many([item_for(entry["_id"]) for entry in entries])
    assert world.run(DAY).statuses == ["exported"]
    queue.update_many({}, {"$set": {"status": "queued"}})
    assert world.killed(Step(kind=TRANSACTION, nth=nth), "before", day=NEXT_DAY)
    failed = queue.count_documents({"status": "failed"})
    assert failed <= most  # fewer where MongoDB had a transaction repeated, which counts too
    assert failed in (0, 1_000, 6_000)

    assert world.run(next_run).statuses == ["empty"]

    of_day = next_run if failed == 0 else NEXT_DAY
    _assert_all_rejected_once(world, of_day, COUNT)
