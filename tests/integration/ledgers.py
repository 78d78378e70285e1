"""Ledgers, purses and the accountant's view: what must hold whatever happened before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Int64, ObjectId
from pymongo.database import Database

from daybook.ledger_app import LedgerApp
from daybook.settings.settings import Settings
from daybook.wallets import move, users
from daybook.wallets.booking import Movement
from daybook.wallets.context import Ledger
from daybook.wallets.idempotency import IdempotencyKey
from daybook.wallets.users import NewUser
from daybook.wallets.wallet import open_wallet
from tests.reusable import migrate_once

Db = Database[dict[str, Any]]


def prepare(database: Db) -> None:
    """The indexes that the ledger and the batch need."""
    migrate_once(database, now=datetime.now(UTC))


def make_app(uri: str, database: str, **more: str) -> LedgerApp:
    """An app over a prepared database, with a client of its own; `more` are variables."""
    return LedgerApp(
        Settings.from_env(
            {
                "DAYBOOK_MONGODB_URI": uri,
                "DAYBOOK_DATABASE": database,
                "DAYBOOK_DESTINATION": "file:///tmp",
                "DAYBOOK_MONGO_MIN_POOL_SIZE": "0",
                **more,
            }
        )
    )


def movement(
    amount_paise: int, *, type_: str = "payout", key: str | None = None, request: str = "/"
) -> Movement:
    """What a request asks for, under a key of its own unless one is given."""
    idempotency_key = IdempotencyKey.of(
        key or str(ObjectId()), request, {"amountPaise": amount_paise}
    )
    return Movement(key=idempotency_key, type=type_, amount_paise=amount_paise)


def purses(ledger: Ledger, *balances: int, currency: str = "INR") -> list[ObjectId]:
    """Users with a wallet each, credited once unless the balance is 0."""
    owners = []
    for balance in balances:
        user = users.create(ledger, NewUser(name="Somchai", roles=("agency",), status="active"))
        owners.append(ObjectId(user["userId"]))
        open_wallet(ledger, owners[-1], currency)
        if balance:
            move.credit(ledger, owners[-1], movement(balance, type_="topup"))
    return owners


def balance_of(database: Db, owner: ObjectId) -> tuple[int, int]:
    """Balance and version."""
    wallet = database["wallets"].find_one({"ownerUserId": owner})
    assert wallet is not None
    assert all(isinstance(wallet[name], Int64) for name in ("availablePaise", "version"))
    return wallet["availablePaise"], wallet["version"]


def check_books(database: Db, owners: Collection[ObjectId]) -> int:
    """Wallets, transactions, journal and queue agree; the sum of the balances."""
    booked: dict[ObjectId, list[dict[str, Any]]] = defaultdict(list)
    for doc in database["transactions"].find({"ownerUserId": {"$in": list(owners)}}):
        booked[doc["ownerUserId"]].append(doc)
    for owner in owners:
        check_wallet(database, owner, booked[owner])
    check_journal(database, [doc for docs in booked.values() for doc in docs])
    return sum(balance_of(database, owner)[0] for owner in owners)


def check_whole(database: Db) -> None:
    """There is no transaction, entry or queue item in the database that lacks the others."""
    booked = set(database["transactions"].distinct("journalEntryId"))
    assert set(database["journalentries"].distinct("_id")) == booked
    assert Counter(item["entryId"] for item in database["exportqueues"].find()) == Counter(booked)


def check_wallet(database: Db, owner: ObjectId, booked: Sequence[dict[str, Any]]) -> None:
    """Each change of the wallet has its transaction, and their chain has no gap."""
    balance = 0
    in_order = sorted(booked, key=lambda doc: doc["version"])
    for version, doc in enumerate(in_order, start=1):
        assert doc["version"] == version
        balance += doc["amountPaise"] * (1 if doc["direction"] == "credit" else -1)
        assert doc["availablePaise"] == balance >= 0
    assert balance_of(database, owner) == (balance, len(in_order))


def check_journal(database: Db, booked: Sequence[dict[str, Any]]) -> None:
    """Each movement has one entry over its amount, and each entry one queue item."""
    entries = {doc["journalEntryId"] for doc in booked}
    legs = Counter(doc["journalEntryId"] for doc in booked)
    amounts = {doc["journalEntryId"]: doc["amountPaise"] for doc in booked}
    found = list(database["journalentries"].find({"_id": {"$in": list(entries)}}))
    assert {entry["_id"] for entry in found} == entries
    for entry in found:
        debits = [line["debit"].to_decimal() for line in entry["lines"]]
        credits_ = [line["credit"].to_decimal() for line in entry["lines"]]
        amount = Decimal(amounts[entry["_id"]]).scaleb(-2)
        assert sum(debits) == sum(credits_) == amount
        wallet_lines = sum(line["accountCode"] == "2100" for line in entry["lines"])
        assert wallet_lines == legs[entry["_id"]]
    items = Counter(
        item["entryId"]
        for item in database["exportqueues"].find({"entryId": {"$in": list(entries)}})
    )
    assert items == Counter(entries)
