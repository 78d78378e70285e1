"""Queue items that no run ever takes: each place that tells of the queue counts them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from pymongo.database import Database

from daybook.audit.lineage import lineage
from daybook.cli.main import main
from daybook.export.announce import receipt_of
from daybook.export.batch import batches
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.model.profile import BatchKey
from daybook.export.operations import history
from daybook.export.queue import waiting
from daybook.export.queue.waiting import Unclaimed
from daybook.notifications.receipt import receipt_message
from daybook.ops import doctor
from daybook.ops.metrics import metrics
from daybook.ops.metrics.metrics import Measured
from daybook.ops.watchdog import watch
from tests import books
from tests.integration.office import DAY, EVENING, Office

pytestmark = pytest.mark.migrated

MISSING = ...
AT_EIGHT = datetime(2026, 1, 18, 13, tzinfo=UTC)

CASES: list[tuple[Mapping[str, Any], Unclaimed | None]] = [
    ({}, None),
    ({"profile": None}, None),
    ({"profile": "daily"}, None),
    ({"status": "completed"}, None),
    ({"status": "failed"}, None),
    ({"exportPath": "manual"}, None),
    ({"exportPath": "manual", "profile": "sales"}, None),
    ({"exportPath": MISSING, "status": "completed"}, None),
    ({"exportPath": MISSING}, Unclaimed.UNKNOWN_PATH),
    ({"exportPath": None}, Unclaimed.UNKNOWN_PATH),
    ({"exportPath": "Scheduled"}, Unclaimed.UNKNOWN_PATH),
    ({"exportPath": 5}, Unclaimed.UNKNOWN_PATH),
    ({"exportPath": {"a": 1}}, Unclaimed.UNKNOWN_PATH),
    ({"profile": "sales"}, Unclaimed.UNKNOWN_PROFILE),
    ({"profile": ""}, Unclaimed.UNKNOWN_PROFILE),
    ({"profile": 7}, Unclaimed.UNKNOWN_PROFILE),
    ({"status": MISSING}, Unclaimed.UNKNOWN_STATUS),
    ({"status": None}, Unclaimed.UNKNOWN_STATUS),
    ({"status": ""}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "pending"}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "complete"}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "done"}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "Queued"}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "queued "}, Unclaimed.UNKNOWN_STATUS),
    ({"status": "z", "exportPath": MISSING}, Unclaimed.UNKNOWN_STATUS),
    ({"status": 0}, Unclaimed.UNKNOWN_STATUS),
    ({"status": True}, Unclaimed.UNKNOWN_STATUS),
    ({"status": {"a": 1}}, Unclaimed.UNKNOWN_STATUS),
    ({"status": AT_EIGHT}, Unclaimed.UNKNOWN_STATUS),
]


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def put(office: Office, fields: Mapping[str, Any]) -> Any:
    """An entry with a queue item of these fields; returns the entry's id."""
    entry = books.entry()
    item = {**books.queue_item(entry["_id"]), **fields}
    office.entries.insert_one(entry)
    office.queue.insert_one({name: value for name, value in item.items() if value is not MISSING})
    return entry["_id"]


@pytest.mark.parametrize(("fields", "reason"), CASES, ids=repr)
def test_an_item_is_counted_for_what_keeps_runs_from_taking_it(
    office: Office, fields: Mapping[str, Any], reason: Unclaimed | None
) -> None:
    entry_id = put(office, fields)
    profile = office.app.profile()
    expected = {} if reason is None else {reason: 1}
    assert waiting.unclaimed(office.app.database, profile) == expected
    (item,) = lineage(office.app.database, profile, str(entry_id))[0].items
    assert item.unclaimed is reason

    office.export()

    stored = office.queue.find_one({"entryId": entry_id})
    assert stored is not None
    taken = stored.get("status") == "completed" and fields.get("status") != "completed"
    assert taken == (reason is None and set(fields) <= {"profile"})


def test_every_place_that_tells_of_the_queue_counts_them(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database, profile = office.app.database, office.app.profile()
    for fields in ({"exportPath": MISSING}, {"status": "pending"}, {"profile": "sales"}):
        put(office, fields)
    lost = put(office, {"exportPath": MISSING})
    counts = {"unknown_status": 1, "unknown_path": 2, "unknown_profile": 1}
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)

    office.export()

    assert history.status(database, profile, DAY).to_doc()["unclaimed"] == counts
    findings = {one.name: one for one in doctor.examine(office.app.installation(os.environ))}
    assert not findings["unclaimed items"].ok
    assert "4 items" in findings["unclaimed items"].detail
    assert "2: exportPath is neither scheduled nor manual" in findings["unclaimed items"].detail
    seen = watch(database, "daily", office.app.schedule, AT_EIGHT, office.app.messenger)
    assert seen.to_doc()["unclaimed"] == counts
    (told,) = [one for one in caplog.records if getattr(one, "event", "") == "items_unclaimed"]
    assert told.levelno == logging.ERROR
    assert "1: profile names no profile" in told.getMessage()
    _, page = metrics.render(
        database, [Measured(profile=profile, destination="x", breaker="x")], now=EVENING
    )
    for reason, count in counts.items():
        line = f'daily_batch_export_queue_unclaimed_entries{{reason="{reason}"}} {count}.0'
        assert line in page.decode().splitlines()
    batch = batches.find(
        database["exportbatches"], BatchKey(profile="daily", batch_date=DAY.isoformat())
    )
    assert batch is not None
    receipt = receipt_of(database, profile, batch)
    english = receipt_message(receipt, language="en", zone=ZoneInfo("Asia/Bangkok")).text
    assert "No run takes 4 queued items" in english
    assert "This is normal" not in english
    thai = receipt_message(receipt, language="th", zone=ZoneInfo("Asia/Bangkok")).text
    assert "4 รายการที่จะไม่ถูกส่งออก" in thai
    shown = CliRunner().invoke(main, ["status", DAY.isoformat()]).stdout
    assert "Items in the queue that no run takes: 1: status is neither" in shown
    shown = CliRunner().invoke(main, ["lineage", str(lost)]).stdout
    assert "no run takes it: exportPath is neither scheduled nor manual" in shown
    told_json = json.loads(CliRunner().invoke(main, ["lineage", str(lost), "--json"]).stdout)
    assert told_json["items"][0]["unclaimed"] == "unknown_path"


def test_delivered_items_that_are_not_marked_yet_do_not_wait(office: Office) -> None:
    ids = books.put_many(office.database, FIRST_PART_SIZE + 3)
    office.export()
    batch = office.batch()
    # As after a kill between the commit and the marking of the second part.
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    office.database["exportmanifests"].update_one({"number": 1}, {"$unset": {"markedAt": ""}})
    office.queue.update_many(
        {"_id": {"$in": ids[FIRST_PART_SIZE:]}}, {"$set": {"status": "queued"}}
    )
    books.put_many(office.database, 2, prefix="NEW")
    assert batch["entryCount"] == FIRST_PART_SIZE + 3

    database, profile = office.app.database, office.app.profile()
    assert history.status(database, profile, DAY).queued == 2
    findings = {one.name: one for one in doctor.examine(office.app.installation(os.environ))}
    assert findings["queue"].detail == "2 items waiting"
    _, page = metrics.render(
        database, [Measured(profile=profile, destination="x", breaker="x")], now=EVENING
    )
    assert "daily_batch_export_queue_entries 2.0" in page.decode().splitlines()
