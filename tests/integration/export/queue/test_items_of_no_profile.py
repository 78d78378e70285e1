"""An item counts as unclaimed only if none of the configured profiles takes it."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.export.queue.plan import queued
from daybook.export.queue.waiting import Unclaimed, reason_of, unclaimed
from daybook.profiles.reading import read
from daybook.settings.settings import Settings
from tests.integration.office import EVENING

pytestmark = pytest.mark.migrated

FIELDS: list[dict[str, Any]] = [
    {},
    {"profile": None},
    {"profile": "daily"},
    {"profile": "sales"},
    {"profile": "none"},
    {"profile": "none", "company": "A"},
    {"company": "A"},
    {"company": "B"},
    {"profile": "daily", "company": "B", "live": True},
    {"profile": "sales", "live": 1},
    {"profile": 7},
]


@pytest.mark.parametrize(
    "toml",
    [
        "",
        "[sales]",
        '[sales]\nenabled = false\n[daily]\nmatch = {company = "A"}',
        '[daily]\nmatch = {company = "A"}\n[sales]\nmatch = {company = "B"}',
        "[daily]\nmatch = {live = true}\n[sales]\nmatch = {live = 1}",
        '[other]\nsource = {queue = "outbox"}\n[sales]\nmatch = {profile = "sales", live = 1}',
    ],
)
def test_what_no_profile_takes_is_counted_and_named(
    database: Database[dict[str, Any]], toml: str
) -> None:
    items = [
        {
            "_id": ObjectId(),
            "entryId": ObjectId(),
            "exportPath": "scheduled",
            "status": "queued",
            "createdAt": EVENING,
            "updatedAt": EVENING,
            **fields,
        }
        for fields in FIELDS
    ]
    database["exportqueues"].insert_many(items)
    settings = Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1/",
            "DAYBOOK_DESTINATION": "file:///srv/books",
            "DAYBOOK_PROFILES": toml,
        }
    )
    found = [one.profile for one in read(settings, fetch_secret=str).values()]
    of_queue = [one for one in found if one.source.queue == "exportqueues"]
    taken = {
        item["_id"]
        for profile in of_queue
        for item in database["exportqueues"].find(queued(profile))
    }
    lost = [item["_id"] for item in items if item["_id"] not in taken]
    assert lost  # the table has such items for every configuration
    for profile in of_queue:
        assert unclaimed(database, profile) == {Unclaimed.UNKNOWN_PROFILE: len(lost)}
        assert [
            item["_id"] for item in items if reason_of(item, profile) is Unclaimed.UNKNOWN_PROFILE
        ] == lost
