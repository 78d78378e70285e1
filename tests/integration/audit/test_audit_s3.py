"""The audit of a bucket reads a file once, and again only when the object is another one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pymongo.database import Database

from daybook.app import App
from daybook.audit.audit import AuditKind, audit, delivered_days
from daybook.audit.daily import store
from daybook.destinations.s3.s3 import S3Destination
from daybook.export.outcome import Status
from tests import books, commands

pytestmark = pytest.mark.migrated

DAY = date(2026, 1, 18)
NAME = "2026/batch_2026-01-18.csv"
READ = ["HeadObject", "GetObject", "HeadObject"]
ASKED = ["HeadObject"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.resource("s3").create_bucket(Bucket="books")


def events_of(app: App) -> Any:
    """Where boto3 says what it sends: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html"""
    destination = app.destination
    assert isinstance(destination, S3Destination)
    return destination._client.meta.events


class Audits:
    """Audits of one delivered day, and the requests that each makes."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.requests: list[str] = []
        events_of(app).register(
            "request-created.s3", lambda **sent: self.requests.append(sent["operation_name"])
        )

    def once(self) -> tuple[list[AuditKind], list[str]]:
        """What is found, and the requests to the bucket."""
        self.requests.clear()
        days = delivered_days(self.app.database, "daily", since=DAY)
        profile = self.app.profile()
        (day,) = audit(self.app.database, self.app.destination, profile, days, now=self.app.now)
        store(self.app.database, day, None)
        return [finding.kind for finding in day.findings], list(self.requests)


@pytest.fixture
def audits(mongo_uri: str, database: Database[dict[str, Any]], bucket: Any) -> Iterator[Audits]:
    app = books.make_app(mongo_uri, database.name, "s3://books/2026")
    books.put_many(database, 3)
    assert commands.run_day(app, DAY).status is Status.EXPORTED
    yield Audits(app)
    app.client.close()


def test_an_unchanged_object_is_read_once(audits: Audits, bucket: Any) -> None:
    assert audits.once() == ([], READ)
    assert audits.once() == ([], ASKED)
    batch = audits.app.database["exportbatches"].find_one({})
    assert batch is not None
    assert batch["audit"]["fileVersion"] == bucket.Object(NAME).e_tag


def test_what_an_earlier_version_stored_is_read_once(audits: Audits) -> None:
    audits.once()
    audits.app.database["exportbatches"].update_one({}, {"$unset": {"audit.fileVersion": ""}})
    assert audits.once() == ([], READ)
    assert audits.once() == ([], ASKED)


def test_another_object_of_the_same_size_is_read_until_it_is_as_delivered(
    audits: Audits, bucket: Any
) -> None:
    audits.once()
    stored = bucket.Object(NAME)
    content = stored.get()["Body"].read()
    changed = content.replace(b"0", b"1", 1)
    assert len(changed) == len(content)
    assert changed != content

    stored.put(Body=changed)
    for _ in range(2):
        assert audits.once() == ([AuditKind.FILE_CONTENT], READ)

    stored.put(Body=content)
    assert audits.once() == ([], READ)
    assert audits.once() == ([], ASKED)

    stored.delete()
    assert audits.once() == ([AuditKind.FILE_MISSING], ["HeadObject", "HeadBucket"])
    stored.put(Body=content)
    assert audits.once() == ([], READ)


def test_an_object_that_is_replaced_while_it_is_read_counts_as_not_read(
    audits: Audits, bucket: Any
) -> None:
    stored = bucket.Object(NAME)
    content = stored.get()["Body"].read()
    replaced: list[bytes] = []

    def replace(**_: Any) -> None:
        if not replaced:
            replaced.append(content.replace(b"0", b"1", 1))
            stored.put(Body=replaced[0])

    # Between the response to GET, whose content is as delivered, and the HEAD after it.
    events_of(audits.app).register("after-call.s3.GetObject", replace)
    assert audits.once() == ([], READ)
    assert audits.once() == ([AuditKind.FILE_CONTENT], READ)
