"""Wallets and what moves between them, on a real MongoDB."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient

from daybook.errors import ConfigurationError
from daybook.ledger_app import LedgerApp
from daybook.mongo.migrate import migrate
from daybook.settings.settings import Settings
from daybook.wallets import history, move, wallet
from daybook.wallets.context import MAX_PAISE, Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from tests.integration.ledgers import (
    Db,
    balance_of,
    check_books,
    make_app,
    movement,
    prepare,
    purses,
)

pytestmark = pytest.mark.migrated

NOON = datetime(2026, 1, 18, 5, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture(scope="module")
def app(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[LedgerApp]:
    database = mongo_client[f"wallets_{uuid.uuid4().hex}"]
    prepare(database)
    app = make_app(mongo_uri, database.name)
    yield app
    app.client.close()
    mongo_client.drop_database(database.name)


@pytest.fixture
def ledger(app: LedgerApp) -> Ledger:
    return app.ledger


def one(database: Db, collection: str, **fields: Any) -> dict[str, Any]:
    (doc,) = database[collection].find(fields)
    return doc


def test_a_credit_writes_wallet_transaction_entry_and_queue_item(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 0)
    ledger = replace(ledger, clock=lambda: NOON)

    answer = move.credit(ledger, owner, movement(12_345, type_="topup"))

    database = ledger.database
    doc = one(database, "transactions", ownerUserId=owner)
    assert answer.replayed is False
    assert answer.body["transactionId"] == str(doc["_id"])
    assert (answer.body["availablePaise"], answer.body["version"]) == (12_345, 1)
    assert balance_of(database, owner) == (12_345, 1)
    assert isinstance(doc["amountPaise"], Int64)
    assert doc["createdAt"] == NOON.replace(microsecond=123_000)
    entry = one(database, "journalentries", _id=doc["journalEntryId"])
    assert entry["reference"] == f"TX-{doc['_id']}"
    assert (entry["date"], entry["currency"]) == (doc["createdAt"], "INR")
    assert [
        (line["accountCode"], str(line["debit"]), str(line["credit"])) for line in entry["lines"]
    ] == [("1100", "123.45", "0.00"), ("2100", "0.00", "123.45")]
    item = one(database, "exportqueues", entryId=entry["_id"])
    assert (item["exportPath"], item["status"]) == ("scheduled", "queued")
    assert "profile" not in item
    assert check_books(database, [owner]) == 12_345


def test_a_debit_takes_from_the_wallets_account(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 500)
    answer = move.debit(ledger, owner, movement(200, type_="fee"))
    entry = one(ledger.database, "journalentries", _id=ObjectId(answer.body["journalEntryId"]))
    assert [(line["accountCode"], str(line["debit"])) for line in entry["lines"]] == [
        ("2100", "2.00"),
        ("4100", "0.00"),
    ]
    assert check_books(ledger.database, [owner]) == 300


def test_a_transfer_is_two_transactions_and_one_entry(ledger: Ledger) -> None:
    payer, payee = purses(ledger, 1000, 50)

    body = move.transfer(ledger, payer, payee, movement(400, type_="commission")).body

    assert (body["from"]["availablePaise"], body["to"]["availablePaise"]) == (600, 450)
    docs = list(
        ledger.database["transactions"].find({"journalEntryId": ObjectId(body["journalEntryId"])})
    )
    assert {(doc["ownerUserId"], doc["direction"]) for doc in docs} == {
        (payer, "debit"),
        (payee, "credit"),
    }
    assert {doc["_id"] for doc in docs} == {doc["counterpartId"] for doc in docs}
    assert check_books(ledger.database, [payer, payee]) == 1050


def test_a_transfer_that_is_not_covered_moves_nothing(ledger: Ledger) -> None:
    payer, payee = purses(ledger, 100, 0)
    with pytest.raises(LedgerError) as refused:
        move.transfer(ledger, payer, payee, movement(101))
    assert refused.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert balance_of(ledger.database, payer) == (100, 1)
    assert balance_of(ledger.database, payee) == (0, 0)
    assert check_books(ledger.database, [payer, payee]) == 100


def test_a_transfer_between_currencies_moves_nothing(ledger: Ledger) -> None:
    (payer,), (payee,) = purses(ledger, 100), purses(ledger, 0, currency="THB")
    with pytest.raises(LedgerError) as refused:
        move.transfer(ledger, payer, payee, movement(100))
    assert refused.value.code is ErrorCode.CURRENCY_MISMATCH
    assert check_books(ledger.database, [payer, payee]) == 100


@pytest.mark.parametrize("named", ["fromUserId", "toUserId"])
def test_a_transfer_names_the_user_without_a_wallet(ledger: Ledger, named: str) -> None:
    (owner,), stranger = purses(ledger, 100), ObjectId()
    pair = (stranger, owner) if named == "fromUserId" else (owner, stranger)
    with pytest.raises(LedgerError) as refused:
        move.transfer(ledger, *pair, movement(100))
    assert (refused.value.code, refused.value.where) == (ErrorCode.WALLET_NOT_FOUND, named)
    assert check_books(ledger.database, [owner]) == 100


def test_a_debit_may_take_the_whole_balance_and_no_more(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 100)
    move.debit(ledger, owner, movement(100))
    with pytest.raises(LedgerError) as refused:
        move.debit(ledger, owner, movement(1))
    assert refused.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert balance_of(ledger.database, owner) == (0, 2)


def test_a_balance_never_grows_beyond_what_json_carries_exactly(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 1)
    with pytest.raises(LedgerError) as refused:
        move.credit(ledger, owner, movement(MAX_PAISE))
    assert refused.value.code is ErrorCode.BALANCE_LIMIT
    body = move.credit(ledger, owner, movement(MAX_PAISE - 1)).body
    assert body["availablePaise"] == MAX_PAISE
    entry = one(ledger.database, "journalentries", _id=ObjectId(body["journalEntryId"]))
    assert entry["lines"][0]["debit"].to_decimal() == Decimal("90071992547409.90")
    assert check_books(ledger.database, [owner]) == MAX_PAISE


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "700"), ("KWD", "0.700")])
def test_an_entry_has_the_decimals_of_its_currency(
    ledger: Ledger, currency: str, shown: str
) -> None:
    (owner,) = purses(ledger, 0, currency=currency)
    body = move.credit(ledger, owner, movement(700)).body
    entry = one(ledger.database, "journalentries", _id=ObjectId(body["journalEntryId"]))
    assert str(entry["lines"][0]["debit"]) == shown


def test_the_items_of_another_profile_name_it(app: LedgerApp) -> None:
    ledger = replace(app.ledger, profile="wallets")
    (owner,) = purses(ledger, 5)
    doc = one(ledger.database, "transactions", ownerUserId=owner)
    item = one(ledger.database, "exportqueues", entryId=doc["journalEntryId"])
    assert item["profile"] == "wallets"


def test_a_chart_of_accounts_may_be_ones_own(app: LedgerApp) -> None:
    settings = Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": app.settings.mongodb_uri,
            "DAYBOOK_DATABASE": app.settings.database,
            "DAYBOOK_DESTINATION": "file:///tmp",
            "DAYBOOK_LEDGER_ACCOUNTS": """{
                "wallets": {"code": "2150", "name": "เงินรับฝาก"},
                "others": {"code": "1199", "name": "Suspense"},
                "types": {"gift": {"code": "5999", "name": "Gifts"}}
            }""",
        }
    )
    own = LedgerApp(settings)
    try:
        (owner,) = purses(own.ledger, 0)
        booked = {
            type_: [
                line["accountCode"]
                for line in one(
                    own.database,
                    "journalentries",
                    _id=ObjectId(
                        move.credit(own.ledger, owner, movement(5, type_=type_)).body[
                            "journalEntryId"
                        ]
                    ),
                )["lines"]
            ]
            for type_ in ("gift", "topup", "sundry")
        }
    finally:
        own.client.close()
    assert booked == {
        "gift": ["5999", "2150"],
        "topup": ["1100", "2150"],
        "sundry": ["1199", "2150"],
    }


def test_a_user_has_one_wallet_until_it_is_deleted(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 5)
    with pytest.raises(LedgerError) as refused:
        wallet.open_wallet(ledger, owner)
    assert refused.value.code is ErrorCode.WALLET_EXISTS

    ledger.database["wallets"].update_one({"ownerUserId": owner}, {"$set": {"deletedAt": NOON}})
    with pytest.raises(LedgerError) as gone:
        move.debit(ledger, owner, movement(1))
    assert gone.value.code is ErrorCode.WALLET_NOT_FOUND
    wallet.open_wallet(ledger, owner)
    assert wallet.wallet_of(ledger, owner).available_paise == 0


def test_a_wallet_without_a_deletion_field_counts_as_the_users(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 5)
    ledger.database["wallets"].update_one({"ownerUserId": owner}, {"$unset": {"deletedAt": ""}})
    with pytest.raises(LedgerError) as refused:
        wallet.open_wallet(ledger, owner)
    assert refused.value.code is ErrorCode.WALLET_EXISTS
    assert move.debit(ledger, owner, movement(2)).body["availablePaise"] == 3


def test_a_user_of_another_application_gets_a_wallet(ledger: Ledger) -> None:
    owner = ObjectId()
    assert not wallet.open_wallet(ledger, owner).replayed
    assert wallet.wallet_of(ledger, owner).available_paise == 0


def test_a_deleted_user_gets_no_wallet(ledger: Ledger) -> None:
    owner = ObjectId()
    ledger.database["users"].insert_one({"_id": owner, "deletedAt": NOON})
    with pytest.raises(LedgerError) as refused:
        wallet.open_wallet(ledger, owner)
    assert refused.value.code is ErrorCode.USER_NOT_FOUND


# Reversals


def reverse(ledger: Ledger, transaction_id: str) -> dict[str, Any]:
    originals = move.reversal_of(ledger, ObjectId(transaction_id))
    wanted = movement(originals[0].amount_paise, type_="reversal")
    return move.reverse(ledger, wanted, originals).body


@pytest.mark.parametrize("direction", ["credit", "debit"])
def test_a_reversal_is_a_new_transaction_that_points_to_the_old(
    ledger: Ledger, direction: str
) -> None:
    (owner,) = purses(ledger, 1000)
    act = move.credit if direction == "credit" else move.debit
    original = act(ledger, owner, movement(300, type_="fee")).body
    before = one(ledger.database, "transactions", _id=ObjectId(original["transactionId"]))

    body = reverse(ledger, original["transactionId"])

    assert body["reverses"] == original["transactionId"]
    assert body["direction"] != direction
    assert body["availablePaise"] == 1000
    assert one(ledger.database, "transactions", _id=before["_id"]) == before
    ids = (ObjectId(original["journalEntryId"]), ObjectId(body["journalEntryId"]))
    old, new = (one(ledger.database, "journalentries", _id=id_) for id_ in ids)
    assert [(line["accountCode"], line["debit"], line["credit"]) for line in new["lines"]] == [
        (line["accountCode"], line["credit"], line["debit"]) for line in old["lines"]
    ]
    assert check_books(ledger.database, [owner]) == 1000


@pytest.mark.parametrize("leg", ["from", "to"])
def test_reversing_either_side_takes_the_whole_transfer_back(ledger: Ledger, leg: str) -> None:
    payer, payee = purses(ledger, 1000, 10)
    original = move.transfer(ledger, payer, payee, movement(400)).body

    body = reverse(ledger, original[leg]["transactionId"])

    assert body["from"]["ownerUserId"] == str(payee)
    assert body["from"]["reverses"] == original["to"]["transactionId"]
    assert body["to"]["reverses"] == original["from"]["transactionId"]
    assert balance_of(ledger.database, payer) == (1000, 3)
    assert balance_of(ledger.database, payee) == (10, 3)
    for side in ("from", "to"):
        with pytest.raises(LedgerError) as refused:
            reverse(ledger, original[side]["transactionId"])
        assert refused.value.code is ErrorCode.ALREADY_REVERSED
        with pytest.raises(LedgerError) as again:
            reverse(ledger, body[side]["transactionId"])
        assert again.value.code is ErrorCode.NOT_REVERSIBLE
    assert check_books(ledger.database, [payer, payee]) == 1010


def test_a_reversal_that_is_not_covered_moves_nothing(ledger: Ledger) -> None:
    payer, payee = purses(ledger, 1000, 0)
    original = move.transfer(ledger, payer, payee, movement(400)).body
    move.debit(ledger, payee, movement(1))
    with pytest.raises(LedgerError) as refused:
        reverse(ledger, original["from"]["transactionId"])
    assert refused.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert check_books(ledger.database, [payer, payee]) == 999
    move.credit(ledger, payee, movement(1))
    reverse(ledger, original["from"]["transactionId"])
    assert balance_of(ledger.database, payer)[0] == 1000


def test_what_is_not_there_or_not_booked_here_is_not_reversed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError) as missing:
        reverse(ledger, str(ObjectId()))
    assert missing.value.code is ErrorCode.TRANSACTION_NOT_FOUND
    foreign = {"_id": ObjectId(), "type": "order", "walletId": ObjectId(), "amountPaise": 5}
    ledger.database["transactions"].insert_one(foreign)
    with pytest.raises(LedgerError) as refused:
        reverse(ledger, str(foreign["_id"]))
    assert refused.value.code is ErrorCode.NOT_REVERSIBLE


def test_a_movement_whose_entry_was_removed_is_not_reversed(ledger: Ledger) -> None:
    (owner,) = purses(ledger, 100)
    body = move.debit(ledger, owner, movement(30)).body
    ledger.database["journalentries"].delete_one({"_id": ObjectId(body["journalEntryId"])})
    with pytest.raises(LedgerError) as refused:
        reverse(ledger, body["transactionId"])
    assert refused.value.code is ErrorCode.NOT_REVERSIBLE
    assert balance_of(ledger.database, owner) == (70, 2)


# History


def test_a_history_is_whole_and_newest_first_also_among_equal_times(ledger: Ledger) -> None:
    """Transactions of one millisecond, several to a page, with more coming in between."""
    (owner,) = purses(ledger, 0)
    still = replace(ledger, clock=lambda: NOON)
    for amount in range(1, 8):
        move.credit(still, owner, movement(amount))
    wallet_id = wallet.wallet_of(ledger, owner).id

    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = history.page(ledger, wallet_id, limit=3, cursor=cursor)
        seen += page["transactions"]
        if page["nextCursor"] is None:
            break
        cursor = history.Cursor.parse(page["nextCursor"])
        move.credit(ledger, owner, movement(100))

    assert [doc["amountPaise"] for doc in seen] == [7, 6, 5, 4, 3, 2, 1]
    newest = history.page(ledger, wallet_id, limit=1, cursor=None)["transactions"]
    assert [doc["amountPaise"] for doc in newest] == [100]


def test_a_history_holds_one_wallet_only(ledger: Ledger) -> None:
    payer, payee = purses(ledger, 50, 0)
    move.transfer(ledger, payer, payee, movement(20))
    wallet_id = wallet.wallet_of(ledger, payee).id
    page = history.page(ledger, wallet_id, limit=10, cursor=None)
    assert [(doc["direction"], doc["amountPaise"]) for doc in page["transactions"]] == [
        ("credit", 20)
    ]
    assert page["nextCursor"] is None


def test_without_its_unique_indexes_nothing_is_moved(mongo_uri: str, database: Db) -> None:
    app = make_app(mongo_uri, database.name)
    prepare(database)
    database["transactions"].drop_index("idx_transaction_key_caller_unique")
    with pytest.raises(ConfigurationError, match=r"idx_transaction_key_caller_unique.*migrate"):
        _ = app.ledger
    migrate(database, now=datetime.now(UTC))
    assert app.ledger.profile == "daily"
    app.client.close()
