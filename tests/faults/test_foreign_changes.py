"""The other application changes entries and queue items while a run is at work."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from tests.emulators.drive.log import Moment
from tests.emulators.mongo_proxy import Action
from tests.faults.steps import COMMIT, SEAL, STORE_MANIFEST, Stage, Step
from tests.faults.workers import Worker
from tests.faults.world import DAY, NEXT_DAY, World, item_for, kill


def _items(world: World) -> list[dict[str, Any]]:
    return list(world.database["exportqueues"].find().sort("_id", 1))


def _record(world: World, day: str) -> dict[str, Any]:
    found = world.database["exportlogs"].find_one(
        {"action": "csv_generated", "metadata.batchDate": day}
    )
    assert found is not None
    metadata: dict[str, Any] = found["metadata"]
    return metadata


def _delete_first_and_complete_second(world: World) -> tuple[Any, Any]:
    queue = world.database["exportqueues"]
    first, second = (item["_id"] for item in _items(world)[:2])
    queue.delete_one({"_id": first})
    queue.update_one(
        {"_id": second}, {"$set": {"status": "completed", "metadata": {"fileId": "by hand"}}}
    )
    return first, second


def _changed_at(world: World, kind: str, stage: Stage) -> tuple[Worker, tuple[Any, Any]]:
    """A run during which an item is deleted and another one completed elsewhere."""
    changed: list[tuple[Any, Any]] = []

    def act(_worker: Worker) -> Action | None:
        changed.append(_delete_first_and_complete_second(world))
        return None

    worker, _ = world.trapped(Step(kind=kind), stage, act)
    worker.wait()
    return worker, changed[0]


def test_items_that_left_the_queue_before_the_seal_are_not_in_the_file(world: World) -> None:
    entries = world.seed()

    worker, (_, completed) = _changed_at(world, STORE_MANIFEST, "after")

    assert worker.statuses == ["exported"]
    assert len(worker.events_named("queue_changed")) == 1
    assert world.check(elsewhere=[completed]) == {DAY: entries[2:]}


def test_items_that_changed_after_the_seal_are_listed_with_an_alert(world: World) -> None:
    entries = world.seed()

    worker, (deleted, completed) = _changed_at(world, SEAL, "after")

    assert worker.statuses == ["exported"]
    assert world.check() == {DAY: entries}
    record = _record(world, DAY)
    assert (record["goneItems"], record["goneCount"]) == ([deleted], 1)
    assert (record["completedElsewhereItems"], record["completedElsewhereCount"]) == (
        [completed],
        1,
    )
    assert len(worker.events_named("items_changed_after_seal", severity="CRITICAL")) == 1


def test_items_that_changed_inside_the_commit_are_listed_too(world: World) -> None:
    entries = world.seed()

    worker, (deleted, completed) = _changed_at(world, COMMIT, "after")

    assert worker.statuses == ["exported"]
    assert world.check() == {DAY: entries}
    record = _record(world, DAY)
    assert record["goneItems"] + record["completedElsewhereItems"] == [deleted, completed]


def test_the_alert_of_changed_items_survives_a_kill_after_the_marking(world: World) -> None:
    """The run that completes the marking has to send the alert: no later one will."""
    world.seed()

    def change(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            _delete_first_and_complete_second(world)

    world.drive.on_request(change)
    worker, _ = world.trapped(Step(kind="commitTransaction", nth=3), "after", kill)
    worker.wait()
    world.bury()

    answers = [world.run() for _ in range(2)]

    alerts = [
        alert
        for run in (worker, *answers)
        for alert in run.events_named("items_changed_after_seal", severity="CRITICAL")
    ]
    assert len(world.drive.files()) == 1
    assert alerts


def test_two_items_of_one_entry_put_it_into_the_file_once(world: World) -> None:
    entries = world.seed()
    twin = item_for(ObjectId(entries[0]))
    world.database["exportqueues"].insert_one(twin)

    answer = world.run().outcomes[0]

    assert (answer["status"], answer["entryCount"], answer["rejectedCount"]) == ("exported", 6, 1)
    assert world.check() == {DAY: entries}
    stored = world.database["exportqueues"].find_one({"_id": twin["_id"]})
    assert stored is not None
    detail = "the entry is already in this batch, through an earlier queue item"
    assert stored["error"] == {
        "reason": "duplicate",
        "detail": detail,
        "faults": [
            {"reason": "duplicate", "line": None, "field": None, "value": "", "detail": detail}
        ],
        "faultCount": 1,
        "batchDate": DAY,
    }


def test_an_item_queued_again_after_its_export_is_rejected_as_a_duplicate(world: World) -> None:
    entries = world.seed()
    world.run()
    queue = world.database["exportqueues"]
    again = _items(world)[0]["_id"]
    queue.update_one({"_id": again}, {"$set": {"status": "queued"}, "$unset": {"metadata": 1}})
    more = world.seed(2, start=6)

    answer = world.run(NEXT_DAY).outcomes[0]

    assert (answer["entryCount"], answer["rejectedCount"]) == (2, 1)
    stored = queue.find_one({"_id": again})
    assert stored is not None
    assert stored["error"]["reason"] == "duplicate"
    assert world.check(requeued=[again]) == {DAY: entries, NEXT_DAY: more}


def _unbalance(world: World, entry: str) -> None:
    world.set_debit(entry, "999.00")


def _repair(world: World, entry: str) -> None:
    world.set_debit(entry, "300.25")


def test_an_entry_repaired_between_two_attempts_is_exported(world: World) -> None:
    entries = world.seed()
    _unbalance(world, entries[2])
    assert world.killed(Step(kind=SEAL), "after")
    _repair(world, entries[2])

    answer = world.run().outcomes[0]

    assert (answer["status"], answer["rejectedCount"]) == ("exported", 0)
    assert world.check() == {DAY: entries}


def test_an_entry_repaired_after_the_file_was_made_stays_rejected(world: World) -> None:
    entries = world.seed()
    _unbalance(world, entries[2])
    assert world.killed(Step(kind=COMMIT), "before")
    _repair(world, entries[2])

    world.run_until_done()

    assert world.check(edited=[DAY]) == {DAY: entries[:2] + entries[3:]}
    detail = "debit 999.00 is not credit 300.25"
    assert _items(world)[2]["error"] == {
        "reason": "unbalanced",
        "detail": f"lines: {detail}",
        "faults": [
            {
                "reason": "unbalanced",
                "line": None,
                "field": "lines",
                "value": "999.00 ≠ 300.25",
                "detail": detail,
            }
        ],
        "faultCount": 1,
        "batchDate": DAY,
    }


def test_an_entry_spoilt_between_two_attempts_is_left_out(world: World) -> None:
    entries = world.seed()
    assert world.killed(Step(kind=SEAL), "after")
    _unbalance(world, entries[2])

    answer = world.run().outcomes[0]

    assert (answer["status"], answer["rejectedCount"]) == ("exported", 1)
    assert world.check() == {DAY: entries[:2] + entries[3:]}
