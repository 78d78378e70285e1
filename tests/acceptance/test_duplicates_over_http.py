"""`POST /admin/migrate` where records are there twice: 409 with their IDs, and how to go on."""

from __future__ import annotations

import copy
import re
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from tests.acceptance.evening import MakeEvening

pytest_plugins = ["tests.acceptance.evening"]


def test_duplicates_are_a_conflict_that_names_them_and_changes_nothing(
    make_evening: MakeEvening, database: Database[dict[str, Any]]
) -> None:
    logs = database["exportlogs"]
    evening = make_evening(database=database)
    record = {
        "queueId": None,
        "action": "csv_generated",
        "metadata": {"batchDate": "2026-01-16", "fileId": "one"},
    }
    ids = [ObjectId(), ObjectId()]
    logs.insert_many([{"_id": one, **copy.deepcopy(record)} for one in ids])

    answer = evening.function.post("/admin/migrate")

    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "DUPLICATES"
    assert all(str(one) in answer.text for one in ids)
    assert "exportlogs" in problem["detail"]
    assert re.search(r'db\.getSiblingDB\("\w+"\)\.exportlogs\.updateMany', problem["detail"])
    assert "idx_batch_daily_unique" not in logs.index_information()
    assert logs.count_documents({"action": "csv_generated"}) == 2
    logs.update_one({"_id": ids[1]}, {"$set": {"action": "csv_superseded"}})
    again = evening.function.post("/admin/migrate")
    assert again.status_code == 200, again.text
    assert "idx_batch_daily_unique" in logs.index_information()
