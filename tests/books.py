"""Entries and queue items as the tests write them, and what a delivered file says."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, ObjectId
from pymongo.database import Database

from daybook.app import App
from tests.reusable import migrate_once

NOON = datetime(2026, 1, 18, 5, 0, tzinfo=UTC)
"""2026-01-18, 12:00 in Bangkok."""
_ZIP = b"PK\x03\x04"
"""What an xlsx begins with."""


def make_app(uri: str, database: str, destination: str, **more: str) -> App:
    """An app over a migrated database; `more` are further variables."""
    app = App.from_env(
        {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database,
            "DAYBOOK_DESTINATION": destination,
            **more,
        }
    )
    migrate_once(app.database, now=datetime.now(UTC))
    return app


def lines(amount: str = "100.00") -> list[dict[str, Any]]:
    zero = Decimal128("0")
    value = Decimal128(amount)
    return [
        {"accountCode": "1100", "accountName": "เงินสด", "debit": value, "credit": zero},
        {"accountCode": "4000", "accountName": "Revenue", "debit": zero, "credit": value},
    ]


def entry(reference: str = "INV-1", **fields: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "date": NOON,
        "reference": reference,
        "description": "ค่าบริการ",
        "currency": "THB",
        "lines": lines(),
        **fields,
    }


def queue_item(entry_id: Any, **fields: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "entryId": entry_id,
        "exportPath": "scheduled",
        "status": "queued",
        "createdAt": NOON,
        "updatedAt": NOON,
        **fields,
    }


def put(database: Database[dict[str, Any]], *entries: Mapping[str, Any]) -> list[Any]:
    """Insert the entries, queue each, and return the ids of the queue items."""
    database["journalentries"].insert_many([dict(one) for one in entries])
    items = [queue_item(one["_id"]) for one in entries]
    database["exportqueues"].insert_many(items)
    return [item["_id"] for item in items]


def put_many(database: Database[dict[str, Any]], count: int, prefix: str = "INV") -> list[Any]:
    return put(database, *(entry(f"{prefix}-{number}") for number in range(count)))


def rows(content: bytes) -> list[dict[str, str]]:
    """The rows by column title; those of an xlsx as a CSV would have them."""
    if content.startswith(_ZIP):
        return _rows_of_sheet(content)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _rows_of_sheet(content: bytes) -> list[dict[str, str]]:
    from openpyxl import load_workbook  # slow to import, and most tests read CSV

    sheet = load_workbook(io.BytesIO(content))["Journal"]
    titles, *rows = sheet.iter_rows(values_only=True)
    return [
        {str(title): _printed(str(title), value) for title, value in zip(titles, row, strict=True)}
        for row in rows
    ]


def _printed(title: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if title in ("Debit", "Credit", "Amount") else str(value)


def references(content: bytes) -> list[str]:
    """The reference of each entry in the file, in order."""
    return [row["Reference"] for row in rows(content) if row["Line"] in ("1", "")]


def statuses(database: Database[dict[str, Any]], ids: Sequence[Any]) -> list[str]:
    found = {
        item["_id"]: item["status"]
        for item in database["exportqueues"].find({"_id": {"$in": list(ids)}})
    }
    return [found[item_id] for item_id in ids]
