"""A call that meets a run at work makes one task that looks at it later."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo.uri_parser import parse_uri

from tests import books
from tests.acceptance.evening import (
    DAY,
    DAY_BEFORE,
    WAIT_SECONDS,
    Evening,
    Held,
    MakeEvening,
)
from tests.acceptance.tasks_calls import (
    assert_looks,
    hold_run,
    in_background,
)
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase

pytest_plugins = ["tests.acceptance.evening"]


def test_ten_redeliveries_while_a_run_is_at_work_make_one_look_after_its_lease(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    running, held = hold_run(evening)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: evening.trigger(), range(10)))

    assert {(one.status_code, one.json()["status"]) for one in answers} == {(202, "in_progress")}
    (find_file,) = evening.tasks.tasks
    assert_looks(evening, find_file)
    held.let_go()
    assert running.result().json()["status"] == "exported"
    before = evening.noise()
    evening.tasks.run_until(evening.at(10))
    assert [delivery.status for delivery in evening.tasks.deliveries] == [200]
    assert evening.noise() == before


def test_looks_go_on_one_after_the_other_while_the_lease_is_kept(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    running, held = hold_run(evening)
    evening.trigger()
    evening.tasks.copies = "after"

    for _ in range(3):
        looked = evening.tasks.run_next()
        assert looked is not None
        assert looked.status == 202
        (find_file,) = evening.tasks.tasks
        assert_looks(evening, find_file)

    assert len({task.id for task in evening.tasks.created}) == len(evening.tasks.created) == 4
    held.let_go()
    running.result()
    evening.tasks.run_until(evening.at(10))
    assert evening.tasks.tasks == []
    assert evening.attempts() == 1


def test_there_is_no_recheck_without_a_queue(make_evening: MakeEvening) -> None:
    evening = make_evening(DAYBOOK_TASKS_QUEUE="")
    books.put_many(evening.database, 1)
    running, held = hold_run(evening)

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
    assert evening.tasks.requests == []
    held.let_go()
    running.result()


def test_a_look_that_cannot_be_created_is_answered_with_503(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    running, held = hold_run(evening)
    evening.tasks.denied.add("cloudtasks.tasks.create")

    assert evening.trigger().status_code == 503

    held.let_go()
    assert running.result().json()["status"] == "exported"


class Overtaken:
    """For a proxy's hook: from losing the slot until `go_on`, its instance waits."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.go_on = threading.Event()
        self._takes: set[int] = set()
        self._waits = False

    def __call__(self, event: Event) -> Action | None:
        if event.phase is Phase.AFTER and self._lost_the_slot(event):
            self._waits = True
            self.lost.set()
        elif event.phase is Phase.BEFORE and self._waits:
            self.go_on.wait(WAIT_SECONDS)
        return None

    def _lost_the_slot(self, event: Event) -> bool:
        took = event.name == "findAndModify" and event.collection == "exportslots"
        return took and event.reply is not None and event.reply.get("value") is None


def test_a_duplicate_that_loses_to_a_failing_run_does_not_bring_its_retry_forward(
    evening: Evening, mongo_uri: str
) -> None:
    books.put_many(evening.database, 1)
    hook = Overtaken()
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port, hook) as proxy:
        duplicate = evening.instance(DAYBOOK_MONGODB_URI=proxy.uri)
        running, held = hold_run(evening)
        evening.drive.down = True
        late = in_background(lambda: duplicate.trigger(evening.starts_at))
        assert hook.lost.wait(WAIT_SECONDS)
        held.let_go()
        assert running.result().json()["status"] == "retry_scheduled"
        hook.go_on.set()
        assert late.result().status_code == 202
        duplicate.app.client.close()

    evening.tasks.run_until(evening.at(4.9))

    assert evening.batch()["attempt"] == 1
    evening.tasks.run_until(evening.at(5))
    assert evening.batch()["startedAt"] == evening.at(5)


