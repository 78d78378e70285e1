"""Documents of Daybook's own that are deleted by hand between two steps of a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database

from daybook.audit.lineage import lineage
from daybook.destinations.base import Destination, NewFile
from daybook.errors import ConfigurationError
from daybook.export.batch import batches
from daybook.export.context import Job, daily_job, manual_job
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.model.profile import BatchKey
from daybook.export.operations.sweep import sweep
from daybook.export.outcome import Status
from daybook.export.queue import manual
from daybook.export.run import run
from tests import books, commands
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

COUNT = FIRST_PART_SIZE + 3
"""Two parts: the commit marks the first, the second is marked afterwards."""
COMMITS = ("findAndModify", "exportslots", Phase.BEFORE)


class Killed(BaseException):
    """The process ends here."""


class DiesAfterSending:
    """A destination that has stored the file when its process is killed."""

    def __init__(self, real: Destination) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def send_whole(self, file: NewFile, content: bytes) -> None:
        self.real.send_whole(file, content)
        raise Killed


class DiesBeforePublishing(DiesAfterSending):
    """A destination whose process is killed between the commit and publishing."""

    def send_whole(self, file: NewFile, content: bytes) -> None:
        self.real.send_whole(file, content)

    def publish(self, file_id: str, name: str) -> str:
        raise Killed


@pytest.fixture
def office(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def seed(database: Db, count: int = COUNT) -> list[ObjectId]:
    entries: list[dict[str, Any]] = [
        {
            "_id": ObjectId(),
            "date": EVENING,
            "reference": f"JV-{number}",
            "currency": "THB",
            "amount": Decimal128("12.50"),
        }
        for number in range(count)
    ]
    database["journalentries"].insert_many(entries)
    database["exportqueues"].insert_many([books.queue_item(entry["_id"]) for entry in entries])
    return [entry["_id"] for entry in entries]


def killed_after_sending(office: Office, job: Job) -> None:
    exporter = office.app.exporter(office.app.profile())
    with pytest.raises(Killed):
        run(replace(exporter, destination=DiesAfterSending(exporter.destination)), job)  # type: ignore[arg-type]


def sweep_first(office: Office) -> None:
    assert sweep(office.app.exporter(office.app.profile())).slots[0].settled == 1


def sweep_only(office: Office) -> None:
    sweep(office.app.exporter(office.app.profile()))


def same_day(office: Office) -> None:
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED


def next_day(office: Office) -> None:
    assert commands.run_day(office.app, NEXT_DAY).status is Status.EMPTY


def check_delivered_once(office: Office, entries: list[ObjectId]) -> dict[str, Any]:
    """Returns the day's batch."""
    count = len(entries)
    assert office.export(NEXT_DAY).status is Status.EMPTY
    assert office.queue.count_documents({"status": "completed"}) == count
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert [path.name for path in office.folder.glob("batch_*")] == [office.file().name]
    batch = office.batch()
    assert (batch["state"], batch["entryCount"]) == ("committed", count)
    assert batch["markedAt"] == EVENING
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED
    (file,) = lineage(office.database, office.app.profile(), str(entries[-1]))[0].files
    assert (file.filename, file.file_id) == (office.file().name, batch["fileId"])
    return batch


@pytest.mark.parametrize(
    ("finish", "count"), [(same_day, 3), (next_day, 3), (sweep_first, 3), (next_day, COUNT)]
)
def test_a_batch_deleted_while_its_file_is_not_recorded_is_restored(
    office: Office, finish: Callable[[Office], None], count: int
) -> None:
    entries = seed(office.database, count)
    killed_after_sending(office, daily_job(office.database, office.app.profile(), DAY))
    office.database["exportbatches"].delete_many({})
    office.database["exportslots"].update_many({}, {"$set": {"lease": None}})

    finish(office)

    check_delivered_once(office, entries)


