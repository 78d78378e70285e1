"""What follows a run: tasks that cannot be created, looks at other runs, void and bad calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.batch import Batch
from daybook.export.part import PART_SIZE
from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.evening import (
    DAY,
    DAY_BEFORE,
    MINUTE,
    WAIT_SECONDS,
    Evening,
    Held,
    MakeEvening,
)
from tests.emulators.drive_log import Moment
from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy, Phase

pytest_plugins = ["tests.acceptance.evening"]

Db = Database[dict[str, Any]]
Posted = Future[requests.Response]

CALL = {"profile": "daily", "batchDate": DAY, "generation": 1, "attempt": 2, "kind": "retry"}


def in_background(call: Callable[[], requests.Response]) -> Posted:
    outcome = Posted()
    threading.Thread(target=lambda: outcome.set_result(call()), daemon=True).start()
    return outcome


def pending_name(evening: Evening) -> str:
    """The name of the task that the batch says must follow."""
    pending = Batch.from_doc(evening.batch()).pending
    assert pending is not None
    return pending.name


# Outcome first, then the task


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
        if (moment.stage, moment.operation) == ("after", "get"):
            evening.function.app.shutdown.request()

    books.put_many(evening.database, PART_SIZE + 1)
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


# Looking again at a run that has the slot


def hold_run(evening: Evening, operation: str = "generateIds") -> tuple[Posted, Held]:
    """The evening's run, held in a request to Drive."""
    held = Held(evening.drive, operation)
    posted = in_background(evening.trigger)
    held.wait()
    return posted, held


def assert_looks(evening: Evening, task: Any) -> None:
    left = timedelta(seconds=60)
    assert task.body == {**CALL, "attempt": 1, "kind": "look_again"}
    assert evening.tasks.now() < task.schedule_time - timedelta(seconds=5)
    assert task.schedule_time <= evening.tasks.now() + left + timedelta(seconds=5)


def test_ten_redeliveries_while_a_run_is_at_work_make_one_look_after_its_lease(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    running, held = hold_run(evening)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: evening.trigger(), range(10)))

    assert {(one.status_code, one.json()["status"]) for one in answers} == {(202, "in_progress")}
    (look,) = evening.tasks.tasks
    assert_looks(evening, look)
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
        (look,) = evening.tasks.tasks
        assert_looks(evening, look)

    assert len({task.id for task in evening.tasks.created}) == len(evening.tasks.created) == 4
    held.let_go()
    running.result()
    evening.tasks.run_until(evening.at(10))
    assert evening.tasks.tasks == []
    assert evening.attempts() == 1


def test_nobody_looks_again_without_a_queue(make_evening: MakeEvening) -> None:
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
    """For a proxy's hook: from losing the slot until `go_on`, its instance stands still."""

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
def test_a_call_that_meets_another_day_at_work_begins_early_only_if_somebody_asked_for_it(
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
    (look,) = evening.tasks.tasks
    assert (look.body["kind"], look.body["attempt"]) == ("look_again", 2)
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


# Permanent errors


def given_up(evening: Evening, error_type: str) -> str:
    """Check that the day was given up at once; returns the alarm."""
    batch = evening.batch()
    assert (batch["state"], batch["attemptCount"]) == ("failed", 1)
    assert batch["errorCounts"] == {error_type: 1}
    assert evening.tasks.created == []
    assert evening.alarms() == [("CRITICAL", "batch_failed")]
    (alarm,) = evening.mail("alerts")
    assert "Daily batch FAILED after 0 retries (1 attempt)" in alarm
    assert "not retried" in alarm
    assert evening.breaker() == {}
    return alarm


@pytest.mark.parametrize(
    ("folder", "said"),
    [("my_drive_folder_id", "storageQuotaExceeded"), ("read_only_folder_id", "403")],
)
def test_a_refusal_by_drive_ends_the_day_at_once(
    make_evening: MakeEvening, folder: str, said: str
) -> None:
    from tests.emulators import drive

    wanted = getattr(drive.DriveEmulator(), folder)
    evening = make_evening(DAYBOOK_DESTINATION=f"drive://{wanted}")
    ids = books.put_many(evening.database, 1)

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (500, "failed")
    assert said in answer.json()["error"]["message"]
    assert said in given_up(evening, "google_drive")
    before = evening.stored(but=("exportslots",))
    assert evening.trigger().status_code == 500
    assert evening.stored(but=("exportslots",)) == before
    assert len(evening.mail("alerts")) == 1
    assert books.statuses(evening.database, ids) == ["queued"]


def test_too_many_rejected_entries_end_the_day_at_once(evening: Evening) -> None:
    odd = [books.entry(f"BAD-{n}", lines=books.lines()[:1]) for n in range(101)]
    books.put(evening.database, books.entry(), *odd)

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "too_many_rejected")
    assert "101 of 102" in given_up(evening, "too_many_rejected")


