"""Booking: the documents that a movement writes besides the changed balances.

These are its transactions, one balanced journal entry and the queue item. All are written in
the session that has changed the wallets, so they exist together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bson import Int64, ObjectId
from pymongo.client_session import ClientSession

from daybook.chart_of_accounts import Direction
from daybook.wallets import journal, queries
from daybook.wallets.context import Document, Ledger, stamp
from daybook.wallets.idempotency import IdempotencyKey
from daybook.wallets.stored import Stored
from daybook.wallets.wallet import Wallet

REVERSAL = "reversal"


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What a request asks for. Its IDs are chosen once, however often it is tried."""

    key: IdempotencyKey
    type: str
    amount_paise: int
    description: str | None = None
    transaction_ids: tuple[ObjectId, ObjectId] = field(
        default_factory=lambda: (ObjectId(), ObjectId())
    )
    """One ID per wallet; the second is for the other wallet of a transfer."""
    entry_id: ObjectId = field(default_factory=ObjectId)
    item_id: ObjectId = field(default_factory=ObjectId)


@dataclass(frozen=True, kw_only=True)
class Single:
    """A credit or a debit: a movement of one user's wallet."""

    owner: ObjectId
    direction: Direction
    movement: Movement


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One wallet's part of a movement."""

    direction: Direction
    wallet: Wallet
    """The wallet after the change."""
    reverses: ObjectId | None = None
    """The transaction that this one reverses."""


@dataclass(frozen=True, kw_only=True)
class Booking:
    """The documents of one movement, and the answer to its request."""

    transactions: Sequence[Document]
    entry: Document
    item: Document
    answer: Document


def booking(
    ledger: Ledger,
    movement: Movement,
    legs: Sequence[Leg],
    lines: Sequence[Document],
    *,
    describing: str,
) -> Booking:
    """The documents to write. `describing` replaces a missing description."""
    now = ledger.now()
    docs: list[Document] = [
        {
            "_id": transaction_id,
            "type": movement.type,
            "direction": leg.direction.value,
            "walletId": leg.wallet.id,
            "ownerUserId": leg.wallet.owner,
            "amountPaise": Int64(movement.amount_paise),
            "currency": leg.wallet.currency,
            "availablePaise": Int64(leg.wallet.available_paise),
            "version": Int64(leg.wallet.version),
            "description": movement.description,
            "journalEntryId": movement.entry_id,
            **({} if leg.reverses is None else {"reverses": leg.reverses}),
            "createdAt": now,
        }
        for transaction_id, leg in zip(movement.transaction_ids, legs, strict=False)
    ]
    if len(docs) > 1:
        for doc, other in zip(docs, reversed(docs), strict=True):
            doc["counterpartId"] = other["_id"]
    answer = single_answer(docs[0]) if len(docs) == 1 else pair_answer(*docs)
    docs[0] |= movement.key.remembered(answer)
    currency: str = docs[0]["currency"]
    entry = journal.entry(
        movement.entry_id,
        lines,
        transaction_id=movement.transaction_ids[0],
        description=movement.description or describing,
        currency=currency,
        now=now,
    )
    item = journal.queue_item(movement.item_id, movement.entry_id, profile=ledger.profile, now=now)
    return Booking(transactions=docs, entry=entry, item=item, answer=answer)


def write(ledger: Ledger, session: ClientSession, bookings: Sequence[Booking]) -> None:
    """Write all documents of these movements."""
    # Transactions first, since their insert conflicts with another request under the same key.
    written = {
        queries.TRANSACTIONS: [doc for one in bookings for doc in one.transactions],
        journal.ENTRIES: [one.entry for one in bookings],
        journal.QUEUE: [one.item for one in bookings],
    }
    for name, docs in written.items():
        collection = ledger.database[name]
        if len(docs) == 1:  # most often, and cheaper for the driver
            collection.insert_one(docs[0], session=session)
        else:
            collection.insert_many(docs, session=session)


def book(
    ledger: Ledger,
    session: ClientSession,
    movement: Movement,
    legs: Sequence[Leg],
    lines: Sequence[Document],
    *,
    describing: str,
) -> Document:
    """Write the documents of one movement; return its answer."""
    made = booking(ledger, movement, legs, lines, describing=describing)
    write(ledger, session, [made])
    return made.answer


def single_answer(doc: Document) -> Document:
    """A transaction as answers show it, alone or in a history. Raises `DocumentInvalid`.

    A transaction of another application may lack fields that this ledger writes, but not `_id`,
    `walletId` or `createdAt`, by which a history is ordered.
    """
    stored = Stored(collection=queries.TRANSACTIONS, doc=doc)
    return {
        "transactionId": str(stored.object_id("_id")),
        "walletId": str(stored.object_id("walletId")),
        "ownerUserId": stored.optional_id("ownerUserId"),
        "type": stored.optional_text("type"),
        "direction": stored.optional_text("direction"),
        "amountPaise": stored.optional_whole("amountPaise"),
        "currency": stored.optional_text("currency"),
        "availablePaise": stored.optional_whole("availablePaise"),
        "version": stored.optional_whole("version"),
        "description": stored.optional_text("description"),
        "journalEntryId": stored.optional_id("journalEntryId"),
        "reverses": stored.optional_id("reverses"),
        "createdAt": stamp(stored.moment("createdAt")),
    }


def pair_answer(debit: Document, credit: Document) -> Document:
    """Both transactions of a transfer: the fields they share, and those of each wallet."""
    return {
        "type": debit["type"],
        "amountPaise": debit["amountPaise"],
        "currency": debit["currency"],
        "description": debit["description"],
        "journalEntryId": str(debit["journalEntryId"]),
        "createdAt": stamp(debit["createdAt"]),
        "from": _side(debit),
        "to": _side(credit),
    }


def _side(doc: Document) -> Document:
    return {
        "transactionId": str(doc["_id"]),
        "walletId": str(doc["walletId"]),
        "ownerUserId": str(doc["ownerUserId"]),
        "availablePaise": doc["availablePaise"],
        "version": doc["version"],
        "reverses": None if "reverses" not in doc else str(doc["reverses"]),
    }
