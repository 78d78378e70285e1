"""Which queue items a profile's batch takes, by the shape of the query alone."""

from __future__ import annotations

from typing import Any

import mongomock
import pytest

from daybook.export.model.profile import Profile
from daybook.export.queue.plan import queued

ITEMS: list[dict[str, Any]] = [
    {"_id": "plain", "exportPath": "scheduled", "status": "queued"},
    {"_id": "null", "exportPath": "scheduled", "status": "queued", "profile": None},
    {"_id": "daily", "exportPath": "scheduled", "status": "queued", "profile": "daily"},
    {"_id": "weekly", "exportPath": "scheduled", "status": "queued", "profile": "weekly"},
    {"_id": "manual", "exportPath": "manual", "status": "queued"},
    {"_id": "done", "exportPath": "scheduled", "status": "completed"},
    {"_id": "failed", "exportPath": "scheduled", "status": "failed"},
]


@pytest.mark.parametrize(
    ("profile", "taken"), [("daily", ["plain", "null", "daily"]), ("weekly", ["weekly"])]
)
def test_a_profile_takes_its_own_scheduled_queued_items(profile: str, taken: list[str]) -> None:
    queue = mongomock.MongoClient()["daybook"]["exportqueues"]
    queue.insert_many(ITEMS)
    assert [item["_id"] for item in queue.find(queued(Profile(name=profile)))] == taken
