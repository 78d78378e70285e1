"""Wallets: each user has one, with a balance that only conditional updates change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
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
from daybook.wallets.stored import DocumentInvalid, Stored

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

    def allows(self, direction: Direction, amount_paise: int) -> bool:
        """Whether the balance covers a debit, or has room for a credit."""
        after_paise = self.available_paise + _signed(direction, amount_paise)
        return after_paise >= 0 if direction is Direction.DEBIT else after_paise <= MAX_PAISE

    def after(self, direction: Direction, amount_paise: int) -> Self:
        """The wallet after a change that it allows."""
        return replace(
            self,
            available_paise=self.available_paise + _signed(direction, amount_paise),
            version=self.version + 1,
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


@dataclass(frozen=True, kw_only=True)
class BalanceChange:
    """What a movement does to the wallet of one user."""

    owner: ObjectId
    direction: Direction
    amount_paise: int


class NotAllApplied(DaybookError):
    """The changes of a group were not all applied, though their wallets allow them."""

    type = "not_all_applied"


def change_each(
    ledger: Ledger, session: ClientSession, changes: Sequence[BalanceChange]
) -> list[Wallet | None]:
    """Make these changes in their order, each by its own conditional update.

    Returns the wallet after each of them; None for one that is not made, since the wallet does not
    exist, cannot be read or does not allow it. Raises `NotAllApplied` if another one is not made,
    and `DocumentInvalid`.
    """
    owners = {one.owner for one in changes}
    wallets: list[Wallet | None] = []
    latest: dict[ObjectId, Wallet] = {}
    if len(owners) == 1:
        # Processes that want the same wallet conflict less if nothing comes before its update.
        first = changes[0]
        doc = _updated(
            ledger, session, _BY_OWNER, {"owner": first.owner}, first.direction, first.amount_paise
        )
        if doc is not None:
            latest = {first.owner: Wallet.from_doc(doc)}
            wallets = [latest[first.owner]]
    if not latest:
        # The session's reads show one moment, and an update of a wallet that was changed after it
        # is a write conflict. So the states after the updates follow from what is read.
        latest = _wallets_of(ledger, session, owners)
    updates = []
    for one in changes[len(wallets) :]:
        before = latest.get(one.owner)
        if before is None or not before.allows(one.direction, one.amount_paise):
            wallets.append(None)
            continue
        wanted = _BY_ID.to_move(one.direction)
        updates.append(
            UpdateOne(
                wanted.filter(wallet_id=before.id, amount_paise=one.amount_paise),
                _moving(ledger, one.direction, one.amount_paise),
            )
        )
        latest[one.owner] = before.after(one.direction, one.amount_paise)
        wallets.append(latest[one.owner])
    if updates:
        found = ledger.database[queries.WALLETS].bulk_write(updates, session=session)
        if found.matched_count != len(updates):
            raise NotAllApplied(f"{found.matched_count} of {len(updates)} were applied")
    return wallets


def _wallets_of(
    ledger: Ledger, session: ClientSession, owners: Collection[ObjectId]
) -> dict[ObjectId, Wallet]:
    """The wallets of these users, without those that cannot be read."""
    docs = queries.WALLETS_OF_OWNERS.some(
        ledger.database, limit=0, session=session, owners=list(owners)
    )
    wallets = {}
    for doc in docs:
        with suppress(DocumentInvalid):
            wallets[doc["ownerUserId"]] = Wallet.from_doc(doc)
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
    doc = _updated(ledger, session, by, given, direction, amount_paise)
    if doc is not None:
        # An error raised here rolls the change back.
        return Wallet.from_doc(doc)
    found = by.found.one(ledger.database, session=session, **given)
    if found is None:
        return None
    raise _refused(Wallet.from_doc(found), direction, amount_paise)


def _updated(
    ledger: Ledger,
    session: ClientSession,
    by: _WalletQueries,
    given: Mapping[str, Any],
    direction: Direction,
    amount_paise: int,
) -> Document | None:
    """The conditional update; None, with nothing written, if no wallet allows it."""
    wanted = by.to_move(direction)
    return ledger.database[wanted.collection].find_one_and_update(
        wanted.filter(**given, amount_paise=amount_paise),
        _moving(ledger, direction, amount_paise),
        session=session,
        return_document=ReturnDocument.AFTER,
    )


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
