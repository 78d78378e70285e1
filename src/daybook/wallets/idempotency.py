"""Once per key: the first answer to a key is stored with what it tells of, and given again.

A key belongs to the caller that sent it, where callers are verified: nobody else meets its
answer, nor is kept from using the same key. What was stored without a caller, by an earlier
version or while callers were not verified, belongs to whoever repeats the request.

As at Stripe (https://docs.stripe.com/api/idempotent_requests): the same key with another
request is an error. A request that changed nothing, since funds were short, leaves
nothing behind and may be sent again under its key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import pymongo
from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from daybook.errors import DatabaseError
from daybook.mongo.query import Query
from daybook.wallets import queries
from daybook.wallets.atomic import atomically
from daybook.wallets.context import Document, Ledger
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.stored import DocumentInvalid, Stored
from daybook.wallets.striped_locks import TooContended

LINEARIZABLE = ReadConcern("linearizable")


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """The caller's key, and a digest of the request that it belongs to."""

    key: str
    request_hash: str
    caller: str | None = None
    """The verified account that the key belongs to; None where callers are not verified."""

    @classmethod
    def of(cls, key: str, path: str, body: Mapping[str, Any], *, caller: str | None = None) -> Self:
        """`path` in one spelling; the order of the body's fields does not matter."""
        canonical = json.dumps([path, body], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return cls(key=key, request_hash=digest, caller=caller)

    def may_be_of(self, stored_caller: Any) -> bool:
        """Whether what was stored under the key, for that caller, is this caller's to see."""
        return self.caller is None or stored_caller is None or stored_caller == self.caller

    def remembered(self, answer: Document) -> Document:
        """What is stored with the first answer."""
        whose = {} if self.caller is None else {"idempotencyCaller": self.caller}
        return {
            "idempotencyKey": self.key,
            **whose,
            "requestHash": self.request_hash,
            "answer": answer,
        }


@dataclass(frozen=True, kw_only=True)
class KeyedResponse:
    body: Document
    replayed: bool
    """True when an earlier request did the work."""


def under_key(
    ledger: Ledger,
    wanted: IdempotencyKey,
    work: Callable[[ClientSession], Document],
    *,
    owners: Collection[ObjectId],
) -> KeyedResponse:
    """Run `work` in a transaction, unless its key has been used; `work` inserts the key.

    `owners` are those whose wallets it moves. Raises `LedgerError`, `DocumentInvalid`, and
    `DatabaseError` when it is unknown whether anything was done: the same request under the
    same key finds out.
    """
    max_wait_seconds = ledger.max_wait_seconds

    def unless_used(session: ClientSession) -> Document:
        # The index forbids a second movement of one caller. This forbids it where the first
        # was stored without a caller, by a process that another deployment started: both move
        # the same wallets, so one of them starts over and meets the other's here.
        used = queries.TRANSACTIONS_OF_KEY.some(
            ledger.database, limit=0, session=session, key=wanted.key
        )
        if _own(wanted, used) is not None:
            raise _reused("the key has been used")
        return work(session)

    def versions() -> list[Any]:
        docs = [queries.WALLET_OF_OWNER.one(ledger.database, owner=owner) for owner in owners]
        return [None if doc is None else doc.get("version") for doc in docs]

    try:
        # Around the turn as well: whoever waited long for it has the less time left to try.
        with (
            pymongo.timeout(max_wait_seconds),
            ledger.striped_locks.of(
                owners, versions, max_wait_seconds=max_wait_seconds
            ) as held_stripes,
        ):
            return _stored(ledger, wanted) or KeyedResponse(
                body=atomically(
                    ledger.database.client,
                    unless_used,
                    held_stripes=held_stripes,
                    max_wait_seconds=max_wait_seconds,
                ),
                replayed=False,
            )
    except (LedgerError, DocumentInvalid, TooContended, PyMongoError) as error:
        return _read_back(ledger, wanted, error)


def _read_back(
    ledger: Ledger,
    wanted: IdempotencyKey,
    error: LedgerError | DocumentInvalid | TooContended | PyMongoError,
) -> KeyedResponse:
    """Another request under the key may have come first, or our own commit's answer was lost.

    A refusal was decided in a transaction that did not commit, so possibly by what a twin in
    another process had written and no majority had yet. A majority read would not find the
    twin; a linearizable one waits until it has
    (https://www.mongodb.com/docs/manual/reference/read-concern-linearizable/).
    """
    concern = LINEARIZABLE if isinstance(error, LedgerError | DocumentInvalid) else None
    try:
        stored = _stored(ledger, wanted, concern)
    except PyMongoError as second:
        raise DatabaseError.of("reading back", second) from error
    if stored is not None:
        return stored
    if isinstance(error, PyMongoError):
        refused = DatabaseError.of("booking", error)
        doubled = refused.refused is not None and refused.refused.is_by(queries.TRANSACTIONS)
        if doubled and _under_key(ledger, wanted):
            # The index is still an earlier version's, on the key alone.
            raise _reused("another caller has used it; after `migrate` each has its own") from error
        raise refused from error
    raise error


def _stored(
    ledger: Ledger, wanted: IdempotencyKey, concern: ReadConcern | None = None
) -> KeyedResponse | None:
    doc = _own(wanted, _under_key(ledger, wanted, concern))
    if doc is None:
        return None
    check_same_request(wanted, doc.get("requestHash"))
    return _first_answer(Stored(collection=queries.TRANSACTIONS, doc=doc))


def _under_key(
    ledger: Ledger, wanted: IdempotencyKey, concern: ReadConcern | None = None
) -> list[Document]:
    """What all callers have stored under the key."""
    database = ledger.database.with_options(read_concern=concern)
    with pymongo.timeout(ledger.operation_timeout_seconds):
        return queries.TRANSACTIONS_OF_KEY.some(database, limit=0, key=wanted.key)


def _own(wanted: IdempotencyKey, docs: Sequence[Document]) -> Document | None:
    """Of all that is stored under the key: this request's, else another one of the caller."""
    own = [doc for doc in docs if wanted.may_be_of(doc.get("idempotencyCaller"))]
    same = (doc for doc in own if doc.get("requestHash") == wanted.request_hash)
    return next(same, own[0] if own else None)


def check_same_request(wanted: IdempotencyKey, request_hash: str | None) -> None:
    """Raise `LedgerError` when the key came with another request first."""
    if request_hash != wanted.request_hash:
        raise _reused("the key was used for another request")


def _reused(message: str) -> LedgerError:
    return LedgerError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, where="Idempotency-Key")


