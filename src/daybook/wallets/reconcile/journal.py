"""Whether each transaction has its journal entry, and each entry its queue item."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from bson import Decimal128, ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.chart_of_accounts import Chart
from daybook.display import number
from daybook.export.model.profile import DAILY, Profile
from daybook.export.rendering.cells.money import decimals_of
from daybook.wallets import journal, queries
from daybook.wallets.reconcile.balances import SIGNED
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind

_STATUSES = {"queued", "completed", "failed"}
_PAGE = 1000
"""Documents that are fetched at a time."""
_REFERENCE = "^TX-[0-9a-f]{24}$"
"""The form that `journal.reference` writes."""


@dataclass(frozen=True, kw_only=True)
class FoundEntry:
    """What MongoDB returned about one movement's entry."""

    doc: Mapping[str, Any]
    profile: str
    """The profile whose runs take the ledger's items."""

    @property
    def id(self) -> Any:
        return self.doc["_id"]

    @property
    def is_named(self) -> bool:
        """False for a transaction that names no entry."""
        return bool(self.doc["named"])

    @property
    def is_queued(self) -> bool:
        return bool(self.doc["items"])

    @property
    def is_exported(self) -> bool:
        """Whether a queue item is completed."""
        return any(item.get("status") == "completed" for item in self.doc["items"])

    @property
    def file_id(self) -> Any:
        """ID of the file that contains the entry, according to its queue item."""
        found = (item.get("metadata") for item in self.doc["items"])
        file_ids = (each.get("fileId") for each in found if isinstance(each, Mapping))
        return next((file_id for file_id in file_ids if file_id is not None), None)

    def differences(self) -> Iterator[LedgerDifference]:
        doc = self.doc
        transaction = f"transaction {doc['transactionId']}"
        if not self.is_named:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_MISSING,
                detail=f"{transaction} names no journal entry",
            )
            return
        if doc["debit"] is None:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_MISSING,
                detail=f"{transaction} has no journal entry ({self.id})",
            )
            return
        entry = f"entry {doc['_id']} of {transaction}"
        debit, credit = doc["debit"], doc["credit"]
        if not doc["balanced"]:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_UNBALANCED,
                detail=f"{entry}: debits of {debit}, credits of {credit}",
            )
        elif not doc["right"]:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_AMOUNT,
                detail=f"{entry} is over {debit} {doc['entryCurrency']}; the transaction over "
                f"{doc['amount']} {doc['currency']}",
            )
        elif not doc["wallets"]:
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_WALLETS,
                detail=f"{entry} changes the wallets' account by {doc['booked']}, its "
                f"{number(doc['count'], 'transaction')} the wallets by {doc['moved']} "
                f"{doc['currency']}",
            )
        yield from self._of_the_queue(entry)

    def _of_the_queue(self, entry: str) -> Iterator[LedgerDifference]:
        items = self.doc["items"]
        if len(items) != 1:
            ids = ", ".join(str(item["_id"]) for item in items)
            yield LedgerDifference(
                kind=LedgerDifferenceKind.QUEUE_ITEM,
                detail=f"{entry} has {number(len(items), 'scheduled queue item')}, not one"
                + (f": {ids}" if ids else ""),
            )
        for item in items:
            if item.get("status") not in _STATUSES:
                yield LedgerDifference(
                    kind=LedgerDifferenceKind.QUEUE_ITEM,
                    detail=f"{entry}: nobody exports queue item {item['_id']}, whose status is "
                    f"{item.get('status')!r:.40}",
                )
            elif item["status"] == "queued" and item["profile"] != self.profile:
                yield LedgerDifference(
                    kind=LedgerDifferenceKind.QUEUE_ITEM,
                    detail=f"{entry}: no run of profile {self.profile} exports queue item "
                    f"{item['_id']}, whose profile is {item['profile']!r:.40}",
                )


def ledger_currencies(database: Database[dict[str, Any]], session: ClientSession) -> list[str]:
    """The currencies of the transactions."""
    found: list[str] = database[queries.TRANSACTIONS].distinct("currency", session=session)
    return [currency for currency in found if isinstance(currency, str)]


