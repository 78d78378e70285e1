"""What the previous version stored, in every state that it could stop in, is read and finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from pymongo.database import Database

from daybook.app import App
from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.export.operations import history
from daybook.export.outcome import Status
from daybook.export.queue import manual
from tests import books, commands
from tests.integration.export.stored_states import (
    BATCH_ID,
    BY_THE_DAY,
    CONTENT,
    DAY,
    DELIVERED,
    EMPTIED,
    ENTRY_IDS,
    ERROR,
    LEFT_TO_DO,
    MANUAL_KEY,
    MANUAL_MANIFEST,
    MANUAL_NAME,
    MANUAL_SEAL,
    NAME,
    NEXT_DAY,
    NEXT_DAY_TAKES_THEM,
    NOW,
    QUEUE_IDS,
    Before,
    State,
    batch,
    part,
    slot,
)

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
Doc = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def app(mongo_uri: str, database: Db, folder: Path) -> Iterator[App]:
    app = replace(books.make_app(mongo_uri, database.name, folder.as_uri()), clock=lambda: NOW)
    for number, (entry_id, queue_id) in enumerate(zip(ENTRY_IDS, QUEUE_IDS, strict=True)):
        credit = Decimal128("1.00" if number == 2 else "100.00")
        lines = [
            {"accountCode": "1100", "debit": Decimal128("100.00")},
            {"accountCode": "4000", "credit": credit},
        ]
        entry = books.entry(f"JV-{number}", _id=entry_id, description="Fee", lines=lines)
        database["journalentries"].insert_one(entry)
        database["exportqueues"].insert_one(books.queue_item(entry_id, _id=queue_id))
    yield app
    app.client.close()


@pytest.fixture
def stored(database: Db, folder: Path, app: App) -> Callable[[State], None]:
    def store(state: State) -> None:
        before = Before(folder)
        state(before)
        before.store(database)

    return store


def check_delivered(app: App, database: Db, folder: Path, *, day: date = DAY) -> None:
    """The entries are in one file of one recorded day, and every command can tell so."""
    name = f"batch_{day.isoformat()}.csv"
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == [name]
    assert books.references((folder / name).read_bytes()) == ["JV-0", "JV-1"]
    items = list(database["exportqueues"].find().sort("_id", 1))
    assert [item["status"] for item in items] == ["completed", "completed", "failed"]
    assert items[2]["error"]["reason"] == "unbalanced"
    logs = list(database["exportlogs"].find())
    assert [log["metadata"]["batchDate"] for log in logs if log["action"] == "csv_generated"] == [
        day.isoformat()
    ]
    assert [log["queueId"] for log in logs if log["action"] == "entry_rejected"] == [QUEUE_IDS[2]]
    status = history.status(database, app.profile(), day)
    assert status.batch is not None
    assert status.batch.finished
    assert (status.batch.pending, status.batch.next_attempt_at) == (None, None)
    assert status.batch.announced
    found = database["exportslots"].find_one({"_id": "daily"})
    assert found is not None
    assert (found["lease"], found["fileId"], found["seals"]) == (None, None, [])
    assert verify(database, app.destination, app.profile(), day).to_doc()["status"] == "verified"
    (file,) = lineage(database, app.profile(), str(ENTRY_IDS[1]))[0].files
    assert file.filename == name
    assert database["exportorphans"].count_documents({"alertedAt": None}) == 0
    assert commands.run_day(app, day).status is Status.ALREADY_EXPORTED


@pytest.mark.parametrize("state", BY_THE_DAY, ids=lambda state: state.__name__)
def test_the_days_next_run_finishes_it(
    app: App, database: Db, folder: Path, stored: Callable[[State], None], state: State
) -> None:
    stored(state)

    outcome = commands.run_day(app, DAY)

    assert (outcome.status, outcome.attempt) == BY_THE_DAY[state]
    check_delivered(app, database, folder)
    if state in DELIVERED:
        assert (folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("state", LEFT_TO_DO, ids=lambda state: state.__name__)
def test_the_sweep_finishes_what_is_delivered(
    app: App, database: Db, folder: Path, stored: Callable[[State], None], state: State
) -> None:
    stored(state)

    commands.maintain(app)

    check_delivered(app, database, folder)
    assert (folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("state", LEFT_TO_DO, ids=lambda state: state.__name__)
def test_the_next_days_run_finishes_what_is_delivered(
    app: App, database: Db, folder: Path, stored: Callable[[State], None], state: State
) -> None:
    stored(state)

    assert (
        commands.run_day(replace(app, clock=lambda: NOW + timedelta(days=1)), NEXT_DAY).status
        is Status.EMPTY
    )

    check_delivered(app, database, folder)


@pytest.mark.parametrize("state", NEXT_DAY_TAKES_THEM, ids=lambda state: state.__name__)
def test_the_entries_of_a_day_that_was_given_up_go_with_the_next(
    app: App, database: Db, folder: Path, stored: Callable[[State], None], state: State
) -> None:
    stored(state)
    assert commands.run_day(app, DAY).status is Status.FAILED
    later = replace(app, clock=lambda: NOW + timedelta(days=1))

    assert commands.run_day(later, NEXT_DAY).status is Status.EXPORTED

    check_delivered(app, database, folder, day=NEXT_DAY)


def manual_batch(**changes: Any) -> Doc:
    doc = batch(manualKey=MANUAL_KEY, request={"entryIds": list(map(str, ENTRY_IDS[:2]))})
    del doc["batchDate"]
    return doc | changes


MANUAL_PART = part(profile="daily/manual", queueIds=[None, None], entryIds=ENTRY_IDS[:2])


def manual_sent(before: Before) -> None:
    before.batches = [manual_batch()]
    before.slots = [
        slot(before.folder, _id="daily/manual", manifest=MANUAL_MANIFEST, seals=[MANUAL_SEAL])
    ]
    before.parts = [MANUAL_PART]
    before.hide(name=MANUAL_NAME)


def manual_sent_and_deleted(before: Before) -> None:
    """Its batch was deleted by hand, and the version's seals do not name the key."""
    manual_sent(before)
    before.batches = []