def test_a_permanent_error_on_a_retry_is_final_and_answers_its_task_with_200(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.drive.down = False
    evening.drive.fault("status", on="generateIds", status=403, reason="storageQuotaExceeded")

    delivery = evening.tasks.run_next()

    assert delivery is not None
    assert delivery.status == 200
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("failed", 2)
    assert [event for _, event in evening.alarms()] == ["attempt_failed", "batch_failed"]
    assert evening.tasks.tasks == []


def assert_only_told(evening: Evening, before: tuple[Any, ...], path: str) -> None:
    """Nothing but the alert: whoever asked for a manual export has the answer."""
    stored, tasks, _, messages, requests_to_drive = before
    alarms = [] if path == "/exports" else [("CRITICAL", "run_refused")]
    assert evening.noise() == (
        stored,
        tasks,
        alarms,
        messages + len(alarms),
        requests_to_drive,
    )


@pytest.mark.parametrize("path", ["/run", "/tasks/run", "/exports"])
def test_a_database_that_was_not_migrated_takes_no_attempt_and_no_task(
    make_evening: MakeEvening, database: Db, path: str
) -> None:
    evening = make_evening(database=database)
    (item,) = books.put_many(database, 1)
    bodies = {
        "/run": {"batchDate": DAY},
        "/tasks/run": CALL,
        "/exports": {"from": DAY, "to": DAY},
    }
    before = evening.noise()

    answer = evening.function.post(path, bodies[path])

    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "configuration"
    assert "migrate" in answer.json()["error"]["message"]
    assert_only_told(evening, before, path)
    assert books.statuses(database, [item]) == ["queued"]


def test_an_index_that_somebody_dropped_stops_a_retry_without_an_attempt(
    make_evening: MakeEvening, database: Db
) -> None:
    evening = make_evening(database=database)
    migrate(database, now=evening.starts_at)
    books.put_many(database, 1)
    evening.drive.down = True
    evening.trigger()
    database["exportlogs"].drop_index("idx_batch_daily_unique")

    delivery = evening.tasks.run_next()

    assert delivery is not None
    assert delivery.status == 500
    assert evening.batch()["attempt"] == 1
    migrate(database, now=evening.starts_at)
    evening.drive.down = False
    evening.tasks.run_until(evening.at(6))
    assert (evening.batch()["state"], evening.batch()["attempt"]) == ("committed", 2)


# MongoDB away


@pytest.fixture
def proxy(mongo_uri: str) -> Any:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port) as proxy:
        yield proxy


QUICK = {
    "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "1000",
    "DAYBOOK_MONGO_SOCKET_TIMEOUT_MS": "2000",
}


@pytest.mark.parametrize("path", ["/run", "/tasks/run", "/exports"])
def test_while_mongodb_is_away_every_run_answers_503_and_creates_no_task(
    proxy: MongoProxy, make_evening: MakeEvening, path: str
) -> None:
    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri, **QUICK)
    books.put_many(evening.database, 1)
    before = evening.noise()
    bodies = {
        "/run": {"batchDate": DAY},
        "/tasks/run": CALL,
        "/exports": {"from": DAY, "to": DAY},
    }

    with proxy.down():
        answer = evening.function.post(path, bodies[path])

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["error"]["type"]) == ("failed", "mongodb")
    assert_only_told(evening, before, path)


