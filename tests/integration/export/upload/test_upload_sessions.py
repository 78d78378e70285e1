"""Upload sessions that come to no end: how many an attempt opens, and how many bytes it sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.export.deliver import SESSIONS_PER_ATTEMPT
from daybook.export.outcome import Outcome, Status
from tests import books, commands
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

DAY = date(2026, 1, 18)
CHUNK = 256 * 1024
SENDS = ("chunk", "chunk_last")


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> Iterator[App]:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_UPLOAD_CHUNK_BYTES=str(CHUNK),
        DAYBOOK_MULTIPART_LIMIT_BYTES=str(CHUNK),
    )
    padding = "y" * (CHUNK // 4)
    books.put(database, *(books.entry(f"E-{n}", description=padding) for n in range(5)))
    yield replace(app, sleep=lambda _seconds: None)
    app.client.close()


def hurried(app: App) -> App:
    """Its invocations end at the first boundary between two chunks."""
    return replace(app, settings=replace(app.settings, run_deadline_seconds=0.0))


def run_to_its_end(app: App) -> Outcome:
    """Call after call, until the attempt has an outcome."""
    for _ in range(30):
        outcome = commands.run_day(app, DAY)
        if outcome.status is not Status.CONTINUED:
            return outcome
    raise AssertionError("the attempt came to no end in 30 invocations")


def sent_bytes(drive: DriveEmulator) -> int:
    return sum(request.body_bytes for request in drive.requests if request.operation in SENDS)


def sessions_opened(drive: DriveEmulator) -> int:
    return [request.operation for request in drive.requests].count("session_open")


ENDLESS: Mapping[str, Mapping[str, Any]] = {
    "410": {"kind": "session_expired", "on": ["chunk_last"], "status": 410},
    "404": {"kind": "session_expired", "on": ["chunk_last"], "status": 404},
    "308 with all bytes": {"kind": "not_made", "on": ["chunk_last", "session_finish"]},
    "503": {"kind": "status", "on": ["chunk_last"], "status": 503, "reason": "backendError"},
    "nothing taken": {"kind": "partial_chunk", "on": ["chunk_last"], "at_bytes": 0},
}


@pytest.mark.parametrize("in_a_hurry", [False, True], ids=["one invocation", "many invocations"])
@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_attempt_whose_last_chunk_never_makes_the_file_fails(
    app: App, database: Db, drive: DriveEmulator, fault: Mapping[str, Any], in_a_hurry: bool
) -> None:
    drive.fault(**fault, times=None)

    outcome = run_to_its_end(hurried(app) if in_a_hurry else app)

    assert (outcome.status, outcome.attempt) == (Status.RETRY_SCHEDULED, 1)
    batch = database["exportbatches"].find_one()
    assert batch is not None
    assert (batch["attempt"], batch["endedAttempt"]) == (1, 1)
    assert batch["error"]["type"] == "google_drive"
    assert batch["uploadSessions"] == sessions_opened(drive) <= SESSIONS_PER_ATTEMPT
    assert drive.files() == []
    failed = sent_bytes(drive)

    drive.faults.clear()
    done = run_to_its_end(app)

    assert (done.status, done.attempt) == (Status.EXPORTED, 2)
    size_bytes = done.facts["sizeBytes"]
    assert failed <= (SESSIONS_PER_ATTEMPT + 1) * size_bytes
    (file,) = drive.files()
    assert len(file.content) == size_bytes
    batch = database["exportbatches"].find_one()
    assert batch is not None
    assert batch["uploadSessions"] <= 1  # none, when a session was handed back


def test_a_file_whose_bytes_are_all_held_is_made_without_sending_them_again(
    app: App, drive: DriveEmulator
) -> None:
    drive.fault("not_made", on="chunk_last")

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert [r.content_range for r in drive.requests if r.operation == "session_finish"] == [
        f"bytes */{outcome.facts['sizeBytes']}"
    ]
    assert sent_bytes(drive) == outcome.facts["sizeBytes"]
    assert sessions_opened(drive) == 1


def test_a_lost_answer_about_held_bytes_is_asked_for_and_the_file_made(
    app: App, drive: DriveEmulator
) -> None:
    drive.fault("not_made", on="chunk_last")
    drive.fault("answer_lost", on="chunk_last")

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert sent_bytes(drive) == outcome.facts["sizeBytes"]
    assert len(drive.files()) == 1


def test_the_message_says_how_the_last_session_ended(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    drive.fault("session_expired", on="chunk_last", status=410, times=None)

    outcome = commands.run_day(app, DAY)

    assert outcome.error is not None
    assert "3 upload sessions" in outcome.error["message"]
    assert "410" in outcome.error["message"]


def test_sessions_of_the_attempt_before_do_not_count(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    drive.fault("session_expired", on="chunk_last", status=404, times=SESSIONS_PER_ATTEMPT)
    assert commands.run_day(app, DAY).status is Status.RETRY_SCHEDULED
    drive.fault("session_expired", on="chunk_last", status=404, times=SESSIONS_PER_ATTEMPT - 1)

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.attempt) == (Status.EXPORTED, 2)
    assert sessions_opened(drive) == 2 * SESSIONS_PER_ATTEMPT
