"""Manual exports by callers that Cloud Run has verified: each has keys of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from bson import ObjectId
from pymongo import MongoClient

from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.test_http import Db, Function, assert_problem
from tests.acceptance.tokens import bearer
from tests.emulators.drive import DriveEmulator

ANN, BEN = "ann@acme.example", "ben@p.iam.gserviceaccount.com"
CALLERS = ",".join(f"/exports={account}" for account in (ANN, BEN))


class Exports:
    """The function with callers, and as it was before they were named."""

    def __init__(self, uri: str, database: Db, drive: DriveEmulator) -> None:
        self.database, self.drive = database, drive
        self.guarded = Function(uri, database, drive, DAYBOOK_CALLERS=CALLERS)
        self.open = Function(uri, database, drive)

    def ask(
        self, account: str | None, wanted: dict[str, Any], key: str | None = None
    ) -> requests.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        if account is None:
            return self.open.post("/exports", json=wanted, headers=headers)
        headers["Authorization"] = bearer(account)
        return self.guarded.post("/exports", json=wanted, headers=headers)

    def entry(self) -> dict[str, Any]:
        """The body of an export of one new entry."""
        entry = books.entry("M-1")
        books.put(self.database, entry)
        return {"entryIds": [str(entry["_id"])]}


@pytest.fixture(scope="module")
def exports(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Exports]:
    database = mongo_client[f"exports_{ObjectId()}"]
    migrate(database, now=datetime.now(UTC))
    with DriveEmulator() as drive:
        exports = Exports(mongo_uri, database, drive)
        yield exports
        for function in (exports.guarded, exports.open):
            function.stop()
    mongo_client.drop_database(database.name)


@pytest.mark.parametrize("key", ["audit-2026-01", None])
def test_each_caller_gets_a_file_of_its_own_under_a_key_that_both_use(
    exports: Exports, key: str | None
) -> None:
    wanted = exports.entry()
    first = {account: exports.ask(account, wanted, key).json() for account in (ANN, BEN)}
    assert [answer["status"] for answer in first.values()] == ["exported"] * 2
    assert first[ANN]["fileId"] != first[BEN]["fileId"]
    assert first[ANN]["filename"] != first[BEN]["filename"]
    for account, answer in first.items():
        again = exports.ask(account, wanted, key).json()
        assert (again["status"], again["fileId"]) == ("already_exported", answer["fileId"])
    stored = exports.database["exportbatches"].find({"fileId": {"$in": _ids(first)}})
    assert {batch["request"]["caller"] for batch in stored} == {ANN, BEN}


def _ids(answers: dict[str, Any]) -> list[str]:
    return [answer["fileId"] for answer in answers.values()]


def test_references_name_entries_over_http(exports: Exports) -> None:
    one, *several = books.entry("RV-1"), books.entry("RV-2"), books.entry("RV-2")
    books.put(exports.database, one, *several)
    assert exports.ask(None, {"entryIds": ["RV-1"]}).json()["entryCount"] == 1
    refused = exports.ask(None, {"entryIds": ["RV-1", "RV-2"]})
    assert_problem(refused, 400)
    requeued = exports.open.post("/admin/requeue", json={"entryId": "RV-2"})
    assert_problem(requeued, 409)
    for answer in (refused, requeued):
        assert all(str(entry["_id"]) in answer.json()["detail"] for entry in several)
    exports.database["exportqueues"].update_one(
        {"entryId": one["_id"]}, {"$set": {"status": "failed"}}
    )
    found = exports.open.post("/admin/requeue", json={"entryId": "RV-1"})
    assert found.json()["entryId"] == str(one["_id"])
    assert found.json()["reference"] == "RV-1"


def test_another_caller_cannot_block_a_key(exports: Exports) -> None:
    assert exports.ask(BEN, exports.entry(), "quarter-1").json()["status"] == "exported"
    assert exports.ask(ANN, exports.entry(), "quarter-1").json()["status"] == "exported"
    assert_problem(exports.ask(ANN, exports.entry(), "quarter-1"), 422, "Idempotency-Key")


@pytest.mark.parametrize("key", ["before", None])
def test_an_export_that_was_stored_without_a_caller_is_replayed_to_any_caller(
    exports: Exports, key: str | None
) -> None:
    """As earlier versions stored it."""
    wanted = exports.entry()
    first = exports.ask(None, wanted, key).json()
    batch = exports.database["exportbatches"].find_one({"fileId": first["fileId"]})
    assert batch is not None
    assert batch["request"] == wanted
    files = len(exports.drive.files())
    for account in (ANN, BEN):
        again = exports.ask(account, wanted, key).json()
        assert (again["status"], again["fileId"]) == ("already_exported", first["fileId"])
    if key is not None:
        assert_problem(exports.ask(ANN, exports.entry(), key), 422, "Idempotency-Key")
    assert len(exports.drive.files()) == files


def test_an_export_that_was_begun_without_a_caller_is_finished_and_not_begun_again(
    exports: Exports,
) -> None:
    wanted = exports.entry()
    exports.drive.fault("status", on="create_multipart", status=503, times=None)
    begun = exports.ask(None, wanted, "begun")
    exports.drive.faults.clear()
    assert begun.json()["status"] == "retry_scheduled"
    done = exports.ask(BEN, wanted, "begun").json()
    assert done["status"] == "exported"
    batches = list(exports.database["exportbatches"].find({"manualKey": {"$regex": "begun$"}}))
    assert [(batch["manualKey"], batch["state"]) for batch in batches] == [("begun", "committed")]


def test_a_key_that_reads_like_another_callers_does_not_lead_to_its_export(
    exports: Exports,
) -> None:
    wanted = exports.entry()
    mine = exports.ask(ANN, wanted, "secret").json()
    theirs = exports.ask(BEN, wanted, f"{ANN} secret").json()
    assert theirs["status"] == "exported"
    assert theirs["fileId"] != mine["fileId"]
    assert_problem(exports.ask(None, wanted, f"{ANN} secret"), 422, "Idempotency-Key")
