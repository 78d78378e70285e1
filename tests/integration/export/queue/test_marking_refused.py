"""MongoDB refuses an item of a later part: an alert is sent; marking ends after the repair."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.context import daily_job
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.outcome import Outcome, Status
from daybook.export.run import run
from tests import books, commands
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.log import Moment
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase
from tests.integration.office import DAY, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
THIRD_DAY = date(2026, 1, 20)


@pytest.fixture
def office(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def bad(reference: str) -> dict[str, Any]:
    return books.entry(reference, lines=books.lines()[:1])


def index(office: Office) -> None:
    """Another application's, that accepts each of two rejected items, but not both."""
    office.queue.create_index(
        "entryId", name="theirs", unique=True, partialFilterExpression={"status": "failed"}
    )


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in caplog.records if getattr(one, "event", "") == "marking_refused"]


def check_named(outcome: Outcome) -> None:
    assert outcome.error is not None
    assert "drop the index theirs of exportqueues" in outcome.error["message"]


def test_a_refusal_while_later_parts_are_marked_is_alerted_and_marking_ends_after_the_repair(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    twice = bad("TWICE")
    books.put(office.database, twice)
    good = books.put_many(office.database, FIRST_PART_SIZE)
    books.put(office.database, bad("ONCE"))
    office.enqueue(twice["_id"])
    index(office)

    outcomes = [commands.run_day(office.app, DAY) for _ in range(2)]

    assert [outcome.status for outcome in outcomes] == [Status.RETRY_SCHEDULED] * 2
    for outcome in outcomes:
        check_named(outcome)
        assert outcome.next_attempt_at is not None
    assert len(books.references(office.file().read_bytes())) == FIRST_PART_SIZE
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert office.batch()["state"] == "committed"
    (alert,) = told(caplog)  # once, however often it is tried
    assert alert.levelno == logging.CRITICAL
    assert "drop the index theirs of exportqueues" in alert.getMessage()

    # The next day makes no file, and says why: what is unmarked could be exported again.
    books.put(office.database, books.entry("LATER"))
    later = commands.run_day(office.app, NEXT_DAY)
    assert later.status is Status.FAILED
    check_named(later)
    assert not office.file(NEXT_DAY).exists()

    office.queue.drop_index("theirs")
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED
    assert office.batch()["markedAt"] is not None
    assert set(books.statuses(office.database, good)) == {"completed"}
    assert office.queue.count_documents({"status": "failed"}) == 3
    assert office.logs.count_documents({"action": "entry_rejected"}) == 3
    assert office.export(THIRD_DAY).facts["entryCount"] == 1
    assert books.references(office.file(THIRD_DAY).read_bytes()) == ["LATER"]


def test_a_refusal_while_an_empty_day_is_marked_is_alerted_and_marking_ends_after_the_repair(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    delivered = books.put_many(office.database, FIRST_PART_SIZE)
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    (first,) = office.queue.find({"_id": delivered[0]})
    office.enqueue(first["entryId"])
    index(office)

    outcome = commands.run_day(office.app, NEXT_DAY)

    assert outcome.status is Status.RETRY_SCHEDULED
    check_named(outcome)
    (alert,) = told(caplog)
    assert "drop the index theirs of exportqueues" in alert.getMessage()
    assert "signed off as empty" in alert.getMessage()
    assert not office.file(NEXT_DAY).exists()

    office.queue.drop_index("theirs")
    again = commands.run_day(office.app, NEXT_DAY)
    assert (again.status, again.facts["rejectedCount"]) == (Status.EMPTY, FIRST_PART_SIZE + 1)
    assert office.batch(NEXT_DAY)["markedAt"] is not None
    assert office.queue.count_documents({"status": "failed"}) == FIRST_PART_SIZE + 1
    assert office.queue.count_documents({"status": "queued"}) == 0


def test_what_refuses_to_complete_an_item_of_a_later_part_is_named_with_its_collection(
    database: Db, mongo_uri: str, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The server does not name it, and another thread tries to complete these items first."""
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
    )
    ids = books.put_many(database, FIRST_PART_SIZE + 2)
    refused = {"$nor": [{"_id": ids[-1], "status": "completed"}]}

    def forbid(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            database.command("collMod", "exportqueues", validator=refused)

    drive.on_request(forbid)
    outcome = commands.run_day(app, DAY)
    assert outcome.error is not None
    assert "the validator of exportqueues refused the document" in outcome.error["message"]
    (alert,) = told(caplog)
    assert "change the validator of exportqueues" in alert.getMessage()

    database.command("collMod", "exportqueues", validator={})
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert set(books.statuses(database, ids)) == {"completed"}
    assert len(drive.files()) == 1


def test_a_run_that_has_to_end_does_not_wait_for_mongodb_to_complete_items(
    office: Office, mongo_uri: str, tmp_path: Path
) -> None:
    ids = books.put_many(office.database, FIRST_PART_SIZE + 2)
    asked, answered, expired = threading.Event(), threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        completing = (event.name, event.collection) == ("update", "exportqueues")
        if completing and event.phase is Phase.BEFORE and "autocommit" not in event.document:
            asked.set()
            if not answered.wait(30):
                expired.set()

    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port, hold) as proxy:
        hanging = Office(office.database, proxy.uri, tmp_path)
        exporter = replace(hanging.app.exporter(hanging.app.profile()), stopping=asked.is_set)
        outcome = run(exporter, daily_job(office.database, exporter.profile, DAY))
        assert asked.is_set()
        assert not expired.is_set()
        answered.set()
        assert outcome.status is not Status.EXPORTED
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert office.batch()["markedAt"] is None

    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED
    assert set(books.statuses(office.database, ids)) == {"completed"}
