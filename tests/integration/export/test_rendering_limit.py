"""The limit on rendering: what it counts, and what the error says to the operator."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pymongo.database import Database

from daybook.app import App
from daybook.export.context import daily_job
from daybook.export.outcome import Status
from daybook.export.run import run
from tests import books
from tests.emulators.drive import DriveEmulator

pytestmark = pytest.mark.migrated

DAY = date(2026, 1, 18)
COUNT = 1_500
"""Items in two pages, which are rendered one after the other."""
LIMIT_SECONDS = 30.0
Db = Database[dict[str, Any]]


class Stopwatch:
    """Does not move until `after` items are rendered; then an hour passes between two looks."""

    def __init__(self, *, after: int) -> None:
        self._after = after
        self._rendered = self._seconds = 0

    def __call__(self) -> float:
        if self._rendered >= self._after:
            self._seconds += 3600
        return self._seconds

    def progress(self, rendered: int, _total: int) -> None:
        self._rendered = rendered


def _app(mongo_uri: str, database: Db, drive: DriveEmulator, file_format: str) -> App:
    return books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_CSV_TIMEOUT_SECONDS=f"{LIMIT_SECONDS:g}",
        DAYBOOK_PROFILES=f'[daily]\nformat = "{file_format}"',
    )


def _run(app: App, stopwatch: Stopwatch) -> Any:
    exporter = replace(
        app.exporter(app.profile()), monotonic=stopwatch, progress=stopwatch.progress
    )
    return run(exporter, daily_job(app.database, app.profile(), DAY))


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_once_all_rows_are_rendered_no_time_counts(
    mongo_uri: str, database: Db, drive: DriveEmulator, file_format: str
) -> None:
    """An xlsx is made of them then, and another attempt would only make the same rows again."""
    app = _app(mongo_uri, database, drive, file_format)
    books.put_many(database, COUNT)

    outcome = _run(app, Stopwatch(after=COUNT))

    assert (outcome.status, outcome.facts["entryCount"]) == (Status.EXPORTED, COUNT)
    assert [file.name for file in drive.files()] == [f"batch_{DAY}.{file_format}"]


@pytest.mark.parametrize(
    ("after", "reached"),
    [(0, "1,000 of 1,500 items (2,000 rows)"), (1_000, "1,500 of 1,500 items (3,000 rows)")],
)
@pytest.mark.parametrize(
    ("file_format", "hint"),
    [
        ("csv", "raise that setting"),
        ("xlsx", 'raise that setting, or use format = "csv", which takes a fraction of the time'),
    ],
)
def test_a_run_that_is_too_slow_says_how_far_it_came_and_what_to_do(
    mongo_uri: str,
    database: Db,
    drive: DriveEmulator,
    file_format: str,
    hint: str,
    after: int,
    reached: str,
) -> None:
    app = _app(mongo_uri, database, drive, file_format)
    ids = books.put_many(database, COUNT)

    outcome = _run(app, Stopwatch(after=after))

    assert outcome.status is Status.RETRY_SCHEDULED
    expected = (
        "rendering took longer than DAYBOOK_CSV_TIMEOUT_SECONDS (30 s) "
        f"and reached {reached}: {hint}"
    )
    assert (outcome.error["type"], outcome.error["message"]) == ("timeout", expected)
    (batch,) = database["exportbatches"].find()
    assert batch["error"]["message"] == expected
    assert drive.files() == []
    assert set(books.statuses(database, ids)) == {"queued"}
