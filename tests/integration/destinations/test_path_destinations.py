"""A whole run into a local folder and into S3: hidden until committed, then published once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto import mock_aws
from pymongo.database import Database

from daybook.app import App
from daybook.export.outcome import Status
from tests import books, commands
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase

pytestmark = pytest.mark.migrated

DAY, NEXT_DAY = date(2026, 1, 18), date(2026, 1, 19)
Db = Database[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "exports"
    place.mkdir()
    return place


@pytest.fixture
def app(mongo_uri: str, database: Db, folder: Path) -> App:
    return books.make_app(mongo_uri, database.name, folder.as_uri())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        made = boto3.resource("s3").create_bucket(Bucket="books")
        yield made


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_run_into_a_folder_is_published_and_not_repeated(
    app: App, database: Db, folder: Path
) -> None:
    ids = books.put_many(database, 3)
    planned = commands.plan_day(app, DAY)
    outcome = commands.run_day(app, DAY)
    assert outcome.status is Status.EXPORTED
    assert visible(folder) == ["batch_2026-01-18.csv"]
    content = (folder / "batch_2026-01-18.csv").read_bytes()
    assert len(content) == outcome.facts["sizeBytes"]
    assert planned.facts["sha256"] == outcome.facts["sha256"]
    assert outcome.facts["webViewLink"] == (folder / "batch_2026-01-18.csv").as_uri()
    assert books.statuses(database, ids) == ["completed"] * 3
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED


def test_a_name_that_is_taken_refuses_the_day_before_anything_is_written(
    app: App, database: Db, folder: Path
) -> None:
    ids = books.put_many(database, 3)
    taken = folder / "batch_2026-01-18.csv"
    taken.write_text("somebody else's")

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert outcome.error["type"] == "local_folder"
    assert "batch_2026-01-18.csv" in outcome.error["message"]
    assert taken.read_text() == "somebody else's"
    assert books.statuses(database, ids) == ["queued"] * 3


def test_publishing_again_after_a_crash_changes_nothing(
    app: App, database: Db, folder: Path
) -> None:
    books.put_many(database, 3)
    taken = folder / "batch_2026-01-18.csv"
    commands.run_day(app, DAY)
    content = taken.read_bytes()
    database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert taken.read_bytes() == content


def test_a_file_that_cannot_get_its_name_is_alerted_once_and_tried_again(
    app: App, database: Db, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = books.put_many(database, 3)
    commands.run_day(app, DAY)
    taken = folder / "batch_2026-01-18.csv"
    (hidden,) = folder.glob(".daybook-*")
    taken.rename(hidden / "content")  # as a crash after the commit leaves it
    taken.write_text("somebody else's")
    database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})

    outcomes = [commands.run_day(app, DAY) for _ in range(3)]

    assert [outcome.status for outcome in outcomes] == [Status.RETRY_SCHEDULED] * 3
    assert all(outcome.next_attempt_at is not None for outcome in outcomes)
    told = [getattr(record, "event", "") for record in caplog.records]
    assert told.count("publish_failed") == 1
    assert taken.read_text() == "somebody else's"
    taken.unlink()
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert taken.is_file()
    assert books.statuses(database, ids) == ["completed"] * 3


def test_a_folder_that_is_unmounted_before_publishing_is_waited_for(
    mongo_uri: str, database: Db, folder: Path
) -> None:
    ids = books.put_many(database, 3)
    unmounted = folder.with_name("unmounted")

    def unmount(event: Event) -> None:
        committed = (event.name, event.collection, event.phase) == (
            "update",
            "exportmanifests",
            Phase.AFTER,
        )
        recorded = database["exportslots"].find_one({"seals": {"$ne": []}}) is not None
        if committed and recorded and folder.exists():
            folder.rename(unmounted)

    address = urlsplit(mongo_uri)
    with MongoProxy(address.hostname or "", address.port or 0, unmount) as proxy:
        run = books.make_app(proxy.uri, database.name, folder.as_uri())
        outcome = commands.run_day(run, DAY)
        run.client.close()

    assert outcome.status is Status.RETRY_SCHEDULED
    assert outcome.error is not None
    assert str(folder) in outcome.error["message"]
    assert "mount" in outcome.error["message"]
    unmounted.rename(folder)
    app = books.make_app(mongo_uri, database.name, folder.as_uri())
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    assert visible(folder) == ["batch_2026-01-18.csv"]
    assert books.statuses(database, ids) == ["completed"] * 3


def test_a_folder_that_is_not_there_is_named(mongo_uri: str, database: Db, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    app = books.make_app(mongo_uri, database.name, missing.as_uri())
    books.put_many(database, 1)
    outcome = commands.run_day(app, DAY)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert str(missing) in outcome.error["message"]


def test_a_run_into_s3_is_published_and_not_repeated(
    mongo_uri: str, database: Db, bucket: Any
) -> None:
    app = books.make_app(mongo_uri, database.name, "s3://books/daily")
    books.put_many(database, 3)
    outcome = commands.run_day(app, DAY)
    assert outcome.status is Status.EXPORTED
    body = bucket.Object("daily/batch_2026-01-18.csv").get()["Body"].read()
    assert books.references(body) == ["INV-0", "INV-1", "INV-2"]
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    books.put_many(database, 2, prefix="NEXT")
    assert commands.run_day(app, NEXT_DAY).facts["entryCount"] == 2
    shown = [one.key for one in bucket.objects.all() if "/." not in one.key]
    assert shown == ["daily/batch_2026-01-18.csv", "daily/batch_2026-01-19.csv"]


def test_a_bucket_that_is_not_there_is_named(mongo_uri: str, database: Db, bucket: Any) -> None:
    app = books.make_app(mongo_uri, database.name, "s3://elsewhere/daily")
    books.put_many(database, 1)
    outcome = commands.run_day(app, DAY)
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert (outcome.error["type"], "elsewhere" in outcome.error["message"]) == ("s3", True)


def test_a_file_that_waits_for_its_name_is_not_forgotten_with_another_destination(
    mongo_uri: str, database: Db, folder: Path, tmp_path: Path
) -> None:
    books.put_many(database, 3)
    taken = folder / "batch_2026-01-18.csv"

    def take_the_name(event: Event) -> None:
        if (event.name, event.collection, event.phase) == ("insert", "exportlogs", Phase.BEFORE):
            taken.write_text("somebody else's")

    address = urlsplit(mongo_uri)
    with MongoProxy(address.hostname or "", address.port or 0, take_the_name) as proxy:
        run = books.make_app(proxy.uri, database.name, folder.as_uri())
        assert commands.run_day(run, DAY).status is Status.RETRY_SCHEDULED
        run.client.close()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = books.make_app(mongo_uri, database.name, elsewhere.as_uri())
    outcome = commands.run_day(moved, DAY)
    assert outcome.status is Status.RETRY_SCHEDULED
    assert outcome.error is not None
    assert folder.as_uri() in outcome.error["message"]

    taken.unlink()
    back = books.make_app(mongo_uri, database.name, folder.as_uri())
    assert commands.run_day(back, DAY).status is Status.ALREADY_EXPORTED
    assert books.references(taken.read_bytes()) == ["INV-0", "INV-1", "INV-2"]
