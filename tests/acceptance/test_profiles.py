"""Profiles from setting to file: each has its own items, slot, schedule, destination and name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.test_cli import answer, daybook
from tests.acceptance.test_http import Function
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
DAY = "2026-01-18"

PROFILES = """
[sales]
match = {{companyId = "C-17", profile = "sales"}}
destination = "{folder}"
filename = "sales {{date}}.csv"
delimiter = ";"
formula_guard = "none"
encoding = "utf-8"
calendar = "be"
date_format = "%d/%m/%Y"
[[sales.columns]]
title = "*Narration"
value = "entry.reference"
[[sales.columns]]
title = "*Date"
value = "entry.date"
[[sales.columns]]
title = "*AccountCode"
value = "line.accountCode"
[[sales.columns]]
title = "*Amount"
value = "line.amount"

[night]
cron = "0 3 * * *"
time_zone = "Asia/Kolkata"

[off]
enabled = false
"""


@pytest.fixture
def migrated(database: Db) -> Db:
    migrate(database, now=datetime.now(UTC))
    return database


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


def queue(database: Db, reference: str, **fields: Any) -> Any:
    entry = books.entry(reference)
    database["journalentries"].insert_one(entry)
    item = books.queue_item(entry["_id"], **fields)
    database["exportqueues"].insert_one(item)
    return item["_id"]


def env(database: Db, uri: str, tmp_path: Path, drive: DriveEmulator) -> dict[str, str]:
    return {
        "DAYBOOK_MONGODB_URI": uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
        "DAYBOOK_DRIVE_ENDPOINT": drive.url,
        "DAYBOOK_PROFILES": PROFILES.format(folder=tmp_path.as_uri()),
    }


SALES = """\
*Narration;*Date;*AccountCode;*Amount\r
S-1;18/01/2569;1100;100.00\r
S-1;18/01/2569;4000;-100.00\r
"""


def test_a_profile_delivers_its_own_items_by_command(
    migrated: Db, mongo_uri: str, tmp_path: Path, drive: DriveEmulator
) -> None:
    settings = env(migrated, mongo_uri, tmp_path, drive)
    taken = queue(migrated, "S-1", profile="sales", companyId="C-17")
    others = [
        queue(migrated, "S-2", profile="sales", companyId="C-18"),
        queue(migrated, "S-3", profile="sales", companyId=["C-17"]),
        queue(migrated, "D-1"),
        queue(migrated, "N-1", profile="night"),
    ]

    planned = answer(settings, "plan", "--profile", "sales", "--date", DAY)
    assert (planned["status"], planned["filename"]) == ("planned", f"sales {DAY}.csv")
    found = answer(settings, "run", "--profile", "sales", "--date", DAY)

    assert (found["status"], found["profile"]) == ("exported", "sales")
    assert found["sha256"] == planned["sha256"]
    assert (tmp_path / f"sales {DAY}.csv").read_bytes() == SALES.encode()
    assert [slot["_id"] for slot in migrated["exportslots"].find()] == ["sales"]
    items = {item["_id"]: item["status"] for item in migrated["exportqueues"].find()}
    assert items == {taken: "completed", **dict.fromkeys(others, "queued")}
    batch = migrated["exportbatches"].find_one({"profile": "sales"})
    assert batch is not None
    assert (batch["batchDate"], batch["state"]) == (DAY, "committed")
    record = migrated["exportlogs"].find_one({"action": "csv_generated"})
    assert record is not None
    assert record["metadata"]["profile"] == "sales"

    again = answer(settings, "run", "--profile", "sales", "--date", DAY)
    assert again["status"] == "already_exported"
    assert answer(settings, "verify", "--profile", "sales", DAY)["status"] == "verified"
    daily = answer(settings, "run", "--date", DAY)
    assert (daily["status"], daily["profile"], daily["entryCount"]) == ("exported", "daily", 1)
    assert [file.name for file in drive.files()] == [f"batch_{DAY}.csv"]


def test_a_profile_delivers_its_own_items_over_http(
    migrated: Db,
    mongo_uri: str,
    tmp_path: Path,
    drive: DriveEmulator,
) -> None:
    settings = env(migrated, mongo_uri, tmp_path, drive)
    queue(migrated, "S-1", profile="sales", companyId="C-17")
    queue(migrated, "N-1", profile="night")
    function = Function(mongo_uri, migrated, drive, DAYBOOK_PROFILES=settings["DAYBOOK_PROFILES"])
    try:
        sales = function.post("/run", json={"profile": "sales", "batchDate": DAY})
        night = function.post("/run", json={"profile": "night"})
        off = function.post("/run", json={"profile": "off"})
        none = function.post("/run", json={"profile": "none"})
    finally:
        function.stop()
    assert sales.json()["status"] == "exported"
    assert (tmp_path / f"sales {DAY}.csv").read_bytes() == SALES.encode()
    # Its own schedule gives the day: the latest 03:00 in India.
    assert (night.status_code, night.json()["status"]) == (200, "exported")
    day = date.fromisoformat(night.json()["batchDate"])
    assert night.json()["filename"] == f"night_{day}.csv"
    assert [file.name for file in drive.files()] == [f"night_{day}.csv"]
    assert off.status_code == 400
    assert "profile 'off' is disabled" in off.json()["detail"]
    assert none.status_code == 400
    assert "there is no profile" in none.json()["detail"]
    assert "'sales'" in none.json()["detail"]


def test_a_command_with_a_faulty_profile_ends_with_exit_code_3(
    mongo_uri: str, tmp_path: Path
) -> None:
    settings = {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        "DAYBOOK_PROFILES": '[sales]\nencoding = "latin-1"',
    }
    ended = daybook(settings, "run", "--profile", "sales")
    assert ended.returncode == 3
    assert 'profile sales, encoding: must be one of "utf-8-sig"' in ended.stderr


def test_the_profiles_are_listed_shown_and_checked(
    migrated: Db, mongo_uri: str, tmp_path: Path, drive: DriveEmulator
) -> None:
    settings = env(migrated, mongo_uri, tmp_path, drive)
    listed = answer(settings, "profiles")["profiles"]
    assert [(one["name"], one["enabled"]) for one in listed] == [
        ("daily", True),
        ("sales", True),
        ("night", True),
        ("off", False),
    ]
    shown = daybook(settings, "profiles", "show", "sales")
    assert shown.returncode == 0, shown.stderr
    edited = {**settings, "DAYBOOK_PROFILES": shown.stdout}
    assert answer(edited, "profiles")["profiles"][1]["filename"] == "sales {date}.csv"
    xero = daybook(settings, "profiles", "show", "xero").stdout
    assert '{title = "*Narration", value = "entry.reference"}' in xero
    unknown = daybook(settings, "profiles", "show", "none")
    assert unknown.returncode == 2
    assert "the presets are erpnext, express" in unknown.stderr
    checked = answer(settings, "profiles", "check", "sales")["profiles"]
    assert checked == [
        {
            "name": "sales",
            "rows": [
                ["*Narration", "*Date", "*AccountCode", "*Amount"],
                ["INV-1", "18/01/2569", "1100", "100.00"],
                ["INV-1", "18/01/2569", "4000", "-100.00"],
            ],
            "unfilled": [],
            "rejected": None,
        }
    ]


def test_a_plan_shows_its_first_rows_and_can_be_written_to_a_local_file(
    migrated: Db, mongo_uri: str, tmp_path: Path, drive: DriveEmulator
) -> None:
    settings = env(migrated, mongo_uri, tmp_path, drive)
    queue(migrated, "S-1", profile="sales", companyId="C-17")
    arguments = ("plan", "--profile", "sales", "--date", DAY)
    out = tmp_path / "here.csv"

    found = answer(settings, *arguments, "--head", "1", "--out", str(out))
    assert found["status"] == "planned"
    assert found["head"] == [
        ["*Narration", "*Date", "*AccountCode", "*Amount"],
        ["S-1", "18/01/2569", "1100", "100.00"],
    ]
    assert out.read_bytes() == SALES.encode()
    table = daybook(settings, *arguments, "--head", "20")
    assert "*Narration  *Date       *AccountCode  *Amount\n" in table.stdout
    assert "S-1         18/01/2569  4000          -100.00\n" in table.stdout
    assert list(tmp_path.iterdir()) == [out]
    assert migrated["exportbatches"].count_documents({}) == 0

    refused = daybook(settings, *arguments, "--out", str(tmp_path / "no" / "x.csv"))
    assert refused.returncode == 2
    assert "No such file or directory" in refused.stderr
    empty = answer(settings, "plan", "--profile", "night", "--out", str(tmp_path / "none.csv"))
    words = daybook(settings, "plan", "--profile", "night", "--out", str(tmp_path / "none.csv"))
    assert f"out       no file was written to {tmp_path / 'none.csv'}" in words.stdout
    assert empty["status"] == "empty"
    assert list(tmp_path.iterdir()) == [out]
