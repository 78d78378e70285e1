"""Erasing a person: data that is only about them is removed, and the books stay.

The user's document becomes a tombstone, without which the person's keys could create them
again; the empty wallet is closed. Transactions, journal entries and queue items are not
touched, so balances and delivered files agree with them as before.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pymongo
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from daybook import log
from daybook.display import shown
from daybook.errors import DatabaseError, DaybookError
from daybook.export.model.ids import hashable
from daybook.export.rendering.entry_id import candidates, displayed, type_name
from daybook.mongo.client import LENIENT
from daybook.mongo.rights import permitted
from daybook.mongo.sessions import transaction
from daybook.wallets import queries
from daybook.wallets.context import Document
from daybook.wallets.idempotency import without_answer
from daybook.wallets.queries import USERS
from daybook.wallets.stored import number

ERASED = "erased"
"""Name and status of a user who was erased."""

_TRANSACTION_SECONDS = 120.0
"""Longer than MongoDB keeps the transaction, and so the locks, of a process that was killed."""
_BATCH = 1000
_SHORTEST_NAME = 3
"""Shorter names are part of too many words."""
_OF_A_TOMBSTONE = frozenset({"_id", "deletedAt", "erasedAt", "createdAt", "updatedAt"})
_OF_AN_INVITE = frozenset(
    {"_id", "code", "parentCode", "status", "expiresAt", "usedAt", "usedBy"}
    | {"createdAt", "updatedAt", "idempotencyKey", "idempotencyCaller", "requestHash"}
    | {"answer", "answerRemovedAt"}
)

Db = Database[Document]


class NotErased(DaybookError):
    """The user is unknown or has money in a wallet; nothing was changed."""

    type = "not_erased"
    permanent = True


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What is stored about a person and can be erased, or what was erased."""

    user_id: Any
    erased_at: datetime | None
    """When the user's document became a tombstone; None if it is not one yet."""
    fields: tuple[str, ...]
    """Fields of the user's document, removed or overwritten."""
    wallets: int
    """Open and empty wallets, which erasing closes."""
    invites: int
    """Invites that the person accepted, and that no longer name the person."""
    answers: int
    """Stored answers about the person's wallets and transactions, removed."""
    transactions: int
    """Transactions that are kept, each with its journal entry."""
    naming: int
    """Transactions whose description contains the name that the user's document had."""

    @property
    def is_needed(self) -> bool:
        """False when nothing of the person is left to erase."""
        return self.erased_at is None or bool(self.wallets or self.invites or self.answers)

    def to_doc(self) -> Document:
        return {
            "userId": displayed(self.user_id),
            "erasedAt": self.erased_at,
            "fields": list(self.fields),
            "wallets": self.wallets,
            "invites": self.invites,
            "answers": self.answers,
            "kept": {"transactions": self.transactions, "naming": self.naming},
        }


def preview(database: Db, user_id: str) -> Erasure:
    """Return what erasing would change; reads only.

    `user_id` is the ID as text, of whatever type. Raises `NotErased` for a user who is unknown
    or has money, `ConfigurationError` when the database user may not read.
    """
    with permitted("erase"):
        return _look(_Person.of(_lenient(database), user_id))


def erase(database: Db, user_id: str, *, now: datetime) -> Erasure:
    """Erase the person; return what was changed. Safe to repeat, also after a kill at any moment.

    The user's document and the wallets change in one transaction, which is repeated when it
    conflicts with a movement. Then the copies are removed, a batch at a time. Raises like
    `preview`, with nothing changed, and `DatabaseError` when MongoDB refused or did not answer:
    repeat it.
    """
    with permitted("erase"):
        person = _Person.of(_lenient(database), user_id)
        found = _look(person)
    if not found.is_needed:
        return found
    try:
        with permitted("erase"):
            _erase(person, now)
    except PyMongoError as error:
        raise DatabaseError.of(f"erasing user {displayed(person.id)}", error) from error
    log.event(
        logging.INFO,
        "user_erased",
        f"User {displayed(person.id)} was erased.",
        user_id=displayed(person.id),
        wallets=found.wallets,
        invites=found.invites,
        answers=found.answers,
    )
    return found


