"""Whether each transaction has its journal entry, and each entry its queue item."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bson import Decimal128
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.export.profile import Profile
from daybook.export.sheet.currency import decimals_of
from daybook.wallets import journal, queries
from daybook.wallets.reconcile_kind import Difference, DifferenceKind


@dataclass(frozen=True, kw_only=True)
class Booked:
    """What MongoDB found of one movement's entry."""

    doc: Mapping[str, Any]

    @property
    def id(self) -> Any:
        return self.doc["_id"]

    @property
    def is_exported(self) -> bool:
        """Whether a queue item says so."""
        return any(item.get("status") == "completed" for item in self.doc["items"])

    @property
    def file_id(self) -> str | None:
        """The file in which it stands, says its queue item."""
        found = (item.get("metadata") for item in self.doc["items"])
        return next((metadata["fileId"] for metadata in found if metadata), None)

    def differences(self) -> Iterator[Difference]:
        doc = self.doc
        of = f"entry {doc['_id']} of transaction {doc['transactionId']}"
        if self.id is None or doc["debit"] is None:
            yield Difference(
                kind=DifferenceKind.ENTRY_MISSING,
                detail=f"transaction {doc['transactionId']} has no journal entry ({self.id})",
            )
            return
        debit, credit = doc["debit"], doc["credit"]
        if not doc["balanced"]:
            yield Difference(
                kind=DifferenceKind.ENTRY_UNBALANCED,
                detail=f"{of}: debits of {debit}, credits of {credit}",
            )
        elif not doc["right"]:
            yield Difference(
                kind=DifferenceKind.ENTRY_AMOUNT,
                detail=f"{of} is over {debit} {doc['entryCurrency']}; the transaction over "
                f"{doc['amount']} {doc['currency']}",
            )
        if len(doc["items"]) != 1:
            ids = ", ".join(str(item["_id"]) for item in doc["items"])
            yield Difference(
                kind=DifferenceKind.QUEUE_ITEM,
                detail=f"{of} has {len(doc['items'])} scheduled queue items, not one"
                + (f": {ids}" if ids else ""),
            )


def ledger_currencies(database: Database[dict[str, Any]], session: ClientSession) -> list[str]:
    """Those of the transactions."""
    found: list[str] = database[queries.TRANSACTIONS].distinct("currency", session=session)
    return [currency for currency in found if isinstance(currency, str)]


def entries(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    currencies: Collection[str],
) -> Iterator[Booked]:
    """Every movement, once, whether right or not: also the two sides of a transfer are one."""
    found = database[queries.TRANSACTIONS].aggregate(
        [
            {
                "$group": {
                    "_id": "$journalEntryId",
                    "transactionId": {"$first": "$_id"},
                    "currency": {"$first": "$currency"},
                    "least": {"$min": "$amountPaise"},
                    "most": {"$max": "$amountPaise"},
                }
            },
            {
                "$lookup": {
                    "from": journal.ENTRIES,
                    "localField": "_id",
                    "foreignField": "_id",
                    "as": "entry",
                    "pipeline": [
                        {
                            "$project": {
                                "currency": 1,
                                "debit": {"$sum": "$lines.debit"},
                                "credit": {"$sum": "$lines.credit"},
                            }
                        }
                    ],
                }
            },
            {
                "$lookup": {
                    "from": profile.source.queue,
                    "localField": "_id",
                    "foreignField": "entryId",
                    "as": "items",
                    "pipeline": [
                        {"$match": {"exportPath": "scheduled"}},
                        {"$project": {"status": 1, "metadata.fileId": 1}},
                    ],
                }
            },
            {"$set": {"entry": {"$first": "$entry"}, "amount": _major(currencies)}},
            {
                "$project": {
                    "transactionId": 1,
                    "currency": 1,
                    "amount": {"$toString": "$amount"},
                    "entryCurrency": {"$ifNull": ["$entry.currency", None]},
                    "debit": {"$ifNull": [{"$toString": "$entry.debit"}, None]},
                    "credit": {"$ifNull": [{"$toString": "$entry.credit"}, None]},
                    "balanced": {"$eq": ["$entry.debit", "$entry.credit"]},
                    "right": {
                        "$and": [
                            {"$eq": ["$least", "$most"]},
                            {"$eq": ["$entry.debit", "$amount"]},
                            {"$eq": ["$entry.currency", "$currency"]},
                        ]
                    },
                    "items": 1,
                }
            },
        ],
        allowDiskUse=True,
        session=session,
    )
    for doc in found:
        yield Booked(doc=doc)


def _major(currencies: Collection[str]) -> dict[str, Any]:
    """The transaction's amount in major units, exactly."""
    branches = [
        {
            "case": {"$eq": ["$currency", currency]},
            "then": Decimal128(Decimal(1).scaleb(-decimals_of(currency, {}))),
        }
        for currency in currencies
    ]
    unit = {"$switch": {"branches": branches, "default": None}} if branches else None
    return {"$multiply": ["$most", unit]}
