"""Whether each wallet's transactions add up to what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.chart_of_accounts import Direction
from daybook.display import number
from daybook.wallets import queries
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind

SIGNED = {
    "$switch": {
        "branches": [
            {"case": {"$not": {"$isNumber": "$amountPaise"}}, "then": None},
            {"case": {"$eq": ["$direction", Direction.CREDIT.value]}, "then": "$amountPaise"},
            {
                "case": {"$eq": ["$direction", Direction.DEBIT.value]},
                "then": {"$multiply": ["$amountPaise", -1]},
            },
        ],
        "default": None,
    }
}
"""The amount that a transaction adds to its wallet; null when it does not name one."""


def balances(
    database: Database[dict[str, Any]], session: ClientSession
) -> Iterator[LedgerDifference]:
    """Every wallet whose balance or version differs from its transactions, or is below zero."""
    yield from _of_transactions(database, session)
    yield from _without_transactions(database, session)
    yield from _below_zero(database, session)
    unclear = database[queries.TRANSACTIONS].find(
        {
            "$or": [
                {"direction": {"$nin": [direction.value for direction in Direction]}},
                {"amountPaise": {"$not": {"$type": "number"}}},
            ]
        },
        {"direction": 1, "walletId": 1, "amountPaise": 1},
        session=session,
    )
    for doc in unclear:
        yield LedgerDifference(
            kind=LedgerDifferenceKind.TRANSACTION,
            detail=f"transaction {doc['_id']} of wallet {doc.get('walletId')} says "
            f"{doc.get('direction')!r:.40} for its direction and {doc.get('amountPaise')!r:.40} "
            "for its amount, so it counts for nothing",
        )


def _of_transactions(
    database: Database[dict[str, Any]], session: ClientSession
) -> Iterator[LedgerDifference]:
    differing = database[queries.TRANSACTIONS].aggregate(
        [
            {
                "$group": {
                    "_id": "$walletId",
                    "sum": {"$sum": SIGNED},
                    "count": {"$sum": 1},
                }
            },
            {
                "$lookup": {
                    "from": queries.WALLETS,
                    "localField": "_id",
                    "foreignField": "_id",
                    "as": "wallet",
                    "pipeline": [
                        {"$project": {"ownerUserId": 1, "availablePaise": 1, "version": 1}}
                    ],
                }
            },
            {"$set": {"wallet": {"$first": "$wallet"}}},
            {
                "$match": {
                    "$expr": {
                        "$or": [
                            {"$ne": ["$sum", "$wallet.availablePaise"]},
                            {"$ne": ["$count", "$wallet.version"]},
                        ]
                    }
                }
            },
        ],
        allowDiskUse=True,
        session=session,
    )
    for doc in differing:
        wallet, count = doc.get("wallet"), doc["count"]
        if wallet is None:
            moved = number(count, "transaction")
            detail = f"wallet {doc['_id']} is gone, but has {moved} over {doc['sum']}"
        else:
            detail = _says(wallet, count=count, total=doc["sum"])
        yield LedgerDifference(kind=LedgerDifferenceKind.BALANCE, detail=detail)


def _without_transactions(
    database: Database[dict[str, Any]], session: ClientSession
) -> Iterator[LedgerDifference]:
    moved = {"$or": [{"availablePaise": {"$ne": 0}}, {"version": {"$ne": 0}}]}
    lonely = database[queries.WALLETS].aggregate(
        [
            {"$match": moved},
            {"$project": {"ownerUserId": 1, "availablePaise": 1, "version": 1}},
            {
                "$lookup": {
                    "from": queries.TRANSACTIONS,
                    "localField": "_id",
                    "foreignField": "walletId",
                    "as": "transactions",
                    "pipeline": [{"$limit": 1}, {"$project": {"_id": 1}}],
                }
            },
            {"$match": {"transactions": []}},
        ],
        session=session,
    )
    for wallet in lonely:
        yield LedgerDifference(
            kind=LedgerDifferenceKind.BALANCE, detail=_says(wallet, count=0, total=0)
        )


def _below_zero(
    database: Database[dict[str, Any]], session: ClientSession
) -> Iterator[LedgerDifference]:
    for wallet in database[queries.WALLETS].find({"availablePaise": {"$lt": 0}}, session=session):
        yield LedgerDifference(
            kind=LedgerDifferenceKind.BALANCE,
            detail=f"wallet {wallet['_id']} of user {wallet.get('ownerUserId')} holds "
            f"{wallet['availablePaise']}, which is below zero",
        )


def _says(wallet: dict[str, Any], *, count: int, total: int) -> str:
    return (
        f"wallet {wallet['_id']} of user {wallet.get('ownerUserId')} holds "
        f"{wallet.get('availablePaise')} at version {wallet.get('version')}; the sum of "
        f"its {number(count, 'transaction')} is {total}"
    )
