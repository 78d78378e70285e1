"""Files and ids that are not what Daybook left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.steps import COMMIT, Step
from tests.faults.world import DAY, World


def _orphans(world: World) -> list[dict[str, Any]]:
    return list(world.database["exportorphans"].find())


def test_a_file_changed_before_its_commit_is_an_orphan_and_the_day_gets_another(
    world: World,
) -> None:
    entries = world.seed()
    assert world.killed(Step(kind=COMMIT), "before")
    changed = world.drive.files()[0].id
    world.drive.tamper(changed, b"Entry ID\r\nsomebody was here\r\n")

    worker = world.run()

    assert worker.statuses == ["exported"]
    assert [alert["fileId"] for alert in worker.events_named("unsealed_file", severity="CRITICAL")]
    assert world.check(orphans=[changed]) == {DAY: entries}
    assert [orphan["reason"] for orphan in _orphans(world)] == ["unsealed"]


def test_a_run_that_dies_once_it_gave_up_a_changed_file_leaves_it_watched(world: World) -> None:
    entries = world.seed()
    assert world.killed(Step(kind=COMMIT), "before")
    changed = world.drive.files()[0].id
    world.drive.tamper(changed, b"x")
    assert world.killed(Step(kind="commitTransaction"), "after")

    world.run_until_done()

    assert world.check(orphans=[changed]) == {DAY: entries}


def test_a_file_deleted_before_its_commit_is_not_recorded(world: World) -> None:
    """The id stays used, so the next attempts are refused at it, until it is given up."""
    entries = world.seed()
    assert world.killed(Step(kind=COMMIT), "before")
    lost = world.drive.files()[0].id
    world.drive.remove(lost)

    answers = [world.run().statuses for _ in range(3)]

    assert answers == [["retry_scheduled"], ["retry_scheduled"], ["exported"]]
    assert world.check(orphans=[lost]) == {DAY: entries}


@pytest.mark.parametrize(("lease_seconds", "runs"), [(600.0, 3), (0.3, 2)])
def test_an_id_that_is_taken_but_shows_no_file_is_given_up_when_that_lasts(
    make_world: Callable[..., World], lease_seconds: float, runs: int
) -> None:
    """For the third time, or a lease's time after the first."""
    world = make_world(lease_seconds=lease_seconds)
    entries = world.seed()
    world.drive.fault("status", on="create_multipart", status=409, reason="fileIdInUse", times=runs)

    *waiting, last = [world.run() for _ in range(runs)]

    assert {status for run in waiting for status in run.statuses} == {"retry_scheduled"}
    assert last.statuses == ["exported"]
    given_up = _orphans(world)[0]
    assert given_up["reason"] == "refused_unseen"
    alerts = last.events_named("orphan_left_behind", severity="CRITICAL")
    assert [alert["fileId"] for alert in alerts] == [given_up["_id"]]
    assert world.check(orphans=[given_up["_id"]]) == {DAY: entries}


def test_a_file_that_shows_up_late_at_a_refused_id_is_committed(world: World) -> None:
    """A file that `files.get` denies during one run and shows to the next is that day's file."""
    entries = world.seed()
    world.drive.fault("answer_lost", on="create_multipart")
    unseen = world.drive.fault("status", on="get", status=404, reason="notFound", times=None)
    assert world.run().statuses == ["retry_scheduled"]
    assert unseen.hits > 1
    world.drive.faults.clear()

    world.run_until_done()

    assert world.check() == {DAY: entries}


def test_an_id_of_another_identity_is_replaced(world: World) -> None:
    entries = world.seed()
    world.drive.fault(
        "status",
        on="create_multipart",
        status=400,
        reason="invalid",
        message="The provided file ID is not usable.",
    )

    assert world.run().statuses == ["exported"]

    sealed_for = [orphan["_id"] for orphan in _orphans(world)]
    assert world.check(orphans=sealed_for) == {DAY: entries}