def _first_answer(stored: Stored) -> KeyedResponse:
    """Raises `LedgerError` when it is no longer kept, `DocumentInvalid`."""
    removed_at = stored.optional_moment("answerRemovedAt")
    if removed_at is not None and "answer" not in stored.doc:
        raise LedgerError(
            ErrorCode.ANSWER_EXPIRED,
            f"the request was carried out under this key, see {stored.collection} "
            f"{stored.doc['_id']}, and is not repeated; its answer is no longer kept",
            where="Idempotency-Key",
        )
    return KeyedResponse(body=stored.answer(), replayed=True)


# Users, wallets and invites: the key stands in what it made. Their `_id` follows from it, so
# MongoDB itself refuses a second, without an index more.


def earlier(ledger: Ledger, query: Query, wanted: IdempotencyKey | None) -> KeyedResponse | None:
    """The first answer, when the key made something before. `query` is by `_id`.

    Raises `LedgerError` for a key that belongs to another request, `DocumentInvalid`.
    """
    if wanted is None:
        return None
    for caller in dict.fromkeys((wanted.caller, None)):
        doc = query.one(ledger.database, made_id=_id_of(wanted.key, caller))
        if doc is not None:
            return _answer_of(wanted, Stored(collection=query.collection, doc=doc))
    return None


def _answer_of(wanted: IdempotencyKey, made: Stored) -> KeyedResponse:
    if isinstance(made.doc.get("erasedAt"), datetime):
        raise LedgerError(
            ErrorCode.USER_ERASED, f"user {made.doc['_id']} was erased", where="Idempotency-Key"
        )
    _check_id(made)
    check_same_request(wanted, made.doc.get("requestHash"))
    return _first_answer(made)


def _check_id(stored: Stored) -> None:
    """Raise `DocumentInvalid` unless the `_id` follows from the key and its caller."""
    key, caller = stored.text("idempotencyKey"), stored.optional_text("idempotencyCaller")
    if _id_of(key, caller) != stored.doc["_id"]:
        raise stored.invalid("idempotencyKey", "the key that its _id follows from")


def check_remembered(collection: str, doc: Document) -> None:
    """Raise `DocumentInvalid` for what a repeated request could not be answered with.

    Without `requestHash` nothing was made under a key; a transaction without its key is met by
    no request.
    """
    is_transaction = collection == queries.TRANSACTIONS
    if doc.get("requestHash") is None or (is_transaction and doc.get("idempotencyKey") is None):
        return
    stored = Stored(collection=collection, doc=doc)
    if not is_transaction:
        _check_id(stored)
    if stored.optional_moment("answerRemovedAt") is None or "answer" in doc:
        stored.answer()


def insert_once(
    ledger: Ledger, query: Query, doc: Document, answer: Document, wanted: IdempotencyKey | None
) -> KeyedResponse:
    """Store `doc`, whose `_id` is `new_id(wanted)`, or find that the key did so meanwhile.

    Raises `DuplicateKeyError` for another unique value that is taken, `LedgerError` as `earlier`.
    """
    if wanted is not None and wanted.caller is not None:
        # Stored without a caller, it has another `_id`, which would not refuse this one.
        found = earlier(ledger, query, wanted)
        if found is not None:
            return found
    remembered = {} if wanted is None else wanted.remembered(answer)
    try:
        ledger.database[query.collection].insert_one({**doc, **remembered})
    except DuplicateKeyError:
        found = earlier(ledger, query, wanted)
        if found is None:
            raise
        return found
    return KeyedResponse(body=answer, replayed=False)


def new_id(wanted: IdempotencyKey | None) -> ObjectId:
    """For what is to be made."""
    return ObjectId() if wanted is None else _id_of(wanted.key, wanted.caller)


def _id_of(key: str, caller: str | None) -> ObjectId:
    # No key contains a line end, so no key without a caller equals one with a caller.
    text = key if caller is None else f"{caller}\n{key}"
    return ObjectId(hashlib.sha256(text.encode()).digest()[:12])
