"""A batch that no single invocation can finish: one file, one attempt, each byte sent once.

The function runs in processes as they are deployed; Cloud Tasks' stand-in delivers the
continuations.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from tests import books
from tests.acceptance.processes import CHUNK_BYTES, DAY, NEXT_DAY, TRACE, Instance, Stage
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.answers import Answer
from tests.emulators.drive.call import Call
from tests.emulators.tasks.delivery import Delivery

MANY = 10_000
FEW, LARGE_BYTES = 30, 9_000
"""Entries, and bytes of each: they make two chunks and a rest."""
CHUNKS = 3
BRIEF = "0.001"
"""A deadline that leaves each invocation the one chunk that it sends in any case."""


@pytest.fixture(scope="module")
def stage(
    mongo_client: MongoClient[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    with Stage(mongo_client, mongo_uri, tmp_path_factory.mktemp("continuation")) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _fresh(stage: Stage) -> Iterator[None]:
    stage.reset()
    yield
    stage.check_secrets()


def brief(stage: Stage) -> Instance:
    return stage.serve("brief", DAYBOOK_RUN_DEADLINE_SECONDS=BRIEF)


def installation(stage: Stage) -> Instance:
    """A function whose invocations have all the time they need."""
    return stage.serve("patient")


def begun(stage: Stage, day: str = DAY) -> list[str]:
    """A day of three chunks, of which an invocation has sent the first."""
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    _go_on(stage, day)
    assert stage.sent_bytes == CHUNK_BYTES
    return entries


def _go_on(stage: Stage, day: str) -> None:
    answer = brief(stage).post("/run", {"batchDate": day})
    assert (answer.status_code, answer.json()["status"]) == (202, "continued")


def said(delivery: Delivery | None) -> dict[str, Any]:
    """What the function answered to a task."""
    assert delivery is not None
    answer: dict[str, Any] = json.loads(delivery.content)
    return answer


def deliver_all(stage: Stage) -> list[str]:
    """Deliver task after task until none is left; returns what they were answered."""
    told = []
    while stage.tasks.tasks:
        told.append(said(stage.tasks.run_next())["status"])
        assert len(told) < 50, told
    return told


def sessions(stage: Stage) -> list[bool]:
    """Of each upload session whether it made the file."""
    return [session.complete for session in stage.drive.sessions()]


def ended_after(stage: Stage, *, attempts: int, day: str = DAY) -> None:
    batch = stage.batch(day)
    assert (batch["state"], batch["attempt"]) == ("committed", attempts)
    assert batch["attemptCount"] == attempts
    assert batch["pendingTask"] is None


def test_a_large_batch_is_one_file_of_one_attempt(stage: Stage) -> None:
    entries = stage.seed(MANY)
    stage.drive.bytes_per_second = 350_000

    answer = stage.serve("three seconds", DAYBOOK_RUN_DEADLINE_SECONDS="3").post(
        "/run", {"batchDate": DAY}
    )
    told, sent = [(answer.status_code, answer.json()["status"])], [stage.sent_bytes]
    while told[-1] == (202, "continued"):
        delivery = stage.tasks.run_next()
        told.append((delivery.status if delivery else None, said(delivery)["status"]))
        sent.append(stage.sent_bytes)

    assert told[-1] == (200, "exported")
    assert len(told) >= 3, told
    (file,) = stage.drive.files()
    in_each = [after - before for before, after in zip([0, *sent], sent, strict=False)]
    assert min(in_each[:-1]) >= CHUNK_BYTES
    assert in_each[-1] > 0
    assert sent[-1] < 1.3 * file.size_bytes
    assert sessions(stage) == [True]
    ended_after(stage, attempts=1)
    assert stage.batch()["continuations"] == len(told) - 1
    assert stage.check() == {DAY: entries}
    assert books.references(file.content) == [f"TAX-{number}" for number in range(MANY)]
    assert stage.tasks.tasks == []


def test_each_invocation_sends_a_chunk_however_short_its_time(stage: Stage) -> None:
    entries = begun(stage)

    assert deliver_all(stage) == ["continued", "exported"]

    assert [request.operation for request in stage.drive.requests].count("chunk") == CHUNKS - 1
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    assert sessions(stage) == [True]
    ended_after(stage, attempts=1)
    assert stage.check() == {DAY: entries}


def test_a_continuation_is_due_at_once_and_names_its_attempt(stage: Stage) -> None:
    begun(stage)

    (task,) = stage.tasks.created
    batch = stage.batch()
    assert task.body == {
        "profile": "daily",
        "batchDate": DAY,
        "generation": 1,
        "attempt": 1,
        "kind": "continuation",
    }
    assert task.schedule_time == batch["pendingTask"]["due"] == batch["nextAttemptAt"]
    assert batch["updatedAt"] >= task.schedule_time
    assert (batch["state"], stage.slot()["lease"]) == ("open", None)


@pytest.mark.parametrize(("at", "opened"), [(0, 2), (FEW - 1, 1)], ids=["sent", "not yet sent"])
def test_an_entry_edited_in_between_is_in_the_file_as_it_is_now(
    stage: Stage, at: int, opened: int
) -> None:
    """The bytes that the session holds are kept only if they are still the right ones."""
    entries = begun(stage)
    stage.database["journalentries"].update_one(
        {"_id": ObjectId(entries[at])}, {"$set": {"reference": "TAX-EDITED"}}
    )

    assert set(deliver_all(stage)) == {"continued", "exported"}

    assert stage.check() == {DAY: entries}
    assert books.references(stage.drive.files()[0].content)[at] == "TAX-EDITED"
    assert sessions(stage) == [False, True][-opened:]
    ended_after(stage, attempts=1)


def test_an_entry_that_shrinks_the_file_below_what_was_sent_starts_it_again(stage: Stage) -> None:
    entries = begun(stage)
    stage.database["journalentries"].update_many({}, {"$set": {"description": "Consulting for B"}})

    assert deliver_all(stage) == ["exported"]

    assert stage.check() == {DAY: entries}
    assert sessions(stage) == [False, True]
    ended_after(stage, attempts=1)


def test_an_item_withdrawn_in_between_is_not_in_the_file(stage: Stage) -> None:
    entries = begun(stage)
    stage.database["exportqueues"].delete_one({"entryId": ObjectId(entries[3])})

    assert deliver_all(stage)[-1] == "exported"

    assert stage.check() == {DAY: [*entries[:3], *entries[4:]]}
    ended_after(stage, attempts=1)


@pytest.mark.parametrize("on", ["session_query", "chunk"])
@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_drive_loses_in_between_is_replaced(
    stage: Stage, on: str, status: int
) -> None:
    entries = begun(stage)
    lost = stage.drive.fault("session_expired", on=on, status=status)

    assert deliver_all(stage)[-1] == "exported"

    assert lost.hits == 1
    assert stage.check() == {DAY: entries}
    gone, complete = stage.drive.sessions()
    assert (gone.gone, complete.complete) == (True, True)
    assert gone.file_id == complete.file_id == stage.batch()["fileId"]
    ended_after(stage, attempts=1)


def test_an_invocation_that_is_killed_is_made_up_for_by_the_next_attempt(stage: Stage) -> None:
    """Its session is left alone, for its last chunk may still be on its way."""
    entries = begun(stage)
    (task,) = stage.tasks.tasks
    stage.drive.fault("hold_before", on="chunk")
    broken = stage.tasks.deliver_async(task.id)
    stage.drive.wait_for("chunk", nth=2)
    brief(stage).crash()
    assert broken.result().status is None

    brief(stage)
    assert said(stage.tasks.run_next())["status"] == "in_progress"
    (find_file,) = stage.tasks.tasks
    assert (find_file.body["kind"], find_file.body["attempt"]) == ("look_again", 1)
    stage.expire_lease()
    told = deliver_all(stage)
    assert set(told) - {"in_progress"} <= {"continued", "exported"}, told
    assert told[-1] == "exported", told
    stage.drive.release()
    stage.drive.wait_for("chunk", nth=2, acted=True)

    assert stage.check() == {DAY: entries}
    ended_after(stage, attempts=2)
    first, second = stage.drive.sessions()
    assert (first.complete, second.complete) == (False, True)
    assert first.file_id == second.file_id


def test_of_two_deliveries_at_once_one_works(stage: Stage) -> None:
    entries = begun(stage)
    (task,) = stage.tasks.tasks
    stage.drive.fault("hold_before", on="chunk")
    first = stage.tasks.deliver_async(task.id)
    stage.drive.wait_for("chunk", nth=2)

    second = stage.tasks.deliver(task.id)
    stage.drive.release()

    assert said(second)["status"] == "in_progress"
    assert said(first.result())["status"] == "continued"
    assert deliver_all(stage)[0] == "exported"
    assert sessions(stage) == [True]
    ended_after(stage, attempts=1)
    assert stage.check() == {DAY: entries}


def test_every_delivery_made_twice_at_once_changes_nothing(stage: Stage) -> None:
    stage.tasks.copies = "together"
    entries = begun(stage)

    deliver_all(stage)

    told = Counter(said(delivery)["status"] for delivery in stage.tasks.deliveries)
    assert told["exported"] == 1
    assert set(told) <= {"exported", "continued", "in_progress", "already_exported"}
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    ended_after(stage, attempts=1)
    assert stage.check() == {DAY: entries}


def test_a_continuation_delivered_once_more_after_the_end_touches_nothing(stage: Stage) -> None:
    begun(stage)
    (task,) = stage.tasks.tasks
    deliver_all(stage)
    asked = len(stage.drive.requests)

    late = stage.tasks.deliver(task.id)

    assert (late.status, said(late)["status"]) == (200, "already_exported")
    assert len(stage.drive.requests) == asked
    assert stage.tasks.tasks == []


def test_another_day_in_between_takes_the_entries_along(stage: Stage) -> None:
    entries = begun(stage)

    other = installation(stage).post("/run", {"batchDate": NEXT_DAY})

    assert other.json()["status"] == "exported"
    assert deliver_all(stage) == ["empty"]
    assert stage.check() == {NEXT_DAY: entries}
    assert sessions(stage) == [False, True]
    assert (stage.batch()["state"], stage.batch()["attempt"]) == ("empty", 1)
    ended_after(stage, attempts=1, day=NEXT_DAY)


def test_two_days_that_both_need_continuations_come_to_an_end(stage: Stage) -> None:
    entries = begun(stage)
    _go_on(stage, NEXT_DAY)

    told = deliver_all(stage)

    ended = [status for status in told if status not in ("continued", "in_progress")]
    assert sorted(ended) == ["empty", "exported"], told
    assert sorted(entry for day in stage.check().values() for entry in day) == entries


def test_a_manual_export_goes_on_by_its_key(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    wanted = {"entryIds": entries}
    answer = brief(stage).post("/exports", wanted, Idempotency_Key="quarter 1")
    assert (answer.status_code, answer.json()["status"]) == (202, "continued")
    (task,) = stage.tasks.tasks
    assert task.body["manualKey"] == "quarter 1"
    assert "batchDate" not in task.body

    assert deliver_all(stage) == ["continued", "exported"]

    (file,) = stage.drive.files()
    assert [row["Entry ID"] for row in books.rows(file.content)][::2] == entries
    assert sessions(stage) == [True]
    assert stage.sent_bytes == file.size_bytes
    assert stage.database["exportqueues"].count_documents({"status": "queued"}) == FEW
    again = brief(stage).post("/exports", wanted, Idempotency_Key="quarter 1")
    assert (again.status_code, again.json()["status"]) == (200, "already_exported")


def test_a_day_goes_on_beside_a_manual_export(stage: Stage) -> None:
    entries = begun(stage)
    answer = brief(stage).post("/exports", {"entryIds": entries}, Idempotency_Key="quarter 2")
    assert answer.json()["status"] == "continued"

    assert Counter(deliver_all(stage)) == {"continued": 2, "exported": 2}

    daily, manual = sorted(stage.drive.files(), key=lambda file: file.name)
    assert (daily.name, manual.name[:7]) == (f"batch_{DAY}.csv", "manual_")
    assert daily.content == manual.content
    assert sessions(stage) == [True, True]


def test_without_a_queue_the_next_call_goes_on_with_the_attempt(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = stage.serve(
        "no queue",
        DAYBOOK_RUN_DEADLINE_SECONDS=BRIEF,
        DAYBOOK_TASKS_QUEUE="",
        DAYBOOK_TASKS_ENDPOINT="",
        DAYBOOK_SERVICE_URL="",
    )

    told = []
    for _ in range(CHUNKS):
        answer = instance.post("/run", {"batchDate": DAY})
        told.append((answer.status_code, answer.json()["status"]))
        if answer.status_code == 202:
            assert stage.batch()["pendingTask"]["kind"] == "continuation"

    assert told == [(202, "continued"), (202, "continued"), (200, "exported")]
    assert stage.tasks.requests == []
    ended_after(stage, attempts=1)
    assert sessions(stage) == [True]
    assert stage.check() == {DAY: entries}


def test_a_continuation_that_the_queue_refuses_is_left_to_the_caller(stage: Stage) -> None:
    """503 makes the scheduler call again, with the same schedule time."""
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    stage.tasks.denied.add("cloudtasks.tasks.create")
    when = {"X_CloudScheduler_ScheduleTime": f"{DAY}T11:00:00Z"}

    first = brief(stage).post("/run", {"batchDate": DAY}, **when)
    stage.tasks.denied.clear()
    again = brief(stage).post("/run", {"batchDate": DAY}, **when)

    assert (first.status_code, first.json()["status"]) == (503, "continued")
    assert first.json()["error"]["type"] == "tasks"
    assert (again.status_code, again.json()["status"]) == (202, "continued")
    assert deliver_all(stage) == ["exported"]
    ended_after(stage, attempts=1)
    assert sessions(stage) == [True]
    assert stage.check() == {DAY: entries}


def test_a_continuation_that_never_reached_the_queue_is_created_by_the_sweep(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    stage.tasks.denied.add("cloudtasks.tasks.create")
    brief(stage).post("/run", {"batchDate": DAY})
    stage.tasks.denied.clear()
    assert stage.tasks.created == []

    assert brief(stage).post("/sweep").status_code == 200

    assert deliver_all(stage) == ["continued", "exported"]
    ended_after(stage, attempts=1)
    assert stage.check() == {DAY: entries}


def test_a_batch_that_continuations_never_bring_to_an_end_fails_its_attempt(stage: Stage) -> None:
    entries = begun(stage)
    stage.database["exportbatches"].update_one({}, {"$set": {"continuations": 100}})

    failed = said(stage.tasks.run_next())

    assert (failed["status"], failed["error"]["type"]) == ("retry_scheduled", "timeout")
    assert "DAYBOOK_RUN_DEADLINE_SECONDS" in failed["error"]["message"]
    assert deliver_all(stage)[-1] == "exported"
    ended_after(stage, attempts=2)
    assert sessions(stage) == [True]
    assert stage.check() == {DAY: entries}


def _records(stage: Stage) -> list[dict[str, Any]]:
    """What the next three invocations log, all of them for requests of our own."""
    instance = brief(stage)
    seen = len(instance.records)
    told = [instance.post("/run", {"batchDate": DAY}).json()["status"] for _ in range(CHUNKS)]
    assert told == ["continued", "continued", "exported"]
    return instance.records[seen:]


def _lacking(record: dict[str, Any], batch: dict[str, Any]) -> list[str]:
    labels = record["logging.googleapis.com/labels"]
    expected = {
        "profile": (record.get("profile"), "daily"),
        "batchDate": (record.get("batchDate"), DAY),
        "batchId": (record.get("batchId"), str(batch["_id"])),
        "attempt": (record.get("attempt"), 1),
        "label profile": (labels.get("profile"), "daily"),
        "label batchDate": (labels.get("batchDate"), DAY),
        "trace": (record["logging.googleapis.com/trace"], TRACE),
    }
    lacking = [name for name, (found, wanted) in expected.items() if found != wanted]
    return lacking + [name for name in ("fence", "step") if not record.get(name)]


def test_every_record_of_a_run_says_which_run_it_belongs_to(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    stage.database["journalentries"].update_one(
        {"_id": ObjectId(entries[5])}, {"$unset": {"lines.1.credit": 1}}
    )

    records = _records(stage)

    events = {record["event"] for record in records}
    assert {"run_continued", "task_created", "batch_committed", "entries_rejected"} <= events
    batch = stage.batch()
    lacking = {record["event"]: _lacking(record, batch) for record in records}
    assert not any(lacking.values()), lacking


def _garbled(drive: DriveEmulator, operation: str) -> None:
    """Have answers carry a header that the HTTP client cannot make sense of, and warns of."""
    perform: Callable[[Call], Answer] = drive.service.perform

    def spoilt(call: Call) -> Answer:
        answer = perform(call)
        if call.route.operation != operation:
            return answer
        return replace(answer, headers={**answer.headers, "Content-Type": "multipart/mixed"})

    drive.service.perform = spoilt


@pytest.mark.parametrize("operation", ["chunk", "session_open"])
def test_what_the_http_client_warns_of_belongs_to_the_run_and_hides_the_address(
    stage: Stage, operation: str
) -> None:
    """Requests to Drive have threads of their own."""
    stage.seed(FEW, entry_bytes=LARGE_BYTES)
    _garbled(stage.drive, operation)

    records = _records(stage)

    batch = stage.batch()
    (session,) = stage.drive.sessions()
    for record in records:
        assert session.id not in json.dumps(record)
        if "event" not in record:
            assert _lacking(record, batch) == [], record
