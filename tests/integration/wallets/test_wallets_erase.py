"""Erasing a person: nothing about them is left where Daybook may remove it, and the books agree."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, json_util
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from daybook.errors import DatabaseError
from daybook.export.model.profile import Profile
from daybook.ledger_app import LedgerApp
from daybook.wallets.erase import NotErased, erase, preview
from daybook.wallets.reconcile.reconcile import reconcile
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.integration.ledgers import make_app, prepare, purses

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
DAILY = Profile(name="daily")
NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)
NAME = "Somchai Jaidee"
PERSONAL = (NAME, "somchai@example.com", "+66 81 234 5678", "B-77", "M-77", "key-somchai")
"""What is stored about the person, beside what was moved."""
BOOKS = ("journalentries", "exportqueues", "transactions")


@pytest.fixture
def app(database: Db, mongo_uri: str) -> Iterator[LedgerApp]:
    prepare(database)
    app = make_app(mongo_uri, database.name, DAYBOOK_LEDGER_INVITE_CODES="chosen")
    yield app
    app.client.close()


class Person:
    """Somchai, who has done everything that the ledger offers, and another application's part."""

    def __init__(self, app: LedgerApp) -> None:
        self.app = app
        self.calls: list[tuple[str, dict[str, Any], str]] = []
        (other,) = purses(app.ledger, 500)
        self.other = str(other)
        body = {"name": NAME, "roles": ["brand"], "brandCode": "B-77", "mediatorCode": "M-77"}
        self.id = self.call("/users", body, key="key-somchai")["userId"]
        self.call("/wallets", {"ownerUserId": self.id})
        self.call(f"/wallets/{self.id}/credits", {"amountPaise": 700, "type": "topup"})
        described = {"amountPaise": 200, "type": "payout", "description": f"to {NAME.upper()}"}
        debited = self.call(f"/wallets/{self.id}/debits", described)["transactionId"]
        self.call(f"/transactions/{debited}/reversals", {})
        both = {"amountPaise": 50, "type": "fee"}
        self.call("/transfers", {"fromUserId": self.id, "toUserId": self.other, **both})
        self.call("/transfers", {"fromUserId": self.other, "toUserId": self.id, **both})
        code = self.call("/invites", {"parentCode": "AG-7", "code": "WELCOME"})["code"]
        self.call(f"/invites/{code}/accept", {"userId": self.id}, key="key-somchai-2")
        database = app.database
        contact = {"email": PERSONAL[1], "phone": [PERSONAL[2]]}
        database["users"].update_one({"_id": ObjectId(self.id)}, {"$set": contact})
        database["invites"].update_one({"code": code}, {"$set": {"sentTo": PERSONAL[1]}})

    def call(self, path: str, body: dict[str, Any], *, key: str | None = None) -> Any:
        key = key or str(ObjectId())
        self.calls.append((path, body, key))
        response = send(self.app, "POST", path, body, Idempotency_Key=key)
        assert response.status_code in {200, 201}, response.get_data(as_text=True)
        return told(response)

    def pay_out(self) -> None:
        self.call(f"/wallets/{self.id}/debits", {"amountPaise": 700, "type": "payout"})


@pytest.fixture
def person(app: LedgerApp) -> Person:
    return Person(app)


def texts(database: Db, *leaving_out: str) -> str:
    """Everything that is stored, as text."""
    names = sorted(set(database.list_collection_names()) - set(leaving_out))
    return json_util.dumps({name: list(database[name].find()) for name in names})


def books(database: Db) -> dict[str, list[dict[str, Any]]]:
    """What is never changed, and of transactions all but their stored answer."""
    found = {name: list(database[name].find().sort("_id", 1)) for name in BOOKS}
    for doc in found["transactions"]:
        doc.pop("answer", None)
        doc.pop("answerRemovedAt", None)
    return found


def agrees(database: Db) -> bool:
    found = reconcile(database, DAILY)
    assert found.differences == ()
    return found.agrees


