"""Upload sessions that a run hands to the next one, and those that no run may resume."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Decimal128, ObjectId

from tests.faults.steps import LAST_CHUNK, SEAL, Step
from tests.faults.world import DAY, FILE_FORMAT, NEXT_DAY, World, kill, kill_in_flight


@pytest.fixture
def world(make_world: Any) -> World:
    made: World = make_world(small=False)
    return made


def _hand_back(world: World) -> list[str]:
    """A run that comes to its deadline with a session open; returns the queued entries."""
    # Of an xlsx even the first chunk is sent only once all of it is made.
    entries = world.seed() if FILE_FORMAT == "xlsx" else world.seed(PARTED, padding=100)
    worker = world.start(DAYBOOK_RUN_DEADLINE_SECONDS="0.001").go().wait()
    assert worker.statuses == ["continued"]
    slot = world.database["exportslots"].find_one()
    assert slot is not None
    assert slot["upload"]["handedBack"] is True
    return entries


def _attempts(world: World) -> int:
    (batch,) = world.database["exportbatches"].find({"batchDate": DAY})
    count: int = batch["attemptCount"]
    return count


PARTED = 5_001
"""Entries in two parts, the first of which is more than a chunk."""


def test_a_session_that_was_handed_back_is_carried_on(world: World) -> None:
    entries = _hand_back(world)

    assert world.run().statuses == ["exported"]

    assert world.check() == {DAY: entries}
    assert [session.complete for session in world.drive.sessions()] == [True]
    assert _attempts(world) == 1


def test_a_session_of_an_earlier_version_answers_with_less_and_its_file_is_looked_up(
    world: World,
) -> None:
    entries = _hand_back(world)
    (session,) = world.drive.service.uploads.sessions.values()
    session.fields = "id,size"

    assert world.run().statuses == ["exported"]

    assert world.check() == {DAY: entries}
    assert [request.operation for request in world.drive.requests].count("get") == 1
    assert [file.description is not None for file in world.drive.files()] == [True]


def test_a_session_is_not_carried_on_when_its_beginning_was_edited(world: World) -> None:
    entries = _hand_back(world)
    # An amount: the texts of an xlsx come after all of its cells.
    amount = Decimal128("7.00")
    world.database["journalentries"].update_one(
        {"_id": ObjectId(entries[0])},
        {"$set": {"lines.0.debit": amount, "lines.1.credit": amount}},
    )

    assert world.run().statuses == ["exported"]

    assert world.check() == {DAY: entries}
    assert [session.complete for session in world.drive.sessions()] == [False, True]
    assert _attempts(world) == 1


def test_a_session_is_handed_over_once(world: World) -> None:
    """A run that dies while it carries a session on may have left a chunk under way."""
    entries = _hand_back(world)
    worker, trap = world.trapped(Step(kind=SEAL), "before", kill)
    worker.wait()
    assert trap.sprung
    world.bury()

    assert world.run().statuses == ["exported"]

    assert world.check() == {DAY: entries}
    assert [session.complete for session in world.drive.sessions()] == [False, True]
    assert _attempts(world) == 2


def test_another_day_opens_a_session_of_its_own(world: World) -> None:
    entries = _hand_back(world)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert world.check() == {NEXT_DAY: entries}
    assert [session.complete for session in world.drive.sessions()] == [False, True]


@pytest.mark.parametrize("at_start", [True, False], ids=["refused at start", "refused at end"])
def test_an_id_taken_between_settling_and_opening_is_looked_at(
    world: World, at_start: bool
) -> None:
    """Nothing published says whether Drive refuses a used id at a session's start or end."""
    world.drive.conflict_at_session_start = at_start
    entries = world.seed()
    worker, late = world.trapped(Step(kind=LAST_CHUNK), "before", kill_in_flight, hold=True)
    worker.wait()
    world.bury()
    second = world.frozen(Step(kind="drive session_open"))
    late.release()
    world.drive.wait_for("chunk_last", acted=True)

    assert second.wake().statuses == ["exported"]

    assert world.check() == {DAY: entries}
    assert len(world.drive.sessions()) == (1 if at_start else 2)