def entries(
    database: Database[dict[str, Any]],
    session: ClientSession,
    profile: Profile,
    chart: Chart,
    currencies: Collection[str],
) -> Iterator[FoundEntry]:
    """Every movement once, right or not; the two sides of a transfer are one movement."""
    unit = _unit(currencies)
    found = database[queries.TRANSACTIONS].aggregate(
        [
            {
                "$group": {
                    # Transactions that name no entry are not grouped, so that each is reported.
                    "_id": {"$ifNull": ["$journalEntryId", {"transactionId": "$_id"}]},
                    "named": {"$max": {"$gt": ["$journalEntryId", None]}},
                    "transactionId": {"$first": "$_id"},
                    "currency": {"$first": "$currency"},
                    "least": {"$min": "$amountPaise"},
                    "most": {"$max": "$amountPaise"},
                    "signed": {"$sum": SIGNED},
                    "count": {"$sum": 1},
                }
            },
            # Plain joins: with a sub-pipeline each document takes ten times as long.
            _joined(journal.ENTRIES, "_id", "entry"),
            _joined(profile.source.queue, "entryId", "items"),
            {"$set": {"entry": {"$first": "$entry"}}},
            {"$set": {"entry": _sums(chart), "items": _SCHEDULED}},
            {
                "$set": {
                    "amount": _times("$most", unit),
                    "moved": _times("$signed", unit),
                }
            },
            {"$set": {"booked": {"$subtract": ["$entry.owed", "$entry.paid"]}}},
            {
                "$project": {
                    "named": 1,
                    "transactionId": 1,
                    "currency": 1,
                    "count": 1,
                    "amount": {"$toString": "$amount"},
                    "moved": {"$toString": "$moved"},
                    "booked": {"$toString": "$booked"},
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
                    # An entry that was booked under another chart of accounts has no such line.
                    "wallets": {
                        "$or": [{"$eq": ["$entry.lines", 0]}, {"$eq": ["$booked", "$moved"]}]
                    },
                    "items": 1,
                }
            },
        ],
        allowDiskUse=True,
        # Small batches, so that no single reply takes longer than a client waits for it.
        batchSize=_PAGE,
        session=session,
    )
    for doc in found:
        yield FoundEntry(doc=doc, profile=profile.name)


def unbooked(
    database: Database[dict[str, Any]], session: ClientSession
) -> Iterator[LedgerDifference]:
    """Entries of the ledger whose transaction is missing, or names another entry."""
    found = database[journal.ENTRIES].find(
        {"reference": {"$regex": _REFERENCE}},
        {"reference": 1},
        batch_size=_PAGE,
        session=session,
    )
    # The pattern also matches a list by its members, and `$` before a final line break.
    own = (
        doc for doc in found if isinstance(doc["reference"], str) and len(doc["reference"]) == 27
    )
    while page := list(islice(own, _PAGE)):
        # Not by the entry's own ID, which may be of any type.
        ids = [ObjectId(doc["reference"][3:]) for doc in page]
        transactions = database[queries.TRANSACTIONS].find(
            {"_id": {"$in": ids}}, {"journalEntryId": 1}, session=session
        )
        named = {doc["_id"]: doc.get("journalEntryId") for doc in transactions}
        for doc, transaction_id in zip(page, ids, strict=True):
            other = named.get(transaction_id)
            if other == doc["_id"]:
                continue
            names = "is gone" if transaction_id not in named else f"names entry {other}"
            yield LedgerDifference(
                kind=LedgerDifferenceKind.ENTRY_UNBOOKED,
                detail=f"entry {doc['_id']} ({doc['reference']}): its transaction {names}",
            )


def _joined(collection: str, field: str, name: str) -> dict[str, Any]:
    return {"$lookup": {"from": collection, "localField": "_id", "foreignField": field, "as": name}}


_SCHEDULED = {
    "$map": {
        "input": {
            "$filter": {"input": "$items", "cond": {"$eq": ["$$this.exportPath", "scheduled"]}}
        },
        "in": {
            "_id": "$$this._id",
            "status": "$$this.status",
            "profile": {"$ifNull": ["$$this.profile", DAILY]},
            "metadata": {"fileId": "$$this.metadata.fileId"},
        },
    }
}


def _sums(chart: Chart) -> dict[str, Any]:
    """Sums of an entry's lines, and of those on the wallets' account alone; null for none."""
    wallets = {
        "$filter": {
            "input": {"$cond": [{"$isArray": "$entry.lines"}, "$entry.lines", []]},
            "cond": {"$eq": ["$$this.accountCode", {"$literal": chart.wallets.code}]},
        }
    }

    def of_wallets(side: str) -> dict[str, Any]:
        return {"$sum": {"$map": {"input": wallets, "in": f"$$this.{side}"}}}

    sums = {
        "currency": "$entry.currency",
        "debit": {"$sum": "$entry.lines.debit"},
        "credit": {"$sum": "$entry.lines.credit"},
        "owed": of_wallets("credit"),
        "paid": of_wallets("debit"),
        "lines": {"$size": wallets},
    }
    return {"$cond": [{"$gt": ["$entry", None]}, sums, None]}


def _times(amount: str, unit: Any) -> dict[str, Any]:
    return {"$cond": [{"$isNumber": amount}, {"$multiply": [amount, unit]}, None]}


def _unit(currencies: Collection[str]) -> Any:
    """One minor unit of the transaction's currency in major units, exactly."""
    branches = [
        {
            "case": {"$eq": ["$currency", {"$literal": currency}]},
            "then": Decimal128(Decimal(1).scaleb(-decimals_of(currency, {}))),
        }
        for currency in currencies
    ]
    return {"$switch": {"branches": branches, "default": None}} if branches else None