def test_a_batch_deleted_just_before_the_commit_is_restored_with_its_id(
    database: Db, office: Office, mongo_uri: str
) -> None:
    entries = seed(database)
    deleted: list[ObjectId] = []

    def delete_batch(event: Event) -> None:
        if (event.name, event.collection, event.phase) != COMMITS or "comment" in event.document:
            return  # the rehearsal carries a comment
        change = event.document["update"]
        if isinstance(change, dict) and "fileId" in change.get("$set", {}) and "$inc" in change:
            batches = database["exportbatches"]
            deleted.extend(batch["_id"] for batch in batches.find())
            batches.delete_many({})

    address = urlsplit(mongo_uri)
    with MongoProxy(address.hostname or "", address.port or 0, delete_batch) as proxy:
        app = books.make_app(proxy.uri, database.name, office.folder.as_uri())
        app = replace(app, clock=lambda: EVENING)
        assert commands.run_day(app, DAY).status is Status.EXPORTED
        app.client.close()

    assert [check_delivered_once(office, entries)["_id"]] == deleted


@pytest.mark.parametrize(
    ("finish", "breaker_open"),
    [(same_day, False), (next_day, False), (sweep_only, False), (sweep_only, True)],
)
def test_a_batch_deleted_before_its_items_are_marked_is_restored_from_its_record(
    office: Office, finish: Callable[[Office], None], breaker_open: bool
) -> None:
    """The commit has marked the first part; a rejected item is in the second."""
    entries = seed(office.database)
    office.entries.update_one({"_id": entries[-1]}, {"$set": {"currency": "no currency"}})
    job = daily_job(office.database, office.app.profile(), DAY)
    exporter = office.app.exporter(office.app.profile())
    with pytest.raises(Killed):
        run(replace(exporter, destination=DiesBeforePublishing(exporter.destination)), job)  # type: ignore[arg-type]
    assert office.queue.count_documents({"status": "queued"}) == COUNT - FIRST_PART_SIZE
    office.database["exportbatches"].delete_many({})
    office.database["exportslots"].update_many({}, {"$set": {"lease": None}})
    if breaker_open:
        until = EVENING + timedelta(minutes=15)
        office.database["circuitbreakers"].insert_one(
            {"_id": "local_folder", "failures": 3, "openUntil": until, "trial": None}
        )
        assert sweep(exporter).slots[0].parts_deleted == 0
        office.database["circuitbreakers"].delete_many({})

    finish(office)

    assert office.export(NEXT_DAY).status is Status.EMPTY
    statuses = [item["status"] for item in office.queue.find().sort("_id", 1)]
    assert statuses == ["completed"] * (COUNT - 1) + ["failed"]
    batch = office.batch()
    assert (batch["state"], batch["entryCount"], batch["rejectedCount"]) == (
        "committed",
        COUNT - 1,
        1,
    )
    assert batch["markedAt"] == EVENING
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert office.logs.count_documents({"action": "entry_rejected"}) == 1
    assert [path.name for path in office.folder.glob("batch_*")] == [office.file().name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda database: database["exportmanifests"].delete_one({"number": 0}),
        *(
            lambda database, field=field: database["exportlogs"].update_many(
                {}, {"$unset": {f"metadata.{field}": ""}}
            )
            for field in ("generation", "manifestDigest", "fileId")
        ),
        *(
            pytest.param(  # read as those above are
                lambda database, field=field: database["exportlogs"].update_many(
                    {}, {"$unset": {f"metadata.{field}": ""}}
                ),
                marks=pytest.mark.storm,
            )
            for field in (
                *("filename", "sizeBytes", "md5", "sha256"),
                *("webViewLink", "entryCount", "totals", "attempt"),
            )
        ),
        lambda database: database["exportlogs"].update_many({}, {"$set": {"metadata.totals": 7}}),
    ],
)
def test_a_deleted_batch_whose_manifest_or_record_is_damaged_too_stops_every_run(
    office: Office, damage: Callable[[Any], object]
) -> None:
    seed(office.database)
    job = daily_job(office.database, office.app.profile(), DAY)
    exporter = office.app.exporter(office.app.profile())
    with pytest.raises(Killed):
        run(replace(exporter, destination=DiesBeforePublishing(exporter.destination)), job)  # type: ignore[arg-type]
    office.database["exportbatches"].delete_many({})
    damage(office.database)
    office.database["exportslots"].update_many({}, {"$set": {"lease": None}})

    outcome = commands.run_day(office.app, NEXT_DAY)

    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert outcome.error["type"] == "records_disagree"
    assert "restore them from a backup" in outcome.error["message"]
    assert office.queue.count_documents({"status": "queued"}) == COUNT - FIRST_PART_SIZE
    assert list(office.folder.glob("batch_*")) == []


