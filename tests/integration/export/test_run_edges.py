"""Edges of a run: identities, refusals, repeated deliveries, hand-over, limits, dry runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.errors import BadRequest, DaybookError, KeyReused
from daybook.export.batch import batches, transitions
from daybook.export.model.lifecycle import parse_schedule_time
from daybook.export.model.profile import BatchKey
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manual
from tests import books, commands
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
CHUNK = 262_144
Db = Database[dict[str, Any]]


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_UPLOAD_CHUNK_BYTES=str(CHUNK),
    )
    return App(app.settings, sleep=lambda _seconds: None)


def changed(app: App, **settings: Any) -> App:
    return App(replace(app.settings, **settings), clock=app.clock, sleep=app.sleep)


def fill(database: Db, count: int) -> None:
    books.put(database, *(books.entry(f"INV-{n}", description="x" * 300) for n in range(count)))


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(getattr(record, "event", "")) for record in caplog.records]


def stop_before_commit(drive: DriveEmulator) -> None:
    """Let the file come to be, and its answer and every question after it fail, once."""
    drive.fault("answer_lost", on=["create_multipart", "chunk_last"])
    drive.fault("status", on="get", status=503, times=100)


def test_a_file_sealed_under_another_identity_is_committed_when_it_can_be_seen(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 3)
    stop_before_commit(drive)
    assert commands.run_day(app, DAY).status is Status.RETRY_SCHEDULED
    drive.faults.clear()
    database["exportslots"].update_one({}, {"$set": {"identity": "drive:somebody-else@x"}})

    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert len(drive.files()) == 1
    assert database["exportorphans"].count_documents({}) == 0


def test_an_id_of_another_identity_without_a_file_is_given_up_and_watched(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    books.put_many(database, 3)
    drive.fault("status", on="create_multipart", status=503, times=100)
    commands.run_day(app, DAY)
    drive.faults.clear()
    database["exportslots"].update_one({}, {"$set": {"identity": "drive:somebody-else@x"}})

    assert commands.run_day(app, DAY).status is Status.EXPORTED
    (orphan,) = database["exportorphans"].find()
    assert orphan["reason"] == "identity_changed"
    assert "orphan_left_behind" in events(caplog)


def seal_on_two_days(app: App, database: Db, drive: DriveEmulator) -> tuple[str, bytes]:
    """The same bytes sealed for two days under one id, which is still free; id and bytes."""
    books.put_many(database, 3)
    stop_before_commit(drive)
    commands.run_day(app, DAY)
    (file,) = drive.files()
    drive.remove(file.id)
    drive.world.used_ids.discard(file.id)  # as if its request were still on its way
    drive.faults.clear()
    drive.fault("status", on="create_multipart", status=503, times=100)
    commands.run_day(app, NEXT_DAY)
    drive.faults.clear()
    (slot,) = database["exportslots"].find()
    assert [seal["batchDate"] for seal in slot["seals"]] == ["2026-01-18", "2026-01-19"]
    assert {seal["md5"] for seal in slot["seals"]} == {file.md5}
    return file.id, file.content


@pytest.mark.parametrize("day", ["2026-01-18", "2026-01-19"])
def test_file_whose_properties_are_hidden_is_recorded_for_the_day_in_its_name(
    app: App, database: Db, drive: DriveEmulator, day: str
) -> None:
    file_id, content = seal_on_two_days(app, database, drive)
    drive.plant(content, name=f"batch_{day}.csv", file_id=file_id)

    commands.run_day(app, NEXT_DAY)

    (record,) = database["exportlogs"].find({"action": "csv_generated"})
    assert (record["metadata"]["batchDate"], record["metadata"]["fileId"]) == (day, file_id)
    assert database["exportqueues"].count_documents({"metadata.batchDate": day}) == 3
    assert len(drive.files()) == 1


def test_file_that_may_be_of_either_day_waits_for_a_person(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    file_id, content = seal_on_two_days(app, database, drive)
    drive.plant(content, name="renamed.csv", file_id=file_id)

    failed = commands.run_day(app, NEXT_DAY)

    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert "batch_2026-01-18.csv and as batch_2026-01-19.csv" in failed.error["message"]
    assert "Rename it back" in failed.error["message"]
    assert database["exportqueues"].count_documents({"status": "queued"}) == 3
    assert [file.name for file in drive.files()] == ["renamed.csv"]

    drive.world.items[file_id].name = "batch_2026-01-18.csv"
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    (record,) = database["exportlogs"].find({"action": "csv_generated"})
    assert (record["metadata"]["batchDate"], record["metadata"]["fileId"]) == (
        "2026-01-18",
        file_id,
    )
    assert len(drive.files()) == 1


def test_a_repeated_delivery_starts_no_second_attempt(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 3)
    drive.down = True
    header = "2026-01-18T11:00:00.123456Z"
    outcomes = [
        commands.run_day(app, DAY, schedule_time=parse_schedule_time(header)) for _ in range(2)
    ]
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [
        (Status.RETRY_SCHEDULED, 1),
        (Status.RETRY_SCHEDULED, 1),
    ]
    assert commands.run_day(app, DAY).attempt == 2


def test_a_last_chunk_of_which_nothing_is_taken_ends_the_attempt(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    fill(database, 2000)
    app = changed(app, multipart_limit_bytes=CHUNK)
    drive.fault("partial_chunk", on="chunk_last", at_bytes=0, times=1000)

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.RETRY_SCHEDULED
    assert len(drive.requests) < 40
    drive.faults.clear()
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    assert len(drive.files()) == 1


def test_an_upload_handed_back_survives_a_delivery_that_only_reports(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    fill(database, 6000)
    at = datetime(2026, 1, 18, 11, tzinfo=UTC)
    hurried = changed(app, multipart_limit_bytes=CHUNK, run_deadline_seconds=0.0)
    first = commands.run_day(hurried, DAY, schedule_time=at)
    assert first.status is Status.CONTINUED
    repeated = commands.run_day(hurried, DAY, schedule_time=at)
    assert repeated.attempt == 1

    second = commands.run_day(changed(app, multipart_limit_bytes=CHUNK), DAY)

    assert second.status is Status.EXPORTED
    assert [request.operation for request in drive.requests].count("session_open") == 1
    sent = sum(r.body_bytes for r in drive.requests if r.operation in ("chunk", "chunk_last"))
    assert sent == second.facts["sizeBytes"]
    (file,) = drive.files()
    assert len(books.references(file.content)) == 6000


def test_a_dry_run_of_a_stored_plan_notices_what_left_the_queue(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 5)
    drive.down = True
    commands.run_day(app, DAY)
    drive.down = False
    books.put_many(database, 2, prefix="LATER")
    planned = commands.plan_day(app, DAY)
    assert planned.facts["entryCount"] == 5
    database["exportqueues"].delete_one({"_id": ids[0]})

    planned, done = commands.plan_day(app, DAY), commands.run_day(app, DAY)

    assert planned.facts["entryCount"] == 6
    for name in ("sha256", "md5", "sizeBytes", "totals", "rowCount"):
        assert planned.facts[name] == done.facts[name]


def test_rendering_stops_at_its_limit(app: App, database: Db, drive: DriveEmulator) -> None:
    fill(database, 6000)
    outcome = commands.run_day(changed(app, csv_timeout_seconds=0.000001), DAY)
    assert outcome.error is not None
    assert outcome.error["type"] == "timeout"
    assert "DAYBOOK_CSV_TIMEOUT_SECONDS" in outcome.error["message"]
    assert drive.files() == []


def test_a_committed_batch_is_never_opened_again(app: App, database: Db) -> None:
    books.put_many(database, 2)
    commands.run_day(app, DAY)
    collection = database["exportbatches"]
    batch = batches.find(collection, BatchKey(profile="daily", batch_date="2026-01-18"))
    assert batch is not None
    before = collection.find_one()
    now = datetime.now(UTC)
    with database.client.start_session() as session:
        with pytest.raises(DaybookError, match="was committed"):
            transitions.start_attempt(
                collection, session, batch, attempt=2, fence=9, schedule_time=None, now=now
            )
        with pytest.raises(DaybookError, match="was committed"):
            transitions.record_failure(
                collection, session, batch, error={"type": "unknown"}, retry=None, now=now
            )
        with pytest.raises(DaybookError, match="was committed"):
            transitions.record_empty(collection, session, batch, now=now)
    assert collection.find_one() == before


def test_a_batch_that_disagrees_with_its_own_record_exports_nothing(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    books.put_many(database, 2)
    commands.run_day(app, DAY)
    database["exportbatches"].update_one({}, {"$set": {"state": "open", "markedAt": None}})

    outcomes = [commands.run_day(app, DAY) for _ in range(2)]

    assert [outcome.status for outcome in outcomes] == [Status.FAILED] * 2
    assert outcomes[0].error is not None
    assert outcomes[0].error["type"] == "records_disagree"
    assert "restored or edited" in outcomes[0].error["message"]
    assert events(caplog).count("batch_failed") == 1
    assert len(drive.files()) == 1


def test_an_attempt_that_crashed_counts_although_settling_it_was_interrupted(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    stop_before_commit(drive)
    commands.run_day(app, DAY)
    (file,) = drive.files()
    crashed = {"endedAttempt": 0, "pendingTask": None, "nextAttemptAt": None, "error": None}
    database["exportbatches"].update_one({}, {"$set": crashed})
    stopped = App(app.settings, sleep=lambda _seconds: stopped.shutdown.request())

    assert commands.run_day(stopped, DAY).status is Status.CONTINUED

    batch = database["exportbatches"].find_one()
    assert batch is not None
    assert (batch["pendingTask"]["kind"], batch["attempt"]) == ("retry", 1)
    drive.faults.clear()
    drive.remove(file.id)
    assert commands.run_day(app, DAY).attempt == 2


def test_a_day_whose_attempts_were_made_fewer_keeps_its_last_error(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    drive.down = True
    commands.run_day(app, DAY)

    outcome = commands.run_day(changed(app, retry_delays_seconds=()), DAY)

    assert (outcome.status, outcome.attempt) == (Status.FAILED, 1)
    assert outcome.error is not None
    assert "DAYBOOK_RETRY_DELAYS_SECONDS allows 1 by now" in outcome.error["message"]
    assert "503" in outcome.error["message"]


def test_a_key_belongs_to_one_request(app: App, database: Db, drive: DriveEmulator) -> None:
    books.put_many(database, 2)
    one = manual.parse({"from": "2026-01-18", "to": "2026-01-18"}, key="k")
    other = manual.parse({"from": "2026-01-17", "to": "2026-01-18"}, key="k")
    assert commands.run_manual(app, one).status is Status.EXPORTED
    with pytest.raises(KeyReused):
        commands.run_manual(app, other)


@pytest.mark.parametrize(
    "body",
    [
        {"from": "0001-01-01", "to": "2026-01-01"},
        {"from": "2026-W03-7", "to": "2026-01-18"},
        {"entryIds": ["\ud800"]},
        {"entryIds": [""]},
    ],
)
def test_what_no_database_could_hold_is_bad_input(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        manual.parse(body, key=None)


def test_the_widest_range_of_dates_is_exported(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    outcome: Outcome = commands.run_manual(
        app, manual.parse({"from": "1900-01-01", "to": "9999-12-31"}, key=None)
    )
    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 2)


def test_an_id_in_capitals_is_the_same_entry(app: App, database: Db, drive: DriveEmulator) -> None:
    entry = books.entry("CAPITALS")
    books.put(database, entry)
    outcome = commands.run_manual(
        app, manual.parse({"entryIds": [str(entry["_id"]).upper()]}, key=None)
    )
    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 1)


def test_entries_withdrawn_after_the_plan_do_not_fail_the_day(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    ids = books.put_many(database, 10)
    drive.down = True
    commands.run_day(app, DAY)
    drive.down = False
    gone = [item["entryId"] for item in database["exportqueues"].find({"_id": {"$in": ids[:6]}})]
    database["exportqueues"].delete_many({"_id": {"$in": ids[:6]}})
    database["journalentries"].delete_many({"_id": {"$in": gone}})

    planned, outcome = commands.plan_day(app, DAY), commands.run_day(app, DAY)

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, 4)
    assert planned.facts["sha256"] == outcome.facts["sha256"]


def test_a_manual_export_leaves_out_what_is_no_entry_and_may_be_asked_again(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    entry = books.entry("M")
    wanted = manual.parse({"entryIds": ["nope", "neither", str(entry["_id"])]}, key="again")
    with pytest.raises(BadRequest, match="nope"):
        commands.run_manual(app, wanted)
    books.put(database, entry)
    outcome = commands.run_manual(app, wanted)
    assert outcome.status is Status.EXPORTED
    assert (outcome.facts["entryCount"], outcome.facts["rejectedCount"]) == (1, 2)


def test_a_dry_run_waits_for_items_that_are_not_marked_yet(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    commands.run_day(app, DAY)
    database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    assert commands.plan_day(app, NEXT_DAY).status is Status.IN_PROGRESS
    assert commands.run_day(app, NEXT_DAY).status is Status.EMPTY
    assert commands.plan_day(app, NEXT_DAY).status is Status.EMPTY
