"""Invite codes: random by default, and no caller that may only accept learns which exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests.acceptance.tokens import bearer
from tests.acceptance.wire import Server, request, serving

pytestmark = pytest.mark.migrated

OFFICE, SHOP = "office@p.iam.gserviceaccount.com", "shop@p.iam.gserviceaccount.com"
CALLERS = ",".join(
    [
        f"/invites={OFFICE}",
        *(f"/invites/{{code}}/accept={account}" for account in (OFFICE, SHOP)),
    ]
)
CODE = re.compile(r"[0-9A-F]{20}")


@dataclass(frozen=True, kw_only=True)
class Ledger:
    server: Server
    database: Database[dict[str, Any]]

    def post(
        self, path: str, body: dict[str, Any], *, caller: str | None = OFFICE, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        data = json.dumps(body).encode()
        headers = [f"Content-Length: {len(data)}"]
        if caller is not None:
            headers.append(f"Authorization: {bearer(caller)}")
        if key:
            headers.append(f"Idempotency-Key: {key}")
        answer = self.server.send(request("POST", path, *headers, body=data), method="POST")
        return answer.status, json.loads(answer.body)

    def invite(self, **more: str) -> str:
        status, made = self.post("/invites", {"parentCode": "AG-7", **more})
        assert status == 201, made
        return str(made["code"])


@pytest.fixture(scope="module")
def database(
    mongo_client: MongoClient[dict[str, Any]],
) -> Iterator[Database[dict[str, Any]]]:
    database = mongo_client[f"invites_{ObjectId()}"]
    migrate(database, now=datetime.now(UTC))
    yield database
    mongo_client.drop_database(database.name)


@pytest.fixture(scope="module")
def ledger(
    mongo_uri: str, database: Database[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    folder: Path = tmp_path_factory.mktemp("invites")
    with serving("ledger", mongo_uri, database.name, folder, DAYBOOK_CALLERS=CALLERS) as server:
        yield Ledger(server=server, database=database)


def failures(ledger: Ledger) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every way in which an acceptance fails: code and body."""
    used, expired, damaged, due = (ledger.invite() for _ in range(4))
    assert ledger.post(f"/invites/{used}/accept", {})[0] == 200
    invites = ledger.database["invites"]
    over = datetime.now(UTC) - timedelta(minutes=1)
    invites.update_one({"code": expired}, {"$set": {"status": "expired", "expiresAt": over}})
    invites.update_one({"code": due}, {"$set": {"expiresAt": over}})
    invites.update_one({"code": damaged}, {"$set": {"expiresAt": "soon"}})
    return {
        "unknown": ("0" * 20, {}),
        "used": (used, {}),
        "expired": (expired, {}),
        "due, and not marked yet": (due, {}),
        "damaged": (damaged, {}),
        "of an unknown user": (ledger.invite(), {"userId": str(ObjectId())}),
    }


def test_who_may_only_accept_gets_one_answer_to_all_failures(ledger: Ledger) -> None:
    for key in ("", str(ObjectId())):
        answers = {
            name: ledger.post(f"/invites/{code}/accept", body, caller=SHOP, key=key)
            for name, (code, body) in failures(ledger).items()
        }
        status, problem = answers["unknown"]
        assert (status, problem["code"]) == (404, "INVITE_NOT_FOUND")
        assert answers == dict.fromkeys(answers, (status, problem))


def test_callers_that_may_read_invites_get_the_reason(ledger: Ledger) -> None:
    told = {
        name: ledger.post(f"/invites/{code}/accept", body)
        for name, (code, body) in failures(ledger).items()
    }
    assert {name: (status, problem["code"]) for name, (status, problem) in told.items()} == {
        "unknown": (404, "INVITE_NOT_FOUND"),
        "used": (409, "INVITE_USED"),
        "expired": (410, "INVITE_EXPIRED"),
        "due, and not marked yet": (410, "INVITE_EXPIRED"),
        "damaged": (409, "DOCUMENT_INVALID"),
        "of an unknown user": (404, "USER_NOT_FOUND"),
    }


def test_who_may_only_accept_accepts_and_may_repeat_it(ledger: Ledger) -> None:
    code, key = ledger.invite(), str(ObjectId())
    first = ledger.post(f"/invites/{code}/accept", {}, caller=SHOP, key=key)
    assert (first[0], first[1]["status"]) == (200, "used")
    assert ledger.post(f"/invites/{code}/accept", {}, caller=SHOP, key=key) == first
    doc = ledger.database["invites"].find_one({"code": code})
    assert doc is not None
    assert doc["status"] == "used"


def test_codes_are_random_and_none_may_be_chosen(ledger: Ledger) -> None:
    codes = {ledger.invite() for _ in range(50)}
    assert len(codes) == 50
    assert all(CODE.fullmatch(code) for code in codes)
    count = ledger.database["invites"].count_documents({})
    status, problem = ledger.post("/invites", {"parentCode": "AG-7", "code": "SUMMER26"})
    assert (status, problem["code"], problem["where"]) == (400, "BAD_REQUEST", "code")
    assert "DAYBOOK_LEDGER_INVITE_CODES" in problem["detail"]
    assert ledger.database["invites"].count_documents({}) == count


def test_chosen_codes_are_a_setting_and_stay_good_without_it(
    ledger: Ledger, mongo_uri: str, tmp_path: Path
) -> None:
    """As an earlier version stored them."""
    body, key = {"parentCode": "AG-7", "code": "SUMMER26"}, str(ObjectId())
    more = {"DAYBOOK_CALLERS": CALLERS, "DAYBOOK_LEDGER_INVITE_CODES": "chosen"}
    with serving("ledger", mongo_uri, ledger.database.name, tmp_path, **more) as server:
        chosen = Ledger(server=server, database=ledger.database)
        status, made = chosen.post("/invites", body, key=key)
    assert (status, made["code"]) == (201, "SUMMER26")
    assert ledger.post("/invites", body, key=key) == (200, made)
    assert ledger.post("/invites/SUMMER26/accept", {}, caller=SHOP)[0] == 200
