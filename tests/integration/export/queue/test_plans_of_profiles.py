"""The plan's query stays on an index, however many profiles share the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.export.model.profile import Profile
from daybook.export.queue.plan import planned, scan
from tests.integration.office import EVENING

pytestmark = pytest.mark.migrated

PROFILES = 100
ITEMS = 50
"""Queued items of each profile, and of none."""


@pytest.fixture
def queue(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    items = [
        {
            "entryId": ObjectId(),
            "exportPath": "scheduled",
            "status": "queued",
            "createdAt": EVENING,
            "updatedAt": EVENING,
            "companyId": f"C-{number}",
            **({} if number == PROFILES else {"profile": f"p{number}"}),
        }
        for _ in range(ITEMS)
        for number in range(PROFILES + 1)
    ]
    database["exportqueues"].insert_many(items)
    return database


def stages(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in (plan.get("inputStage"), *plan.get("inputStages", ())):
        if inner is not None:
            yield from stages(inner)


@pytest.mark.parametrize(
    ("profile", "index", "most"),
    [
        (Profile(name="p7"), "idx_queue_profile", ITEMS),
        (
            Profile(name="x", match={"profile": "p7", "companyId": "C-7"}),
            "idx_queue_profile",
            ITEMS,
        ),
        # Without `profile` in the match, it goes through what all profiles have queued.
        (
            Profile(name="x", match={"companyId": "C-7"}),
            "idx_queue_plan",
            ITEMS * (PROFILES + 1),
        ),
        (Profile(name="daily"), "idx_queue_plan", ITEMS * (PROFILES + 1)),
    ],
    ids=["its own name", "its name and a field", "a field", "daily"],
)
def test_the_plan_of_one_of_a_hundred_profiles(
    queue: Database[dict[str, Any]], profile: Profile, index: str, most: int
) -> None:
    found = planned(profile).find(queue).explain()
    used = list(stages(found["queryPlanner"]["winningPlan"]))
    names = [stage["stage"] for stage in used]
    assert "COLLSCAN" not in names
    assert "SORT" not in names
    assert {stage["indexName"] for stage in used if stage["stage"] == "IXSCAN"} == {index}
    ran = found["executionStats"]
    assert ran["nReturned"] == ITEMS
    assert ran["totalDocsExamined"] <= most
    assert sum(len(part.queue_ids) for part in scan(queue, profile)) == ITEMS
