"""Reconciliation: green over what the ledger and the batch did, red over every tampering."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.database import Database

from daybook.app import App
from daybook.audit.verify import verify
from daybook.export.outcome import Status
from daybook.wallets import move
from daybook.wallets.context import Ledger
from daybook.wallets.reconcile.kind import LedgerDifferenceKind as Kind
from daybook.wallets.reconcile.reconcile import Reconciliation, reconcile
from tests import books, commands
from tests.integration import ledgers
from tests.integration.ledgers import movement, prepare, purses

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
TODAY = date(2026, 1, 18)


@pytest.fixture
def app(mongo_uri: str, database: Db, tmp_path: Path) -> Iterator[App]:
    app = books.make_app(mongo_uri, database.name, f"file://{tmp_path}")
    yield app
    app.client.close()


@pytest.fixture
def ledger(mongo_uri: str, database: Db) -> Iterator[Ledger]:
    prepare(database)
    app = ledgers.make_app(mongo_uri, database.name)
    yield app.ledger
    app.client.close()


def day_with_money(ledger: Ledger, app: App) -> list[ObjectId]:
    """Movements of every kind in two currencies, beside entries of Node's, all exported."""
    owners = purses(ledger, 10_000, 500, 0)
    move.debit(ledger, owners[0], movement(1_234))
    moved = move.transfer(ledger, owners[0], owners[1], movement(99, type_="cashback")).body
    originals = move.reversal_of(ledger, ObjectId(moved["to"]["transactionId"]))
    move.reverse(ledger, movement(99, type_="reversal"), originals)
    purses(ledger, 7_000, currency="JPY")
    database = app.database
    books.put_many(database, 2)
    books.put(database, books.entry("UNBALANCED", lines=books.lines()[:1]))
    books.put(database, books.entry("DOUBLE", lines=doubles()))
    assert commands.run_day(app, TODAY).status is Status.EXPORTED
    return owners


def doubles() -> list[dict[str, Any]]:
    """0.1 + 0.2 is 0.30000000000000004, and 0.30 in the file."""
    first, second = books.lines()
    return [
        {**first, "debit": 0.1, "credit": 0},
        {**first, "debit": 0.2, "credit": 0},
        {**second, "debit": 0, "credit": 0.1 + 0.2},
    ]


def reconciled(app: App) -> Reconciliation:
    return reconcile(app.database, app.profile())


def test_after_a_day_everything_agrees(ledger: Ledger, app: App) -> None:
    day_with_money(ledger, app)
    assert verify(app.database, app.destination, app.profile(), TODAY).status == "verified"
    found = reconciled(app)
    assert found.differences == ()
    assert (found.wallets, found.transactions, found.entries, found.files) == (4, 8, 6, 1)


def test_nothing_agrees_with_nothing(app: App) -> None:
    assert reconciled(app).agrees


def test_movements_that_wait_for_the_evening_agree(ledger: Ledger, app: App) -> None:
    purses(ledger, 100)
    assert reconciled(app).agrees


def one(database: Db, collection: str, **filters: Any) -> dict[str, Any]:
    doc = database[collection].find_one(filters)
    assert doc is not None
    return doc


def tampered_balance(database: Db) -> str:
    wallet = one(database, "wallets")
    database["wallets"].update_one({"_id": wallet["_id"]}, {"$inc": {"availablePaise": 1}})
    return f"wallet {wallet['_id']} of user {wallet['ownerUserId']} holds 8767"


def tampered_version(database: Db) -> str:
    wallet = one(database, "wallets")
    database["wallets"].update_one({"_id": wallet["_id"]}, {"$inc": {"version": 1}})
    return str(wallet["_id"])


def money_without_transactions(database: Db) -> str:
    wallet = one(database, "wallets", version=0)
    database["wallets"].update_one({"_id": wallet["_id"]}, {"$set": {"availablePaise": Int64(5)}})
    return f"{wallet['_id']} of user {wallet['ownerUserId']} holds 5"


def lost_transaction(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    database["transactions"].delete_one({"walletId": wallet["_id"]})
    return str(wallet["_id"])


def lost_wallet(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    database["wallets"].delete_one({"_id": wallet["_id"]})
    return f"{wallet['_id']} is gone"


def transaction_without_direction(database: Db) -> str:
    wallet = one(database, "wallets")
    doc = {"walletId": wallet["_id"], "amountPaise": 0, "currency": "INR", "createdAt": books.NOON}
    booked = one(database, "transactions", walletId=wallet["_id"], type="topup")
    doc |= {"_id": ObjectId(), "direction": "in", "journalEntryId": booked["journalEntryId"]}
    doc["amountPaise"] = booked["amountPaise"]
    database["transactions"].insert_one(doc)
    database["wallets"].update_one({"_id": wallet["_id"]}, {"$inc": {"version": 1}})
    return str(doc["_id"])


def booked_entry(database: Db) -> dict[str, Any]:
    return one(database, "journalentries", currency="JPY")


def set_lines(database: Db, entry: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"lines": lines}})
    return str(entry["_id"])


def unbalanced_entry(database: Db) -> str:
    entry = booked_entry(database)
    first, second = entry["lines"]
    return set_lines(database, entry, [{**first, "debit": Decimal128("7001")}, second])


