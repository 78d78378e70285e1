"""Days that reject much, or everything: what is signed off, what stops, what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from pymongo.database import Database

from daybook.export.batch.batch import LISTED_REJECTED, rejected_of
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.outcome import Status
from daybook.shutdown import Shutdown
from tests import books, commands
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]


@pytest.fixture
def office(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def bad(number: int) -> dict[str, Any]:
    pair = books.lines()
    pair[1]["credit"] = Decimal128("99.00")
    return books.entry(f"BAD-{number}", lines=pair)


def records(office: Office, action: str) -> list[dict[str, Any]]:
    return office.logs.find({"action": action}).sort("_id", 1).to_list()


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "event", "") for record in caplog.records]


def test_a_day_on_which_the_only_entry_is_bad_ends_as_empty(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    (item,) = books.put(office.database, bad(1))

    planned = commands.plan_day(office.app, DAY)
    outcome = commands.run_day(office.app, DAY)

    assert (planned.status, planned.facts["rejectedCount"]) == (Status.EMPTY, 1)
    assert (outcome.status, outcome.facts["rejectedCount"]) == (Status.EMPTY, 1)
    assert outcome.facts["entryCount"] == 0
    assert not office.file().exists()
    stored = office.queue.find_one({"_id": item})
    assert stored is not None
    assert stored["status"] == "failed"
    assert stored["error"]["reason"] == "unbalanced"
    assert stored["error"]["batchDate"] == DAY.isoformat()
    (rejected,) = records(office, "entry_rejected")
    assert (rejected["queueId"], rejected["metadata"]["reason"]) == (item, "unbalanced")
    (empty,) = records(office, "batch_empty")
    assert empty["metadata"]["rejectedCount"] == 1
    batch = office.batch()
    assert (batch["state"], batch["rejectedReasons"]) == ("empty", {"unbalanced": 1})
    assert batch["markedAt"] is not None
    assert events(caplog).count("entries_rejected") == 1
    (alert,) = [r for r in caplog.records if getattr(r, "event", "") == "entries_rejected"]
    assert "Everything that was queued is rejected: 1 entry." in alert.getMessage()


def test_another_run_of_an_empty_day_keeps_what_was_rejected_and_adds_to_it(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    books.put(office.database, bad(1))
    office.export()
    assert office.export().facts["rejectedCount"] == 1
    assert events(caplog).count("entries_rejected") == 1

    books.put(office.database, bad(2))
    assert office.export().facts["rejectedCount"] == 2

    (empty,) = records(office, "batch_empty")
    assert empty["metadata"]["rejectedCount"] == 2
    assert len(office.batch()["rejected"]) == 2
    assert len(records(office, "entry_rejected")) == 2
    assert events(caplog).count("entries_rejected") == 2


def test_an_entry_of_an_empty_day_is_exported_once_it_is_corrected(office: Office) -> None:
    entry = bad(1)
    (item,) = books.put(office.database, entry)
    office.export()
    office.entries.update_one({"_id": entry["_id"]}, {"$set": {"lines": books.lines()}})
    office.queue.update_one({"_id": item}, {"$set": {"status": "queued"}})

    same_day = office.export()

    assert (same_day.status, same_day.facts["entryCount"]) == (Status.EXPORTED, 1)
    assert same_day.facts["rejectedCount"] == 0
    assert books.statuses(office.database, [item]) == ["completed"]


@pytest.mark.parametrize(
    ("good", "faulty", "status"),
    [
        (0, 100, Status.EMPTY),
        (1, 99, Status.EXPORTED),
        (0, 101, Status.FAILED),
        (50, 51, Status.FAILED),
        (51, 51, Status.EXPORTED),
    ],
)
def test_more_than_half_of_a_day_with_more_than_a_hundred_stops_it(
    office: Office, good: int, faulty: int, status: Status
) -> None:
    rejected = [bad(number) for number in range(faulty)]
    books.put(office.database, *rejected)
    if good:
        books.put_many(office.database, good)

    outcome = commands.run_day(office.app, DAY)

    assert outcome.status is status
    if status is Status.FAILED:
        assert outcome.error is not None
        assert outcome.error["type"] == "too_many_rejected"
        assert f"{faulty} of {good + faulty} entries" in outcome.error["message"]
        first = rejected[0]
        assert f"The first: entry {first['reference']} ({first['_id']})" in outcome.error["message"]
        assert office.queue.count_documents({"status": "queued"}) == good + faulty
        assert list(office.folder.iterdir()) == []


def test_delivered_items_that_are_queued_again_stop_no_day(office: Office) -> None:
    ids = books.put_many(office.database, 150)
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    books.put(office.database, bad(1))

    outcome = office.export(NEXT_DAY)

    assert (outcome.status, outcome.facts["rejectedCount"]) == (Status.EMPTY, 151)
    assert books.statuses(office.database, ids) == ["failed"] * 150
    assert office.batch(NEXT_DAY)["rejectedReasons"] == {"duplicate": 150, "unbalanced": 1}
    assert len(office.batch(NEXT_DAY)["rejected"]) == LISTED_REJECTED


def test_duplicates_do_not_hide_that_most_of_the_others_are_bad(office: Office) -> None:
    books.put_many(office.database, 150)
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    books.put(office.database, *map(bad, range(101)))
    outcome = commands.run_day(office.app, NEXT_DAY)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert "101 of 101 entries" in outcome.error["message"]


def test_delivered_items_of_two_parts_queued_again_are_rejected_and_all_recorded(
    office: Office,
) -> None:
    count = FIRST_PART_SIZE + 500
    entries = [books.entry(f"E-{number}") for number in range(count)]
    books.put(office.database, *entries)
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    books.put_many(office.database, 2, prefix="NEW")

    outcome = office.export(NEXT_DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, count)
    assert office.queue.count_documents({"status": "failed"}) == count
    assert office.logs.count_documents({"action": "entry_rejected"}) == count
    batch = office.batch(NEXT_DAY)
    assert batch["rejectedReasons"] == {"duplicate": count}
    assert len(batch["rejected"]) == LISTED_REJECTED
    manifests = office.database["exportmanifests"]
    assert len(rejected_of(manifests, batch)) == count
    # The list has to outlive every sweep: it says what the delivered file leaves out.
    commands.maintain(office.app)
    office.queue.update_many({"error.reason": "duplicate"}, {"$set": {"status": "queued"}})
    again = office.export(date(2026, 1, 20))
    assert (again.status, again.facts["rejectedCount"]) == (Status.EMPTY, count)
    assert len(rejected_of(manifests, office.batch(NEXT_DAY))) == count


def test_an_empty_day_whose_items_cannot_be_marked_is_continued_until_they_are(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    ids = sorted(books.put_many(office.database, FIRST_PART_SIZE + 2))
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    last = {"status": "failed", "_id": ids[-1]}
    office.database.command("collMod", "exportqueues", validator={"$nor": [last]})

    refused = commands.run_day(office.app, NEXT_DAY, schedule_time=EVENING)

    assert refused.status is Status.RETRY_SCHEDULED
    assert refused.error is not None
    assert refused.error["message"].startswith("marking the items of 2026-01-19, which has no file")
    assert "the validator of exportqueues refused" in refused.error["message"]
    assert office.queue.count_documents({"status": "queued"}) == 2
    assert "entries_rejected" not in events(caplog)

    office.database.command("collMod", "exportqueues", validator={})
    stopping = Shutdown()
    stopping.request()
    stopped = replace(office.app, shutdown=stopping)
    continued = commands.run_day(stopped, NEXT_DAY, schedule_time=EVENING)
    assert continued.status is Status.CONTINUED
    assert office.batch(NEXT_DAY)["pendingTask"]["kind"] == "continuation"
    assert office.queue.count_documents({"status": "queued"}) == 2

    finished = commands.run_day(office.app, NEXT_DAY, schedule_time=EVENING)
    assert finished.status is Status.EMPTY
    assert office.queue.count_documents({"status": "failed"}) == FIRST_PART_SIZE + 2
    assert office.logs.count_documents({"action": "entry_rejected"}) == FIRST_PART_SIZE + 2
    assert events(caplog).count("entries_rejected") == 1