def manual_failed(before: Before) -> None:
    before.batches = [manual_batch(state="failed", endedAttempt=1, error=ERROR)]
    before.slots = [slot(before.folder, _id="daily/manual", **EMPTIED)]


@pytest.mark.parametrize(
    ("state", "status"),
    [(manual_sent, Status.ALREADY_EXPORTED), (manual_failed, Status.EXPORTED)],
    ids=["manual_sent", "manual_failed"],
)
def test_a_manual_export_is_finished(
    app: App,
    database: Db,
    folder: Path,
    stored: Callable[[State], None],
    state: State,
    status: Status,
) -> None:
    stored(state)
    body = {"entryIds": list(map(str, ENTRY_IDS[:2]))}

    assert commands.run_manual(app, manual.parse(body, key=MANUAL_KEY)).status is status

    (file,) = folder.glob("manual_*.csv")
    assert books.references(file.read_bytes()) == ["JV-0", "JV-1"]
    assert database["exportlogs"].count_documents({"action": "manual_export"}) == 1
    assert database["exportqueues"].count_documents({"status": "queued"}) == 3


def test_a_manual_export_whose_key_is_unknown_is_recorded_once(
    app: App, database: Db, folder: Path, stored: Callable[[State], None]
) -> None:
    stored(manual_sent_and_deleted)

    commands.maintain(app)
    commands.maintain(app)

    assert [path.name for path in folder.glob("manual_*")] == [MANUAL_NAME]
    (restored,) = database["exportbatches"].find({"manualKey": {"$type": "string"}})
    assert (restored["_id"], restored["state"]) == (BATCH_ID, "committed")
    assert restored["markedAt"] == NOW
    assert database["exportlogs"].count_documents({"action": "manual_export"}) == 1
