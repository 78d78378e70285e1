"""Moving money: credits, debits, transfers and their reversals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bson import ObjectId
from pymongo.client_session import ClientSession

from daybook.chart_of_accounts import Direction
from daybook.wallets import journal, queries
from daybook.wallets.booking import REVERSAL, Leg, Movement, Single, book
from daybook.wallets.context import Document, Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import KeyedResponse
from daybook.wallets.stored import Stored
from daybook.wallets.turn import book_alone, book_single
from daybook.wallets.wallet import Wallet, change, change_back


def credit(ledger: Ledger, owner: ObjectId, movement: Movement) -> KeyedResponse:
    """Raise a balance. Raises `LedgerError`, `DatabaseError`."""
    return book_single(ledger, Single(owner=owner, direction=Direction.CREDIT, movement=movement))


def debit(ledger: Ledger, owner: ObjectId, movement: Movement) -> KeyedResponse:
    """Lower a balance that covers it. Raises `LedgerError`, `DatabaseError`."""
    return book_single(ledger, Single(owner=owner, direction=Direction.DEBIT, movement=movement))


def transfer(ledger: Ledger, payer: ObjectId, payee: ObjectId, movement: Movement) -> KeyedResponse:
    """Lower one balance and raise another, or neither. Raises `LedgerError`, `DatabaseError`."""
    amount_paise = movement.amount_paise
    sides = {
        payer: (Direction.DEBIT, "fromUserId"),
        payee: (Direction.CREDIT, "toUserId"),
    }

    def work(session: ClientSession) -> Document | LedgerError:
        # All transfers use one order, so that two in opposite directions conflict at the first
        # wallet, where one of them loses, and not at the second, where both would.
        def changed(owner: ObjectId) -> Wallet:
            direction, where = sides[owner]
            return change(ledger, session, owner, direction, amount_paise, where=where)

        first, second = sorted(sides)
        try:
            wallets = {first: changed(first)}
        except LedgerError as refused:
            if refused.code is not ErrorCode.BALANCE_LIMIT or first == payer:
                return refused
            # Only a payer who has the money learns that the payee's wallet has no room for it.
            # Otherwise, amount by amount, anybody could find out what the payee holds.
            changed(payer)
            raise
        wallets[second] = changed(second)
        currency = wallets[payer].currency
        if wallets[payee].currency != currency:
            raise LedgerError(
                ErrorCode.CURRENCY_MISMATCH,
                f"the wallets hold {currency} and {wallets[payee].currency}",
                where="toUserId",
            )
        return book(
            ledger,
            session,
            movement,
            [
                Leg(direction=Direction.DEBIT, wallet=wallets[payer]),
                Leg(direction=Direction.CREDIT, wallet=wallets[payee]),
            ],
            journal.balanced(*ledger.chart.transfer(), amount_paise, currency),
            describing=f"{movement.type}, from user {payer} to user {payee}",
        )

    return book_alone(ledger, movement, work, owners=[payer, payee])


@dataclass(frozen=True, kw_only=True)
class BookedMovement:
    """One wallet's part of a stored movement, with the fields that its reversal needs."""

    id: ObjectId
    wallet_id: ObjectId
    owner: ObjectId
    direction: Direction
    amount_paise: int
    currency: str
    entry_id: ObjectId
    counterpart_id: ObjectId | None

    @classmethod
    def from_doc(cls, doc: Document) -> Self:
        """Raises `DocumentInvalid`."""
        stored = Stored(collection=queries.TRANSACTIONS, doc=doc)
        if stored.text("direction") not in set(Direction):
            raise stored.invalid("direction", " or ".join(Direction))
        return cls(
            id=stored.object_id("_id"),
            wallet_id=stored.object_id("walletId"),
            owner=stored.object_id("ownerUserId"),
            direction=Direction(doc["direction"]),
            amount_paise=stored.whole("amountPaise", least=1),
            currency=stored.text("currency"),
            entry_id=stored.object_id("journalEntryId"),
            counterpart_id=(
                stored.object_id("counterpartId") if doc.get("counterpartId") is not None else None
            ),
        )

    def is_counterpart_of(self, other: BookedMovement) -> bool:
        """Whether the two are the sides of one transfer."""
        return (
            (self.id, self.counterpart_id) == (other.counterpart_id, other.id)
            and (self.amount_paise, self.currency) == (other.amount_paise, other.currency)
            and self.entry_id == other.entry_id
            and self.direction is not other.direction
        )


