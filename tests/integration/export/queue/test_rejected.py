"""Rejected entries are named by ID and reference wherever people read about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask
import pytest
from bson import ObjectId
from click.testing import CliRunner
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.cli.main import main
from daybook.export.batch.batch import LISTED_REJECTED
from daybook.export.outcome import Status
from daybook.http import routes
from tests import books, commands
from tests.integration.office import DAY, Office

pytestmark = pytest.mark.migrated

NOVEMBER = datetime(2026, 11, 18, 5, tzinfo=UTC)


@pytest.fixture
def office(
    database: Database[dict[str, Any]],
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        for name, value in office.env.items():
            monkeypatch.setenv(name, value)
        yield office


def shown(*arguments: str) -> str:
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def answered(*arguments: str) -> dict[str, Any]:
    doc: dict[str, Any] = json.loads(shown(*arguments, "--json"))
    return doc


def rejected_day(office: Office, count: int) -> list[Any]:
    """A day with as many entries that do not balance, and one more that does."""
    for _ in range(count):
        office.add(reference="GOOD")
    return [
        office.add("10.00", credit="9.00", reference=f"RV-202601-{number:07}")
        for number in range(count)
    ]


def test_plan_status_receipt_and_records_name_the_same_entries(office: Office) -> None:
    (wrong,) = rejected_day(office, 1)
    line = (
        f"rejected  RV-202601-0000000 ({wrong}): lines: debit 10.00 is not credit 9.00. "
        "To correct: accountant"
    )
    planned = answered("plan", "--date", DAY.isoformat())
    assert line in shown("plan", "--date", DAY.isoformat())
    office.export()
    status, receipt = (answered(name, DAY.isoformat()) for name in ("status", "receipt"))
    assert line in shown("status", DAY.isoformat())
    for doc in (planned, status, receipt):
        (one,) = doc["rejected"]
        assert one["entryId"] == str(wrong)
        assert one["reference"] == "RV-202601-0000000"
        assert one["reason"] == "unbalanced"
        assert one["correctedBy"] == ["accountant"]
        assert [fault["field"] for fault in one["faults"]] == ["lines"]
    assert f"- RV-202601-0000000 ({wrong}): " in receipt["text"]
    record = office.logs.find_one({"action": "entry_rejected"})
    assert record is not None
    assert record["metadata"]["entryId"] == wrong
    assert record["metadata"]["reference"] == "RV-202601-0000000"
    assert record["message"].startswith(f"entry RV-202601-0000000 ({wrong}) rejected: ")


def test_the_first_are_shown_and_all_on_request(office: Office) -> None:
    count = LISTED_REJECTED + 5
    ids = rejected_day(office, count)
    day = DAY.isoformat()
    planned, listed = shown("plan", "--date", day), answered("plan", "--date", day)
    assert (planned.count("RV-2026"), f"and {count - 20} more; --all" in planned) == (20, True)
    assert len(listed["rejected"]) == LISTED_REJECTED
    assert shown("plan", "--date", day, "--all").count("RV-2026") == count
    office.export()
    for command in ("status", "receipt"):
        first, every = shown(command, day), shown(command, day, "--all")
        assert (first.count("RV-2026"), f"and {count - 20} more" in first) == (20, True)
        assert every.count("RV-2026") == count
        assert all(str(entry_id) in every for entry_id in ids)
        assert len(answered(command, day, "--all")["rejected"]) == count
    assert office.logs.count_documents({"metadata.reference": {"$regex": "^RV-2026"}}) == count


def test_an_empty_day_that_is_signed_off_twice_names_the_entries_of_both(office: Office) -> None:
    first = office.add("10.00", credit="9.00", reference="A")
    assert office.export().status is Status.EMPTY
    second = office.add("10.00", credit="9.00", reference="B")
    assert office.export().status is Status.EMPTY
    found = answered("status", DAY.isoformat(), "--all")["rejected"]
    assert [one["entryId"] for one in found] == [str(first), str(second)]
    assert [one["reference"] for one in found] == ["A", "B"]


@pytest.mark.parametrize(
    "fields", [{"reference": None}, {"reference": " "}, {"reference": "x" * 5000}]
)
def test_an_entry_without_a_usable_reference_is_named_by_its_id(
    office: Office, fields: dict[str, Any]
) -> None:
    office.add()
    wrong = office.add("10.00", credit="9.00", **fields)
    missing = ObjectId()
    office.enqueue(missing)
    office.export()
    found = {one["entryId"]: one for one in answered("status", DAY.isoformat())["rejected"]}
    assert set(found) == {str(wrong), str(missing)}
    assert found[str(missing)]["reference"] is None
    assert found[str(missing)]["correctedBy"] == ["developer"]
    assert len(found[str(wrong)]["reference"] or "") <= 150
    assert f"({wrong}): " in shown("receipt", DAY.isoformat()) or fields["reference"] != "x" * 5000


def test_a_batch_of_an_earlier_version_shows_the_references_of_today(office: Office) -> None:
    rejected_day(office, 1)
    office.export()
    office.database["exportbatches"].update_one({}, {"$unset": {"rejected.0.reference": ""}})
    (one,) = answered("status", DAY.isoformat())["rejected"]
    assert one["reference"] == "RV-202601-0000000"


def test_other_months_and_missing_currencies_are_counted_and_reported(office: Office) -> None:
    for number in range(4):
        office.add(date=NOVEMBER, currency=None if number else "THB")
    office.add("10.00", credit="9.00", date=NOVEMBER)
    planned = answered("plan", "--date", DAY.isoformat())
    assert (planned["otherMonths"], planned["noCurrencyCount"]) == ({"2026-11": 4}, 3)
    assert "check     4 of 4 entries are dated 11/2026" in shown("plan", "--date", DAY.isoformat())
    office.export()
    record = office.logs.find_one({"action": "csv_generated"})
    assert record is not None
    for doc in (office.batch(), record["metadata"], answered("receipt", DAY.isoformat())):
        assert doc["otherMonthCount"] == 4
        assert (doc["otherMonths"], doc["noCurrencyCount"]) == ({"2026-11": 4}, 3)
    text = shown("receipt", DAY.isoformat())
    assert "- 4 of 4 entries are dated 11/2026." in text
    assert "- 3 of 4 entries name no currency and count as THB." in text
    rows = books.rows(office.file().read_bytes())
    assert [row["Currency"] for row in rows] == ["THB"] * 2 + [""] * 6


def test_only_the_most_frequent_months_are_recorded(office: Office) -> None:
    for year in range(2001, 2020):
        office.add(date=datetime(year, 1, 5, tzinfo=UTC))
    office.add(date=datetime(2019, 1, 5, tzinfo=UTC))
    office.export()
    batch = office.batch()
    assert batch["otherMonthCount"] == 20
    assert len(batch["otherMonths"]) == 12
    assert batch["otherMonths"]["2019-01"] == 2
    assert list(batch["otherMonths"]) == sorted(batch["otherMonths"])


def test_a_day_that_is_past_is_not_called_normal(office: Office) -> None:
    commands.run_day(office.app, DAY)
    assert "This is normal" in shown("receipt", DAY.isoformat())
    office.database["exportbatches"].update_one(
        {"batchDate": DAY.isoformat()}, {"$set": {"batchDate": "2026-01-10"}}
    )
    assert "a day that is past" in shown("receipt", "2026-01-10")


@pytest.mark.parametrize(
    ("at", "early"), [((10, 58, 59), True), ((10, 59, 30), False), ((11, 0, 5), False)]
)
def test_a_day_that_was_closed_before_its_time_is_not_called_normal(
    office: Office, at: tuple[int, int, int], early: bool
) -> None:
    """18:00 in Bangkok is 11:00 UTC; a clock may be slow by some seconds."""
    app = replace(office.app, clock=lambda: datetime(2026, 1, 18, *at, tzinfo=UTC))
    commands.run_day(app, DAY)
    found = shown("receipt", DAY.isoformat())
    assert ("The day was closed before its time" in found) is early
    assert ("This is normal" in found) is not early


def test_the_receipt_names_the_entries_that_are_to_be_checked(office: Office) -> None:
    """Those in the file, in its order, and none that was rejected."""
    month = {"date": datetime(2026, 2, 3, 5, tzinfo=UTC)}
    office.add(currency="THB")
    office.add("10.00", credit="9.00", reference="REJECTED", **month)
    other = [office.add(reference=f"M-{n}", currency="THB", **month) for n in range(7)]
    bare = office.add(reference="BARE", currency=None)
    office.export()
    day = DAY.isoformat()
    assert (
        shown("receipt", day)
        .partition("Check before you import the file:\n")[2]
        .startswith(
            "- 7 of 9 entries are dated 02/2026.\n  "
            + ", ".join(f"M-{n} ({other[n]})" for n in range(5))
            + f" and 2 more; all of them: `daybook receipt {day} --all`\n"
            "- 1 of 9 entries names no currency and counts as THB.\n"
            f"  BARE ({bare})\n"
        )
    )
    every = shown("receipt", day, "--all")
    assert "  " + ", ".join(f"M-{n} ({other[n]})" for n in range(7)) + "\n" in every


def test_a_receipt_whose_manifest_is_gone_still_counts_what_is_to_be_checked(
    office: Office,
) -> None:
    office.add(reference="M", date=datetime(2026, 2, 3, 5, tzinfo=UTC))
    office.export()
    office.database["exportmanifests"].delete_many({})
    text = shown("receipt", DAY.isoformat())
    assert "- 1 of 1 entry is dated 02/2026.\n" in text
    assert "M (" not in text


@pytest.mark.parametrize("source", ["", 'source = {account_code = "acc"}'], ids=["default", "own"])
def test_commands_and_page_call_fields_by_the_words_of_receipts(
    office: Office, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    profiles = f"[daily]\n{source}\n"
    monkeypatch.setenv("DAYBOOK_PROFILES", profiles)
    office.env["DAYBOOK_PROFILES"] = profiles
    lines = books.lines()
    code = "acc" if source else "accountCode"
    for line in lines:
        line[code] = line.pop("accountCode")
    del lines[1][code]
    entry = books.entry("RV-9", lines=lines)
    books.put(office.database, entry)
    line = f"RV-9 ({entry['_id']}): line 2, account code: "

    assert line in shown("plan", "--date", DAY.isoformat())
    (listed,) = answered("plan", "--date", DAY.isoformat())["rejected"]
    assert listed["faults"][0]["field"] == code
    shown("run", "--date", DAY.isoformat())
    assert line in shown("status", DAY.isoformat())
    assert line in shown("receipt", DAY.isoformat())
    assert "RV-9: line 2, account code: " in shown("status", "--rejected")
    request = flask.Request(EnvironBuilder(path=f"/days/{DAY}").get_environ())
    app = App.from_env(office.env)
    with app.client:
        page = routes.answer(app, request).get_data(as_text=True)
    assert "line 2, account code: a required value is missing" in page


@pytest.mark.parametrize("command", ["verify", "receipt"])
def test_without_a_day_a_command_is_about_the_latest_one_that_was_due(
    office: Office, command: str
) -> None:
    app = App.from_env(office.env)
    with app.client:
        due = app.schedule.latest_slot(app.now()).date()
    office.add()
    shown("run", due.isoformat())
    assert shown(command) == (
        f"The latest day that was due: {due}.\n" + shown(command, due.isoformat())
    )
    assert answered(command)["batchDate"] == due.isoformat()
