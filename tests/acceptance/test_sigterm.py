"""SIGTERM to the function as it is deployed: it stops in time and loses nothing.

Cloud Run sends it to functions-framework's process and kills everything ten seconds
later. By then the lease is given back, so that the next process goes on at once.
https://cloud.google.com/run/docs/container-contract#instance-shutdown
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import requests
from pymongo import MongoClient

from daybook.export.model.part import FIRST_PART_SIZE
from tests.acceptance.processes import CHUNK_BYTES, DAY, Instance, Stage, until
from tests.faults.steps import TRANSACTION, Step, Trap

IN_TIME_SECONDS = 8.0
"""From the signal until the lease is given back; the process is killed after ten."""
END_SECONDS = 10.0
FEW, LARGE_BYTES = 60, 9_000
"""Entries, and bytes of each: they make four chunks and a rest."""
PART = 5_000
RUN = ("/run", {"batchDate": DAY})


@pytest.fixture(scope="module")
def stage(
    mongo_client: MongoClient[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("sigterm")
    with Stage(mongo_client, mongo_uri, folder, proxied=True) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _fresh(stage: Stage) -> Iterator[None]:
    stage.reset()
    yield
    stage.check_secrets()


def serve(stage: Stage) -> Instance:
    """The process in service: one that was told to end leaves its place to the next."""
    return stage.serve(spare=True)


class Ending:
    """A run whose process is told to end, from the moment of the signal."""

    def __init__(self, stage: Stage, instance: Instance, answer: Future[requests.Response]) -> None:
        self._stage = stage
        self._instance = instance
        self._answer = answer
        self._told_at = time.monotonic()

    def continued(self, *, alive: bool = False) -> None:
        """It gives the lease back, asks to be gone on with, says so, and ends.

        `alive`: the process stays, because only its worker was told.
        """
        until(lambda: self._stage.slot()["lease"] is None, within_seconds=IN_TIME_SECONDS)
        answer = self._answer.result(self._left())
        assert (answer.status_code, answer.json()["status"]) == (202, "continued")
        (task,) = self._stage.tasks.tasks
        assert task.body["kind"] == "continuation"
        if not alive:
            assert self._instance.wait(self._left()) == 0

    def _left(self) -> float:
        return self._told_at + END_SECONDS - time.monotonic()


def told(
    stage: Stage, instance: Instance, answer: Future[requests.Response], *, worker: bool = False
) -> Ending:
    ending = Ending(stage, instance, answer)
    instance.tell_to_end(worker=worker)
    return ending


def told_at(stage: Stage, instance: Instance, step: Step) -> Ending:
    """Tell it to end while a command to MongoDB is under way, which then goes on."""
    trap = Trap(step, "before", instance.tell_to_end, hold=True)
    stage.watch(trap.mongo)
    answer = instance.begin(*RUN)
    assert trap.wait(answer.done), trap
    ending = Ending(stage, instance, answer)
    instance.wait_until_told()
    trap.release()
    return ending


def go_on(stage: Stage, instance: Instance | None = None) -> str:
    """What a new process, or the given one, answers to the continuation, without waiting."""
    if instance is None:
        serve(stage)
    delivery = stage.tasks.run_next()
    assert delivery is not None
    answer: dict[str, Any] = json.loads(delivery.content)
    assert stage.tasks.tasks == [], answer
    status: str = answer["status"]
    return status


def finished(stage: Stage, entries: list[str], *, sessions: list[bool]) -> None:
    """One file with the right bytes, in one attempt; of each session whether it made it."""
    assert stage.check() == {DAY: entries}
    assert [session.complete for session in stage.drive.sessions()] == sessions
    assert len({session.file_id for session in stage.drive.sessions()}) == 1
    batch = stage.batch()
    assert (batch["state"], batch["attempt"], batch["attemptCount"]) == ("committed", 1, 1)
    assert (batch["pendingTask"], batch["nextAttemptAt"]) == (None, None)


def test_no_byte_is_sent_twice_by_processes_that_have_to_end_one_after_the_other(
    stage: Stage,
) -> None:
    """The first waits for its chunk's answer, the second has not yet sent anything."""
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("delay_before", on="chunk", nth=2, seconds=1.0)
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)
    told(stage, instance, answer).continued()
    assert stage.sent_bytes == 2 * CHUNK_BYTES
    assert stage.slot()["upload"]["handedBack"] is True

    instance = serve(stage)
    stage.drive.fault("hold_before", on="session_query")
    (task,) = stage.tasks.tasks
    going_on = stage.tasks.deliver_async(task.id)
    stage.drive.wait_for("session_query")
    instance.tell_to_end()
    until(lambda: stage.slot()["lease"] is None, within_seconds=IN_TIME_SECONDS)
    assert going_on.result().status == 202
    stage.drive.release()

    assert go_on(stage) == "exported"
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    finished(stage, entries, sessions=[True])


@pytest.mark.skipif(sys.platform != "linux", reason="the worker is found in /proc")
def test_a_worker_that_alone_gets_sigterm_leaves_its_run_to_its_successor(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("delay_before", on="chunk", nth=2, seconds=1.0)
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)

    told(stage, instance, answer, worker=True).continued(alive=True)

    assert go_on(stage, instance) == "exported"
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    finished(stage, entries, sessions=[True])


