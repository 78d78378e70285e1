"""What another application left in the ledger's collections: named, and nothing is used up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from daybook.wallets.reconcile.reconcile import reconcile
from tests import books
from tests.acceptance.ledger_calls import assert_problem, send, told
from tests.fuzz.documents import RawText, encode
from tests.integration.ledgers import make_app, prepare, purses

GONE = object()
MOVE = {"amountPaise": 1, "type": "payout"}
LATIN = RawText(b"caf\xe9")


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"legacy_{ObjectId()}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


def leave(
    app: LedgerApp, collection: str, wanted: Mapping[str, Any], field: str, value: Any
) -> Any:
    """Store the document with the field as another application has it; its `_id`."""
    stored = app.database[collection]
    (old,) = stored.find(wanted)
    doc = {name: each for name, each in old.items() if name != field}
    if value is not GONE:
        doc[field] = value
    stored.delete_one({"_id": old["_id"]})
    stored.insert_one(encode(doc))
    return old["_id"]


def state(app: LedgerApp) -> list[Any]:
    names = ("wallets", "transactions", "invites", "journalentries", "exportqueues")
    return [list(app.database[name].find().sort("_id", 1)) for name in names]


def named_by_reconcile(mongo_uri: str, app: LedgerApp, *words: str) -> bool:
    office = books.make_app(mongo_uri, app.database.name, "file:///tmp")
    try:
        found = reconcile(office.database, office.profile())
    finally:
        office.client.close()
    details = [one.detail for one in found.differences if one.kind == "document"]
    return any(all(word in detail for word in words) for detail in details)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("currency", GONE, "is missing"),
        ("currency", None, "None"),
        ("currency", "thb", "'thb'"),
        ("currency", LATIN, "'caf[U+DCE9]'"),
        ("currency", "THX", "'THX'"),
        ("currency", "BTC", "'BTC'"),
        ("currency", "XAU", "'XAU'"),
        ("availablePaise", GONE, "is missing"),
        ("availablePaise", None, "None"),
        ("availablePaise", 10.5, "10.5"),
        ("availablePaise", float("inf"), "inf"),
        ("availablePaise", float("nan"), "nan"),
        ("availablePaise", Decimal128("10.5"), "10.5"),
        ("availablePaise", Decimal128("1E+40"), "1E+40"),
        ("availablePaise", Int64(2**60), str(2**60)),
        ("availablePaise", "1000", "'1000'"),
        ("availablePaise", [1000], "an array"),
        ("version", None, "None"),
        ("version", 1.5, "1.5"),
        ("version", "1", "'1'"),
        ("version", [1], "an array"),
        ("deletedAt", [None], "an array"),
    ],
)
def test_a_wallet_that_cannot_be_used_is_named_and_stays_as_it_is(
    mongo_uri: str, app: LedgerApp, field: str, value: Any, shown: str
) -> None:
    owner, other = purses(app.ledger, 1000, 1000)
    id_ = leave(app, "wallets", {"ownerUserId": owner}, field, value)
    before = state(app)
    both = {"fromUserId": str(owner), "toUserId": str(other)}
    for method, path, body in (
        ("GET", f"/wallets/{owner}", {}),
        ("POST", f"/wallets/{owner}/credits", MOVE),
        ("POST", f"/wallets/{owner}/debits", MOVE),
        ("POST", "/transfers", {**MOVE, **both}),
        ("POST", "/transfers", {**MOVE, "fromUserId": str(other), "toUserId": str(owner)}),
    ):
        response = send(app, method, path, body, Idempotency_Key=str(ObjectId()))
        assert_problem(response, 409, "DOCUMENT_INVALID", f"wallets {id_}: {field}", shown)
    assert repr(state(app)) == repr(before)  # nan is not equal to itself
    assert named_by_reconcile(mongo_uri, app, f"wallets {id_}: {field}", shown)


@pytest.mark.parametrize(
    "balance", [1000, Int64(1000), 1000.0, Decimal128("1000"), Decimal128("1000.00")]
)
def test_a_whole_balance_of_any_type_is_debited_exactly(app: LedgerApp, balance: Any) -> None:
    (owner,) = purses(app.ledger, 1000)
    leave(app, "wallets", {"ownerUserId": owner}, "availablePaise", balance)
    path = f"/wallets/{owner}/debits"
    moved = send(app, "POST", path, {**MOVE, "amountPaise": 1000}, Idempotency_Key=str(ObjectId()))
    assert (moved.status_code, told(moved)["availablePaise"]) == (201, 0)
    more = send(app, "POST", path, MOVE, Idempotency_Key=str(ObjectId()))
    assert_problem(more, 409, "INSUFFICIENT_FUNDS", "holds 0")
    assert told(send(app, "GET", f"/wallets/{owner}"))["availablePaise"] == 0


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("createdAt", GONE, "is missing"),
        ("createdAt", "2026-01-18", "'2026-01-18'"),
        ("expiresAt", GONE, "is missing"),
        ("expiresAt", "2030-01-01", "'2030-01-01'"),
        ("expiresAt", 4_102_444_800_000, "4102444800000"),
        ("parentCode", LATIN, "'caf[U+DCE9]'"),
        ("status", "pending", "'pending'"),
        ("status", ["active"], "an array"),
        ("usedAt", "now", "'now'"),
    ],
)
def test_an_invite_that_cannot_be_used_is_named_and_not_accepted(
    mongo_uri: str, app: LedgerApp, field: str, value: Any, shown: str
) -> None:
    code = told(send(app, "POST", "/invites", {"parentCode": "AG-7"}))["code"]
    id_ = leave(app, "invites", {"code": code}, field, value)
    before = state(app)
    response = send(app, "POST", f"/invites/{code}/accept", {})
    assert_problem(response, 409, "DOCUMENT_INVALID", f"invites {id_}: {field}", shown)
    assert repr(state(app)) == repr(before)
    assert named_by_reconcile(mongo_uri, app, f"invites {id_}: {field}", shown)
    app.database["invites"].delete_one({"_id": id_})


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("createdAt", GONE, "is missing"),
        ("createdAt", 1_768_712_400_000, "1768712400000"),
        ("amountPaise", 10.5, "10.5"),
        ("description", LATIN, "'caf[U+DCE9]'"),
    ],
)
def test_a_transaction_that_has_no_place_in_a_history_is_named(
    mongo_uri: str, app: LedgerApp, field: str, value: Any, shown: str
) -> None:
    (owner,) = purses(app.ledger, 1000)
    for _ in range(3):
        send(app, "POST", f"/wallets/{owner}/debits", MOVE, Idempotency_Key=str(ObjectId()))
    id_ = leave(app, "transactions", {"ownerUserId": owner, "version": 1}, field, value)
    path = f"/wallets/{owner}/transactions?limit=1"
    first = send(app, "GET", path)
    cursor = told(first)["nextCursor"]  # it is the oldest, so the first pages are whole
    for _ in range(10):
        response = send(app, "GET", f"{path}&cursor={cursor}")
        if response.status_code == 409:
            break
        cursor = told(response)["nextCursor"]
        assert cursor is not None, "it was left out without a word"
    assert_problem(response, 409, "DOCUMENT_INVALID", f"transactions {id_}: {field}", shown)
    assert named_by_reconcile(mongo_uri, app, f"transactions {id_}: {field}", shown)


@pytest.mark.parametrize(
    ("field", "value"),
    [("roles", "brand"), ("name", LATIN), ("createdAt", "yesterday"), ("roles", ["brand", 1])],
)
def test_a_user_that_cannot_be_shown_is_named(
    mongo_uri: str, app: LedgerApp, field: str, value: Any
) -> None:
    body = {"name": "Malee", "roles": ["brand"], "brandCode": f"B-{ObjectId()}"}
    made = told(send(app, "POST", "/users", body))
    id_ = leave(app, "users", {"_id": ObjectId(made["userId"])}, field, value)
    response = send(app, "GET", f"/users?brandCode={body['brandCode']}")
    assert_problem(response, 409, "DOCUMENT_INVALID", f"users {id_}: {field}")
    assert named_by_reconcile(mongo_uri, app, f"users {id_}: {field}")
