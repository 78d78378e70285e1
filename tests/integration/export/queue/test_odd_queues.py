"""What the other application may leave in, or do to, the queue: nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import islice
from typing import Any

import bson
import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from daybook.app import App
from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.export.model.part import FIRST_PART_SIZE, PART_SIZE
from daybook.export.model.profile import DAILY
from daybook.export.outcome import Status
from daybook.export.queue import manual, plan
from daybook.export.queue.waiting import Unclaimed
from tests import books, commands
from tests.emulators.drive import DriveEmulator
from tests.fuzz.documents import DB_POINTER, UNDEFINED, Pairs, RawText, encode

pytestmark = pytest.mark.migrated

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
Db = Database[dict[str, Any]]

NAMELESS = [
    Pairs((("a", 1), ("a", 2))),
    DB_POINTER,
    Pairs((("a", Pairs((("b", 1), ("b", 1)))),)),
    {"a": UNDEFINED},
    {"a": RawText(b"\xff")},
    "x" * 1025,
    {"a": "x" * 1025},
    b"x" * 1025,
]
"""Ids that MongoDB stores, but does not find again by what a driver reads, or too long ones."""


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    return books.make_app(
        mongo_uri, database.name, f"drive://{drive.folder_id}", DAYBOOK_DRIVE_ENDPOINT=drive.url
    )


def status_of(database: Db, item_id: Any) -> str:
    item = database["exportqueues"].find_one({"_id": item_id}, {"status": 1})
    assert item is not None
    status: str = item["status"]
    return status


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        7,
        Int64(7),
        3.5,
        float("nan"),
        Decimal128("1.5"),
        True,
        {"a": 1},
        {"$ne": None},
        [1, 2],
        Regex(".*"),
        Code("x"),
        DBRef("journalentries", {"a": 1}),
        MinKey(),
        DatetimeMS(2**60),
        b"\x00\x01",
        "a\x00b",
    ],
    ids=repr,
)
def test_an_odd_entry_id_is_rejected_and_the_others_go_out(
    app: App, database: Db, drive: DriveEmulator, odd: Any
) -> None:
    ids = books.put_many(database, 3)
    item = books.queue_item(odd)
    database["exportqueues"].insert_one(item)

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (3, 1)
    assert books.statuses(database, ids) == ["completed"] * 3
    assert status_of(database, item["_id"]) == "failed"
    assert commands.run_day(app, NEXT_DAY).status is Status.EMPTY


@pytest.mark.parametrize(
    "odd",
    [None, "text", 7, float("nan"), Decimal128("1"), True, {"a": 1}, Code("x"), MaxKey(), b"\x00"],
    ids=repr,
)
def test_an_item_with_an_odd_id_is_exported_once(
    app: App, database: Db, drive: DriveEmulator, odd: Any
) -> None:
    books.put_many(database, 2)
    entry = books.entry("ODD")
    database["journalentries"].insert_one(entry)
    database["exportqueues"].insert_one(books.queue_item(entry["_id"], _id=odd))

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 3)
    assert database["exportqueues"].count_documents({"status": "completed"}) == 3
    assert commands.run_day(app, NEXT_DAY).status is Status.EMPTY


def test_one_and_true_are_different_entries(app: App, database: Db, drive: DriveEmulator) -> None:
    books.put(database, books.entry("ONE", _id=1), books.entry("TRUE", _id=True))
    outcome = commands.run_day(app, DAY)
    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, 0)


def test_an_item_whose_id_cannot_be_named_stays_and_keeps_no_other_out(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    books.put_many(database, 2)
    entry = books.entry("UNREADABLE")
    database["journalentries"].insert_one(entry)
    broken = bson.encode(books.queue_item(entry["_id"], _id="abc")).replace(b"abc\0", b"ab\xff\0")
    database["exportqueues"].insert_one(bson.raw_bson.RawBSONDocument(broken))

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 2)
    assert "queue_item_unreadable" in {getattr(record, "event", "") for record in caplog.records}


@pytest.mark.parametrize("odd", NAMELESS, ids=range(len(NAMELESS)))
def test_an_item_that_no_query_finds_by_its_id_stays_and_keeps_no_other_out(
    app: App, database: Db, caplog: pytest.LogCaptureFixture, odd: Any
) -> None:
    ids = books.put_many(database, 2)
    entry = books.entry("NAMELESS")
    database["journalentries"].insert_one(entry)
    database["exportqueues"].insert_one(encode(books.queue_item(entry["_id"], _id=odd)))

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 2)
    assert books.statuses(database, ids) == ["completed"] * 2
    assert database["exportqueues"].count_documents({"status": "queued"}) == 1
    assert "queue_item_unreadable" in {getattr(record, "event", "") for record in caplog.records}
    (item,) = lineage(app.database, app.profile(), str(entry["_id"]))[0].items
    assert item.unclaimed is Unclaimed.UNREADABLE_ID
    assert commands.run_day(app, NEXT_DAY).status is Status.EMPTY


@pytest.mark.parametrize("odd", NAMELESS, ids=range(len(NAMELESS)))
def test_an_entry_id_that_no_query_can_name_is_rejected_once(
    app: App, database: Db, odd: Any
) -> None:
    ids = books.put_many(database, 2)
    item = books.queue_item(odd)
    database["journalentries"].insert_one(encode(books.entry("NAMELESS", _id=odd)))
    database["exportqueues"].insert_one(encode(item))

    outcome = commands.run_day(app, DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, 1)
    assert books.statuses(database, ids) == ["completed", "completed"]
    assert database["exportqueues"].count_documents({"_id": item["_id"], "status": "failed"}) == 1
    assert verify(app.database, app.destination, app.profile(), DAY).status == "verified"
    assert commands.run_day(app, NEXT_DAY).facts["rejectedCount"] == 0


def test_thousands_of_long_ids_fill_no_document(app: App, database: Db) -> None:
    """A manifest's part, a list of rejected items and a query each hold thousands of ids."""
    for length, count in ((1024, PART_SIZE // 2), (200_000, 90)):
        items = [books.queue_item("x" * (length - 6) + f"{n:06d}") for n in range(count)]
        database["exportqueues"].insert_many(items)
    long_ids = [
        books.entry(f"LONG-{n}", _id="x" * 1020 + f"{n:04d}") for n in range(PART_SIZE // 2)
    ]
    good = books.put(database, *long_ids, *(books.entry(f"E-{n}") for n in range(100)))

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, len(good))
    assert outcome.facts["rejectedCount"] == PART_SIZE // 2 + 90
    assert set(books.statuses(database, good)) == {"completed"}
    assert database["exportqueues"].count_documents({"status": "queued"}) == 0


@pytest.mark.parametrize("odd", [RawText(b"\xa1\xd2\xc3"), "x" * 5_000_000, *NAMELESS[:2]])
def test_an_entry_that_another_item_says_is_exported_is_a_duplicate(
    app: App, database: Db, odd: Any
) -> None:
    (good,) = books.put_many(database, 1)
    entry = books.entry("TWICE")
    (item,) = books.put(database, entry)
    twin = books.queue_item(entry["_id"], _id=odd, status="completed")
    database["exportqueues"].insert_one(encode(twin))

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 1)
    assert books.statuses(database, [good, item]) == ["completed", "failed"]
    stored = database["exportqueues"].find_one({"_id": item})
    assert stored is not None
    assert stored["error"]["reason"] == "duplicate"


def test_an_entry_too_large_to_be_read_is_rejected_and_the_others_go_out(
    app: App, database: Db
) -> None:
    """As it is read, a line may take up more bytes than where it is stored."""
    entry = books.entry("LARGE", lines=[{"debit": "1"}] * 600_000)
    books.put_many(database, 3)
    (item,) = books.put(database, entry)
    books.put_many(database, 3)

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 6)
    stored = database["exportqueues"].find_one({"_id": item})
    assert stored is not None
    assert stored["error"]["reason"] == "invalid_lines"
    assert stored["error"]["detail"] == (
        f"entry {entry['_id']} has more lines, or longer ones, than MongoDB can return at once"
    )
    assert verify(app.database, app.destination, app.profile(), DAY).status == "verified"


