"""`GET /metrics` after real runs into a stand-in for Drive."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.export.outcome import Status
from daybook.ops.metrics.metrics import Measured, render
from tests import books, commands
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
BATCH = "daily_batch_export"
TOTALS = (
    *("entries_total", "rows_total", "rejected_entries_total", "bytes_total"),
    *("attempts_total", "conflicts_total", "queue_entries", "duration_seconds_count"),
)
Db = Database[dict[str, Any]]


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
    )
    return App(app.settings, sleep=lambda _seconds: None)


def values(app: App) -> dict[str, float]:
    _, body = render(
        app.database,
        [
            Measured(
                profile=app.profile(),
                destination=app.destination.kind,
                breaker=app.destination.kind,
            )
        ],
        now=datetime.now(UTC),
    )
    pairs = (line.rsplit(" ", 1) for line in body.decode().splitlines() if line[0] != "#")
    return {name: float(value) for name, value in pairs}


def test_a_delivered_day_and_an_empty_one(app: App, database: Db, drive: DriveEmulator) -> None:
    bad = books.entry("INV-0", lines=[{"accountCode": "1100", "debit": 1, "credit": 0}])
    books.put(database, books.entry("INV-1"), bad, books.entry("INV-2"))
    assert values(app)[f"{BATCH}_queue_entries"] == 3
    assert commands.run_day(app, DAY).status is Status.EXPORTED

    found = values(app)
    (file,) = drive.files()
    stored: Any = database["exportbatches"].find_one()
    seconds = (stored["committedAt"] - stored["startedAt"]).total_seconds()
    assert {name: found[f"{BATCH}_{name}"] for name in TOTALS} == {
        "entries_total": 2,
        "rows_total": 4,
        "rejected_entries_total": 1,
        "bytes_total": len(file.content),
        "attempts_total": 1,
        "conflicts_total": 0,
        "queue_entries": 0,
        "duration_seconds_count": 1,
    }
    assert found[f"{BATCH}_entries"] == 2
    assert found[f"{BATCH}_duration_seconds_sum"] == seconds
    assert found[f"{BATCH}_last_success_timestamp_seconds"] == stored["committedAt"].timestamp()

    assert commands.run_day(app, NEXT_DAY).status is Status.EMPTY

    found = values(app)
    assert found[f"{BATCH}_entries"] == 0
    assert found[f"{BATCH}_entries_total"] == 2
    assert found[f"{BATCH}_attempts_total"] == 2
    assert found[f'{BATCH}_batches{{state="empty"}}'] == 1
    assert found['daybook_mongodb_command_duration_seconds_count{command="aggregate"}'] > 0


def test_a_failed_attempt_still_counts_when_the_next_has_delivered(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    fault = drive.fault("status", on="create_multipart", status=503, times=None)
    failed = commands.run_day(app, DAY)
    assert (failed.status, fault.hits > 0) == (Status.RETRY_SCHEDULED, True)
    after_failure = values(app)
    drive.faults.clear()
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    after_delivery = values(app)

    names = (
        f'{BATCH}_errors_total{{error_type="google_drive"}}',
        f'{BATCH}_batches{{state="open"}}',
        f"{BATCH}_attempts_total",
        f"{BATCH}_queue_entries",
        f"{BATCH}_duration_seconds_count",
    )
    assert [after_failure[name] for name in names] == [1, 1, 1, 2, 0]
    assert [after_delivery[name] for name in names] == [1, 0, 2, 0, 1]


def test_an_upload_that_was_taken_before_its_answer_was_lost_is_a_conflict(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    drive.fault("answer_lost", on="create_multipart", times=1)
    drive.fault("status", on="get", status=404, reason="notFound", times=1)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    assert len(drive.files()) == 1
    assert values(app)[f"{BATCH}_conflicts_total"] == 1