@pytest.mark.parametrize("asked_again", [True, False])
def test_a_manual_export_deleted_while_its_file_is_not_recorded_is_restored(
    office: Office, asked_again: bool
) -> None:
    entry_id = office.add()
    profile = office.app.profile()
    request = manual.parse({"entryIds": [str(entry_id)]}, key="copy")
    killed_after_sending(office, manual_job(office.database, profile, request))
    office.database["exportbatches"].delete_many({})
    office.database["exportslots"].update_many({}, {"$set": {"lease": None}})

    if asked_again:
        assert commands.run_manual(office.app, request).status is Status.ALREADY_EXPORTED
    else:
        sweep(office.app.exporter(profile))

    (batch,) = office.database["exportbatches"].find()
    assert (batch["manualKey"], batch["state"], batch["markedAt"]) == ("copy", "committed", EVENING)
    assert office.logs.count_documents({"action": "manual_export"}) == 1
    assert commands.run_manual(office.app, request).status is Status.ALREADY_EXPORTED
    assert len(list(office.folder.glob("manual_*"))) == 1


def test_a_restored_batch_knows_which_entries_its_file_leaves_out(office: Office) -> None:
    """One that is corrected and requeued is exported, not taken for delivered."""
    office.add()
    wrong = office.add(credit="1.00")
    killed_after_sending(office, daily_job(office.database, office.app.profile(), DAY))
    office.database["exportbatches"].delete_many({})
    office.database["exportslots"].update_many({}, {"$set": {"lease": None}})
    same_day(office)
    office.entries.update_one({"_id": wrong}, {"$set": {"lines": books.lines()}})
    office.queue.update_one({"entryId": wrong}, {"$set": {"status": "queued"}})

    assert office.export(NEXT_DAY).facts["entryCount"] == 1


def test_a_slot_deleted_while_a_file_may_be_visible_stops_every_run_until_it_is_made_again(
    office: Office,
) -> None:
    entry_id = office.add()
    killed_after_sending(office, daily_job(office.database, office.app.profile(), DAY))
    slots = office.database["exportslots"]
    slots.delete_many({})

    for act in (
        lambda: commands.run_day(office.app, DAY),
        lambda: commands.run_day(office.app, NEXT_DAY),
        lambda: commands.release_day(office.app, DAY),
        lambda: commands.maintain(office.app),
    ):
        with pytest.raises(ConfigurationError, match=r"was deleted.*of 2026-01-18") as refused:
            act()
    office.app.refused_runs.announce(
        "daily", DAY, kind="configuration", message="an index is missing", now=office.app.now()
    )

    assert slots.count_documents({"_id": "daily"}) == 0
    assert [item["status"] for item in office.items(entry_id)] == ["queued"]
    told = re.search(r'insert \{_id: "(\w+)", fence: (\d+)\}', str(refused.value))
    assert told is not None
    slots.insert_one({"_id": told[1], "fence": int(told[2])})
    office.export()
    slot = slots.find_one({"_id": "daily"})
    assert slot is not None
    assert slot["fence"] > 1000
    assert [item["status"] for item in office.items(entry_id)] == ["completed"]


@pytest.mark.parametrize("again", [DAY, NEXT_DAY])
def test_a_slot_deleted_when_all_days_are_done_is_made_again_above_its_former_fences(
    office: Office, again: date
) -> None:
    office.add()
    commands.run_day(office.app, DAY)
    office.database["exportslots"].delete_many({})
    office.add()

    outcome = commands.run_day(office.app, again)

    assert outcome.status is (Status.ALREADY_EXPORTED if again == DAY else Status.EXPORTED)
    sweep(office.app.exporter(office.app.profile()))
    slot = office.database["exportslots"].find_one({"_id": "daily"})
    assert slot is not None
    assert slot["fence"] > 1000


def test_a_slot_that_was_never_taken_starts_at_nothing(office: Office) -> None:
    """A batch without an attempt, whose process died before it took the slot, is no run."""
    batches.ensure(
        office.database["exportbatches"],
        BatchKey(profile="daily", batch_date=DAY.isoformat()),
        now=EVENING,
    )
    office.add()
    office.export()
    slot = office.database["exportslots"].find_one({"_id": "daily"})
    assert slot is not None
    assert slot["fence"] == 1