def other_amount(database: Db) -> str:
    entry, value = booked_entry(database), Decimal128("6999")
    first, second = entry["lines"]
    return set_lines(database, entry, [{**first, "debit": value}, {**second, "credit": value}])


def lost_entry(database: Db) -> str:
    entry = booked_entry(database)
    database["journalentries"].delete_one({"_id": entry["_id"]})
    return str(one(database, "transactions", journalEntryId=entry["_id"])["_id"])


def doubled_item(database: Db) -> str:
    entry = booked_entry(database)
    item = books.queue_item(entry["_id"])
    database["exportqueues"].insert_one(item)
    return str(item["_id"])


def lost_item(database: Db) -> str:
    entry = booked_entry(database)
    database["exportqueues"].delete_one({"entryId": entry["_id"]})
    return f"entry {entry['_id']}"


def completed_by_hand(database: Db) -> str:
    entry = booked_entry(database)
    database["exportqueues"].update_one(
        {"entryId": entry["_id"]}, {"$unset": {"metadata": ""}, "$set": {"status": "completed"}}
    )
    return f"entry {entry['_id']} is completed and names no file"


def other_file(database: Db) -> str:
    entry = booked_entry(database)
    database["exportqueues"].update_one(
        {"entryId": entry["_id"]}, {"$set": {"metadata.fileId": "another"}}
    )
    return f"entry {entry['_id']} is completed and names file another"


def batch_taken_back(database: Db) -> str:
    database["exportbatches"].update_one({}, {"$set": {"state": "failed"}})
    return str(booked_entry(database)["_id"])


def altered_manifest(database: Db) -> str:
    database["exportmanifests"].update_one({"number": 0}, {"$pop": {"queueIds": 1, "entryIds": 1}})
    return "was altered"


def tampered_totals(database: Db) -> str:
    database["exportbatches"].update_one({}, {"$set": {"totals.JPY.debit": "7000000"}})
    return "debit of 7000000 JPY recorded, its entries have 7000"


@pytest.mark.parametrize(
    ("tamper", "kinds"),
    [
        (tampered_balance, {Kind.BALANCE: 1}),
        (tampered_version, {Kind.BALANCE: 1}),
        (money_without_transactions, {Kind.BALANCE: 1}),
        (lost_transaction, {Kind.BALANCE: 1, Kind.ENTRY_UNBOOKED: 1}),
        (lost_wallet, {Kind.BALANCE: 1}),
        (transaction_without_direction, {Kind.TRANSACTION: 1}),
        (unbalanced_entry, {Kind.ENTRY_UNBALANCED: 1, Kind.TOTALS: 1}),
        (other_amount, {Kind.ENTRY_AMOUNT: 1, Kind.TOTALS: 2}),
        (lost_entry, {Kind.ENTRY_MISSING: 1, Kind.TOTALS: 2}),
        (doubled_item, {Kind.QUEUE_ITEM: 1}),
        (lost_item, {Kind.QUEUE_ITEM: 1}),
        (completed_by_hand, {Kind.NOT_DELIVERED: 1}),
        (other_file, {Kind.NOT_DELIVERED: 1}),
        (batch_taken_back, {Kind.NOT_DELIVERED: 6}),
        (altered_manifest, {Kind.FILE: 1}),
        (tampered_totals, {Kind.TOTALS: 1, Kind.RECORD: 1}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_tampering_is_found_and_named(
    ledger: Ledger, app: App, tamper: Callable[[Db], str], kinds: dict[Kind, int]
) -> None:
    day_with_money(ledger, app)
    named = tamper(app.database)
    found = reconciled(app)
    assert found.counts == kinds
    assert any(named in difference.detail for difference in found.differences)
    assert found.to_doc()["status"] == "differs"


def test_an_altered_manifest_is_one_difference_and_its_other_entries_are_found(
    ledger: Ledger, app: App
) -> None:
    day_with_money(ledger, app)
    app.database["exportmanifests"].delete_many({})
    found = reconciled(app)
    assert found.counts[Kind.FILE] == 1
    assert "in exportmanifests is incomplete or was altered" in found.differences[0].detail


def test_of_many_differences_each_is_counted_and_some_are_named(
    ledger: Ledger, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daybook.wallets.reconcile.reconcile.NAMED", 2)
    purses(ledger, 1, 2, 3, 4)
    app.database["wallets"].update_many({}, {"$inc": {"availablePaise": 1}})
    found = reconciled(app)
    assert (found.counts, len(found.differences)) == ({Kind.BALANCE: 4}, 2)


def test_money_that_moves_meanwhile_is_no_difference(ledger: Ledger, app: App) -> None:
    payer, payee = purses(ledger, 100_000, 0)
    moving, enough = Event(), Event()
    moved = 0

    def keep_moving() -> None:
        nonlocal moved
        while not enough.is_set():
            move.transfer(ledger, payer, payee, movement(1))
            moved += 1
            moving.set()

    mover = Thread(target=keep_moving)
    mover.start()
    try:
        assert moving.wait(30)
        before = moved
        while moved < before + 20:
            assert reconciled(app).differences == ()
    finally:
        enough.set()
        mover.join()