def test_an_idle_process_ends_at_once(stage: Stage) -> None:
    instance = serve(stage)
    instance.tell_to_end()
    assert instance.wait(END_SECONDS / 2) == 0
    assert [record for record in instance.records if record["severity"] != "INFO"] == []


def test_a_chunk_that_drive_never_answers_is_given_up(stage: Stage) -> None:
    """A second signal changes nothing."""
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("hold_before", on="chunk", nth=2)
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)

    ending = told(stage, instance, answer)
    instance.wait_until_told()
    instance.tell_to_end()
    ending.continued()

    assert stage.slot()["upload"]["handedBack"] is False
    assert go_on(stage) == "exported"
    stage.drive.release()
    stage.drive.wait_for("chunk", nth=2, acted=True)
    finished(stage, entries, sessions=[False, True])


@pytest.mark.parametrize(
    "arrives", [pytest.param("before the next run", marks=pytest.mark.storm), "after it"]
)
def test_a_last_chunk_that_is_never_answered_is_settled_by_looking(
    stage: Stage, arrives: str
) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("hold_before", on="chunk_last")
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk_last")
    told(stage, instance, answer).continued()
    assert len(stage.slot()["seals"]) == 1

    early = arrives == "before the next run"
    if early:
        stage.drive.release()
        stage.drive.wait_for("chunk_last", acted=True)
    status = go_on(stage)
    stage.drive.release()
    stage.drive.wait_for("chunk_last", acted=True)

    assert status == ("already_exported" if early else "exported")
    finished(stage, entries, sessions=[True] if early else [False, True])


@pytest.mark.parametrize("on", [pytest.param("generateIds", marks=pytest.mark.storm), "get"])
def test_whatever_drive_does_not_answer_is_given_up(stage: Stage, on: str) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("answer_lost", on="chunk_last")  # only then is the file looked up
    stage.drive.fault("hold_before", on=on)
    answer = instance.begin(*RUN)
    stage.drive.wait_for(on)

    told(stage, instance, answer).continued()

    assert go_on(stage) == ("already_exported" if on == "get" else "exported")
    stage.drive.release()
    stage.drive.wait_for(on, acted=True)
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    assert stage.check() == {DAY: entries}


@pytest.mark.storm
def test_a_pause_between_repeats_is_the_last_one(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    broken = stage.drive.fault("status", on="chunk", nth=2, times=None, status=503)
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)

    told(stage, instance, answer).continued()

    assert broken.hits < 5
    stage.drive.faults.clear()
    assert go_on(stage) == "exported"
    finished(stage, entries, sessions=[False, True])


@pytest.mark.storm
def test_a_run_that_plans_sends_nothing_any_more(stage: Stage) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)

    told_at(stage, instance, Step(kind="find exportqueues")).continued()

    assert stage.sent_bytes == 0
    assert go_on(stage) == "exported"
    finished(stage, entries, sessions=[True] * len(stage.drive.sessions()))


def test_a_run_that_renders_stops_at_the_part_or_chunk(stage: Stage) -> None:
    entries = stage.seed(PART + 1)
    instance = serve(stage)

    told_at(stage, instance, Step(kind="find journalentries", nth=2)).continued()

    sent = stage.sent_bytes
    assert go_on(stage) == "exported"
    (file,) = stage.drive.files()
    assert sent < file.size_bytes == stage.sent_bytes
    finished(stage, entries, sessions=[True])


@pytest.mark.storm
def test_a_run_that_marks_leaves_the_other_parts_to_the_next(stage: Stage) -> None:
    """The signal comes when the second part is closed; items of two others are completed ahead."""
    entries = stage.seed(FIRST_PART_SIZE + 3 * PART + 1)
    instance = serve(stage)

    # The rehearsal is aborted; of the others the first begins the attempt, the second commits.
    told_at(stage, instance, Step(kind=TRANSACTION, nth=3)).continued()

    batch = stage.batch()
    assert (batch["state"], batch["markedAt"]) == ("committed", None)
    queued = stage.database["exportqueues"].count_documents({"status": "queued"})
    assert queued == 1
    assert go_on(stage) == "already_exported"
    finished(stage, entries, sessions=[True])


def test_a_process_killed_while_the_queue_hangs_has_given_the_lease_back_before(
    stage: Stage,
) -> None:
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = serve(stage)
    stage.drive.fault("delay_before", on="chunk", nth=2, seconds=1.0)
    stage.tasks.fault("hold_before", on="create")
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)

    instance.tell_to_end()
    stage.tasks.wait_for("create")
    instance.crash()

    assert isinstance(answer.exception(), requests.ConnectionError)
    assert stage.slot()["lease"] is None
    assert stage.batch()["pendingTask"]["kind"] == "continuation"
    again = serve(stage).post(*RUN)
    assert again.json()["status"] == "exported"
    assert stage.sent_bytes == stage.drive.files()[0].size_bytes
    finished(stage, entries, sessions=[True])


def test_with_a_single_thread_it_stops_in_time_too(stage: Stage) -> None:
    """Then gunicorn handles requests in the main thread, where signals are handled as well."""
    entries = stage.seed(FEW, entry_bytes=LARGE_BYTES)
    instance = stage.serve("single", THREADS="1")
    stage.drive.fault("hold_before", on="chunk", nth=2)
    answer = instance.begin(*RUN)
    stage.drive.wait_for("chunk", nth=2)

    told(stage, instance, answer).continued()

    assert go_on(stage) == "exported"
    finished(stage, entries, sessions=[False, True])
