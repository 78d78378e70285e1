"""The rehearsal: what MongoDB would refuse of the commit is known before a file exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.outcome import Status
from daybook.export.queue import manual
from tests import books, commands
from tests.integration.office import DAY, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]


@pytest.fixture
def office(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def only(*, allow: dict[str, Any]) -> dict[str, Any]:
    """A validator that refuses every other document."""
    return {"validator": allow, "validationLevel": "strict"}


def refuse(office: Office, collection: str, **options: Any) -> None:
    office.database.command("collMod", collection, **options)


def nothing_visible(office: Office) -> bool:
    return not [*office.folder.glob("*.csv"), *office.folder.glob(".daybook-*/content")]


REFUSALS: dict[str, Callable[[Office], None]] = {
    "exportlogs": lambda office: refuse(
        office, "exportlogs", **only(allow={"action": {"$ne": "csv_generated"}})
    ),
    "exportqueues": lambda office: refuse(
        office, "exportqueues", **only(allow={"status": {"$ne": "completed"}})
    ),
    "exportbatches": lambda office: refuse(
        office, "exportbatches", **only(allow={"state": {"$ne": "committed"}})
    ),
    "exportmanifests": lambda office: refuse(
        office, "exportmanifests", **only(allow={"markedAt": {"$exists": False}})
    ),
}


@pytest.mark.parametrize("collection", REFUSALS)
def test_a_refused_commit_is_known_before_the_file_is_visible(
    office: Office, collection: str
) -> None:
    office.add()
    REFUSALS[collection](office)
    outcome = commands.run_day(office.app, DAY)
    assert outcome.status is Status.FAILED  # for good: no attempt would help
    assert outcome.error is not None
    assert f"the validator of {collection} refused" in outcome.error["message"]
    assert nothing_visible(office)
    assert office.logs.count_documents({}) == 0
    assert office.queue.count_documents({"status": "queued"}) == 1
    refuse(office, collection, validator={})
    again = commands.run_day(office.app, NEXT_DAY)
    assert (again.status, again.facts["entryCount"]) == (Status.EXPORTED, 1)


def test_a_rejected_item_of_a_later_part_is_rehearsed_too(office: Office) -> None:
    books.put_many(office.database, FIRST_PART_SIZE)
    office.add("1", credit="2")
    office.database["exportlogs"].create_index(
        [("queueId", 1), ("performedBy", 1)],
        unique=True,
        name="theirs",
        partialFilterExpression={"action": "entry_rejected"},
    )
    (item,) = office.queue.find().sort("_id", -1).limit(1)
    office.logs.insert_one(
        {"action": "entry_rejected", "queueId": item["_id"], "performedBy": "system"}
    )
    outcome = commands.run_day(office.app, DAY)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert "drop the index theirs of exportlogs" in outcome.error["message"]
    assert nothing_visible(office)


def test_a_single_item_of_a_later_part_that_a_validator_refuses_is_found(office: Office) -> None:
    books.put_many(office.database, FIRST_PART_SIZE + 1)
    (last,) = office.queue.find().sort("_id", -1).limit(1)
    refuse(
        office,
        "exportqueues",
        **only(allow={"$or": [{"status": "queued"}, {"_id": {"$ne": last["_id"]}}]}),
    )
    outcome = commands.run_day(office.app, DAY)
    assert outcome.status is Status.FAILED
    assert nothing_visible(office)
    assert office.queue.count_documents({"status": "completed"}) == 0


def test_a_day_that_another_application_records_meanwhile_gets_no_file(office: Office) -> None:
    office.add()
    record = {
        "action": "csv_generated",
        "metadata": {"batchDate": DAY.isoformat(), "fileId": "theirs", "filename": "theirs.csv"},
    }

    def record_it(_done: int, _of: int) -> None:
        office.logs.insert_one(record)

    outcome = commands.run_day(replace(office.app, progress=record_it), DAY)
    assert (outcome.status, outcome.facts["fileId"]) == (Status.ALREADY_EXPORTED, "theirs")
    assert nothing_visible(office)
    assert office.queue.count_documents({"status": "queued"}) == 1


def test_a_manual_export_is_rehearsed_as_well(office: Office) -> None:
    entry = office.add()
    refuse(office, "exportlogs", **only(allow={"action": {"$ne": "manual_export"}}))
    request = manual.parse({"entryIds": [str(entry)]}, key="once")
    outcome = commands.run_manual(office.app, request)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert "the validator of exportlogs refused" in outcome.error["message"]
    assert nothing_visible(office)
