"""An xlsx day onto S3, from the queue to the published object."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

import boto3
import pytest
from moto import mock_aws
from openpyxl import load_workbook
from pymongo.database import Database

from daybook.export.outcome import Status
from tests import books, commands

pytestmark = pytest.mark.migrated

DAY = date(2026, 1, 18)
NAME = "2026/batch_2026-01-18.xlsx"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.resource("s3").create_bucket(Bucket="books")


@pytest.mark.parametrize("limit_bytes", ["5242880", "0"], ids=["in one request", "in parts"])
def test_an_xlsx_day_is_one_object_with_its_entries(
    mongo_uri: str, database: Database[dict[str, Any]], bucket: Any, limit_bytes: str
) -> None:
    app = books.make_app(
        mongo_uri,
        database.name,
        "s3://books/2026",
        DAYBOOK_PROFILES='[daily]\nformat = "xlsx"',
        DAYBOOK_MULTIPART_LIMIT_BYTES=limit_bytes,
    )
    ids = books.put_many(database, 3)
    planned = commands.plan_day(app, DAY)

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert commands.run_day(app, DAY).status is Status.ALREADY_EXPORTED
    published = {one.key for one in bucket.objects.all() if "/.daybook/" not in one.key}
    assert published == {NAME}
    stored = bucket.Object(NAME).get()
    content = stored["Body"].read()
    assert stored["ContentType"].startswith("application/vnd.openxmlformats-officedocument")
    digests = {planned.facts["sha256"], outcome.facts["sha256"]}
    assert digests == {hashlib.sha256(content).hexdigest()}
    titles, *rows = load_workbook(io.BytesIO(content))["Journal"].iter_rows(values_only=True)
    reference, line = titles.index("Reference"), titles.index("Line")
    assert [row[reference] for row in rows if row[line] == 1] == ["INV-0", "INV-1", "INV-2"]
    assert books.statuses(database, ids) == ["completed"] * 3
    app.client.close()