@pytest.mark.parametrize("asked", ["again by the scheduler", "by an operator"])
def test_a_call_that_meets_another_day_at_work_begins_early_only_if_an_operator_asked_for_it(
    evening: Evening, asked: str
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    held = Held(evening.drive, "create_multipart")
    other = in_background(lambda: evening.function.post("/run", {"batchDate": DAY_BEFORE}))
    held.wait()

    if asked == "by an operator":
        answer = evening.function.post("/run", {"batchDate": DAY})
        assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
        expected = (["retry", "look_again"], 2)
    else:
        answer = evening.trigger()
        assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
        expected = (["retry"], 1)

    held.let_go()
    other.result()
    evening.tasks.run_until(evening.at(4.9))
    kinds = [task.body["kind"] for task in evening.tasks.created]
    assert (kinds, evening.batch()["attempt"]) == expected


def test_a_retry_that_meets_another_day_at_work_begins_once_that_has_ended(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    held = Held(evening.drive, "create_multipart")
    other = in_background(lambda: evening.function.post("/run", {"batchDate": DAY_BEFORE}))
    held.wait()
    met = evening.tasks.run_next()
    assert met is not None
    assert met.status == 202
    (find_file,) = evening.tasks.tasks
    assert (find_file.body["kind"], find_file.body["attempt"]) == ("look_again", 2)
    held.let_go()
    assert other.result().json()["status"] == "exported"

    evening.tasks.run_until(evening.at(10))

    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("empty", 2)
    assert evening.tasks.tasks == []


def test_a_manual_export_that_meets_another_at_work_is_made_by_its_look(evening: Evening) -> None:
    first, second = books.entry("INV-1"), books.entry("INV-2")
    evening.database["journalentries"].insert_many([first, second])
    held = Held(evening.drive, "generateIds")
    one = in_background(
        lambda: evening.function.post("/exports", {"entryIds": [str(first["_id"])]})
    )
    held.wait()
    waiting = evening.function.post("/exports", {"entryIds": [str(second["_id"])]})
    assert (waiting.status_code, waiting.json()["status"]) == (202, "in_progress")
    held.let_go()
    assert one.result().json()["status"] == "exported"

    evening.tasks.run_until(evening.at(2))

    assert sorted(evening.delivered().values()) == [["INV-1"], ["INV-2"]]
    assert evening.tasks.tasks == []


@pytest.mark.parametrize("hindrance", ["another at work", "the breaker"])
def test_a_failed_manual_export_that_is_asked_for_again_is_made_once_nothing_hinders_it(
    make_evening: MakeEvening, hindrance: str
) -> None:
    evening = make_evening(DAYBOOK_RETRY_DELAYS_SECONDS="60", DAYBOOK_BREAKER_FAILURES="100")
    first, second = books.entry("INV-1"), books.entry("INV-2")
    evening.database["journalentries"].insert_many([first, second])
    wanted = {"entryIds": [str(first["_id"])]}
    evening.drive.down = True
    evening.function.post("/exports", wanted)
    evening.tasks.run_until(evening.at(5))
    assert evening.database["exportbatches"].count_documents({"state": "failed"}) == 1
    evening.drive.down = False

    if hindrance == "the breaker":
        evening.database["circuitbreakers"].update_one(
            {"_id": "google_drive"}, {"$set": {"failures": 100, "openUntil": evening.at(30)}}
        )
        again = evening.function.post("/exports", wanted)
        assert again.json()["status"] == "circuit_open"
    else:
        held = Held(evening.drive, "generateIds")
        other = in_background(
            lambda: evening.function.post("/exports", {"entryIds": [str(second["_id"])]})
        )
        held.wait()
        again = evening.function.post("/exports", wanted)
        assert again.json()["status"] == "in_progress"
        held.let_go()
        assert other.result().json()["status"] == "exported"
    assert again.status_code == 202

    evening.tasks.run_until(evening.at(60))

    assert ["INV-1"] in evening.delivered().values()
    assert evening.tasks.tasks == []