def _erase(person: _Person, now: datetime) -> None:
    with pymongo.timeout(_TRANSACTION_SECONDS):
        transaction(
            person.database.client,
            lambda session: _bury(person, session, now),
            read_concern=ReadConcern("snapshot"),
        )
    _forget_invites(person, now)
    _forget_answers(person, now)


def _lenient(database: Db) -> Db:
    return database.with_options(codec_options=LENIENT)


@dataclass(frozen=True, kw_only=True)
class _Person:
    """The person that an ID belongs to."""

    database: Db
    id: Any
    user: Document | None
    """None if only a wallet has the ID, as where another application keeps the users."""
    wallets: Sequence[Document]
    """Wallets of the person, closed ones too."""

    @classmethod
    def of(cls, database: Db, text: str) -> _Person:
        """Raises `NotErased`."""
        ids = candidates(text)
        users = list(database[USERS].find({"_id": {"$in": ids}}))
        wallets = list(_having(database[queries.WALLETS].find, "ownerUserId", ids))
        known = {hashable(id_): id_ for id_ in (doc["_id"] for doc in users)} or {
            hashable(id_): id_ for id_ in (doc["ownerUserId"] for doc in wallets)
        }
        if not known:
            raise NotErased(f"there is no user {text}, and no wallet has this owner")
        if len(known) > 1:
            types = " and ".join(sorted(type_name(id_) for id_ in known.values()))
            raise NotErased(
                f"{len(known)} users have IDs that read {text} ({types}); erasing either by this "
                "text could take the other one's data"
            )
        (id_,) = known.values()
        own = {hashable(value) for value in _spellings(id_)}
        return cls(
            database=database,
            id=id_,
            user=users[0] if users else None,
            wallets=[doc for doc in wallets if hashable(doc["ownerUserId"]) in own],
        )

    @property
    def spellings(self) -> list[Any]:
        return _spellings(self.id)

    @property
    def wallet_ids(self) -> list[Any]:
        return [doc["_id"] for doc in self.wallets]


def _spellings(id_: Any) -> list[Any]:
    """The ID itself, and an ObjectId as text or the reverse: other applications mix the two."""
    if isinstance(id_, ObjectId):
        return [id_, str(id_)]
    return [id_, ObjectId(id_)] if isinstance(id_, str) and ObjectId.is_valid(id_) else [id_]


def _having(find: Any, name: str, ids: Collection[Any], **more: Any) -> Iterator[Document]:
    """Documents whose field is one of the IDs, and not an array that contains it."""
    wanted = {hashable(id_) for id_ in ids}
    for doc in find({name: {"$in": list(ids)}}, **more):
        if hashable(doc[name]) in wanted:
            yield doc


def _look(person: _Person) -> Erasure:
    user = person.user or {}
    erased_at = _erased_at(user)
    is_erased = erased_at is not None
    open_ = [doc for doc in person.wallets if doc.get("deletedAt") is None]
    for doc in open_:
        _check_empty(doc)
    transactions, naming = _transactions(person, None if is_erased else user.get("name"))
    return Erasure(
        user_id=person.id,
        erased_at=erased_at,
        fields=() if is_erased else tuple(sorted(user.keys() - _OF_A_TOMBSTONE)),
        wallets=len(open_),
        invites=sum(1 for _ in _invites(person)),
        answers=sum("answer" in doc for doc in person.wallets) + sum(1 for _ in _answered(person)),
        transactions=transactions,
        naming=naming,
    )


def _erased_at(user: Mapping[str, Any]) -> datetime | None:
    found = user.get("erasedAt")
    return found if isinstance(found, datetime) else None