def test_a_run_that_loses_mongodb_for_good_is_made_up_for_by_its_redelivery(
    proxy: MongoProxy, make_evening: MakeEvening
) -> None:
    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri, **QUICK)
    books.put_many(evening.database, 1)
    running, held = hold_run(evening, "create_multipart")

    with proxy.down():
        held.let_go()
        answer = running.result()

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "mongodb")
    assert evening.tasks.created == []
    evening.bury()
    again = evening.trigger()
    assert (again.status_code, again.json()["status"]) == (200, "already_exported")
    assert evening.delivered() == {f"batch_{DAY}.csv": ["INV-0"]}
    assert evening.attempts() == 1


def test_a_failure_of_mongodb_that_passes_ends_the_attempt_and_is_retried(
    proxy: MongoProxy, make_evening: MakeEvening
) -> None:
    def hook(event: Event) -> Action | None:
        return CUT if event.collection == "exportmanifests" and event.name == "insert" else None

    evening = make_evening(DAYBOOK_MONGODB_URI=proxy.uri)
    books.put_many(evening.database, 1)
    proxy.hook = hook

    answer = evening.trigger()

    assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled")
    assert evening.batch()["errorCounts"] == {"mongodb": 1}
    assert evening.breaker() == {}
    proxy.hook = None
    evening.tasks.run_until(evening.at(5))
    assert evening.batch()["state"] == "committed"


# Late, unknown and bad calls


