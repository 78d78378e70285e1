"""A batch's attempts as they are stored and shown: each with its beginning, its end, its error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import flask
import pytest
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.errors import DatabaseError, DestinationRefused
from daybook.export.batch import attempts
from daybook.export.context import daily_job
from daybook.export.operations.reopen import release_day, reopen_day
from daybook.export.outcome import Status
from daybook.export.run import run
from daybook.http import routes
from tests import books, commands
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.log import Moment

pytestmark = pytest.mark.migrated

DAY = date(2026, 1, 18)
EVENING = datetime(2026, 1, 18, 11, 0, 5, tzinfo=UTC)
Db = Database[dict[str, Any]]


class Killed(BaseException):
    """The process ends here."""


class Raises:
    """A destination whose answer to a file is this error."""

    def __init__(self, real: Any, error: BaseException) -> None:
        self.real, self.error = real, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def send_whole(self, *_: Any) -> None:
        raise self.error


@pytest.fixture
def app(mongo_uri: str, database: Db, drive: DriveEmulator) -> App:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_BREAKER_FAILURES="99",
    )
    return App(app.settings, sleep=lambda _seconds: None, clock=lambda: EVENING)


def at(app: App, minutes: int) -> App:
    return replace(app, clock=lambda: EVENING + timedelta(minutes=minutes))


def shown(app: App, path: str = f"/days/{DAY}") -> Any:
    environ = EnvironBuilder(path=path, headers={"Accept": "application/json"}).get_environ()
    return routes.answer(app, flask.Request(environ)).get_json()


def text_of(app: App, path: str = f"/days/{DAY}") -> str:
    environ = EnvironBuilder(path=path, headers={"Accept": "text/html"}).get_environ()
    return routes.answer(app, flask.Request(environ)).get_data(as_text=True)


def outcomes(app: App) -> list[tuple[int, int, str | None]]:
    return [(one["generation"], one["attempt"], one["outcome"]) for one in shown(app)["attempts"]]


def test_each_attempt_keeps_its_own_error_and_what_was_due_next(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)
    drive.down = True
    assert commands.run_day(app, DAY).status is Status.RETRY_SCHEDULED
    drive.down = False
    settings = replace(app.settings, csv_timeout_seconds=0.000001)
    slow = App(settings, sleep=app.sleep, clock=lambda: EVENING + timedelta(minutes=5))
    assert commands.run_day(slow, DAY).status is Status.RETRY_SCHEDULED
    assert commands.run_day(at(app, 20), DAY).status is Status.EXPORTED

    first, second, third = shown(at(app, 30))["attempts"]
    assert [one["outcome"] for one in (first, second, third)] == ["failed", "failed", "exported"]
    assert first["error"]["type"] == "google_drive"
    assert "503" in first["error"]["message"]
    assert second["error"]["type"] == "timeout"
    assert "DAYBOOK_CSV_TIMEOUT_SECONDS" in second["error"]["message"]
    assert third["error"] is None
    begun = [datetime.fromisoformat(one["startedAt"]) for one in (first, second, third)]
    assert begun == [EVENING + timedelta(minutes=minutes) for minutes in (0, 5, 20)]
    assert [datetime.fromisoformat(one["nextAttemptAt"]) for one in (first, second)] == [
        EVENING + timedelta(minutes=5),
        EVENING + timedelta(minutes=5 + 15),
    ]
    assert third["nextAttemptAt"] is None
    assert all(one["endedAt"] is not None for one in (first, second, third))
    page = text_of(at(app, 30))
    assert "DAYBOOK_CSV_TIMEOUT_SECONDS" in page
    assert "503" in page


def test_a_killed_attempt_is_distinguished_from_a_running_one(app: App, database: Db) -> None:
    books.put_many(database, 2)

    exporter = app.exporter(app.profile())
    dying: Any = Raises(exporter.destination, Killed())
    with suppress(Killed):
        run(replace(exporter, destination=dying), daily_job(database, app.profile(), DAY))
    assert outcomes(app) == [(1, 1, None)]

    assert commands.run_day(app, DAY).status is Status.EXPORTED
    assert outcomes(app) == [(1, 1, "unfinished"), (1, 2, "exported")]


def test_an_empty_day_that_is_exported_later_keeps_both_attempts(app: App, database: Db) -> None:
    assert commands.run_day(app, DAY).status is Status.EMPTY
    assert outcomes(app) == [(1, 1, "empty")]
    books.put_many(database, 1)
    assert commands.run_day(at(app, 5), DAY).status is Status.EXPORTED
    assert outcomes(at(app, 5)) == [(1, 1, "empty"), (1, 1, "exported")]


def test_a_day_that_was_opened_again_keeps_the_attempts_of_before(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 1)
    drive.down = True
    for _ in range(4):
        commands.run_day(app, DAY)
    assert [one["outcome"] for one in shown(app)["attempts"]] == ["failed"] * 4
    assert shown(app)["attempts"][-1]["nextAttemptAt"] is None
    drive.down = False
    reopen_day(app.exporter(app.profile()), DAY)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    assert outcomes(app)[-2:] == [(1, 4, "failed"), (2, 1, "exported")]


def test_a_day_closed_by_an_operator_says_so_of_its_last_attempt(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 1)
    drive.down = True
    commands.run_day(app, DAY)
    database["exportbatches"].update_one(
        {}, {"$set": {"endedAttempt": 0, "attempts.0.outcome": None, "attempts.0.endedAt": None}}
    )
    release_day(app.exporter(app.profile()), DAY)
    assert outcomes(app) == [(1, 1, "unfinished")]


def test_a_batch_of_an_earlier_version_gets_the_attempts_that_follow(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 1)
    drive.down = True
    commands.run_day(app, DAY)
    database["exportbatches"].update_one({}, {"$unset": {"attempts": ""}})
    assert shown(app)["attempts"] == []
    commands.run_day(at(app, 5), DAY)
    drive.down = False
    assert commands.run_day(at(app, 20), DAY).status is Status.EXPORTED
    assert outcomes(at(app, 20)) == [(1, 2, "failed"), (1, 3, "exported")]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "text",
        5,
        {},
        {"0": {}},
        [None, 5, "text", [], {}],
        [{"generation": -1, "attempt": "x", "startedAt": "yesterday"}],
        [{"generation": 1, "attempt": 1, "outcome": "a word of a later version"}],
        [{"generation": 1, "attempt": 1, "error": {"type": 1}}],
    ],
)
def test_what_was_altered_by_hand_stops_no_run(
    app: App, database: Db, drive: DriveEmulator, stored: Any
) -> None:
    books.put_many(database, 1)
    drive.down = True
    commands.run_day(app, DAY)
    database["exportbatches"].update_one({}, {"$set": {"attempts": stored}})
    assert shown(app)["attempts"] == []
    assert commands.run_day(at(app, 5), DAY).status is Status.RETRY_SCHEDULED
    drive.down = False
    assert commands.run_day(at(app, 20), DAY).status is Status.EXPORTED
    assert outcomes(at(app, 20)) == [(1, 2, "failed"), (1, 3, "exported")]


def test_the_latest_attempts_are_kept_with_the_beginning_of_a_long_error(
    app: App, database: Db
) -> None:
    books.put_many(database, 1)
    settings = replace(app.settings, csv_timeout_seconds=0.000001)
    slow = App(settings, sleep=app.sleep, clock=app.clock)
    commands.run_day(slow, DAY)
    (stored,) = database["exportbatches"].find_one({})["attempts"]  # type: ignore[index]
    long = {"type": "unknown", "message": "x" * 20_000}
    many = [{**stored, "generation": number, "error": long} for number in range(40)]
    database["exportbatches"].update_one({}, {"$set": {"attempts": many}})
    assert commands.run_day(at(app, 5), DAY).status is Status.EXPORTED
    found = database["exportbatches"].find_one({})
    assert found is not None
    assert len(found["attempts"]) == attempts.KEPT
    assert [one["generation"] for one in found["attempts"]] == [*range(21, 40), 1]


def test_a_long_error_is_cut_in_the_attempt_and_whole_in_the_batch(app: App, database: Db) -> None:
    books.put_many(database, 1)
    exporter = app.exporter(app.profile())
    refusing: Any = Raises(exporter.destination, DestinationRefused("no " * 2000))
    run(replace(exporter, destination=refusing), daily_job(database, app.profile(), DAY))
    found = database["exportbatches"].find_one({})
    assert found is not None
    kept, whole = found["attempts"][0]["error"]["message"], found["error"]["message"]
    assert len(kept) == attempts.LONGEST_MESSAGE < len(whole)
    assert whole.startswith(kept)


def test_a_file_that_mongodb_refuses_to_record_needs_attention_until_it_is_recorded(
    app: App, database: Db, drive: DriveEmulator
) -> None:
    books.put_many(database, 2)

    def forbid(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            database.command("collMod", "exportlogs", validator={"tenant": "theirs"})

    drive.on_request(forbid)
    commands.run_day(app, DAY)
    (file,) = drive.files()

    for path in ("/", f"/days/{DAY}"):
        (item,) = shown(app, path)["attention"]
        assert item["event"] == "file_unrecorded"
        assert item["batchDate"] == DAY.isoformat()
        assert item["facts"]["file_id"] == file.id
        assert item["facts"]["filename"] == f"batch_{DAY}.csv"
        assert "exportlogs" in item["facts"]["error"]
        assert "Do not delete the file" in text_of(app, path)

    drive.on_request(lambda _: None)
    database.command("collMod", "exportlogs", validator={})
    reopen_day(app.exporter(app.profile()), DAY)
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert shown(app)["attention"] == []
    stored = database["exportbatches"].find_one({})
    assert stored is not None
    assert stored["unrecorded"] is None
    assert len(drive.files()) == 1


def test_a_file_without_a_record_is_alerted_although_its_batch_cannot_be_written(
    app: App, database: Db, drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    books.put_many(database, 2)

    def forbid(moment: Moment) -> None:
        if (moment.operation, moment.stage) == ("create_multipart", "before"):
            database.command("collMod", "exportbatches", validator={"tenant": "theirs"})

    drive.on_request(forbid)
    with pytest.raises(DatabaseError) as caught:
        commands.run_day(app, DAY)
    assert "the validator of exportbatches" in str(caught.value)
    (file,) = drive.files()
    (alert,) = (one for one in caplog.records if getattr(one, "event", "") == "file_unrecorded")
    assert file.id in str(alert.__dict__)
    assert "the validator of exportbatches" in alert.getMessage()

    drive.on_request(lambda _: None)
    database.command("collMod", "exportbatches", validator={})
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert len(drive.files()) == 1
