"""Whatever others made of the ledger's collections: no half movement, and it is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from bson import ObjectId
from pymongo.database import Database

from daybook.ledger_app import LedgerApp
from daybook.mongo.objects import LEDGER_WRITES
from tests.acceptance.ledger_calls import send, told
from tests.acceptance.runbook_stage import Stage
from tests.fuzz.objects import OF_LEDGER, Object
from tests.integration.ledgers import make_app

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
Docs = dict[str, list[dict[str, Any]]]

VERSION = Object(kind="unique", collection="wallets", allowed={}, keys=("version",))
"""An index that accepts a new wallet, and refuses the next change of the first one."""
TENANTS = [one for one in OF_LEDGER if one.kind == "unique"]
TABLE = (*OF_LEDGER, VERSION)

WRITTEN_BY = {
    "wallets": {"wallet", "credit", "debit", "transfer", "reversal"},
    "transactions": {"credit", "debit", "transfer", "reversal"},
    "users": {"user"},
    "invites": {"invite", "accept"},
    "journalentries": {"credit", "debit", "transfer", "reversal"},
    "exportqueues": {"credit", "debit", "transfer", "reversal"},
}
"""By collection, the requests that write to it."""

HIDDEN = {"WALLET_NOT_FOUND", "TRANSACTION_NOT_FOUND", "INVITE_NOT_FOUND", "NOT_REVERSIBLE"}
"""What is answered while the documents are in another collection than the named one."""


@pytest.fixture
def stage(database: Db, mongo_uri: str) -> Iterator[Stage]:
    with Stage(database=database, mongo_uri=mongo_uri) as stage:
        yield stage


class Office:
    """Two wallets with movements that can be reversed, and invites that can be accepted."""

    def __init__(self, stage: Stage) -> None:
        self.database = stage.database
        self.app = make_app(
            stage.mongo_uri, stage.database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen"
        )
        self.owners = [ObjectId(), ObjectId()]
        self.sent = 0
        booked = []
        for owner, count in zip(self.owners, (4, 5), strict=True):
            self.done(self.post("/wallets", {"ownerUserId": str(owner)}))
            for _ in range(count):
                path, body = f"/wallets/{owner}/credits", self.body("topup", 1000)
                booked.append(self.done(self.post(path, body))["transactionId"])
        self.reversible = booked[:3]
        self.codes = ["FIRST", "SECOND", "THIRD"]
        for code in self.codes:
            self.done(self.invite(code))

    @staticmethod
    def body(type_: str, amount: int) -> dict[str, Any]:
        return {"type": type_, "amountPaise": amount}

    @staticmethod
    def done(response: flask.Response) -> Any:
        assert response.status_code in {200, 201}, response.get_data(as_text=True)
        return told(response)

    def post(self, path: str, body: dict[str, Any], app: LedgerApp | None = None) -> flask.Response:
        self.sent += 1
        return send(app or self.app, "POST", path, body, Idempotency_Key=f"key-{self.sent}")

    def invite(self, code: str, app: LedgerApp | None = None) -> flask.Response:
        body = {"code": code, "parentCode": "BRAND", "expiresAt": "2099-01-01T00:00:00Z"}
        return self.post("/invites", body, app)

    def requests(self, app: LedgerApp) -> Iterator[tuple[str, flask.Response]]:
        """Each kind of writing request, by name, with its response."""
        first, second = self.owners
        yield "user", self.post("/users", {"name": "Ann", "roles": ["agency"]}, app)
        yield "wallet", self.post("/wallets", {"ownerUserId": str(ObjectId())}, app)
        yield "credit", self.post(f"/wallets/{first}/credits", self.body("topup", 30), app)
        yield "debit", self.post(f"/wallets/{first}/debits", self.body("payout", 20), app)
        both = {"fromUserId": str(first), "toUserId": str(second), "type": "gift"}
        yield "transfer", self.post("/transfers", {**both, "amountPaise": 10}, app)
        reversed_ = self.reversible.pop()
        yield "reversal", self.post(f"/transactions/{reversed_}/reversals", {}, app)
        yield "invite", self.invite(f"NEW-{self.sent}", app)
        yield "accept", self.post(f"/invites/{self.codes.pop()}/accept", {}, app)


def stored(database: Db) -> Docs:
    """The documents of the ledger, wherever the object has put them."""
    found: Docs = {}
    for name in LEDGER_WRITES:
        listed = [f"{name}_behind", name]
        there = set(database.list_collection_names(filter={"name": {"$in": listed}}))
        docs = {
            doc["_id"]: doc for place in listed if place in there for doc in database[place].find()
        }
        found[name] = sorted(docs.values(), key=lambda doc: str(doc["_id"]))
    return found


def check_whole(docs: Docs) -> None:
    """Balances, transactions, entries and queue items tell of the same movements."""
    sums, counts = Counter[ObjectId](), Counter[ObjectId]()
    for booked in docs["transactions"]:
        sign = 1 if booked["direction"] == "credit" else -1
        sums[booked["walletId"]] += sign * booked["amountPaise"]
        counts[booked["walletId"]] += 1
    for wallet in docs["wallets"]:
        assert wallet["availablePaise"] == sums[wallet["_id"]]
        assert wallet["version"] == counts[wallet["_id"]]
    entries = {booked["journalEntryId"] for booked in docs["transactions"]}
    assert {entry["_id"] for entry in docs["journalentries"]} == entries
    assert Counter(item["entryId"] for item in docs["exportqueues"]) == Counter(entries)


def check_named(response: flask.Response, one: Object, name: str) -> None:
    problem = told(response)
    assert problem["code"] in {"FOREIGN_INDEX", "CONFIGURATION"}, (name, problem)
    assert response.status_code == (409 if problem["code"] == "FOREIGN_INDEX" else 500)
    assert one.collection in problem["detail"], (name, problem)
    if one.kind == "unique":
        assert problem["code"] == "FOREIGN_INDEX"
        assert f"drop the index theirs of {one.collection}" in problem["detail"]


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one}-{'-'.join(one.keys)}")
def test_an_object_of_another_application_is_named_and_halves_no_movement(
    stage: Stage, one: Object
) -> None:
    office = Office(stage)
    one.make(stage.database)
    fresh = make_app(stage.mongo_uri, stage.database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    refused: set[str] = set()
    for app in (office.app, fresh):  # one has looked at the collections before, one has not
        before = stored(stage.database)
        for name, response in office.requests(app):
            after = stored(stage.database)
            check_whole(after)
            if response.status_code in {200, 201}:
                assert after != before, name
            else:
                assert after == before, name
                refused.add(name)
                if not (one.kind == "time series" and told(response)["code"] in HIDDEN):
                    check_named(response, one, name)
            before = after
    if one.kind in {"validator", "view"} or one in TENANTS:
        assert refused & WRITTEN_BY[one.collection]
    if one is VERSION:
        assert {"credit", "debit", "transfer"} <= refused
    if one.kind == "TTL":
        assert not refused
    assert f"{one.collection} " in str(stage.ask("/admin/doctor", {}, at=None))

    reconciled = stage.run("daybook reconcile")
    if one.kind == "capped" and one.collection in {"wallets", "transactions", "journalentries"}:
        assert any(f"replace {one.collection} by" in line for line in reconciled.lines), reconciled

    one.take_away(stage.database)
    for _name, response in office.requests(
        make_app(stage.mongo_uri, stage.database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    ):
        office.done(response)
    check_whole(stored(stage.database))