def _check_empty(wallet: Document) -> None:
    """Raises `NotErased`."""
    balance = number(wallet.get("availablePaise"))
    if balance is None:
        raise NotErased(
            f"wallet {displayed(wallet['_id'])} holds {shown(wallet.get('availablePaise'))}, "
            "which is no amount: correct it, then erase the user"
        )
    if balance:
        raise NotErased(
            f"wallet {displayed(wallet['_id'])} holds {balance:f} minor units of "
            f"{displayed(wallet.get('currency'))}: pay them out or transfer them, then erase the "
            "user"
        )


def _transactions(person: _Person, name: Any) -> tuple[int, int]:
    """How many transactions the person has, and how many of their descriptions contain the name."""
    wanted = name.casefold().strip() if isinstance(name, str) else ""
    count = naming = 0
    for doc in person.database[queries.TRANSACTIONS].find(
        {"walletId": {"$in": person.wallet_ids}}, {"description": 1}
    ):
        count += 1
        description = doc.get("description")
        if len(wanted) >= _SHORTEST_NAME and isinstance(description, str):
            naming += wanted in description.casefold()
    return count, naming


def _invites(person: _Person) -> Iterator[Document]:
    """Invites that the person accepted. They are rarely looked up, so they have no index."""
    return _having(person.database[queries.INVITES].find, "usedBy", person.spellings)


def _answered(person: _Person) -> Iterable[Document]:
    return person.database[queries.TRANSACTIONS].find(
        {"walletId": {"$in": person.wallet_ids}, "answer": {"$exists": True}}, {"_id": 1}
    )


def _bury(person: _Person, session: ClientSession, now: datetime) -> None:
    users, wallets = person.database[USERS], person.database[queries.WALLETS]
    for doc in list(_having(wallets.find, "ownerUserId", person.spellings, session=session)):
        changes: dict[str, Any] = {}
        if doc.get("deletedAt") is None:
            _check_empty(doc)
            changes = {"$set": {"deletedAt": now, "updatedAt": now}}
        if "answer" in doc:
            removed = without_answer(now)
            changes = {**removed, "$set": {**removed["$set"], **changes.get("$set", {})}}
        if changes:
            wallets.update_one({"_id": doc["_id"]}, changes, session=session)
    user = users.find_one({"_id": person.id}, session=session)
    if user is None or _erased_at(user) is None:
        users.replace_one(
            {"_id": person.id}, _tombstone(user or {}, now), upsert=True, session=session
        )


def _tombstone(user: Mapping[str, Any], now: datetime) -> Document:
    """What is left of a user: an ID under which no user can be found or created."""
    created_at, deleted_at = user.get("createdAt"), user.get("deletedAt")
    return {
        "name": ERASED,
        "roles": [],
        "status": ERASED,
        "deletedAt": deleted_at if _is_moment(deleted_at) else now,
        "erasedAt": now,
        **({"createdAt": created_at} if _is_moment(created_at) else {}),
        "updatedAt": now,
    }


def _is_moment(value: Any) -> bool:
    return isinstance(value, datetime | DatetimeMS)


def _forget_invites(person: _Person, now: datetime) -> None:
    invites = person.database[queries.INVITES]
    for doc in _invites(person):
        others = doc.keys() - _OF_AN_INVITE
        invites.update_one(
            {"_id": doc["_id"], "usedBy": doc["usedBy"]},
            {
                "$set": {"usedBy": None, "updatedAt": now},
                **({"$unset": dict.fromkeys(others, "")} if others else {}),
            },
        )


def _forget_answers(person: _Person, now: datetime) -> None:
    """The keys stay with the transactions, so that none of them can move money again."""
    transactions = person.database[queries.TRANSACTIONS]
    ids = [doc["_id"] for doc in _answered(person)]
    for start in range(0, len(ids), _BATCH):
        transactions.bulk_write(
            [
                UpdateOne({"_id": id_, "answer": {"$exists": True}}, without_answer(now))
                for id_ in ids[start : start + _BATCH]
            ],
            ordered=False,
        )