def test_calls_for_what_is_not_the_next_step_change_nothing(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.run_until(evening.at(5))
    before = evening.noise()

    for changed in (
        {"attempt": 1},
        {"attempt": 2},
        {"attempt": 4},
        {"attempt": 99},
        {"attempt": 2**31 - 1},
        {"generation": 2, "attempt": 3},
        {"generation": 2**31 - 1},
    ):
        answer = evening.function.post("/tasks/run", {**CALL, **changed})
        assert (answer.status_code, answer.json()["status"]) == (202, "retry_scheduled"), changed
    assert evening.noise() == before


@pytest.mark.parametrize(
    "unknown",
    [{"batchDate": "2025-05-05"}, {"manualKey": "never given"}, {"manualKey": "$where"}],
)
def test_a_call_for_a_batch_that_never_began_is_answered_and_forgotten(
    evening: Evening, unknown: dict[str, str]
) -> None:
    body = {name: value for name, value in CALL.items() if name != "batchDate"}
    before = evening.noise()

    answer = evening.function.post("/tasks/run", {**body, **unknown})

    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"]["type"] == "unknown_batch"
    assert evening.noise() == before


BAD: list[tuple[str, dict[str, Any]]] = [
    *[("attempt", {"attempt": bad}) for bad in (0, -1, True, "2", 2.0, None, 2**31, 10**400)],
    *[("attempt", {"attempt": bad}) for bad in ({"$ne": 1}, [2], {"$gt": 0})],
    *[("generation", {"generation": bad}) for bad in (0, False, {"$ne": 1}, "1", 2**63)],
    *[("batchDate", {"batchDate": bad}) for bad in ({"$ne": ""}, 20260118, True, "18.1.2026", "")],
    ("batchDate", {"batchDate": None}),
    ("batchDate", {"batchDate": "2026-02-30"}),
    *[("profile", {"profile": bad}) for bad in ({"$ne": ""}, 1, "weekly", None, "../daily")],
    *[("kind", {"kind": bad}) for bad in ({"$ne": ""}, "", 5, None, "x" * 41)],
    *[
        ("manualKey", {"batchDate": None, "manualKey": bad})
        for bad in ({"$ne": ""}, "", 7, None, "k" * 1_000, True)
    ],
    ("manualKey", {"manualKey": "k"}),
    ("fence", {"fence": 3}),
]


def test_a_bad_body_is_refused_by_the_name_of_its_field(evening: Evening) -> None:
    missing = [(name, {key: CALL[key] for key in CALL if key != name}) for name in CALL]
    bodies = [(where, {**CALL, **changed}) for where, changed in BAD]
    before = evening.noise()

    for where, body in bodies + [one for one in missing if one[0] != "profile"]:
        answer = evening.function.post("/tasks/run", body)
        assert answer.status_code == 400, f"{where}: {body}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["where"] == where, body

    assert evening.noise() == before


def test_what_is_no_json_object_is_refused(evening: Evening) -> None:
    before = evening.noise()

    for text in ("", "[]", "null", "2", '"x"', "{", "\xff", "[" * 60_000):
        answer = requests.post(
            f"{evening.function.url}/tasks/run", data=text.encode("latin-1"), timeout=60
        )
        assert answer.status_code == 400, text[:20]

    assert evening.noise() == before


def test_a_field_that_mongodb_could_not_store_is_refused_by_its_name(evening: Evening) -> None:
    body = {name: value for name, value in CALL.items() if name != "batchDate"}

    answer = evening.function.post("/tasks/run", {**body, "manualKey": "\ud800"})

    assert (answer.status_code, answer.json().get("where")) == (400, "manualKey")


def test_a_task_is_only_ever_posted(evening: Evening) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        answer = requests.request(method, f"{evening.function.url}/tasks/run", timeout=60)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("eta", ["", "soon", "nan", "inf", "-1", "1e400"])
def test_a_time_of_delivery_that_is_none_counts_for_nothing(evening: Evening, eta: str) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.advance(5 * MINUTE)

    answer = evening.function.post("/tasks/run", CALL, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["attempt"]) == (202, 2)
    assert evening.batch()["startedAt"] == evening.at(5)


@pytest.mark.parametrize(
    ("ahead", "counted"),
    [
        (-MINUTE, timedelta()),  # it may come late
        (timedelta(), timedelta()),
        (timedelta(seconds=20), timedelta(seconds=20)),  # this clock is behind the queue's
        (MINUTE, MINUTE),
        (2 * MINUTE, MINUTE),
        (45 * MINUTE, MINUTE),  # forced
        (timedelta(days=31), MINUTE),
        (timedelta(days=2_900_000), MINUTE),
    ],
)
def test_a_time_of_delivery_corrects_the_clock_by_a_minute_at_most(
    evening: Evening, ahead: timedelta, counted: timedelta
) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.tasks.advance(5 * MINUTE)
    eta = str((evening.tasks.now() + ahead).timestamp())

    answer = evening.function.post("/tasks/run", CALL, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["attempt"]) == (202, 2)
    batch = evening.batch()
    assert batch["startedAt"] == evening.at(5) + counted
    assert batch["nextAttemptAt"] == evening.at(5) + counted + timedelta(minutes=15)
    assert batch["pendingTask"]["due"] == batch["nextAttemptAt"]


def test_a_forced_task_does_not_pass_an_open_breaker_or_postpone_what_follows(
    evening: Evening,
) -> None:
    """`gcloud tasks run` delivers a task at once, with the time it was due in its header."""
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    for _ in range(2):
        (task,) = evening.tasks.tasks
        evening.tasks.run_next()
    opened = evening.breaker()
    (task,) = evening.tasks.tasks
    requests_before = len(evening.drive.requests)
    evening.drive.down = False
    eta = str((evening.tasks.now() + timedelta(minutes=45)).timestamp())

    answer = evening.function.post("/tasks/run", task.body, **{"X-CloudTasks-TaskETA": eta})

    assert (answer.status_code, answer.json()["status"]) == (202, "circuit_open")
    assert len(evening.drive.requests) == requests_before
    assert evening.breaker() == opened
    assert evening.batch()["pendingTask"]["due"] == opened["openUntil"]
    evening.tasks.run_until(opened["openUntil"])
    assert evening.batch()["state"] == "committed"
    assert evening.batch()["committedAt"] == evening.tasks.now()
