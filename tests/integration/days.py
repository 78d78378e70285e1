"""Batches of days as the export core leaves them, put into a test's own database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId
from pymongo.database import Database

BANGKOK = ZoneInfo("Asia/Bangkok")


def local(text: str, zone: ZoneInfo = BANGKOK) -> datetime:
    """`01-18 18:00` of 2026 by the wall clock of the zone."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=zone)


def put_day(
    database: Database[dict[str, Any]],
    day: str,
    state: str,
    *,
    began: datetime | None = None,
    **fields: Any,
) -> ObjectId:
    """The batch of `01-18` in 2026; began just after 18:00 in Bangkok unless told otherwise."""
    began = (began or local(f"{day} 18:00")).astimezone(UTC) + timedelta(seconds=1)
    ended = began + timedelta(seconds=9)
    doc: dict[str, Any] = {
        "_id": ObjectId(),
        "profile": "daily",
        "batchDate": f"2026-{day}",
        "state": state,
        "generation": 1,
        "attempt": 1,
        "endedAttempt": 0 if state == "open" else 1,
        "nextAttemptAt": None,
        "pendingTask": None,
        "createdAt": began,
        "startedAt": began,
        "updatedAt": ended,
    }
    if state in ("committed", "empty"):
        doc["committedAt"] = ended
    if state == "committed":
        doc["markedAt"] = ended
    if state == "failed":
        doc["error"] = {"type": "google_drive", "message": "Drive answered 503", "at": ended}
    doc.update(fields)
    database["exportbatches"].insert_one(doc)
    return doc["_id"]