def reverse(
    ledger: Ledger, movement: Movement, originals: Sequence[BookedMovement]
) -> KeyedResponse:
    """Reverse what `originals` moved, in all wallets at once, by a counter-entry.

    `movement` has the type `reversal` and the same amount. Raises `LedgerError`,
    `DocumentInvalid`, `DatabaseError`.
    """
    first = originals[0]

    def work(session: ClientSession) -> Document:
        for original in originals:
            _check_not_reversed(ledger, session, original)
        entry = queries.JOURNAL_ENTRY.one(ledger.database, session=session, entry_id=first.entry_id)
        if entry is None or not entry.get("lines"):
            raise LedgerError(
                ErrorCode.NOT_REVERSIBLE,
                f"its journal entry {first.entry_id} is not there, or has no lines",
            )
        lines = journal.opposed(entry, first.amount_paise, first.currency)
        legs = [
            _taken_back(ledger, session, original, movement.amount_paise)
            for original in sorted(originals, key=lambda leg: leg.owner)
        ]
        return book(
            ledger,
            session,
            movement,
            # The wallet that pays now comes first.
            sorted(legs, key=lambda leg: leg.direction is Direction.CREDIT),
            lines,
            describing=f"reversal of {journal.reference(first.id)}",
        )

    owners = [original.owner for original in originals]
    return book_alone(ledger, movement, work, owners=owners)


def owner_moved_back(ledger: Ledger, transaction_id: ObjectId) -> ObjectId | None:
    """The owner of the wallet that a reversal debits: for a transfer, the payee.

    None when there is no such transaction, or it does not name an owner.
    """
    doc = queries.TRANSACTION.one(ledger.database, transaction_id=transaction_id)
    if doc is not None and doc.get("counterpartId") is not None:
        other = queries.TRANSACTION.one(ledger.database, transaction_id=doc["counterpartId"])
        doc = next((leg for leg in (doc, other) if leg and leg.get("direction") == "credit"), None)
    owner = None if doc is None else doc.get("ownerUserId")
    return owner if isinstance(owner, ObjectId) else None


def reversal_of(ledger: Ledger, transaction_id: ObjectId) -> list[BookedMovement]:
    """The transactions to reverse: the one with that ID, and its counterpart in a transfer.

    Raises `LedgerError`, `DocumentInvalid`.
    """
    doc = queries.TRANSACTION.one(ledger.database, transaction_id=transaction_id)
    if doc is None:
        raise LedgerError(
            ErrorCode.TRANSACTION_NOT_FOUND,
            f"there is no transaction {transaction_id}",
            where="transactionId",
        )
    if doc.get("type") == REVERSAL or doc.get("reverses") is not None:
        raise _not_reversible("a reversal is not reversed; book the movement again")
    if doc.get("direction") is None or doc.get("journalEntryId") is None:
        raise _not_reversible("this ledger has not booked it")
    booked = BookedMovement.from_doc(doc)
    if booked.counterpart_id is None:
        return [booked]
    found = queries.TRANSACTION.one(ledger.database, transaction_id=booked.counterpart_id)
    if found is None:
        raise _not_reversible(f"its counterpart {booked.counterpart_id} is not there")
    other = BookedMovement.from_doc(found)
    if not other.is_counterpart_of(booked):
        raise _not_reversible(f"its counterpart {other.id} is not the other side of a transfer")
    return sorted([booked, other], key=lambda leg: leg.direction is Direction.CREDIT)


def _not_reversible(message: str) -> LedgerError:
    return LedgerError(ErrorCode.NOT_REVERSIBLE, message, where="transactionId")


def _check_not_reversed(ledger: Ledger, session: ClientSession, original: BookedMovement) -> None:
    found = queries.REVERSAL.one(ledger.database, session=session, transaction_id=original.id)
    if found is not None:
        raise LedgerError(
            ErrorCode.ALREADY_REVERSED,
            f"transaction {original.id} was reversed by {found['_id']}",
            where="transactionId",
        )


def _taken_back(
    ledger: Ledger, session: ClientSession, original: BookedMovement, amount_paise: int
) -> Leg:
    was_credit = original.direction is Direction.CREDIT
    direction = Direction.DEBIT if was_credit else Direction.CREDIT
    wallet = change_back(ledger, session, original.wallet_id, direction, amount_paise)
    if wallet.currency != original.currency:
        raise LedgerError(
            ErrorCode.CURRENCY_MISMATCH,
            f"transaction {original.id} is in {original.currency}, its wallet now in "
            f"{wallet.currency}",
        )
    return Leg(direction=direction, wallet=wallet, reverses=original.id)
