"""Idempotency: the first answer to a key is stored with what the request made, and returned again.

Where callers are verified, a key belongs to the caller that sent it: another caller does not get
its answer, and may use the same key for itself. A key that was stored without a caller, by an
earlier version or while callers were not verified, belongs to any caller that repeats the request.

As at Stripe (https://docs.stripe.com/api/idempotent_requests), the same key with another
request is an error. A request that changed nothing, for lack of funds for example, stores
nothing and may be sent again under its key.

A stored answer is removed once it is old enough. The document that the request created stays, with
key and digest: a repeated request is refused, not carried out a second time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import pymongo
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from daybook import log
from daybook.errors import DatabaseError
from daybook.mongo.query import Query
from daybook.mongo.rights import permitted
from daybook.mongo.sessions import transaction
from daybook.wallets import queries
from daybook.wallets.context import Document, Ledger, stamp
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.stored import DocumentInvalid, Stored
from daybook.wallets.striped_locks import TooContended

_ANSWERS_AT_ONCE = 1000
_ROUNDS = 50
"""Rounds of removing that one call makes in a collection; without a limit the first takes hours."""


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """The caller's key, and a digest of the request that it belongs to."""

    key: str
    request_hash: str
    caller: str | None = None
    """The verified account that the key belongs to; None where callers are not verified."""

    @classmethod
    def of(cls, key: str, path: str, body: Mapping[str, Any], *, caller: str | None = None) -> Self:
        """The digest of a request. `path` is normalised; the order of fields does not matter."""
        canonical = json.dumps([path, body], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return cls(key=key, request_hash=digest, caller=caller)

    def may_be_of(self, stored_caller: Any) -> bool:
        """Whether this caller may see what was stored under the key for that caller."""
        return self.caller is None or stored_caller is None or stored_caller == self.caller

    def remembered(self, answer: Document) -> Document:
        """The fields that are stored with the first answer."""
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


class _KeyUsed(LedgerError):
    """The transaction has found the key; the response is that of the movement stored under it."""


def under_key(
    ledger: Ledger, wanted: IdempotencyKey, book: Callable[[], KeyedResponse]
) -> KeyedResponse:
    """Run `book`, which stores the key with the movement, for a limited time; or find its result.

    `book` raises an error when the key has been used, and the first answer is returned then.
    Raises `LedgerError`, `DocumentInvalid`, and `DatabaseError` when it is unknown whether anything
    was done: the same request under the same key finds out.
    """
    try:
        with pymongo.timeout(ledger.max_wait_seconds):
            return book()
    except (LedgerError, DocumentInvalid, TooContended, PyMongoError) as error:
        return _read_back(ledger, wanted, error)


def unless_refused(found: KeyedResponse | LedgerError) -> KeyedResponse:
    """What a transaction returned once it was committed. Raises the refusal, which is certain.

    The transaction has looked for the key, has refused the movement at the same moment, and has
    written nothing; see `_under_key_for_certain`.
    """
    if isinstance(found, LedgerError):
        found.is_certain = True
        raise found
    return found


def check_unused(
    ledger: Ledger, session: ClientSession, wanted: Collection[IdempotencyKey]
) -> None:
    """Raise `LedgerError` when one of the keys has been used, as the transaction sees it.

    The index forbids a second movement of one caller. This check also forbids it where the first
    was stored without a caller, by a process of another deployment: both move the same wallets,
    so one of them starts over and finds the other's movement here.
    """
    keys = [one.key for one in wanted]
    docs = queries.TRANSACTIONS_OF_KEYS.some(ledger.database, limit=0, session=session, keys=keys)
    for one in wanted:
        if _own(one, docs) is not None:
            raise _KeyUsed(ErrorCode.IDEMPOTENCY_KEY_REUSED, "the key has been used")


def _read_back(
    ledger: Ledger,
    wanted: IdempotencyKey,
    error: LedgerError | DocumentInvalid | TooContended | PyMongoError,
) -> KeyedResponse:
    """Look for the movement again: another request came first, or the commit's reply was lost."""
    if isinstance(error, LedgerError) and error.is_certain:
        raise error
    refused = isinstance(error, LedgerError | DocumentInvalid)
    try:
        # Nearly always a majority has what made the key used, and nothing is under another one.
        docs = _under_key(ledger, wanted) if isinstance(error, _KeyUsed) or not refused else []
        if refused and _own(wanted, docs) is None:
            docs = _under_key_for_certain(ledger, wanted)
    except PyMongoError as second:
        raise DatabaseError.of("reading back", second) from error
    stored = _own(wanted, docs)
    if stored is not None:
        check_same_request(wanted, stored.get("requestHash"))
        return _first_answer(Stored(collection=queries.TRANSACTIONS, doc=stored))
    if isinstance(error, PyMongoError):
        failed = DatabaseError.of("booking", error)
        doubled = failed.refused is not None and failed.refused.is_by(queries.TRANSACTIONS)
        if doubled and docs:
            # The index is still that of an earlier version, on the key alone.
            raise _reused("another caller has used it; after `migrate` each has its own") from error
        raise failed from error
    raise error


def _under_key(ledger: Ledger, wanted: IdempotencyKey) -> list[Document]:
    """Every document that any caller has stored under the key, as far as a majority has it."""
    with pymongo.timeout(ledger.operation_timeout_seconds):
        return queries.TRANSACTIONS_OF_KEYS.some(ledger.database, limit=0, keys=[wanted.key])


def _under_key_for_certain(ledger: Ledger, wanted: IdempotencyKey) -> list[Document]:
    """Every document under the key that any response has reported, or still may.

    A refusal was decided in a transaction that did not commit: on a member that may no longer be
    the primary without knowing it, or because of a write by another request under the key that no
    majority had yet. A majority read might not find that request's movement. The commit of a
    transaction that only reads finds out: the primary writes a no-op to the oplog and waits until
    a majority has it, as for a linearizable read; unlike one, it also has the journal written at
    once, for which a single member otherwise waits up to 100 ms.
    """

    def read(session: ClientSession) -> list[Document]:
        return queries.TRANSACTIONS_OF_KEYS.some(
            ledger.database, limit=0, session=session, keys=[wanted.key]
        )

    with pymongo.timeout(ledger.operation_timeout_seconds):
        return transaction(ledger.database.client, read, read_concern=ReadConcern("snapshot"))


def _own(wanted: IdempotencyKey, docs: Sequence[Document]) -> Document | None:
    """The document under the key that this request made, else another one of the caller."""
    own = [
        doc
        for doc in docs
        if doc.get("idempotencyKey") == wanted.key
        and wanted.may_be_of(doc.get("idempotencyCaller"))
    ]
    same = (doc for doc in own if doc.get("requestHash") == wanted.request_hash)
    return next(same, own[0] if own else None)


def check_same_request(wanted: IdempotencyKey, request_hash: str | None) -> None:
    """Raise `LedgerError` when the key was used for another request before."""
    if request_hash != wanted.request_hash:
        raise _reused("the key was used for another request")


def _reused(message: str) -> LedgerError:
    return LedgerError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, where="Idempotency-Key")


