"""The check itself: it passes what a clean run leaves, and finds whatever is broken in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.world import DAY, World

Damage = Callable[[World], object]


def test_a_clean_run_keeps_every_promise(make_world: Callable[..., World]) -> None:
    for small in (True, False):
        world = make_world(small=small)
        entries = world.seed()

        assert world.run().statuses == ["exported"]
        assert world.check() == {DAY: entries}
        world.reset()


def _file_id(world: World) -> str:
    return world.drive.files()[0].id


def _set_item(world: World, change: dict[str, object]) -> None:
    world.database["exportqueues"].update_one({}, {"$set": change})


DAMAGES: dict[str, tuple[Damage, str]] = {
    "content changed": (lambda w: w.drive.tamper(_file_id(w), b"x"), "md5"),
    "file removed": (lambda w: w.drive.remove(_file_id(w)), "is not in the folder"),
    "second file": (
        lambda w: w.drive.plant(b"a", name=f"batch_{DAY}.{w.file_format}"),
        "nobody knows of it",
    ),
    "record lost": (lambda w: w.database["exportlogs"].delete_many({}), "0 csv_generated"),
    "record of no batch": (
        lambda w: w.database["exportlogs"].insert_one(
            {"action": "csv_generated", "metadata": {"batchDate": "2026-02-01"}}
        ),
        "1 csv_generated",
    ),
    "item queued": (lambda w: _set_item(w, {"status": "queued"}), "its entry is in"),
    "item failed": (
        lambda w: _set_item(w, {"status": "failed", "error": {"reason": "unbalanced"}}),
        "although it is unbalanced",
    ),
    "item of another file": (lambda w: _set_item(w, {"metadata.fileId": "x"}), "it names fileId"),
    "item lost": (
        lambda w: w.database["exportqueues"].delete_one({}),
        "not with one completed item each",
    ),
    "not marked": (
        lambda w: w.database["exportbatches"].update_one({}, {"$unset": {"markedAt": 1}}),
        "markedAt is missing",
    ),
    "part lost": (
        lambda w: w.database["exportmanifests"].update_one({}, {"$unset": {"markedAt": 1}}),
        "manifest part 0",
    ),
    "entry edited": (
        lambda w: w.database["journalentries"].update_one({}, {"$set": {"reference": "other"}}),
        "render to",
    ),
    "id kept": (
        lambda w: w.database["exportslots"].update_one({}, {"$set": {"fileId": _file_id(w)}}),
        "still holds",
    ),
    "count wrong": (
        lambda w: w.database["exportlogs"].update_one({}, {"$inc": {"metadata.entryCount": 1}}),
        "entryCount",
    ),
    "orphan": (
        lambda w: w.database["exportorphans"].insert_one({"_id": "x"}),
        "exportorphans names",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(world: World, damage: str) -> None:
    world.seed()
    world.run()
    harm, complaint = DAMAGES[damage]

    harm(world)

    with pytest.raises(AssertionError, match=complaint):
        world.check()
