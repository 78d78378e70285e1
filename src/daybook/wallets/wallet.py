"""Wallets: each user has one, with a balance that only conditional updates change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from bson import Int64, ObjectId
from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from daybook import write_errors
from daybook.chart_of_accounts import Direction
from daybook.errors import DaybookError
from daybook.export.rendering.cells.money import is_currency
from daybook.mongo.query import Query
from daybook.wallets import queries
from daybook.wallets.context import MAX_PAISE, Document, Ledger, stamp
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import (
    IdempotencyKey,
    KeyedResponse,
    answered_before,
    insert_under_key,
    new_id,
)
from daybook.wallets.stored import Stored

INR = "INR"
ONE = Int64(1)


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """A wallet as it is stored."""

    id: ObjectId
    owner: ObjectId
    currency: str
    available_paise: int
    version: int
    """0 for a wallet of another application that does not count versions."""
    created_at: datetime | None

    @classmethod
    def from_doc(cls, doc: Document) -> Self:
        """Raises `DocumentInvalid`."""
        stored = Stored(collection=queries.WALLETS, doc=doc)
        currency = stored.text("currency")
        # The daily file rejects entries in any other: the money would never be exported.
        if not is_currency(currency, {}):
            raise stored.invalid("currency", "an ISO 4217 code such as INR")
        stored.optional_moment("deletedAt")  # null also matches a list that contains it
        return cls(
            id=stored.object_id("_id"),
            owner=stored.object_id("ownerUserId"),
            currency=currency,
            available_paise=stored.whole("availablePaise"),
            version=stored.whole("version", least=0) if "version" in doc else 0,
            created_at=stored.optional_moment("createdAt"),
        )

    def to_answer(self) -> Document:
        return {
            "walletId": str(self.id),
            "ownerUserId": str(self.owner),
            "currency": self.currency,
            "availablePaise": self.available_paise,
            "version": self.version,
            "createdAt": None if self.created_at is None else stamp(self.created_at),
        }


def open_wallet(
    ledger: Ledger, owner: ObjectId, currency: str = INR, wanted: IdempotencyKey | None = None
) -> KeyedResponse:
    """Create an empty wallet for a user who has none. Raises `LedgerError`.

    Users may be kept by another application, so an owner who is not in `users` is accepted.
    Under a key, a repeated request gets the first answer.
    """
    found = answered_before(ledger, queries.WALLET_MADE, wanted)
    if found is not None:
        return found
    if queries.DELETED_USER.one(ledger.database, user_id=owner) is not None:
        raise LedgerError(ErrorCode.USER_NOT_FOUND, f"user {owner} is deleted", where="ownerUserId")
    now = ledger.now()
    doc = {
        "_id": new_id(wanted),
        "ownerUserId": owner,
        "currency": currency,
        "availablePaise": Int64(0),
        "version": Int64(0),
        "deletedAt": None,
        "createdAt": now,
        "updatedAt": now,
    }
    answer = Wallet.from_doc(doc).to_answer()
    try:
        return insert_under_key(ledger, queries.WALLET_MADE, doc, answer, wanted)
    except DuplicateKeyError as error:
        if write_errors.describe(error).permanent:
            raise
        raise LedgerError(
            ErrorCode.WALLET_EXISTS, f"user {owner} has a wallet", where="ownerUserId"
        ) from error


def wallet_of(ledger: Ledger, owner: ObjectId) -> Wallet:
    """The user's wallet. Raises `LedgerError` when the user has none, `DocumentInvalid`."""
    doc = queries.WALLET_OF_OWNER.one(ledger.database, owner=owner)
    if doc is None:
        raise _not_found(f"user {owner} has no wallet", "ownerUserId")
    return Wallet.from_doc(doc)


@dataclass(frozen=True, kw_only=True)
class _WalletQueries:
    """The queries that find a wallet, at all or if a movement may change it."""

    found: Query
    to_debit: Query
    to_credit: Query

    def to_move(self, direction: Direction) -> Query:
        return self.to_debit if direction is Direction.DEBIT else self.to_credit


_BY_OWNER = _WalletQueries(
    found=queries.WALLET_OF_OWNER,
    to_debit=queries.WALLET_OF_OWNER_TO_DEBIT,
    to_credit=queries.WALLET_OF_OWNER_TO_CREDIT,
)
_BY_ID = _WalletQueries(
    found=queries.WALLET, to_debit=queries.WALLET_TO_DEBIT, to_credit=queries.WALLET_TO_CREDIT
)


