"""The outcome of a run is stored before its task is created, which a later call may do."""

from __future__ import annotations

import pytest

from daybook.export.model.part import FIRST_PART_SIZE
from tests import books
from tests.acceptance.evening import (
    DAY,
    MINUTE,
    Evening,
    MakeEvening,
)
from tests.acceptance.tasks_calls import (
    pending_name,
)
from tests.emulators.drive.log import Moment

pytest_plugins = ["tests.acceptance.evening"]


@pytest.mark.parametrize("fault", ["refused", "cut"])
def test_a_task_that_cannot_be_created_is_created_by_the_next_delivery(
    evening: Evening, fault: str
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    if fault == "refused":
        evening.tasks.denied.add("cloudtasks.tasks.create")
    else:
        evening.tasks.down = "cut"

    answer = evening.trigger()

    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "tasks"
    assert (answer.json()["status"], answer.json()["attempt"]) == ("retry_scheduled", 1)
    assert evening.tasks.created == []
    batch = evening.batch()
    assert (batch["attempt"], batch["endedAttempt"]) == (1, 1)
    (recorded,) = evening.logged("task_not_created")
    assert recorded["severity"] == "ERROR"
    evening.tasks.denied.clear()
    evening.tasks.down = False
    evening.tasks.advance(MINUTE)
    before = evening.stored(but=("exportslots",))

    again = evening.trigger()

    assert (again.status_code, again.json()["status"]) == (202, "retry_scheduled")
    (task,) = evening.tasks.tasks
    assert (task.id, task.schedule_time) == (pending_name(evening), evening.at(5))
    assert evening.stored(but=("exportslots",)) == before
    assert evening.alarms() == [("WARNING", "attempt_failed")]


def test_a_lost_answer_of_the_queue_makes_no_second_task(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.tasks.fault("answer_lost", on="create")

    assert evening.trigger().status_code == 202

    assert [task.id for task in evening.tasks.tasks] == [pending_name(evening)]


def test_a_retry_whose_own_retry_cannot_be_created_is_delivered_again_without_an_attempt(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.denied.add("cloudtasks.tasks.create")
    first = evening.tasks.run_next()
    assert first is not None
    assert first.status == 503
    evening.tasks.denied.clear()

    second = evening.tasks.run_next()

    assert second is not None
    assert (second.id, second.status) == (first.id, 202)
    assert evening.batch()["attempt"] == 2
    (task,) = evening.tasks.tasks
    assert (task.id, task.schedule_time) == (pending_name(evening), evening.at(5 + 15))


def test_a_sweep_creates_the_task_that_is_missing(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.tasks.denied.add("cloudtasks.tasks.create")
    evening.trigger()
    evening.tasks.denied.clear()
    evening.drive.down = False

    assert evening.function.post("/sweep").status_code == 200

    assert [task.id for task in evening.tasks.tasks] == [pending_name(evening)]


def test_without_a_queue_the_retry_is_only_recorded(make_evening: MakeEvening) -> None:
    evening = make_evening(DAYBOOK_TASKS_QUEUE="")
    books.put_many(evening.database, 1)
    evening.drive.down = True

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
    assert evening.batch()["pendingTask"]["due"] == evening.at(5)
    assert evening.tasks.requests == []


def test_nothing_follows_a_day_whose_marking_was_finished_by_a_later_call(
    evening: Evening,
) -> None:
    def end_process(moment: Moment) -> None:
        if (moment.stage, moment.operation) == ("after", "create_multipart"):
            evening.function.app.shutdown.request()

    books.put_many(evening.database, FIRST_PART_SIZE + 1)
    evening.drive.on_request(end_process)
    answer = evening.trigger()
    assert (answer.status_code, answer.json()["status"]) == (202, "continued")
    assert evening.batch()["state"] == "committed"
    evening.function.restart()
    assert [one.status for one in evening.tasks.run_until(evening.at(1))] == [200]
    assert evening.batch()["markedAt"] is not None

    evening.tasks.denied.add("cloudtasks.tasks.create")
    again = evening.function.post("/run", {"batchDate": DAY})

    assert (again.status_code, again.json()["status"]) == (200, "already_exported")
    assert "nextAttemptAt" not in again.json()
    batch = evening.batch()
    assert (batch["pendingTask"], batch["nextAttemptAt"]) == (None, None)
