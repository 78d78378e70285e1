"""Every query that the ledger issues, reads and conditional updates alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any

from bson import Int64, ObjectId

from daybook.mongo.query import Query
from daybook.wallets.context import MAX_PAISE, Document

USERS = "users"
WALLETS = "wallets"
TRANSACTIONS = "transactions"
INVITES = "invites"

_FIELDS = ("brandCode", "mediatorCode", "roles", "status")
_LEADING = _FIELDS[:3]
"""The first fields of the indexes. A request that gives none of them is refused."""


def _users(**fields: str) -> Document:
    """The filter for users whose `fields` are equal to these; for `roles`, one of them suffices."""
    return {**fields, "deletedAt": None}


def _of_user(*names: str) -> Callable[[Document], dict[str, Any]]:
    """Make a function that takes the arguments of `_users` from a stored user."""

    def arguments(doc: Document) -> dict[str, Any]:
        return {name: doc[name][0] if name == "roles" else doc[name] for name in names}

    return arguments


def _lookups() -> Iterator[Query]:
    """Every query that `GET /users` may run."""
    for count in range(1, len(_FIELDS) + 1):
        for names in combinations(_FIELDS, count):
            if names[0] in _LEADING:
                yield Query(
                    name=f"users_by_{'_'.join(names)}",
                    collection=USERS,
                    filter=_users,
                    arguments=_of_user(*names),
                )


def _user(user_id: ObjectId) -> Document:
    return {"_id": user_id, "deletedAt": None}


def _wallet_of(owner: ObjectId) -> Document:
    return {"ownerUserId": owner, "deletedAt": None}


def _wallet(wallet_id: ObjectId) -> Document:
    return {"_id": wallet_id, "deletedAt": None}


_MAX = Int64(MAX_PAISE)


def _whole(path: str) -> Document:
    is_whole = {"$eq": [path, {"$trunc": path}]}
    return {"$cond": [{"$isNumber": path}, is_whole, False]}


_COUNTING = {
    "$expr": {
        "$and": [
            _whole("$availablePaise"),
            {"$or": [{"$eq": [{"$type": "$version"}, "missing"]}, _whole("$version")]},
        ]
    }
}
"""A wallet of another application may hold 120.0, which is 120, but also 10.5 or text. An
update of such a wallet would fail, or leave a balance that is not an amount."""


def _covering(amount_paise: int) -> Document:
    return {"availablePaise": {"$gte": Int64(amount_paise), "$lte": _MAX}, **_COUNTING}


def _having_room_for(amount_paise: int) -> Document:
    room = {"$gte": Int64(-MAX_PAISE), "$lte": Int64(MAX_PAISE - amount_paise)}
    return {"availablePaise": room, **_COUNTING}


def _invite_to_accept(code: str, expires_at: datetime) -> Document:
    return {"code": code, "status": "active", "expiresAt": expires_at}


def _invite_to_expire(code: str, now: datetime) -> Document:
    return {"code": code, "status": "active", "expiresAt": {"$lte": now}}


def _of_owner(doc: Document) -> dict[str, Any]:
    return {"owner": doc["ownerUserId"]}


def _of_owner_with_amount(doc: Document) -> dict[str, Any]:
    return {"owner": doc["ownerUserId"], "amount_paise": 1}


def _of_wallet_with_amount(doc: Document) -> dict[str, Any]:
    return {"wallet_id": doc["_id"], "amount_paise": 1}


def _made(made_id: ObjectId) -> Document:
    """Includes deleted documents: a key still belongs to what it made."""
    return {"_id": made_id}


def _of_made(doc: Document) -> dict[str, Any]:
    return {"made_id": doc["_id"]}


_REMEMBERED = dict.fromkeys(
    (
        *("idempotencyKey", "idempotencyCaller", "requestHash"),
        *("answer", "answerRemovedAt", "erasedAt"),
    ),
    1,
)


def _answered_before(before: str) -> Document:
    """`before` has the form of times in answers, whose text sorts in order of time."""
    return {"answer.createdAt": {"$gte": "", "$lt": before}}


def _answered(collection: str) -> Query:
    return Query(
        name=f"{collection}_answered_before",
        collection=collection,
        filter=_answered_before,
        arguments=lambda doc: {"before": doc["answer"]["createdAt"]},
        sort=(("answer.createdAt", 1),),
        projection={"_id": 1},
    )


USER = Query(
    name="user",
    collection=USERS,
    filter=_user,
    arguments=lambda doc: {"user_id": doc["_id"]},
    projection={"_id": 1},
)
DELETED_USER = Query(
    name="deleted_user",
    collection=USERS,
    filter=lambda user_id: {"_id": user_id, "deletedAt": {"$ne": None}},
    arguments=lambda doc: {"user_id": doc["_id"]},
    projection={"_id": 1},
)
USER_MADE = Query(
    name="user_made",
    collection=USERS,
    filter=_made,
    arguments=_of_made,
    projection=_REMEMBERED,
)
USERS_OF_BRAND = Query(
    name="users_of_brand",
    collection=USERS,
    filter=_users,
    arguments=_of_user("brandCode", "roles"),
)
USERS_OF_MEDIATOR = Query(
    name="users_of_mediator",
    collection=USERS,
    filter=_users,
    arguments=_of_user("mediatorCode", "roles"),
)
USERS_OF_ROLE = Query(
    name="users_of_role",
    collection=USERS,
    filter=_users,
    arguments=_of_user("roles", "status"),
)
WALLET_OF_OWNER = Query(
    name="wallet_of_owner", collection=WALLETS, filter=_wallet_of, arguments=_of_owner
)
WALLETS_OF_OWNERS = Query(
    name="wallets_of_owners",
    collection=WALLETS,
    filter=lambda owners: {"ownerUserId": {"$in": owners}, "deletedAt": None},
    arguments=lambda doc: {"owners": [doc["ownerUserId"]]},
)
WALLET_MADE = Query(
    name="wallet_made",
    collection=WALLETS,
    filter=_made,
    arguments=_of_made,
    projection=_REMEMBERED,
)
WALLET_OF_OWNER_TO_DEBIT = Query(
    name="wallet_of_owner_to_debit",
    collection=WALLETS,
    filter=lambda owner, amount_paise: {**_wallet_of(owner), **_covering(amount_paise)},
    arguments=_of_owner_with_amount,
)
WALLET_OF_OWNER_TO_CREDIT = Query(
    name="wallet_of_owner_to_credit",
    collection=WALLETS,
    filter=lambda owner, amount_paise: {**_wallet_of(owner), **_having_room_for(amount_paise)},
    arguments=_of_owner_with_amount,
)
WALLET = Query(
    name="wallet",
    collection=WALLETS,
    filter=_wallet,
    arguments=lambda doc: {"wallet_id": doc["_id"]},
)
WALLET_TO_DEBIT = Query(
    name="wallet_to_debit",
    collection=WALLETS,
    filter=lambda wallet_id, amount_paise: {**_wallet(wallet_id), **_covering(amount_paise)},
    arguments=_of_wallet_with_amount,
)
WALLET_TO_CREDIT = Query(
    name="wallet_to_credit",
    collection=WALLETS,
    filter=lambda wallet_id, amount_paise: {**_wallet(wallet_id), **_having_room_for(amount_paise)},
    arguments=_of_wallet_with_amount,
)

TRANSACTIONS_OF_KEYS = Query(
    name="transactions_of_key",
    collection=TRANSACTIONS,
    filter=lambda keys: {"idempotencyKey": {"$in": keys}},
    arguments=lambda doc: {"keys": [doc.get("idempotencyKey", "")]},
    projection=dict.fromkeys(
        (
            *("idempotencyKey", "idempotencyCaller", "requestHash"),
            *("answer", "answerRemovedAt"),
        ),
        1,
    ),
)
TRANSACTION = Query(
    name="transaction",
    collection=TRANSACTIONS,
    filter=lambda transaction_id: {"_id": transaction_id},
    arguments=lambda doc: {"transaction_id": doc["_id"]},
)
REVERSAL = Query(
    name="reversal",
    collection=TRANSACTIONS,
    filter=lambda transaction_id: {"reverses": transaction_id},
    arguments=lambda doc: {"transaction_id": doc["_id"]},
    projection={"_id": 1},
)
NEWEST_FIRST = (("createdAt", -1),)
_IN_A_HISTORY = {"answer": 0, "requestHash": 0}
HISTORY = Query(
    name="history",
    collection=TRANSACTIONS,
    filter=lambda wallet_id: {"walletId": wallet_id},
    arguments=lambda doc: {"wallet_id": doc["walletId"]},
    sort=NEWEST_FIRST,
    projection=_IN_A_HISTORY,
)
HISTORY_BEFORE = Query(
    name="history_before",
    collection=TRANSACTIONS,
    filter=lambda wallet_id, created_at: {
        "walletId": wallet_id,
        # Not `$lt`, which leaves out documents without a date.
        "createdAt": {"$not": {"$gte": created_at}},
    },
    arguments=lambda doc: {"wallet_id": doc["walletId"], "created_at": doc["createdAt"]},
    sort=NEWEST_FIRST,
    projection=_IN_A_HISTORY,
)
HISTORY_AT = Query(
    name="history_at",
    collection=TRANSACTIONS,
    filter=lambda wallet_id, created_at: {"walletId": wallet_id, "createdAt": created_at},
    arguments=lambda doc: {"wallet_id": doc["walletId"], "created_at": doc["createdAt"]},
    projection=_IN_A_HISTORY,
)
JOURNAL_ENTRY = Query(
    name="journal_entry",
    collection="journalentries",
    filter=lambda entry_id: {"_id": entry_id},
    arguments=lambda doc: {"entry_id": doc["_id"]},
    projection={"lines": 1, "currency": 1},
)

INVITE = Query(
    name="invite",
    collection=INVITES,
    filter=lambda code: {"code": code},
    arguments=lambda doc: {"code": doc["code"]},
)
INVITE_MADE = Query(
    name="invite_made",
    collection=INVITES,
    filter=_made,
    arguments=_of_made,
    projection=_REMEMBERED,
)
INVITE_TO_ACCEPT = Query(
    name="invite_to_accept",
    collection=INVITES,
    filter=_invite_to_accept,
    arguments=lambda doc: {"code": doc["code"], "expires_at": doc["expiresAt"]},
)
INVITE_TO_EXPIRE = Query(
    name="invite_to_expire",
    collection=INVITES,
    filter=_invite_to_expire,
    arguments=lambda doc: {"code": doc["code"], "now": doc["expiresAt"]},
)
INVITES_TO_EXPIRE = Query(
    name="invites_to_expire",
    collection=INVITES,
    filter=lambda now: {"status": "active", "expiresAt": {"$lte": now}},
    arguments=lambda doc: {"now": doc["expiresAt"]},
)
INVITES_OF_PARENT = Query(
    name="invites_of_parent",
    collection=INVITES,
    filter=lambda parent, status: {"parentCode": parent, "status": status},
    arguments=lambda doc: {"parent": doc["parentCode"], "status": doc["status"]},
    sort=(("createdAt", -1),),
)

ANSWERED = tuple(_answered(name) for name in (TRANSACTIONS, USERS, WALLETS, INVITES))
"""Documents whose answer is older than answers have to be kept."""

QUERIES: Sequence[Query] = (
    USER,
    DELETED_USER,
    USER_MADE,
    USERS_OF_BRAND,
    USERS_OF_MEDIATOR,
    USERS_OF_ROLE,
    *_lookups(),
    WALLET_OF_OWNER,
    WALLETS_OF_OWNERS,
    WALLET_MADE,
    WALLET_OF_OWNER_TO_DEBIT,
    WALLET_OF_OWNER_TO_CREDIT,
    WALLET,
    WALLET_TO_DEBIT,
    WALLET_TO_CREDIT,
    TRANSACTIONS_OF_KEYS,
    TRANSACTION,
    REVERSAL,
    HISTORY,
    HISTORY_BEFORE,
    HISTORY_AT,
    JOURNAL_ENTRY,
    INVITE,
    INVITE_MADE,
    INVITE_TO_ACCEPT,
    INVITE_TO_EXPIRE,
    INVITES_TO_EXPIRE,
    INVITES_OF_PARENT,
    *ANSWERED,
)