def change(
    ledger: Ledger,
    session: ClientSession,
    owner: ObjectId,
    direction: Direction,
    amount_paise: int,
    *,
    where: str,
) -> Wallet:
    """Change the balance of a user's wallet by one conditional update; return the wallet after it.

    Raises `LedgerError`, with `where` for a wallet that does not exist, and `DocumentInvalid`.
    """
    wallet = _change(ledger, session, _BY_OWNER, {"owner": owner}, direction, amount_paise)
    if wallet is None:
        raise _not_found(f"user {owner} has no wallet", where)
    return wallet


class NotAllApplied(DaybookError):
    """The wallet does not cover, or has no room for, all the changes of a group."""

    type = "not_all_applied"


def change_each(
    ledger: Ledger,
    session: ClientSession,
    owner: ObjectId,
    direction: Direction,
    amounts_paise: Sequence[int],
    *,
    where: str,
) -> list[Wallet]:
    """As `change`, by one conditional update per amount; the wallet after each of them.

    Raises like `change` for the first amount, and `NotAllApplied` when a later one is refused.
    """
    # Once the first has changed the wallet, only this transaction can, so the states after the
    # other updates follow from the first one's result.
    wallets = [change(ledger, session, owner, direction, amounts_paise[0], where=where)]
    if len(amounts_paise) == 1:
        return wallets
    wanted = _BY_ID.to_move(direction)
    others = amounts_paise[1:]
    updates = [
        UpdateOne(
            wanted.filter(wallet_id=wallets[0].id, amount_paise=amount_paise),
            _moving(ledger, direction, amount_paise),
        )
        for amount_paise in others
    ]
    found = ledger.database[wanted.collection].bulk_write(updates, session=session)
    if found.matched_count != len(updates):
        raise NotAllApplied(f"{found.matched_count + 1} of {len(amounts_paise)} were applied")
    for amount_paise in others:
        wallets.append(
            replace(
                wallets[-1],
                available_paise=wallets[-1].available_paise + _signed(direction, amount_paise),
                version=wallets[-1].version + 1,
            )
        )
    return wallets


def change_back(
    ledger: Ledger,
    session: ClientSession,
    wallet_id: ObjectId,
    direction: Direction,
    amount_paise: int,
) -> Wallet:
    """Change the balance of exactly the wallet that a transaction moved, by its ID."""
    wallet = _change(ledger, session, _BY_ID, {"wallet_id": wallet_id}, direction, amount_paise)
    if wallet is None:
        raise _not_found(f"wallet {wallet_id} is not there any more", None)
    return wallet


def _change(
    ledger: Ledger,
    session: ClientSession,
    by: _WalletQueries,
    given: Mapping[str, Any],
    direction: Direction,
    amount_paise: int,
) -> Wallet | None:
    """None when there is no such wallet."""
    wanted = by.to_move(direction)
    doc = ledger.database[wanted.collection].find_one_and_update(
        wanted.filter(**given, amount_paise=amount_paise),
        _moving(ledger, direction, amount_paise),
        session=session,
        return_document=ReturnDocument.AFTER,
    )
    if doc is not None:
        # An error raised here rolls the change back.
        return Wallet.from_doc(doc)
    found = by.found.one(ledger.database, session=session, **given)
    if found is None:
        return None
    raise _refused(Wallet.from_doc(found), direction, amount_paise)


def _moving(ledger: Ledger, direction: Direction, amount_paise: int) -> Document:
    """The update that moves the amount."""
    return {
        "$inc": {"availablePaise": Int64(_signed(direction, amount_paise)), "version": ONE},
        "$set": {"updatedAt": ledger.now()},
    }


def _signed(direction: Direction, amount_paise: int) -> int:
    return -amount_paise if direction is Direction.DEBIT else amount_paise


def _not_found(message: str, where: str | None) -> LedgerError:
    return LedgerError(ErrorCode.WALLET_NOT_FOUND, message, where=where)


def _refused(wallet: Wallet, direction: Direction, amount_paise: int) -> LedgerError:
    of_user = f"the wallet of user {wallet.owner}"
    if direction is Direction.DEBIT:
        return LedgerError(
            ErrorCode.INSUFFICIENT_FUNDS,
            f"{of_user} holds {wallet.available_paise}, not {amount_paise}",
        )
    # Without the balance: a caller that pays into a wallet may not be allowed to read it.
    return LedgerError(
        ErrorCode.BALANCE_LIMIT, f"with {amount_paise} more {of_user} would exceed {MAX_PAISE}"
    )
