"""Runs by command that take more than one invocation, and how they are stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.model.part import FIRST_PART_SIZE
from tests import books, commands, forked
from tests.acceptance.test_cli import answer, daybook, surroundings
from tests.acceptance.test_cli_retry import office_with
from tests.emulators.drive import DriveEmulator
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase
from tests.installed import DAYBOOK
from tests.integration.office import DAY, Office

pytestmark = pytest.mark.migrated

DATE = DAY.isoformat()
CHUNK = 262_144
ENTRIES = 1500
"""About 1.3 MB: four chunks and a rest."""
AGAIN = f"            daybook run --date {DATE}\n"
DELIVERED = {"action": "csv_generated"}
STOPPING = "Stopping at the next boundary"


@pytest.fixture
def office(
    database: Database[dict[str, Any]], mongo_uri: str, drive: DriveEmulator
) -> Iterator[Office]:
    with office_with(
        database,
        mongo_uri,
        drive,
        DAYBOOK_UPLOAD_CHUNK_BYTES=str(CHUNK),
        DAYBOOK_MULTIPART_LIMIT_BYTES=str(CHUNK),
    ) as office:
        books.put(
            database,
            *(books.entry(f"INV-{n}", description="x" * 300) for n in range(ENTRIES)),
        )
        yield office


class Held:
    """A `run` that waits in its second chunk until it is released."""

    def __init__(self, office: Office, drive: DriveEmulator, *arguments: str) -> None:
        drive.fault("hold_before", on="chunk", nth=2)
        self.process = forked.start(
            ["daybook", *(arguments or ("run", "--date", DATE))], surroundings(office.env)
        )
        self._drive = drive
        drive.wait_for("chunk", nth=2)

    def told(self, number: signal.Signals) -> str:
        """Send the signal and return what it is answered."""
        assert self.process.stderr is not None
        self.process.send_signal(number)
        return self.process.stderr.readline()

    def released(self) -> tuple[int, str, str]:
        """Let the chunk go, and wait for the end."""
        while self.process.poll() is None:
            self._drive.release()  # again, should the chunk not have been held yet
            time.sleep(0.02)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def operations(drive: DriveEmulator, name: str) -> int:
    return [request.operation for request in drive.requests].count(name)


def sent_bytes(drive: DriveEmulator) -> int:
    chunks = ("chunk", "chunk_last")
    return sum(r.body_bytes for r in drive.requests if r.operation in chunks)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        pytest.param(signal.SIGTERM, f"{STOPPING}.\n", marks=pytest.mark.storm),
        (signal.SIGINT, f"{STOPPING}; Ctrl-C again breaks off.\n"),
    ],
)
def test_a_signal_stops_it_at_a_chunk_and_the_next_run_goes_on_from_there(
    office: Office, drive: DriveEmulator, number: signal.Signals, said: str
) -> None:
    run = Held(office, drive)
    assert run.told(number) == said
    code, out, _ = run.released()
    assert code == 4
    assert out.startswith(f"The file of {DATE} is not complete yet; what is done of it is kept.\n")
    assert "  next      attempt 1 resumes where it stopped" in out
    assert out.endswith(AGAIN)
    assert drive.files() == []
    assert operations(drive, "chunk") == 2
    stored = office.batch()
    assert (stored["state"], stored["attempt"], stored["endedAttempt"]) == ("open", 1, 0)
    assert "resumes where it stopped" in daybook(office.env, "status", DATE).stdout

    done = answer(office.env, "run", "--date", DATE)

    assert (done["status"], done["attempt"], done["entryCount"]) == ("exported", 1, ENTRIES)
    assert operations(drive, "session_open") == 1
    assert sent_bytes(drive) == done["sizeBytes"]
    assert "  continued 1 time in this attempt\n" in daybook(office.env, "status", DATE).stdout
    assert len(drive.files()) == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_after_the_commit_says_that_the_file_is_delivered(
    database: Database[dict[str, Any]], mongo_uri: str, drive: DriveEmulator, as_json: bool
) -> None:
    """Held in the commit's transaction, which marks the first of two parts."""
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    committing, go_on = threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        if event.name != "commitTransaction" or event.phase is not Phase.AFTER:
            return
        if not committing.is_set() and database["exportlogs"].find_one(DELIVERED):
            committing.set()
            assert go_on.wait(60)

    with (
        MongoProxy(host, port, hold) as proxy,
        office_with(database, proxy.uri, drive) as office,
    ):
        many = (books.entry(f"INV-{n}", lines=[], amount=1) for n in range(FIRST_PART_SIZE + 1))
        books.put(database, *many)
        arguments = ["run", "--date", DATE, *(["--json"] if as_json else [])]
        with subprocess.Popen(
            [DAYBOOK, *arguments],
            env=surroundings(office.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            assert committing.wait(60)
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == f"{STOPPING}; Ctrl-C again breaks off.\n"
            go_on.set()
            out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (4, "")

        stored = office.batch()
        assert (stored["state"], stored["markedAt"]) == ("committed", None)
        queue = database["exportqueues"]
        assert queue.count_documents({"status": "completed"}) == FIRST_PART_SIZE
        if as_json:
            told = json.loads(out)
            assert (told["status"], told["entryCount"]) == ("continued", FIRST_PART_SIZE + 1)
            assert told["fileId"] == stored["fileId"]
        else:
            assert out.startswith(
                f"batch_{DATE}.csv is delivered; not all of its entries are marked yet.\n"
            )
            assert "  next      the next call finishes what is left, at " in out
            assert out.endswith(AGAIN)
            assert "not complete" not in out
        assert answer(office.env, "status", DATE)["queued"] == 0

        done = answer(office.env, "run", "--date", DATE)

        assert (done["status"], done["fileId"]) == ("already_exported", stored["fileId"])
        assert queue.count_documents({"status": "completed"}) == FIRST_PART_SIZE + 1
        assert len(drive.files()) == 1


def test_a_second_ctrl_c_breaks_it_off_and_nothing_is_lost(
    office: Office, drive: DriveEmulator
) -> None:
    run = Held(office, drive)
    run.told(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    code, out, err = run.end()
    assert (code, out) == (130, "")
    assert err == (
        "Error: broken off; what was done is kept, and the next run settles it: "
        f"daybook run --date {DATE}\n"
    )
    drive.release()
    done = answer(office.env, "run", "--date", DATE)
    assert (done["status"], done["attempt"]) == ("exported", 2)
    assert len(drive.files()) == 1


def test_with_json_a_run_that_is_stopped_answers_one_document(
    office: Office, drive: DriveEmulator
) -> None:
    run = Held(office, drive, "run", "--date", DATE, "--json")
    run.told(signal.SIGTERM)
    code, out, _ = run.released()
    assert (code, json.loads(out)["status"]) == (4, "continued")


def test_a_command_continues_beyond_its_deadline_until_the_file_is_delivered(
    office: Office, drive: DriveEmulator
) -> None:
    env = {**office.env, "DAYBOOK_RUN_DEADLINE_SECONDS": "0.001"}
    done = answer(env, "run", "--date", DATE)
    assert (done["status"], done["attempt"], done["entryCount"]) == ("exported", 1, ENTRIES)
    assert answer(env, "status", DATE)["batch"]["continuations"] >= 3
    assert operations(drive, "session_open") == 1
    assert sent_bytes(drive) == done["sizeBytes"]
    copied = answer(env, "export", "--from", DATE, "--to", DATE)
    assert (copied["status"], copied["entryCount"]) == ("exported", ENTRIES)
    assert len(drive.files()) == 2


@pytest.mark.storm
def test_a_retry_goes_on_beyond_its_deadline_too(office: Office, drive: DriveEmulator) -> None:
    drive.down = True
    while commands.run_day(office.app, DAY).status != "failed":
        pass
    drive.down = False
    done = answer({**office.env, "DAYBOOK_RUN_DEADLINE_SECONDS": "0.001"}, "retry", DATE)
    assert (done["status"], done["attempt"]) == ("exported", 1)
    assert office.batch()["generation"] == 2
    assert office.batch()["continuations"] >= 3
