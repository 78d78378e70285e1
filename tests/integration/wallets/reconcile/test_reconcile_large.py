"""Reconciling a hundred thousand movements: how long, and in how much memory."""

from __future__ import annotations

import time
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo.database import Database

from daybook.chart_of_accounts import BANK, WALLETS, Direction
from daybook.export.outcome import Status
from daybook.wallets import journal
from daybook.wallets.reconcile.reconcile import reconcile
from tests import books, commands
from tests.integration.ledgers import prepare

MANY = 100_000
WALLET_COUNT = 1_000


def fill(database: Database[dict[str, Any]]) -> None:
    """Credits of 1.00, one after the other, on each of the wallets in turn."""
    wallets = [{"_id": ObjectId(), "ownerUserId": ObjectId()} for _ in range(WALLET_COUNT)]
    each = MANY // WALLET_COUNT
    for wallet in wallets:
        wallet |= {"currency": "INR", "availablePaise": Int64(100 * each), "version": Int64(each)}
    database["wallets"].insert_many(wallets)
    lines = journal.balanced(BANK, WALLETS, 100, "INR")
    for start in range(0, MANY, 10_000):
        docs, entries, items = [], [], []
        for number in range(start, start + 10_000):
            transaction_id, entry_id = ObjectId(), ObjectId()
            wallet = wallets[number % WALLET_COUNT]
            docs.append(
                {
                    "_id": transaction_id,
                    "type": "topup",
                    "direction": Direction.CREDIT.value,
                    "walletId": wallet["_id"],
                    "ownerUserId": wallet["ownerUserId"],
                    "amountPaise": Int64(100),
                    "currency": "INR",
                    "journalEntryId": entry_id,
                    "idempotencyKey": str(transaction_id),
                    "createdAt": books.NOON,
                }
            )
            entries.append(
                journal.entry(
                    entry_id,
                    lines,
                    transaction_id=transaction_id,
                    description="topup",
                    currency="INR",
                    now=books.NOON,
                )
            )
            items.append(journal.queue_item(ObjectId(), entry_id, profile="daily", now=books.NOON))
        database["transactions"].insert_many(docs)
        database["journalentries"].insert_many(entries)
        database["exportqueues"].insert_many(items)


@pytest.mark.storm
def test_a_hundred_thousand_movements_are_reconciled(
    mongo_uri: str, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    app = books.make_app(mongo_uri, database.name, f"file://{tmp_path}")
    prepare(app.database)
    fill(app.database)
    while (ran := commands.run_day(app, date(2026, 1, 18)).status) is Status.CONTINUED:
        pass
    assert ran is Status.EXPORTED
    started = time.monotonic()
    found = reconcile(app.database, app.profile())
    seconds = time.monotonic() - started
    tracemalloc.start()  # which takes several times as long
    assert reconcile(app.database, app.profile()) == found
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    app.client.close()
    print(f"{MANY} movements reconciled in {seconds:.1f} s, {peak / 2**20:.0f} MB at most")
    assert found.differences == ()
    assert (found.transactions, found.entries, found.files) == (MANY, MANY, 1)
    assert seconds < 300  # as long as MongoDB keeps the moment
    assert peak < 100 * 2**20
