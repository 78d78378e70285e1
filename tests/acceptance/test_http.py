"""The function as it is deployed: functions-framework in a process of its own, real HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests import books
from tests.emulators.drive import DriveEmulator
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
Db = Database[dict[str, Any]]

BANGKOK = ZoneInfo("Asia/Bangkok")


class Function:
    """The function's process, its database and its Drive."""

    def __init__(self, uri: str, database: Db, drive: DriveEmulator, **env: str) -> None:
        self.database = database
        self.drive = drive
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "functions_framework", "--target", "daybook"),
                *("--source", str(ROOT / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
            ],
            env={
                **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
                "DAYBOOK_MONGODB_URI": uri,
                "DAYBOOK_DATABASE": database.name,
                "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
                "DAYBOOK_DRIVE_ENDPOINT": drive.url,
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._wait(port)

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()[0]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("the function did not start within 30 s")

    def post(self, path: str, **request: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=60, **request)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=60)

    def stop(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=20)[0]


@pytest.fixture(scope="module")
def function(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Function]:
    database = mongo_client[f"http_{ObjectId()}"]
    migrate(database, now=datetime.now(UTC))
    with DriveEmulator() as drive:
        running = Function(mongo_uri, database, drive)
        yield running
        running.stop()
    mongo_client.drop_database(database.name)


@pytest.fixture(autouse=True)
def _empty_queue(function: Function) -> None:
    function.database["exportqueues"].delete_many({})


def assert_problem(response: requests.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]


@pytest.mark.parametrize("path", ["/run", "/"])
def test_a_run_delivers_and_answers_with_its_figures(function: Function, path: str) -> None:
    day = "2026-02-01" if path == "/" else "2026-02-02"
    books.put_many(function.database, 3)

    response = function.post(path, json={"batchDate": day})

    assert response.status_code == 200
    answer = response.json()
    assert answer["status"] == "exported"
    assert (answer["profile"], answer["batchDate"], answer["attempt"]) == ("daily", day, 1)
    assert answer["filename"] == f"batch_{day}.csv"
    assert (answer["entryCount"], answer["rowCount"], answer["rejectedCount"]) == (3, 6, 0)
    assert answer["totals"] == {"THB": {"debit": "300.00", "credit": "300.00", "amount": "0.00"}}
    (file,) = (file for file in function.drive.files() if file.id == answer["fileId"])
    assert answer["sizeBytes"] == len(file.content)
    assert answer["md5"] == file.md5
    assert len(answer["sha256"]) == 64
    assert answer["durationSeconds"] > 0
    assert function.post(path, json={"batchDate": day}).json()["status"] == "already_exported"


def test_a_dry_run_has_the_bytes_of_the_run_and_writes_nothing(function: Function) -> None:
    books.put_many(function.database, 4)
    names = set(function.database.list_collection_names())
    before = {name: list(function.database[name].find()) for name in names}
    asked = len(function.drive.requests)

    planned = function.post("/run", json={"batchDate": "2026-02-03", "dryRun": True}).json()

    assert planned["status"] == "planned"
    assert {name: list(function.database[name].find()) for name in names} == before
    assert set(function.database.list_collection_names()) == names
    assert len(function.drive.requests) == asked
    run = function.post("/run", json={"batchDate": "2026-02-03"}).json()
    for figure in ("md5", "sha256", "sizeBytes", "entryCount", "rowCount", "totals", "filename"):
        assert planned[figure] == run[figure]


def test_the_scheduler_names_the_day(function: Function) -> None:
    six = datetime.now(BANGKOK).replace(hour=18, minute=0, second=0, microsecond=0)
    scheduled = six if six <= datetime.now(BANGKOK) else six - timedelta(days=1)
    response = function.post(
        "/run", headers={"X-CloudScheduler-ScheduleTime": scheduled.isoformat()}
    )
    assert response.json()["batchDate"] == scheduled.date().isoformat()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", ("body", "JSON")),
        (b"[]", ("body", "object")),
        (b'"daily"', ("body", "object")),
        (b"\xff\xfe", ("body", "JSON")),
        (b"[" * 60_000, ("body",)),
        (b'{"batchDate": "18.01.2026"}', ("batchDate", "18.01.2026")),
        (b'{"batchDate": "2026-02-30"}', ("batchDate", "2026-02-30")),
        (b'{"batchDate": "20260118"}', ("batchDate", "20260118")),
        (b'{"batchDate": "../../../x"}', ("batchDate",)),
        (b'{"batchDate": {"$ne": null}}', ("batchDate", "$ne")),
        (b'{"batchDate": 20260118}', ("batchDate",)),
        (b'{"profile": "weekly"}', ("profile", "weekly")),
        (b'{"profile": {"$gt": ""}}', ("profile", "$gt")),
        (b'{"profile": null}', ("profile",)),
        (b'{"dryRun": "yes"}', ("dryRun", "yes")),
        (b'{"batchdate": "2026-01-18"}', ("batchdate", "batchDate")),
        (b'{"$where": "1"}', ("$where",)),
        (b'{"\\ud800": 1}', ("unknown",)),
    ],
)
def test_the_response_to_a_bad_run_request_says_what_and_where(
    function: Function, body: bytes, words: tuple[str, ...]
) -> None:
    ids = books.put_many(function.database, 1)
    response = function.post("/run", data=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 400, *words)
    assert books.statuses(function.database, ids) == ["queued"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ("from",)),
        ({"entryIds": []}, ("entryIds",)),
        ({"entryIds": "all"}, ("entryIds",)),
        ({"entryIds": [{"$ne": None}]}, ("entryIds[0]", "$ne")),
        ({"entryIds": ["a\x00b"]}, ("entryIds[0]",)),
        ({"entryIds": ["a"], "from": "2026-01-01"}, ("entryIds",)),
        ({"from": "2026-01-02", "to": "2026-01-01"}, ("from",)),
        ({"from": "2026-01-02"}, ("to",)),
        ({"from": "x", "to": "2026-01-01"}, ("from",)),
        ({"to": {"$gt": ""}, "from": "2026-01-01"}, ("to",)),
        ({"filter": {}}, ("filter",)),
    ],
)
def test_the_response_to_a_bad_manual_export_says_what_and_where(
    function: Function, body: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert_problem(function.post("/exports", json=body), 400, *words)


def test_a_body_without_a_length_is_limited_too(function: Function) -> None:
    pieces = (b" " * 1_000_000 for _ in range(9))
    assert_problem(function.post("/run", data=pieces), 413, "9000000")


@pytest.mark.parametrize(
    "header", ["soon", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_a_schedule_time_that_names_no_delivery_is_passed_over(
    function: Function, header: str
) -> None:
    response = function.post(
        "/run", json={"dryRun": True}, headers={"X-CloudScheduler-ScheduleTime": header}
    )
    assert response.json()["status"] in ("empty", "already_exported")


def test_unknown_paths_and_methods(function: Function) -> None:
    assert_problem(function.get("/nothing"), 404, "/nothing")
    response = function.get("/run")
    assert_problem(response, 405, "GET", "/run")
    assert response.headers["Allow"] == "POST"
    assert_problem(function.post("/health"), 405, "POST")


@pytest.mark.parametrize("path", ["/health", "/api/health"])
def test_health_speaks_as_mongoose_did(function: Function, path: str) -> None:
    response = function.get(path)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert response.json()["database"] == {"status": "connected", "readyState": 1}


def test_a_manual_export_is_a_copy_beside_the_daily_one(function: Function) -> None:
    database = function.database
    entries = [books.entry(f"M-{number}") for number in range(3)]
    scheduled = books.put(database, *entries)
    manual = books.queue_item(entries[0]["_id"], exportPath="manual")
    database["exportqueues"].insert_one(manual)
    wanted = {"entryIds": [str(one["_id"]) for one in entries[:2]]}

    first = function.post("/exports", json=wanted, headers={"Idempotency-Key": "k-1"})
    again = function.post("/exports", json=wanted, headers={"Idempotency-Key": "k-1"})
    other = function.post("/exports", json={"entryIds": ["x"]}, headers={"Idempotency-Key": "k-1"})

    assert first.status_code == 200
    assert (first.json()["status"], again.json()["status"]) == ("exported", "already_exported")
    assert first.json()["fileId"] == again.json()["fileId"]
    assert first.json()["filename"].startswith("manual_")
    assert_problem(other, 422, "Idempotency-Key")
    assert books.statuses(database, [*scheduled, manual["_id"]]) == ["queued"] * 3 + ["completed"]
    record = database["exportlogs"].find_one({"action": "manual_export"})
    assert record is not None
    assert "batchDate" not in record["metadata"]

    day = function.post("/run", json={"batchDate": "2026-02-05"}).json()
    assert (day["status"], day["entryCount"]) == ("exported", 3)


def test_two_manual_exports_by_date_do_not_collide(function: Function) -> None:
    books.put_many(function.database, 2)
    answers = [
        function.post("/exports", json={"from": "2026-01-01", "to": last}).json()
        for last in ("2026-01-18", "2026-01-19")
    ]
    assert [answer["status"] for answer in answers] == ["exported", "exported"]
    assert answers[0]["fileId"] != answers[1]["fileId"]


def test_without_its_unique_index_nothing_is_exported(
    mongo_uri: str, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 1)
    running = Function(mongo_uri, database, drive)
    try:
        response = running.post("/run", json={"batchDate": "2026-01-18"})
    finally:
        running.stop()
    assert response.status_code == 500
    answer = response.json()
    assert answer["status"] == "failed"
    assert answer["error"]["type"] == "configuration"
    assert "migrate" in answer["error"]["message"]
    assert books.statuses(database, ids) == ["queued"]
    assert drive.requests == []


def test_a_folder_that_is_not_there_ends_the_day_with_a_clear_error(
    mongo_uri: str, database: Db, drive: DriveEmulator
) -> None:
    migrate(database, now=datetime.now(UTC))
    ids = books.put_many(database, 1)
    running = Function(
        mongo_uri, database, drive, DAYBOOK_DESTINATION="drive://0AAAAAAAAAAAAAAAAAA"
    )
    try:
        response = running.post("/run", json={"batchDate": "2026-01-18"})
    finally:
        running.stop()
    assert response.status_code == 500
    answer = response.json()
    assert (answer["status"], answer["attempt"]) == ("failed", 1)
    assert "0AAAAAAAAAAAAAAAAAA" in answer["error"]["message"]
    assert books.statuses(database, ids) == ["queued"]


def test_the_error_of_a_service_account_without_storage_says_what_to_do(
    mongo_uri: str, database: Db, drive: DriveEmulator
) -> None:
    migrate(database, now=datetime.now(UTC))
    books.put_many(database, 1)
    running = Function(
        mongo_uri, database, drive, DAYBOOK_DESTINATION=f"drive://{drive.my_drive_folder_id}"
    )
    try:
        answer = running.post("/run", json={"batchDate": "2026-01-18"}).json()
    finally:
        running.stop()
    assert answer["status"] == "failed"
    assert "shared drive" in answer["error"]["message"]
    assert "DAYBOOK_DRIVE_SUBJECT" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DAYBOOK_MONGODB_URI", ""),
        ("DAYBOOK_DESTINATION", "ftp://somewhere"),
        ("DAYBOOK_UPLOAD_CHUNK_BYTES", "1000"),
        ("DAILY_BATCH_CRON", "at six"),
        ("DAILY_BATCH_TIMEZONE", "Asia/Bangcock"),
        ("DAYBOOK_LEASE_SECONDS", "-1"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(variable: str, value: str) -> None:
    env = {
        **{name: text for name, text in os.environ.items() if "DAYBOOK" not in name},
        "DAYBOOK_MONGODB_URI": "mongodb://user:hidden-password@127.0.0.1:1/",
        "DAYBOOK_DESTINATION": "file:///tmp",
        variable: value,
    }
    done = subprocess.run(
        [sys.executable, "-c", "import main"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert variable in done.stderr
    assert "hidden-password" not in done.stderr + done.stdout