def test_nothing_of_the_person_is_left_and_the_books_are_as_they_were(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    before, whole = books(database), texts(database)
    assert all(json_util.dumps(word)[1:-1] in whole for word in PERSONAL)
    (user,) = database["users"].find({"_id": ObjectId(person.id)})
    created_at = user["createdAt"]
    planned = preview(database, person.id)
    assert texts(database) == whole, "a look changes nothing"

    done = erase(database, person.id, now=NOW)

    assert done == planned
    assert (done.wallets, done.invites, done.transactions, done.naming) == (1, 1, 6, 1)
    assert done.answers == 6, "a wallet's and those of five movements that the person began"
    assert set(done.fields) >= {"name", "roles", "brandCode", "email", "phone", "answer"}
    kept = texts(database, *BOOKS)
    assert [word for word in PERSONAL if word in kept] == []
    assert books(database) == before
    assert database["users"].find_one({"_id": ObjectId(person.id)}) == {
        "_id": ObjectId(person.id),
        "name": "erased",
        "roles": [],
        "status": "erased",
        "deletedAt": NOW,
        "erasedAt": NOW,
        "createdAt": created_at,
        "updatedAt": NOW,
    }
    assert agrees(database)
    assert not database["transactions"].count_documents(
        {"ownerUserId": ObjectId(person.id), "answer": {"$exists": True}}
    )


def test_what_is_asked_for_the_person_afterwards_has_a_defined_answer(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    erase(database, person.id, now=NOW)
    stored = texts(database)
    wallet, key = f"/wallets/{person.id}", str(ObjectId())
    move = {"amountPaise": 1, "type": "topup"}
    transfer = {"toUserId": person.id, "fromUserId": person.other, **move}
    assert_problem(send(app, "GET", wallet), 404, "WALLET_NOT_FOUND")
    assert_problem(send(app, "GET", f"{wallet}/transactions"), 404, "WALLET_NOT_FOUND")
    for path, body, code in (
        ("/wallets", {"ownerUserId": person.id}, "USER_NOT_FOUND"),
        (f"{wallet}/credits", move, "WALLET_NOT_FOUND"),
        (f"{wallet}/debits", move, "WALLET_NOT_FOUND"),
        ("/transfers", transfer, "WALLET_NOT_FOUND"),
        ("/transfers", {**transfer, "fromUserId": person.id, "toUserId": person.other}, None),
        ("/invites/WELCOME/accept", {"userId": person.id}, "USER_NOT_FOUND"),
    ):
        refused = send(app, "POST", path, body, Idempotency_Key=key)
        assert_problem(refused, 404, code or "WALLET_NOT_FOUND")
    for query in ("role=brand", "brandCode=B-77", "mediatorCode=M-77", "role=brand&status=erased"):
        found = told(send(app, "GET", "/users?" + query))["users"]
        assert person.id not in [user["userId"] for user in found]
    assert texts(database) == stored


def test_no_request_of_before_makes_the_person_again_or_moves_money_twice(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    erase(database, person.id, now=NOW)
    stored = texts(database)
    codes = {}
    for path, body, key in person.calls:
        response = send(app, "POST", path, body, Idempotency_Key=key)
        text = response.get_data(as_text=True)
        assert [word for word in PERSONAL if word in text and word not in str(body)] == []
        problem = told(response).get("code") if response.status_code >= 400 else None
        codes[path.rpartition("/")[2], body.get("toUserId")] = (response.status_code, problem)
    assert codes == {
        ("users", None): (410, "USER_ERASED"),
        ("wallets", None): (410, "ANSWER_EXPIRED"),
        ("credits", None): (410, "ANSWER_EXPIRED"),
        ("debits", None): (410, "ANSWER_EXPIRED"),
        ("reversals", None): (410, "ANSWER_EXPIRED"),
        ("transfers", person.other): (410, "ANSWER_EXPIRED"),
        ("transfers", person.id): (200, None),  # the other one's, who keeps the answer
        ("invites", None): (200, None),
        ("accept", None): (404, "USER_NOT_FOUND"),
    }
    changed = {"name": "Malee", "roles": ["brand"]}
    refused = send(app, "POST", "/users", changed, Idempotency_Key="key-somchai")
    assert_problem(refused, 410, "USER_ERASED", "was erased")
    assert texts(database) == stored


def test_an_erased_person_is_erased_once(app: LedgerApp, database: Db, person: Person) -> None:
    person.pay_out()
    erase(database, person.id, now=NOW)
    stored = texts(database)
    again = erase(database, person.id, now=NOW.replace(year=2027))
    assert (again.is_needed, again.erased_at) == (False, NOW)
    assert not preview(database, person.id).is_needed
    assert texts(database) == stored


def test_what_came_after_is_erased_by_the_next_call(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    erase(database, person.id, now=NOW)
    late = {"ownerUserId": ObjectId(person.id), "availablePaise": Int64(0), "currency": "INR"}
    database["wallets"].insert_one({**late, "version": Int64(0), "deletedAt": None})
    database["invites"].update_one({"code": "WELCOME"}, {"$set": {"usedBy": person.id}})
    left = preview(database, person.id)
    assert (left.is_needed, left.wallets, left.invites, left.fields) == (True, 1, 1, ())
    later = NOW.replace(year=2027)
    assert erase(database, person.id, now=later) == left
    assert not preview(database, person.id).is_needed
    (user,) = database["users"].find({"_id": ObjectId(person.id)})
    assert (user["erasedAt"], user["updatedAt"]) == (NOW, NOW)


@pytest.mark.parametrize(
    ("balance", "says"),
    [
        (Int64(1), "holds 1 minor units of INR"),
        (Int64(-1), "holds -1 minor units"),
        (0.5, "holds 0.5 minor units"),
        (Decimal128("700"), "holds 700 minor units"),
        ("0", "holds '0', which is no amount"),
        (None, "holds None, which is no amount"),
        (float("nan"), "which is no amount"),
    ],
)
def test_who_has_money_is_not_erased(
    app: LedgerApp, database: Db, person: Person, balance: Any, says: str
) -> None:
    owner = {"ownerUserId": ObjectId(person.id)}
    database["wallets"].update_one(owner, {"$set": {"availablePaise": balance}})
    stored = texts(database)
    for act in (
        lambda: preview(database, person.id),
        lambda: erase(database, person.id, now=NOW),
    ):
        with pytest.raises(NotErased, match=says):
            act()
    assert texts(database) == stored


@pytest.mark.parametrize(
    "text", ["", "nobody", "6b0c4ccb113c9f37171a85ac", "7", "true", "$ne", '{"$ne": 1}']
)
def test_an_unknown_user_is_refused(
    app: LedgerApp, database: Db, person: Person, text: str
) -> None:
    stored = texts(database)
    with pytest.raises(NotErased, match="there is no user"):
        erase(database, text, now=NOW)
    assert texts(database) == stored


@pytest.mark.parametrize(
    ("user_id", "text"),
    [
        (ObjectId("6b02f41f45263142d9ff1aeb"), "6b02f41f45263142d9ff1aeb"),
        ("user-7", "user-7"),
        ("6b02f41f45263142d9ff1aeb", "6b02f41f45263142d9ff1aeb"),
        (7, "7"),
        (Int64(2**60), str(2**60)),
        (7.5, "7.5"),
        (Decimal128("7.25"), "7.25"),
        (Binary.from_uuid(UUID(int=7)), str(UUID(int=7))),
        (datetime(2026, 1, 18, tzinfo=UTC), "2026-01-18T00:00:00+00:00"),
        (True, "true"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ids_of_any_type_are_understood(
    app: LedgerApp, database: Db, user_id: Any, text: str
) -> None:
    database["users"].insert_many([{"_id": user_id, "name": NAME}, {"_id": "other", "name": "Mai"}])
    database["wallets"].insert_one({"ownerUserId": user_id, "availablePaise": 0})
    invites = [
        {"code": str(number), "usedBy": id_} for number, id_ in enumerate([user_id, "other"])
    ]
    database["invites"].insert_many(invites)
    done = erase(database, text, now=NOW)
    assert (done.wallets, done.invites) == (1, 1)
    assert NAME not in texts(database)
    assert "Mai" in texts(database)
    (kept,) = database["invites"].find({"usedBy": {"$ne": None}})
    assert kept["usedBy"] == "other"
    assert database["users"].count_documents({}) == 2


def test_an_id_that_reads_like_anothers_is_refused(app: LedgerApp, database: Db) -> None:
    database["users"].insert_many([{"_id": 7, "name": NAME}, {"_id": "7", "name": "Mai"}])
    stored = texts(database)
    with pytest.raises(NotErased, match=r"2 users have IDs that read 7 \(a number and text\)"):
        erase(database, "7", now=NOW)
    assert texts(database) == stored


def test_a_wallet_of_several_owners_is_left_alone(app: LedgerApp, database: Db) -> None:
    database["users"].insert_one({"_id": "a", "name": NAME})
    shared = {"ownerUserId": ["a", "b"], "availablePaise": 5}
    database["wallets"].insert_one(dict(shared))
    assert erase(database, "a", now=NOW).wallets == 0
    assert database["wallets"].find_one({}, {"_id": 0}) == shared


def test_who_only_has_a_wallet_gets_a_tombstone_too(app: LedgerApp, database: Db) -> None:
    owner = str(ObjectId())
    assert send(app, "POST", "/wallets", {"ownerUserId": owner}).status_code == 201
    erase(database, owner, now=NOW)
    refused = send(app, "POST", "/wallets", {"ownerUserId": owner})
    assert_problem(refused, 404, "USER_NOT_FOUND", "is deleted")


@pytest.mark.parametrize(
    "user",
    [
        {"name": "@@", "@@": "@@"},
        {"name": None, "deletedAt": datetime(2025, 5, 1, tzinfo=UTC)},
        {"deletedAt": [None], "createdAt": "yesterday", "roles": 7},
        {"erasedAt": "no date", "name": NAME},
    ],
    ids=["not_utf8", "deleted_before", "odd_fields", "foreign_mark"],
)
def test_documents_of_others_are_erased_as_well(
    app: LedgerApp, database: Db, user: dict[str, Any]
) -> None:
    raw = bson.encode({"_id": "u", **user}).replace(b"@@", b"\xff\xfe")
    database["users"].insert_one(RawBSONDocument(raw))
    erase(database, "u", now=NOW)
    (doc,) = database["users"].find()
    assert set(doc) - {"createdAt"} == {
        *("_id", "name", "roles", "status", "deletedAt", "erasedAt", "updatedAt")
    }
    before = user.get("deletedAt")
    assert doc["deletedAt"] == (before if isinstance(before, datetime) else NOW)


def test_a_validator_that_refuses_the_tombstone_is_named_and_nothing_changes(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    database.command("collMod", "users", validator={"email": {"$type": "string"}})
    stored = texts(database)
    with pytest.raises(DatabaseError, match=r"erasing user \w+: .*users") as raised:
        erase(app.database, person.id, now=NOW)  # its client notes where a write was refused
    assert raised.value.permanent
    assert NAME not in str(raised.value)
    assert texts(database) == stored


def test_a_credit_at_the_same_moment_comes_before_or_is_refused(
    app: LedgerApp, database: Db
) -> None:
    owners = purses(app.ledger, *[0] * 12)
    for owner in owners:
        start = Barrier(2)

        def credit(owner: ObjectId = owner, start: Barrier = start) -> int:
            start.wait()
            body = {"amountPaise": 5, "type": "topup"}
            path = f"/wallets/{owner}/credits"
            return send(app, "POST", path, body, Idempotency_Key=str(ObjectId())).status_code

        def erased(owner: ObjectId = owner, start: Barrier = start) -> bool:
            start.wait()
            try:
                erase(database, str(owner), now=NOW)
            except NotErased:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            credited, gone = pool.submit(credit), pool.submit(erased)
        assert (credited.result(), gone.result()) in {(201, False), (404, True)}
        (wallet,) = database["wallets"].find({"ownerUserId": owner})
        assert (wallet["availablePaise"], wallet["deletedAt"] is None) == (
            (0, False) if gone.result() else (5, True)
        )
    assert agrees(database)


def test_more_answers_than_a_batch_are_removed(
    app: LedgerApp, database: Db, person: Person
) -> None:
    person.pay_out()
    (wallet,) = database["wallets"].find({"ownerUserId": ObjectId(person.id)})
    body = {"walletId": wallet["_id"], "answer": {"createdAt": "2026-01-18T09:30:00.000Z"}}
    many = [{**body, "idempotencyKey": f"many-{number}"} for number in range(2001)]
    database["transactions"].insert_many(many)
    assert erase(database, person.id, now=NOW).answers == 2007
    assert preview(database, person.id).answers == 0


def test_the_event_says_what_was_done_and_not_who_it_was(
    app: LedgerApp, database: Db, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    person.pay_out()
    with caplog.at_level(logging.INFO):
        erase(database, person.id, now=NOW)
        erase(database, person.id, now=NOW)
    (record,) = [r for r in caplog.records if getattr(r, "event", None) == "user_erased"]
    assert record.fields == {"userId": person.id, "wallets": 1, "invites": 1, "answers": 6}
    assert [word for word in PERSONAL if word in str(vars(record))] == []
