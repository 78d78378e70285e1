"""Reconciliation against tampering that keeps some of the books in step with each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from click.testing import CliRunner
from pymongo.database import Database

from daybook.app import App
from daybook.chart_of_accounts import Account, Chart
from daybook.cli.reconcile import reconcile as command
from daybook.wallets import move
from daybook.wallets.context import Ledger
from daybook.wallets.reconcile.kind import LedgerDifferenceKind as Kind
from daybook.wallets.reconcile.reconcile import reconcile
from tests import books
from tests.integration.ledgers import movement, purses
from tests.integration.wallets.reconcile.test_reconcile import app as app
from tests.integration.wallets.reconcile.test_reconcile import day_with_money, one, reconciled
from tests.integration.wallets.reconcile.test_reconcile import ledger as ledger

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]


def adjust(database: Db, wallet_id: Any, paise: int, versions: int) -> None:
    """As a person would who knows that balance and version are compared."""
    database["wallets"].update_one(
        {"_id": wallet_id}, {"$inc": {"availablePaise": Int64(paise), "version": versions}}
    )


def transaction_and_its_money_gone(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    booked = one(database, "transactions", walletId=wallet["_id"])
    database["transactions"].delete_one({"_id": booked["_id"]})
    adjust(database, wallet["_id"], -7000, -1)
    return f"entry {booked['journalEntryId']} (TX-{booked['_id']}): its transaction is gone"


def one_side_of_a_transfer_gone(database: Db) -> str:
    side = one(database, "transactions", type="cashback", direction="credit")
    database["transactions"].delete_one({"_id": side["_id"]})
    adjust(database, side["walletId"], -99, -1)
    return f"entry {side['journalEntryId']}"


def transaction_that_borrows_an_entry(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    booked = one(database, "transactions", walletId=wallet["_id"])
    del booked["idempotencyKey"]
    database["transactions"].insert_one({**booked, "_id": ObjectId()})
    adjust(database, wallet["_id"], 7000, 1)
    return f"entry {booked['journalEntryId']}"


def sides_exchanged(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    lines = [{**line, "debit": line["credit"], "credit": line["debit"]} for line in entry["lines"]]
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"lines": lines}})
    return f"entry {entry['_id']}"


def two_transactions_without_entry(database: Db) -> str:
    docs = list(database["transactions"].find({"type": "topup", "currency": "INR"}).limit(2))
    for doc in docs:
        database["transactions"].update_one({"_id": doc["_id"]}, {"$unset": {"journalEntryId": ""}})
    return f"transaction {docs[1]['_id']} names no journal entry"


def transaction_of_another_entry(database: Db) -> str:
    first, second = database["transactions"].find({"type": "topup", "currency": "INR"}).limit(2)
    database["transactions"].update_one(
        {"_id": first["_id"]}, {"$set": {"journalEntryId": second["journalEntryId"]}}
    )
    return f"names entry {second['journalEntryId']}"


def amount_as_text(database: Db) -> str:
    booked = one(database, "transactions", currency="JPY")
    database["transactions"].update_one({"_id": booked["_id"]}, {"$set": {"amountPaise": "7000"}})
    return f"transaction {booked['_id']}"


def amount_as_text_of_a_debit(database: Db) -> str:
    booked = one(database, "transactions", type="payout")
    database["transactions"].update_one({"_id": booked["_id"]}, {"$set": {"amountPaise": "1234"}})
    return f"transaction {booked['_id']}"


def no_number(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    first, second = entry["lines"]
    lines = [{**first, "debit": Decimal128("NaN")}, {**second, "credit": float("inf")}]
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"lines": lines}})
    return f"entry {entry['_id']}"


def too_large_a_number(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    first, second = entry["lines"]
    huge = Decimal128("9E+6000")
    lines = [{**first, "debit": huge}, {**second, "credit": huge}]
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"lines": lines}})
    return f"entry {entry['_id']}"


def currency_as_number(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"currency": 392}})
    return f"entry {entry['_id']}"


def lines_that_are_none(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    database["journalentries"].update_one({"_id": entry["_id"]}, {"$set": {"lines": "none"}})
    return f"entry {entry['_id']}"


def queued_again(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    database["exportqueues"].update_one({"entryId": entry["_id"]}, {"$set": {"status": "queued"}})
    return f"entry {entry['_id']} is in batch_2026-01-18.csv"


def status_that_nobody_knows(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    item = one(database, "exportqueues", entryId=entry["_id"])
    database["exportqueues"].update_one({"_id": item["_id"]}, {"$set": {"status": "done"}})
    return f"nobody exports queue item {item['_id']}"


def file_id_that_is_a_document(database: Db) -> str:
    entry = one(database, "journalentries", currency="JPY")
    database["exportqueues"].update_one(
        {"entryId": entry["_id"]}, {"$set": {"metadata": [{"fileId": 1}]}}
    )
    return f"entry {entry['_id']} is completed"


def record_gone(database: Db) -> str:
    database["exportlogs"].delete_one({"action": "csv_generated"})
    return "batch_2026-01-18.csv: there is no csv_generated record"


def record_of_another_file(database: Db) -> str:
    database["exportlogs"].update_one(
        {"action": "csv_generated"}, {"$set": {"metadata.fileId": "another"}}
    )
    return "fileId is another"


def item_of_a_profile_that_does_not_exist(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    booked = one(database, "transactions", walletId=wallet["_id"])
    item = one(database, "exportqueues", entryId=booked["journalEntryId"])
    later, entry = {**item, "_id": ObjectId(), "profile": "wallets"}, ObjectId()
    del later["metadata"]
    doc = one(database, "journalentries", _id=booked["journalEntryId"])
    database["journalentries"].insert_one({**doc, "_id": entry, "reference": "INV-1"})
    database["exportqueues"].insert_one({**later, "entryId": entry, "status": "queued"})
    del booked["idempotencyKey"]
    database["transactions"].insert_one(
        {**booked, "_id": ObjectId(), "journalEntryId": entry, "version": Int64(2)}
    )
    adjust(database, wallet["_id"], 7000, 1)
    return f"no run of profile daily exports queue item {later['_id']}"


def below_zero(database: Db) -> str:
    wallet = one(database, "wallets", currency="JPY")
    booked = one(database, "transactions", walletId=wallet["_id"])
    adjust(database, wallet["_id"], -14_000, 0)
    database["transactions"].update_one({"_id": booked["_id"]}, {"$set": {"direction": "debit"}})
    return f"wallet {wallet['_id']}"


@pytest.mark.parametrize(
    ("tamper", "kinds"),
    [
        (transaction_and_its_money_gone, {Kind.ENTRY_UNBOOKED: 1}),
        (one_side_of_a_transfer_gone, {Kind.ENTRY_WALLETS: 1}),
        (transaction_that_borrows_an_entry, {Kind.ENTRY_WALLETS: 1}),
        (sides_exchanged, {Kind.ENTRY_WALLETS: 1}),
        (two_transactions_without_entry, {Kind.ENTRY_MISSING: 2, Kind.ENTRY_UNBOOKED: 2}),
        (transaction_of_another_entry, {Kind.ENTRY_AMOUNT: 1, Kind.ENTRY_UNBOOKED: 1}),
        (
            amount_as_text,
            {Kind.DOCUMENT: 1, Kind.BALANCE: 1, Kind.TRANSACTION: 1, Kind.ENTRY_AMOUNT: 1},
        ),
        (
            amount_as_text_of_a_debit,
            {Kind.DOCUMENT: 1, Kind.BALANCE: 1, Kind.TRANSACTION: 1, Kind.ENTRY_AMOUNT: 1},
        ),
        (no_number, {Kind.ENTRY_UNBALANCED: 1, Kind.TOTALS: 2}),
        (too_large_a_number, {Kind.ENTRY_AMOUNT: 1, Kind.TOTALS: 2}),
        (currency_as_number, {Kind.ENTRY_AMOUNT: 1, Kind.TOTALS: 4}),
        (lines_that_are_none, {Kind.ENTRY_AMOUNT: 1, Kind.TOTALS: 2}),
        (queued_again, {Kind.NOT_COMPLETED: 1}),
        (status_that_nobody_knows, {Kind.NOT_COMPLETED: 1, Kind.QUEUE_ITEM: 1}),
        (file_id_that_is_a_document, {Kind.NOT_DELIVERED: 1}),
        (record_gone, {Kind.RECORD: 1}),
        (record_of_another_file, {Kind.RECORD: 1}),
        (item_of_a_profile_that_does_not_exist, {Kind.QUEUE_ITEM: 1}),
        (below_zero, {Kind.BALANCE: 1, Kind.ENTRY_WALLETS: 1}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_tampering_is_found_and_named(
    ledger: Ledger, app: App, tamper: Callable[[Db], str], kinds: dict[Kind, int]
) -> None:
    day_with_money(ledger, app)
    named = tamper(app.database)
    found = reconciled(app)
    told = [difference.detail for difference in found.differences]
    assert found.counts == kinds, told
    assert any(named in detail for detail in told), told


def test_an_entry_that_was_rejected_is_no_difference(ledger: Ledger, app: App) -> None:
    day_with_money(ledger, app)
    (owner,) = purses(ledger, 5)
    booked = one(app.database, "transactions", ownerUserId=owner)
    app.database["exportqueues"].update_one(
        {"entryId": booked["journalEntryId"]}, {"$set": {"status": "failed"}}
    )
    assert reconciled(app).differences == ()


def test_entries_under_an_earlier_chart_of_accounts_agree(ledger: Ledger, app: App) -> None:
    day_with_money(ledger, app)
    later = Chart(wallets=Account(code="2190", name="Wallets"))
    assert reconcile(app.database, app.profile(), chart=later).differences == ()


def test_entries_of_the_other_application_need_no_transaction(app: App) -> None:
    reference = f"TX-{ObjectId()}"
    books.put(app.database, books.entry("TX-1"), books.entry("INV-7"))
    for odd in ([reference], f"{reference}\n"):
        app.database["journalentries"].insert_one({"_id": {"a": odd}, "reference": odd})
    assert reconciled(app).agrees


def shown(app: App, *arguments: str) -> tuple[int, dict[str, Any]]:
    environment = {
        "DAYBOOK_MONGODB_URI": app.settings.mongodb_uri,
        "DAYBOOK_DATABASE": app.settings.database,
        "DAYBOOK_DESTINATION": app.settings.destination.url,
    }
    result = CliRunner().invoke(command, [*arguments, "--json"], env=environment)
    return result.exit_code, json.loads(result.stdout)


def test_with_files_a_changed_or_missing_one_is_named(
    ledger: Ledger, app: App, tmp_path: Path
) -> None:
    day_with_money(ledger, app)
    assert shown(app, "--files")[0] == 0
    (file,) = tmp_path.rglob("batch_2026-01-18.csv")
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole.replace(b"7000", b"7001", 1))
    assert shown(app)[0] == 0
    code, answer = shown(app, "--files")
    assert (code, answer["differenceCounts"]) == (1, {"file": 1})
    assert "batch_2026-01-18.csv" in answer["differences"][0]["detail"]
    assert "was changed" in answer["differences"][0]["detail"]
    file.unlink()
    code, answer = shown(app, "--files")
    assert (code, answer["differenceCounts"]) == (1, {"file": 1})


def test_a_tampered_balance_is_named_on_stdout_and_exits_with_1(ledger: Ledger, app: App) -> None:
    (owner,) = purses(ledger, 10)
    move.debit(ledger, owner, movement(3))
    assert shown(app)[0] == 0
    app.database["wallets"].update_one({"ownerUserId": owner}, {"$inc": {"availablePaise": 1}})
    code, answer = shown(app)
    assert (code, answer["status"], answer["differenceCount"]) == (1, "differs", 1)
    assert str(owner) in answer["differences"][0]["detail"]