def test_an_entry_with_a_null_id_is_of_no_item_without_an_entry_id(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    database["journalentries"].insert_one(books.entry("NULL", _id=None))
    named, nameless = books.queue_item(None), books.queue_item(None)
    del nameless["entryId"]
    waiting = {**books.queue_item(None, exportPath="manual"), "_id": "waiting"}
    database["exportqueues"].insert_many([named, nameless, waiting])

    outcome = commands.run_day(app, DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, 2)
    assert books.references(drive.files()[0].content) == ["INV-0", "INV-1"]
    for item in (named, nameless):
        stored = database["exportqueues"].find_one({"_id": item["_id"]})
        assert stored is not None
        assert stored["error"]["reason"] == "entry_missing"
    by_date = manual.parse({"from": "2026-01-18", "to": "2026-01-18"}, key=None)
    assert commands.run_manual(app, by_date).facts["rejectedCount"] == 1
    assert status_of(database, "waiting") == "queued"


@pytest.mark.parametrize("stage", ["before", "after"])
def test_items_that_lose_their_status_after_the_seal_are_marked_all_the_same(
    app: App, database: Db, drive: DriveEmulator, stage: str
) -> None:
    bad = books.entry("BAD", lines=books.lines()[:1])
    good, rejected = books.put(database, books.entry("GOOD"), bad)

    def hook(moment: Any) -> None:
        if moment.stage == stage and moment.operation == "create_multipart":
            database["exportqueues"].update_many({}, {"$unset": {"status": ""}})

    drive.on_request(hook)

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert books.statuses(database, [good, rejected]) == ["completed", "failed"]


def test_a_rejected_item_that_is_gone_before_the_commit_is_listed(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    bad = [books.entry(f"BAD-{n}", lines=books.lines()[:1]) for n in range(2)]
    _, first, second = books.put(database, books.entry("GOOD"), *bad)

    def hook(moment: Any) -> None:
        if moment.stage == "after" and moment.operation == "create_multipart":
            database["exportqueues"].delete_one({"_id": first})
            database["exportqueues"].update_one({"_id": second}, {"$unset": {"status": ""}})

    drive.on_request(hook)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    record = database["exportlogs"].find_one({"action": "csv_generated"})
    assert record is not None
    assert record["metadata"]["goneItems"] == [first]
    assert status_of(database, second) == "failed"


def test_the_items_of_one_entry_are_looked_up_once(app: App, database: Db) -> None:
    """Each part asked for all of them again: the work grew with the square of the items."""
    entry = books.entry("OFTEN")
    database["journalentries"].insert_one(entry)
    count = FIRST_PART_SIZE + 3 * PART_SIZE
    database["exportqueues"].insert_many([books.queue_item(entry["_id"]) for _ in range(count)])
    fetched = Fetched()
    app.__dict__["_client"] = MongoClient[dict[str, Any]](
        app.settings.mongodb_uri, event_listeners=[fetched]
    )

    parts = list(plan.scan(app.database, app.profile(DAILY)))

    app.client.close()
    assert [len(part.duplicates) for part in parts] == [FIRST_PART_SIZE - 1, *[PART_SIZE] * 3]
    assert fetched.documents <= 2 * count + len(parts)


@pytest.mark.parametrize("doubles", [False, True])
def test_only_a_part_with_several_items_of_an_entry_is_grouped(
    app: App, database: Db, doubles: bool
) -> None:
    items = [books.queue_item(ObjectId()) for _ in range(FIRST_PART_SIZE + 10)]
    if doubles:  # the two are in different parts
        items[-1]["entryId"] = items[0]["entryId"]
    database["exportqueues"].insert_many(items)
    fetched = Fetched()
    app.__dict__["_client"] = MongoClient[dict[str, Any]](
        app.settings.mongodb_uri, event_listeners=[fetched]
    )

    parts = list(plan.scan(app.database, app.profile(DAILY)))

    app.client.close()
    assert [list(part.duplicates) for part in parts] == [[], [9] if doubles else []]
    assert fetched.commands["aggregate"] == (1 if doubles else 0)


class Fetched(CommandListener):
    """Counts the commands of a client, and the documents that it fetches."""

    def __init__(self) -> None:
        self.commands = Counter[str]()
        self.documents = 0

    def started(self, event: CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self.commands[event.command_name] += 1
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def test_of_two_items_for_one_entry_the_first_is_exported(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    (first,) = books.put(database, books.entry("TWICE"))
    item = database["exportqueues"].find_one({"_id": first})
    assert item is not None
    second = books.queue_item(item["entryId"])
    database["exportqueues"].insert_one(second)

    outcome = commands.run_day(app, DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (1, 1)
    assert books.references(drive.files()[0].content) == ["TWICE"]
    assert [status_of(database, one) for one in (first, second["_id"])] == ["completed", "failed"]


def test_an_item_queued_behind_the_scan_for_an_entry_already_planned_is_a_duplicate(
    app: App, database: Db
) -> None:
    # A part is looked through while the next is read, and the cursor is a reply ahead of that.
    books.put_many(database, FIRST_PART_SIZE + 2 * PART_SIZE + 3)
    parts = plan.scan(database, app.profile(DAILY))
    (first,) = islice(parts, 1)
    late = books.queue_item(first.entry_ids[0])
    database["exportqueues"].insert_one(late)

    *_, last = parts

    assert last.queue_ids[-1] == late["_id"]
    assert list(last.duplicates) == [len(last.queue_ids) - 1]


def test_a_completed_item_set_back_to_queued_is_not_exported_again(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 2)
    commands.run_day(app, DAY)
    database["exportqueues"].update_one({"_id": ids[0]}, {"$set": {"status": "queued"}})
    books.put_many(database, 2, prefix="NEW")

    outcome = commands.run_day(app, NEXT_DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, 1)
    delivered = [books.references(file.content) for file in drive.files()]
    assert delivered == [["INV-0", "INV-1"], ["NEW-0", "NEW-1"]]


@pytest.fixture
def changed_before_the_seal(drive: DriveEmulator) -> list[Any]:
    """Calls each function of the list once, just before the file would be made."""
    changes: list[Any] = []

    def hook(moment: Any) -> None:
        if moment.stage == "after" and moment.operation == "generateIds":
            while changes:
                changes.pop()()

    drive.on_request(hook)
    return changes


def test_an_item_pointed_to_another_entry_before_the_seal_exports_that_one(
    app: App, database: Db, drive: DriveEmulator, changed_before_the_seal: list[Any]
) -> None:
    ids = books.put_many(database, 3)
    other = books.entry("OTHER")
    database["journalentries"].insert_one(other)
    changed_before_the_seal.append(
        lambda: database["exportqueues"].update_one(
            {"_id": ids[0]}, {"$set": {"entryId": other["_id"]}}
        )
    )

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    (file,) = drive.files()
    assert books.references(file.content) == ["OTHER", "INV-1", "INV-2"]


def test_an_item_pointed_to_another_entry_after_the_seal_exports_both_on_their_days(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 3)
    other = books.entry("OTHER")
    database["journalentries"].insert_one(other)

    def hook(moment: Any) -> None:
        if moment.stage == "before" and moment.operation == "create_multipart":
            database["exportqueues"].update_one(
                {"_id": ids[0], "status": "queued"}, {"$set": {"entryId": other["_id"]}}
            )

    drive.on_request(hook)
    first = commands.run_day(app, DAY)
    second = commands.run_day(app, NEXT_DAY)

    assert (first.facts["entryCount"], second.facts["entryCount"]) == (3, 1)
    assert [books.references(file.content) for file in drive.files()] == [
        ["INV-0", "INV-1", "INV-2"],
        ["OTHER"],
    ]
    record = database["exportlogs"].find_one({"metadata.batchDate": "2026-01-18"})
    assert record is not None
    assert record["metadata"]["goneItems"] == [ids[0]]


def test_a_manual_export_never_completes_an_item_that_became_scheduled(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    entries = [books.entry(f"M-{number}") for number in range(2)]
    database["journalentries"].insert_many(entries)
    items = [books.queue_item(one["_id"], exportPath="manual") for one in entries]
    twin = books.queue_item(entries[1]["_id"], exportPath="manual")
    database["exportqueues"].insert_many([*items, twin])

    def hook(moment: Any) -> None:
        if moment.stage == "before" and moment.operation == "create_multipart":
            database["exportqueues"].update_one(
                {"_id": items[0]["_id"]}, {"$set": {"exportPath": "scheduled"}}
            )

    drive.on_request(hook)
    wanted = manual.parse({"entryIds": [str(one["_id"]) for one in entries]}, key=None)
    assert commands.run_manual(app, wanted).status is Status.EXPORTED

    assert status_of(database, items[0]["_id"]) == "queued"
    assert [status_of(database, one["_id"]) for one in (items[1], twin)] == ["completed"] * 2


def test_a_record_of_the_other_application_ends_the_day_quietly(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    database["exportlogs"].insert_one(
        {
            "action": "csv_generated",
            "performedBy": "system",
            "metadata": {
                "batchDate": "2026-01-18",
                "filename": "batch_2026-01-18.csv",
                "fileId": "theirs",
                "entryCount": Decimal128("5"),
            },
            "createdAt": books.NOON - timedelta(hours=1),
        }
    )
    assert commands.plan_day(app, DAY).status is Status.ALREADY_EXPORTED
    outcome = commands.run_day(app, DAY)
    assert (outcome.status, outcome.facts["fileId"]) == (Status.ALREADY_EXPORTED, "theirs")
    assert outcome.to_doc()["filename"] == "batch_2026-01-18.csv"
    assert drive.requests == []


def test_a_day_recorded_elsewhere_during_the_run_leaves_an_orphan_and_an_alert(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    ids = books.put_many(database, 2)

    def hook(moment: Any) -> None:
        if moment.stage == "after" and moment.operation == "create_multipart":
            database["exportlogs"].insert_one(
                {
                    "_id": ObjectId(),
                    "action": "csv_generated",
                    "metadata": {"batchDate": "2026-01-18"},
                }
            )

    drive.on_request(hook)
    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.ALREADY_EXPORTED
    (file,) = drive.files()
    orphan = database["exportorphans"].find_one({"_id": file.id})
    assert orphan is not None
    assert orphan["reason"] == "day_recorded_elsewhere"
    assert [r.levelname for r in caplog.records if getattr(r, "event", "") == "orphan_left_behind"]
    assert books.statuses(database, ids) == ["queued", "queued"]
    assert "update" not in {request.operation for request in drive.requests}


def test_a_rejected_item_completed_elsewhere_stays_so_and_is_listed(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    good = [books.entry(f"GOOD-{n}") for n in range(2)]
    ids = books.put(database, *good, books.entry("BAD", lines=books.lines()[:1]))

    def hook(moment: Any) -> None:
        if moment.stage == "before" and moment.operation == "create_multipart":
            database["exportqueues"].update_one(
                {"_id": ids[2]}, {"$set": {"status": "completed", "metadata": {"fileId": "theirs"}}}
            )

    drive.on_request(hook)
    commands.run_day(app, DAY)

    assert books.statuses(database, ids) == ["completed"] * 3
    record = database["exportlogs"].find_one({"action": "csv_generated"})
    assert record is not None
    assert record["metadata"]["completedElsewhereItems"] == [ids[2]]
    assert "items_changed_after_seal" in {getattr(r, "event", "") for r in caplog.records}


def test_an_item_pointed_to_an_entry_of_the_same_plan_is_planned_again(
    app: App, database: Db, drive: DriveEmulator, changed_before_the_seal: list[Any]
) -> None:
    ids = books.put_many(database, 3)
    second = database["exportqueues"].find_one({"_id": ids[1]})
    assert second is not None
    changed_before_the_seal.append(
        lambda: database["exportqueues"].update_one(
            {"_id": ids[0]}, {"$set": {"entryId": second["entryId"]}}
        )
    )

    outcome = commands.run_day(app, DAY)

    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (2, 1)
    assert books.references(drive.files()[0].content) == ["INV-1", "INV-2"]