def _first_answer(stored: Stored) -> KeyedResponse:
    """The stored answer. Raises `LedgerError` when it is no longer kept, `DocumentInvalid`."""
    removed_at = stored.optional_moment("answerRemovedAt")
    if removed_at is not None and "answer" not in stored.doc:
        raise LedgerError(
            ErrorCode.ANSWER_EXPIRED,
            f"the request was carried out under this key, see {stored.collection} "
            f"{stored.doc['_id']}, and is not repeated; its answer is no longer kept",
            where="Idempotency-Key",
        )
    return KeyedResponse(body=stored.answer(), replayed=True)


# Users, wallets and invites contain the key that made them. Their `_id` is derived from it, so
# MongoDB itself refuses a second document, without another index.


def answered_before(
    ledger: Ledger, query: Query, wanted: IdempotencyKey | None
) -> KeyedResponse | None:
    """The first answer, if the key was used before. `query` is by `_id`.

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
    """Raise `DocumentInvalid` unless the `_id` is derived from the key and its caller."""
    key, caller = stored.text("idempotencyKey"), stored.optional_text("idempotencyCaller")
    if _id_of(key, caller) != stored.doc["_id"]:
        raise stored.invalid("idempotencyKey", "the key that its _id follows from")


def check_remembered(collection: str, doc: Document) -> None:
    """Raise `DocumentInvalid` for a document whose answer a repeated request could not get.

    A document without `requestHash` was not made under a key, and no request finds a transaction
    without its key.
    """
    is_transaction = collection == queries.TRANSACTIONS
    if doc.get("requestHash") is None or (is_transaction and doc.get("idempotencyKey") is None):
        return
    stored = Stored(collection=collection, doc=doc)
    if not is_transaction:
        _check_id(stored)
    if stored.optional_moment("answerRemovedAt") is None or "answer" in doc:
        stored.answer()


def insert_under_key(
    ledger: Ledger, query: Query, doc: Document, answer: Document, wanted: IdempotencyKey | None
) -> KeyedResponse:
    """Store `doc`, whose `_id` is `new_id(wanted)`, or return what the key stored meanwhile.

    Raises `DuplicateKeyError` for another unique value that is taken, and `LedgerError` like
    `answered_before`.
    """
    if wanted is not None and wanted.caller is not None:
        # A document stored without a caller has another `_id`, so it would not refuse this one.
        found = answered_before(ledger, query, wanted)
        if found is not None:
            return found
    remembered = {} if wanted is None else wanted.remembered(answer)
    try:
        ledger.database[query.collection].insert_one({**doc, **remembered})
    except DuplicateKeyError:
        found = answered_before(ledger, query, wanted)
        if found is None:
            raise
        return found
    return KeyedResponse(body=answer, replayed=False)


def new_id(wanted: IdempotencyKey | None) -> ObjectId:
    """The `_id` of a document that is to be made."""
    return ObjectId() if wanted is None else _id_of(wanted.key, wanted.caller)


def _id_of(key: str, caller: str | None) -> ObjectId:
    # No key contains a line end, so no key without a caller equals one with a caller.
    text = key if caller is None else f"{caller}\n{key}"
    return ObjectId(hashlib.sha256(text.encode()).digest()[:12])


def remove_answers_before(database: Database[Document], before: datetime, *, now: datetime) -> int:
    """Remove the answers given before that time; return how many. Safe to repeat, also at once.

    Raises `ConfigurationError` when the database user lacks the rights.
    """
    with permitted("removing stored answers"):
        removed = sum(_remove_answers(database, query, before, now) for query in queries.ANSWERED)
    if removed:
        log.event(
            logging.INFO,
            "answers_removed",
            f"{removed} stored answers from before {stamp(before)} were removed.",
            count=removed,
        )
    return removed


def _remove_answers(
    database: Database[Document], query: Query, before: datetime, now: datetime
) -> int:
    removed = 0
    for _ in range(_ROUNDS):
        ids = [
            doc["_id"] for doc in query.some(database, limit=_ANSWERS_AT_ONCE, before=stamp(before))
        ]
        if not ids:
            break
        still = {"answer": {"$exists": True}}
        found = database[query.collection].bulk_write(
            [UpdateOne({"_id": id_, **still}, without_answer(now)) for id_ in ids], ordered=False
        )
        removed += found.modified_count
    return removed


def without_answer(now: datetime) -> dict[str, Any]:
    """The update that removes a document's answer."""
    return {"$unset": {"answer": ""}, "$set": {"answerRemovedAt": now}}
