"""Moving money: credits, debits, transfers and their reversals."""

from __future__ import annotations

from bson import ObjectId
from pymongo.client_session import ClientSession

from daybook.chart import Direction
from daybook.wallets import journal, queries
from daybook.wallets.booking import REVERSAL, Leg, Movement, book
from daybook.wallets.context import Document, Ledger
from daybook.wallets.once import Answer, once
from daybook.wallets.refusal import Refusal, Refused
from daybook.wallets.wallet import change, change_back


def credit(ledger: Ledger, owner: ObjectId, movement: Movement) -> Answer:
    """Raise a balance. Raises `Refused`, `DatabaseError`."""
    return _single(ledger, owner, movement, Direction.CREDIT)


def debit(ledger: Ledger, owner: ObjectId, movement: Movement) -> Answer:
    """Lower a balance that covers it. Raises `Refused`, `DatabaseError`."""
    return _single(ledger, owner, movement, Direction.DEBIT)


def _single(ledger: Ledger, owner: ObjectId, movement: Movement, direction: Direction) -> Answer:
    amount_paise = movement.amount_paise

    def work(session: ClientSession) -> Document:
        wallet = change(ledger, session, owner, direction, amount_paise, where="ownerUserId")
        debited, credited = ledger.chart.accounts(movement.type, direction)
        return book(
            ledger,
            session,
            movement,
            [Leg(direction=direction, wallet=wallet)],
            journal.balanced(debited, credited, amount_paise, wallet["currency"]),
            describing=f"{movement.type}, wallet of user {owner}",
        )

    return once(ledger, movement.once, work, owners=[owner])


def transfer(ledger: Ledger, payer: ObjectId, payee: ObjectId, movement: Movement) -> Answer:
    """Lower one balance and raise another, or neither. Raises `Refused`, `DatabaseError`."""
    amount_paise = movement.amount_paise
    sides = {
        payer: (Direction.DEBIT, "fromUserId"),
        payee: (Direction.CREDIT, "toUserId"),
    }

    def work(session: ClientSession) -> Document:
        # In one order for all, so that two transfers in opposite directions meet at the first
        # wallet, where one of them loses, and not at the second, where both would.
        wallets = {
            owner: change(
                ledger, session, owner, sides[owner][0], amount_paise, where=sides[owner][1]
            )
            for owner in sorted(sides)
        }
        currency = wallets[payer]["currency"]
        if wallets[payee]["currency"] != currency:
            raise Refused(
                Refusal.CURRENCY_MISMATCH,
                f"the wallets hold {currency} and {wallets[payee]['currency']}",
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

    return once(ledger, movement.once, work, owners=[payer, payee])


def reverse(ledger: Ledger, movement: Movement, originals: list[Document]) -> Answer:
    """Take back what `originals` moved, all of its wallets at once, by a counter-entry.

    `movement` is of the type `reversal` and of the same amount. Raises `Refused`,
    `DatabaseError`.
    """

    def work(session: ClientSession) -> Document:
        for original in originals:
            _check_not_reversed(ledger, session, original)
        entry = queries.JOURNAL_ENTRY.one(
            ledger.database, session=session, entry_id=originals[0]["journalEntryId"]
        )
        if entry is None or not entry.get("lines"):
            raise Refused(
                Refusal.NOT_REVERSIBLE,
                f"its journal entry {originals[0]['journalEntryId']} is not there, or has no lines",
            )
        legs = {
            original["_id"]: _taken_back(ledger, session, original, movement.amount_paise)
            for original in sorted(originals, key=lambda doc: doc["ownerUserId"])
        }
        return book(
            ledger,
            session,
            movement,
            # The one that pays now comes first.
            sorted(legs.values(), key=lambda leg: leg.direction is Direction.CREDIT),
            journal.opposed(entry["lines"]),
            describing=f"reversal of {journal.reference(originals[0]['_id'])}",
        )

    owners = [original["ownerUserId"] for original in originals]
    return once(ledger, movement.once, work, owners=owners)


def reversal_of(ledger: Ledger, transaction_id: ObjectId) -> list[Document]:
    """What there is to take back: the transaction, and its counterpart. Raises `Refused`."""
    doc = queries.TRANSACTION.one(ledger.database, transaction_id=transaction_id)
    if doc is None:
        raise Refused(
            Refusal.TRANSACTION_NOT_FOUND,
            f"there is no transaction {transaction_id}",
            where="transactionId",
        )
    if doc["type"] == REVERSAL or "reverses" in doc:
        raise Refused(
            Refusal.NOT_REVERSIBLE,
            "a reversal is not reversed; book the movement again",
            where="transactionId",
        )
    if "direction" not in doc or "journalEntryId" not in doc:
        raise Refused(
            Refusal.NOT_REVERSIBLE, "this ledger has not booked it", where="transactionId"
        )
    counterpart_id = doc.get("counterpartId")
    if counterpart_id is None:
        return [doc]
    other = queries.TRANSACTION.one(ledger.database, transaction_id=counterpart_id)
    if other is None:
        raise Refused(
            Refusal.NOT_REVERSIBLE,
            f"its counterpart {counterpart_id} is not there",
            where="transactionId",
        )
    return sorted([doc, other], key=lambda leg: leg["direction"] == Direction.CREDIT)


def _check_not_reversed(ledger: Ledger, session: ClientSession, original: Document) -> None:
    found = queries.REVERSAL.one(ledger.database, session=session, transaction_id=original["_id"])
    if found is not None:
        raise Refused(
            Refusal.ALREADY_REVERSED,
            f"transaction {original['_id']} was reversed by {found['_id']}",
            where="transactionId",
        )


def _taken_back(
    ledger: Ledger, session: ClientSession, original: Document, amount_paise: int
) -> Leg:
    was_credit = original["direction"] == Direction.CREDIT
    direction = Direction.DEBIT if was_credit else Direction.CREDIT
    wallet = change_back(ledger, session, original["walletId"], direction, amount_paise)
    return Leg(direction=direction, wallet=wallet, reverses=original["_id"])
