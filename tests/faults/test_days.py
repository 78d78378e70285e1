"""Days that fail, and what the next day makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.steps import COMMIT, LAST_CHUNK, SEAL, WHOLE, Step, Trap
from tests.faults.workers import Worker
from tests.faults.world import DAY, NEXT_DAY, THIRD_DAY, World, kill_in_flight

MakeWorld = Callable[..., World]


def _batch(world: World, day: str) -> dict[str, Any]:
    found = world.database["exportbatches"].find_one({"batchDate": day})
    assert found is not None
    return found


def _last_attempt_dies_with_its_request_under_way(world: World, kind: str) -> Trap:
    """The request that makes the file stays on its way until it is released."""
    assert world.killed(Step(kind=SEAL), "before")
    worker, late = world.trapped(Step(kind=kind), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    return late


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
def test_a_file_whose_attempts_are_used_up_is_committed_by_the_next_day(
    make_world: MakeWorld, small: bool
) -> None:
    world = make_world(small=small, attempts=4)
    entries = world.seed()
    for _ in range(3):
        assert world.killed(Step(kind=SEAL), "before")
    assert world.killed(Step(kind=COMMIT), "before")
    assert _batch(world, DAY)["attempt"] == 4
    assert len(world.drive.files()) == 1
    more = world.seed(2, start=6)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert world.check() == {DAY: entries, NEXT_DAY: more}
    assert world.run(DAY).statuses == ["already_exported"]


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_failed_day_is_committed_when_its_file_appears_after_all(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE, attempts=2)
    entries = world.seed()
    late = _last_attempt_dies_with_its_request_under_way(world, kind)
    failed = world.run(DAY)
    assert failed.statuses == ["failed"]
    assert len(failed.events_named("batch_failed", severity="CRITICAL")) == 1
    late.release()
    world.drive.wait_for(kind.removeprefix("drive "), acted=True)
    more = world.seed(2, start=6)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert world.check() == {DAY: entries, NEXT_DAY: more}
    assert _batch(world, DAY)["error"] is None


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_failed_days_run_wakes_up_after_the_next_day_took_its_entries(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE, attempts=2)
    entries = world.seed()
    assert world.killed(Step(kind=SEAL), "before")
    frozen = world.frozen(Step(kind=kind))
    world.expire_lease()
    assert world.run(DAY).statuses == ["failed"]
    more = world.seed(2, start=6)
    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert frozen.wake().statuses == ["in_progress"]

    assert world.check() == {NEXT_DAY: entries + more}
    assert _batch(world, DAY)["state"] == "failed"
    assert world.run(THIRD_DAY).statuses == ["empty"]


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
@pytest.mark.parametrize("first", [DAY, NEXT_DAY], ids=["failed day", "next day"])
def test_of_two_days_that_sealed_the_same_rows_the_one_is_committed_that_sent_them(
    make_world: MakeWorld, kind: str, first: str
) -> None:
    world = make_world(small=kind == WHOLE, attempts=2)
    entries = world.seed()
    late = _last_attempt_dies_with_its_request_under_way(world, kind)
    assert world.run(DAY).statuses == ["failed"]
    next_day = world.frozen(Step(kind=kind), day=NEXT_DAY)
    slot = world.database["exportslots"].find_one()
    assert slot is not None
    assert [seal["batchDate"] for seal in slot["seals"]] == [DAY, NEXT_DAY]
    # The sheet of totals of an xlsx says the day, so there the bytes tell one from the other.
    contents = 2 if world.file_format == "xlsx" else 1
    assert len({(seal["md5"], seal["sizeBytes"]) for seal in slot["seals"]}) == contents

    if first == DAY:
        late.release()
        world.drive.wait_for(kind.removeprefix("drive "), acted=True)
        answer = next_day.wake()
    else:
        answer = next_day.wake()
        late.release()
        world.drive.wait_for(kind.removeprefix("drive "), acted=True)

    assert world.check() == {first: entries}
    assert answer.statuses == ["exported" if first == NEXT_DAY else "empty"]


def test_all_attempts_without_a_trace_end_in_one_alert(make_world: MakeWorld) -> None:
    world = make_world(attempts=4)
    entries = world.seed()
    for _ in range(4):
        assert world.killed(Step(kind=SEAL), "before")

    ends: list[Worker] = [world.run(DAY) for _ in range(2)]

    assert [end.statuses for end in ends] == [["failed"], ["failed"]]
    alerts = [alert for end in ends for alert in end.events_named("batch_failed")]
    assert [alert["severity"] for alert in alerts] == ["CRITICAL"]
    assert world.check() == {}
    assert world.run(NEXT_DAY).statuses == ["exported"]
    assert world.check() == {NEXT_DAY: entries}


def test_a_day_without_attempts_left_still_commits_its_file(make_world: MakeWorld) -> None:
    world = make_world(attempts=2)
    entries = world.seed()
    assert world.killed(Step(kind=SEAL), "before")
    assert world.killed(Step(kind=COMMIT), "before")

    assert world.run(DAY).statuses == ["already_exported"]

    assert world.check() == {DAY: entries}


def test_a_visible_file_is_committed_although_its_items_have_left_the_queue(world: World) -> None:
    entries = world.seed()
    assert world.killed(Step(kind=COMMIT), "before")
    world.database["exportqueues"].delete_many({})

    assert world.run(NEXT_DAY).statuses == ["empty"]

    assert world.check() == {DAY: entries}


def test_a_plan_made_before_another_day_was_committed_is_not_carried_out(world: World) -> None:
    """The next day's plan holds the failed day's items; the other application queues them again."""
    entries = world.seed()
    worker, late = world.trapped(Step(kind=WHOLE), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    assert world.killed(Step(kind=WHOLE), "before", day=NEXT_DAY)
    late.release()
    world.drive.wait_for("create_multipart", acted=True)
    assert world.run(DAY).statuses == ["already_exported"]
    queue = world.database["exportqueues"]
    again = [item["_id"] for item in queue.find()]
    queue.update_many({}, {"$set": {"status": "queued"}, "$unset": {"metadata": 1}})
    more = world.seed(8, start=6)

    answer = world.run(NEXT_DAY).outcomes[0]

    assert (answer["status"], answer["rejectedCount"]) == ("exported", 6)
    assert world.check(requeued=again) == {DAY: entries, NEXT_DAY: more}


def test_a_file_that_comes_two_days_late_is_still_committed(world: World) -> None:
    """The plan behind a seal outlives the plans of the days that followed."""
    entries = world.seed()
    worker, late = world.trapped(Step(kind=WHOLE), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    assert world.killed(Step(kind=WHOLE), "before", day=NEXT_DAY)
    third_day = world.frozen(Step(kind=WHOLE), day=THIRD_DAY)

    late.release()
    world.drive.wait_for("create_multipart", acted=True)

    assert third_day.wake().statuses == ["empty"]
    assert world.check() == {DAY: entries}
