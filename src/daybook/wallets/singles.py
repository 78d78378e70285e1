"""Credits and debits: movements of one wallet each, written one by one or several at once."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.client_session import ClientSession

from daybook.wallets import journal
from daybook.wallets.booking import Booking, Leg, Single, booking, write
from daybook.wallets.context import Ledger
from daybook.wallets.errors import LedgerError
from daybook.wallets.idempotency import KeyedResponse, check_unused
from daybook.wallets.wallet import BalanceChange, Wallet, change, change_each

Responses = list[KeyedResponse | None]
"""One per movement; None for a movement that was not booked with the others."""


def write_one(
    ledger: Ledger, session: ClientSession, single: Single
) -> KeyedResponse | LedgerError:
    """Change the wallet and write the documents. Returns the response, or the refusal.

    A refusal is returned, not raised, if nothing was written: the commit makes it certain. Raises
    `LedgerError` for a key that has been used, and `DocumentInvalid`.
    """
    movement = single.movement
    check_unused(ledger, session, [movement.key])
    try:
        wallet = change(
            ledger,
            session,
            single.owner,
            single.direction,
            movement.amount_paise,
            where="ownerUserId",
        )
    except LedgerError as refused:
        return refused
    made = _booking(ledger, single, wallet)
    write(ledger, session, [made])
    return KeyedResponse(body=made.answer, replayed=False)


def write_each(ledger: Ledger, session: ClientSession, singles: Sequence[Single]) -> Responses:
    """Write several movements with as few commands as two have.

    One that would be refused, whose wallet cannot be read, or whose key is that of another one, is
    left out. Raises `LedgerError` for a key that has been used, `NotAllApplied`, and
    `DocumentInvalid`.
    """
    own_key: dict[str, Single] = {}
    # A history shows transactions of one millisecond in the order of their IDs.
    for one in sorted(singles, key=_id):
        own_key.setdefault(one.movement.key.key, one)
    changes = [
        BalanceChange(
            owner=one.owner, direction=one.direction, amount_paise=one.movement.amount_paise
        )
        for one in own_key.values()
    ]
    # The wallets come first: a process that moves one of them between a transaction's first command
    # and its update causes a conflict.
    wallets = change_each(ledger, session, changes)
    made = {
        one.movement.key: _booking(ledger, one, wallet)
        for one, wallet in zip(own_key.values(), wallets, strict=True)
        if wallet is not None
    }
    if made:
        check_unused(ledger, session, made)
        write(ledger, session, list(made.values()))
    answers = {booked.transactions[0]["_id"]: booked.answer for booked in made.values()}
    return [
        KeyedResponse(body=answers[_id(one)], replayed=False) if _id(one) in answers else None
        for one in singles
    ]


def _id(single: Single) -> ObjectId:
    return single.movement.transaction_ids[0]


def _booking(ledger: Ledger, single: Single, wallet: Wallet) -> Booking:
    movement = single.movement
    return booking(
        ledger,
        movement,
        [Leg(direction=single.direction, wallet=wallet)],
        journal.balanced(
            *ledger.chart.accounts(movement.type, single.direction),
            movement.amount_paise,
            wallet.currency,
        ),
        describing=f"{movement.type}, wallet of user {single.owner}",
    )
