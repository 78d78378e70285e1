"""A day of 10,003 entries: parts of 1,000, 5,000 and 4,003, of which the commit marks the first."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.model.profile import Profile
from daybook.export.operations.requeue import requeue
from tests.faults.steps import TRANSACTION, WRITE_PART, Stage, Step
from tests.faults.world import DAY, NEXT_DAY, World, item_for

COUNT = 10_003
NOON = datetime(2026, 1, 19, 5, tzinfo=UTC)


def _seed_many(world: World, count: int = COUNT) -> list[str]:
    entries: list[dict[str, Any]] = [
        {
            "_id": ObjectId(),
            "date": datetime(2026, 1, 18, 3, tzinfo=UTC),
            "reference": f"JV-{number}",
            "currency": "THB",
            "amount": Decimal128("12.50"),
        }
        for number in range(count)
    ]
    world.database["journalentries"].insert_many(entries)
    items = [item_for(entry["_id"]) for entry in entries]
    world.database["exportqueues"].insert_many(items)
    # In the order of the queue: the counter in ObjectIds may begin again at zero among so many.
    return [str(item["entryId"]) for item in sorted(items, key=itemgetter("_id"))]


def _completed(world: World) -> int:
    return world.database["exportqueues"].count_documents({"status": "completed"})


def _closed(world: World) -> int:
    return world.database["exportmanifests"].count_documents({"markedAt": {"$ne": None}})


def test_a_manifest_half_written_and_a_marking_half_done_are_brought_to_their_end(
    world: World,
) -> None:
    entries = _seed_many(world)
    assert world.killed(Step(kind=WRITE_PART, nth=2), "after")
    assert world.killed(Step(kind=TRANSACTION, nth=2), "before")
    assert _closed(world) == 1
    assert _completed(world) >= 6_000
    more = world.seed(3, start=1)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert world.check() == {DAY: entries, NEXT_DAY: more}
    assert world.database["exportmanifests"].count_documents({"markedAt": None}) == 0


@pytest.mark.parametrize(
    ("nth", "stage", "closed"),
    [
        pytest.param(2, "after", 1, marks=pytest.mark.storm),
        pytest.param(3, "before", 2, marks=pytest.mark.storm),
        (3, "after", 2),
        pytest.param(4, "before", 3, marks=pytest.mark.storm),
    ],
)
def test_marking_that_was_broken_off_is_finished_by_the_same_day(
    world: World, nth: int, stage: Stage, closed: int
) -> None:
    entries = _seed_many(world)
    assert world.killed(Step(kind=TRANSACTION, nth=nth), stage)
    assert _closed(world) == closed
    assert _completed(world) >= 6_000

    assert world.run().statuses == ["already_exported"]

    assert world.check() == {DAY: entries}


def test_completing_that_takes_effect_late_changes_nothing_that_an_operator_put_back(
    world: World,
) -> None:
    """It checks no fence: what guards the item is that only a transaction marks rejected ones."""
    entries = _seed_many(world, FIRST_PART_SIZE)
    *more, rejected = world.seed(3, start=len(entries))
    world.set_debit(rejected, "999.00")
    frozen = world.frozen(Step(kind="update exportqueues", nth=2))
    world.expire_lease()
    assert world.run().statuses == ["already_exported"]
    world.set_debit(rejected, f"{FIRST_PART_SIZE + 3}00.25")
    put_back = requeue(world.database, Profile(name="daily"), rejected, now=NOON).queue_id
    set_back = _items_of(world, more)[0]  # by another application, although it is delivered
    queue = world.database["exportqueues"]
    queue.update_one({"_id": set_back}, {"$set": {"status": "queued"}})

    assert frozen.wake().statuses == ["in_progress"]

    statuses = {item["_id"]: item["status"] for item in queue.find()}
    assert (statuses[put_back], statuses[set_back]) == ("queued", "completed")
    assert world.check(edited=[DAY], requeued=[put_back]) == {DAY: entries + more}
    assert world.run(NEXT_DAY).statuses == ["exported"]
    assert world.check(edited=[DAY]) == {DAY: entries + more, NEXT_DAY: [rejected]}


def test_items_that_others_change_before_a_later_part_is_completed_are_listed(
    world: World,
) -> None:
    entries = _seed_many(world, FIRST_PART_SIZE + 3)
    gone, elsewhere, ours = _items_of(world, entries[FIRST_PART_SIZE:])
    queue = world.database["exportqueues"]
    frozen = world.frozen(Step(kind="update exportqueues", nth=2))
    queue.delete_one({"_id": gone})
    theirs = {"status": "completed", "metadata": {"fileId": "theirs"}}
    queue.update_one({"_id": elsewhere}, {"$set": theirs})

    run = frozen.wake()

    assert run.statuses == ["exported"]
    record = world.database["exportlogs"].find_one({"action": "csv_generated"})
    assert record is not None
    assert record["metadata"]["goneItems"] == [gone]
    assert record["metadata"]["completedElsewhereItems"] == [elsewhere]
    (file,) = world.drive.files()
    marked = {item["_id"]: item["metadata"]["fileId"] for item in queue.find()}
    assert (marked[elsewhere], marked[ours]) == (file.id, file.id)


def _items_of(world: World, entries: list[str]) -> list[ObjectId]:
    wanted = {"entryId": {"$in": [ObjectId(entry) for entry in entries]}}
    return [item["_id"] for item in world.database["exportqueues"].find(wanted).sort("_id", 1)]
