"""The unit and integration cases of the application that Daybook replaces, on real parts."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.app import App
from daybook.export.outcome import Status
from tests import books, commands
from tests.emulators.drive import DriveEmulator
from tests.installed import DAYBOOK

pytestmark = pytest.mark.migrated

DAY = date(2026, 1, 18)
ROOT = Path(__file__).parents[2]
Db = Database[dict[str, Any]]


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    return books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
    )


def csv_records(database: Db) -> list[dict[str, Any]]:
    return list(database["exportlogs"].find({"action": "csv_generated"}))


# The eight unit cases


def test_queued_entries_become_one_csv(app: App, database: Db, drive: DriveEmulator) -> None:
    books.put(database, books.entry("INV-1"), books.entry("INV-2"))

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    (file,) = drive.files()
    assert file.name == "batch_2026-01-18.csv"
    assert books.references(file.content) == ["INV-1", "INV-2"]


def test_a_second_run_of_the_day_changes_nothing(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 3)
    first = commands.run_day(app, DAY)
    before = list(database["exportlogs"].find()), list(database["exportqueues"].find())

    second = commands.run_day(app, DAY)

    assert second.status is Status.ALREADY_EXPORTED
    assert second.facts == first.facts
    assert len(drive.files()) == 1
    assert before == (list(database["exportlogs"].find()), list(database["exportqueues"].find()))


def test_exported_entries_are_marked_with_file_and_link(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 2)
    database["exportqueues"].update_one({"_id": ids[0]}, {"$set": {"metadata": {"kept": 1}}})

    commands.run_day(app, DAY)

    (file,) = drive.files()
    link = f"https://drive.google.com/file/d/{file.id}/view?usp=drivesdk"
    expected = {"batchDate": "2026-01-18", "fileId": file.id, "webViewLink": link}
    items = {item["_id"]: item for item in database["exportqueues"].find()}
    assert [items[item_id]["status"] for item_id in ids] == ["completed", "completed"]
    assert items[ids[0]]["metadata"] == {"kept": 1, **expected}
    assert items[ids[1]]["metadata"] == expected


def test_the_record_carries_what_the_node_application_wrote(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    commands.run_day(app, DAY)

    (record,) = csv_records(database)
    (file,) = drive.files()
    assert isinstance(record["_id"], ObjectId)
    assert (record["performedBy"], record["queueId"]) == ("system", None)
    metadata = record["metadata"]
    assert "profile" not in metadata
    assert metadata["batchDate"] == "2026-01-18"
    assert metadata["filename"] == "batch_2026-01-18.csv"
    assert metadata["fileId"] == file.id
    assert metadata["webViewLink"].startswith("https://drive.google.com/file/d/")
    assert (metadata["entryCount"], metadata["rowCount"]) == (2, 4)
    assert metadata["totals"] == {"THB": {"debit": "200.00", "credit": "200.00", "amount": "0.00"}}
    assert metadata["md5"] == file.md5


def test_of_concurrent_triggers_exactly_one_wins(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 20)
    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(lambda _: commands.run_day(app, DAY), range(10)))

    told = [outcome.status for outcome in outcomes]
    assert told.count(Status.EXPORTED) == 1
    assert set(told) <= {Status.EXPORTED, Status.IN_PROGRESS, Status.ALREADY_EXPORTED}
    assert len(drive.files()) == len(csv_records(database)) == 1


def test_a_drive_failure_leaves_everything_as_it_was(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 3)
    drive.down = True

    outcome = commands.run_day(App(app.settings, sleep=lambda _: None), DAY)

    assert outcome.status is Status.RETRY_SCHEDULED
    assert outcome.error is not None
    assert outcome.error["type"] == "google_drive"
    assert books.statuses(database, ids) == ["queued"] * 3
    assert csv_records(database) == []
    assert drive.files() == []


def test_after_the_last_attempt_the_day_is_failed_and_its_entries_stay_queued(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 3)
    drive.down = True
    now = datetime(2026, 1, 18, 11, tzinfo=UTC)
    app = App(app.settings, clock=lambda: now, sleep=lambda _: None)

    outcomes, starts = [], []
    for _ in range(4):
        starts.append(now)
        outcomes.append(commands.run_day(app, DAY))
        now = outcomes[-1].next_attempt_at or now + timedelta(hours=1)

    assert [outcome.status for outcome in outcomes] == [Status.RETRY_SCHEDULED] * 3 + [
        Status.FAILED
    ]
    due = [outcome.next_attempt_at for outcome in outcomes]
    waits = [timedelta(minutes=minutes) for minutes in (5, 15, 45)]
    assert due == [*(at + wait for at, wait in zip(starts, waits, strict=False)), None]
    assert commands.run_day(app, DAY).status is Status.FAILED
    batch = database["exportbatches"].find_one()
    assert batch is not None
    assert (batch["state"], batch["attempt"]) == ("failed", 4)
    assert books.statuses(database, ids) == ["queued"] * 3
    assert csv_records(database) == []

    drive.down = False
    next_day = commands.run_day(app, date(2026, 1, 19))
    assert (next_day.status, next_day.facts["entryCount"]) == (Status.EXPORTED, 3)


# The six integration cases


def test_full_flow_from_the_queue_to_drive(app: App, database: Db, drive: DriveEmulator) -> None:
    ids = books.put_many(database, 5)

    outcome = commands.run_day(app, DAY)

    (file,) = drive.files()
    (record,) = csv_records(database)
    batch = database["exportbatches"].find_one()
    assert batch is not None
    assert batch["state"] == "committed"
    assert outcome.facts["fileId"] == file.id == record["metadata"]["fileId"] == batch["fileId"]
    assert outcome.facts["sizeBytes"] == len(file.content)
    assert books.statuses(database, ids) == ["completed"] * 5
    slot = database["exportslots"].find_one({"_id": "daily"})
    assert slot is not None
    assert (slot["lease"], slot["fileId"], slot["seals"]) == (None, None, [])


def test_an_empty_queue_makes_no_file_and_is_signed_off_once(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    first = commands.run_day(app, DAY)
    second = commands.run_day(app, DAY)

    assert [first.status, second.status] == [Status.EMPTY, Status.EMPTY]
    assert first.http_status == 200
    assert first.facts["entryCount"] == 0
    assert drive.files() == []
    assert drive.requests == []
    (record,) = database["exportlogs"].find()
    assert record["action"] == "batch_empty"


def test_an_empty_day_may_still_export_later(app: App, database: Db, drive: DriveEmulator) -> None:
    commands.run_day(app, DAY)
    books.put_many(database, 1)

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.attempt) == (Status.EXPORTED, 1)
    assert len(drive.files()) == 1


def test_both_collections_agree_after_a_run_with_rejected_entries(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    good = [books.entry(f"INV-{number}") for number in range(4)]
    unbalanced = books.entry("BAD", lines=[*books.lines("10.00"), *books.lines("5.00")[:1]])
    ids = books.put(database, *good, unbalanced)
    missing = books.queue_item(ObjectId())
    database["exportqueues"].insert_one(missing)

    outcome = commands.run_day(app, DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (4, 2)
    assert books.statuses(database, [*ids, missing["_id"]]) == ["completed"] * 4 + ["failed"] * 2
    errors = {
        item["_id"]: item["error"] for item in database["exportqueues"].find({"status": "failed"})
    }
    assert errors[ids[-1]] == {
        "reason": "unbalanced",
        "detail": "lines: debit 15.00 is not credit 10.00",
        "faults": [
            {
                "reason": "unbalanced",
                "line": None,
                "field": "lines",
                "value": "15.00 ≠ 10.00",
                "detail": "debit 15.00 is not credit 10.00",
            }
        ],
        "faultCount": 1,
        "batchDate": "2026-01-18",
    }
    assert errors[missing["_id"]]["reason"] == "entry_missing"
    rejected = list(database["exportlogs"].find({"action": "entry_rejected"}))
    for record in rejected:
        why = {name: record["metadata"][name] for name in ("reason", "detail", "faults")}
        assert why.items() <= errors[record["queueId"]].items()
    assert {record["queueId"] for record in rejected} == set(errors)
    assert books.references(drive.files()[0].content) == [f"INV-{n}" for n in range(4)]


def test_the_structure_of_the_csv(app: App, database: Db, drive: DriveEmulator) -> None:
    tricky = books.entry('a "quoted", value\nand a line', description="=1+1")
    bare = {
        key: value for key, value in books.entry("BARE", amount=-100.1).items() if key != "lines"
    }
    books.put(database, tricky, bare)

    commands.run_day(app, DAY)

    content = drive.files()[0].content
    assert content.startswith(
        b"\xef\xbb\xbfEntry ID,Line,Date,Reference,Description,Account Code,Account Name,"
        b"Debit,Credit,Amount,Currency\r\n"
    )
    assert content.endswith(b"\r\n")
    first, second, third = books.rows(content)
    assert first["Reference"] == 'a "quoted", value\nand a line'
    assert first["Description"] == "'=1+1"
    assert (first["Line"], second["Line"]) == ("1", "2")
    assert (first["Debit"], first["Credit"], first["Amount"]) == ("100.00", "0.00", "100.00")
    assert (second["Debit"], second["Credit"], second["Amount"]) == ("0.00", "100.00", "-100.00")
    assert first["Date"] == "2026-01-18"
    assert first["Account Name"] == "เงินสด"
    assert third["Amount"] == "-100.10"
    assert (third["Debit"], third["Credit"], third["Account Code"]) == ("", "", "")


def test_a_failed_first_day_rolls_back_and_the_second_attempt_delivers(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 2)
    drive.down = True
    commands.run_day(App(app.settings, sleep=lambda _: None), DAY)
    assert books.statuses(database, ids) == ["queued", "queued"]
    drive.down = False

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.attempt) == (Status.EXPORTED, 2)
    assert len(drive.files()) == len(csv_records(database)) == 1
    assert books.statuses(database, ids) == ["completed", "completed"]


def test_the_same_entries_render_the_same_bytes_in_any_process(
    mongo_uri: str, app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 50)
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [DAYBOOK, "plan", "--date", "2026-01-18", "--json"],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "src"),
                "PYTHONHASHSEED": seed,
                "DAYBOOK_MONGODB_URI": mongo_uri,
                "DAYBOOK_DATABASE": database.name,
                "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
                "DAYBOOK_DRIVE_ENDPOINT": drive.url,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout)["sha256"])
    assert digests == {commands.run_day(app, DAY).facts["sha256"]}
