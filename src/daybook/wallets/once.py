"""Once per key: the first answer to a key is stored with what it tells of, and given again.

As at Stripe (https://docs.stripe.com/api/idempotent_requests): the same key with another
request is an error. A request that changed nothing, since funds were short, leaves
nothing behind and may be sent again under its key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from daybook.errors import DatabaseError
from daybook.wallets import queries
from daybook.wallets.atomic import TooContended, atomically
from daybook.wallets.context import Document, Ledger
from daybook.wallets.refusal import Refusal, Refused


@dataclass(frozen=True, kw_only=True)
class OnceKey:
    """The caller's key, and a digest of the request that it belongs to."""

    key: str
    request_hash: str

    @classmethod
    def of(cls, key: str, path: str, body: Mapping[str, Any]) -> Self:
        """`path` in one spelling; the order of the body's fields does not matter."""
        canonical = json.dumps([path, body], sort_keys=True, separators=(",", ":"))
        return cls(key=key, request_hash=hashlib.sha256(canonical.encode()).hexdigest())


@dataclass(frozen=True, kw_only=True)
class Answer:
    body: Document
    replayed: bool
    """True when an earlier request did the work."""


def once(
    ledger: Ledger,
    wanted: OnceKey,
    work: Callable[[ClientSession], Document],
    *,
    owners: Collection[ObjectId],
) -> Answer:
    """Run `work` in a transaction, unless its key has been used; `work` inserts the key.

    `owners` are those whose wallets it moves. Raises `Refused`, and `DatabaseError` when it
    is unknown whether anything was done: the same request under the same key finds out.
    """
    try:
        with ledger.turns.of(owners, patience_seconds=ledger.patience_seconds):
            return _stored(ledger, wanted) or Answer(body=_booked(ledger, work), replayed=False)
    except (Refused, TooContended, PyMongoError) as error:
        return _read_back(ledger, wanted, error)


def _booked(ledger: Ledger, work: Callable[[ClientSession], Document]) -> Document:
    return atomically(ledger.database.client, work, patience_seconds=ledger.patience_seconds)


def _read_back(
    ledger: Ledger, wanted: OnceKey, error: Refused | TooContended | PyMongoError
) -> Answer:
    """Another request under the key may have come first, or our own commit's answer was lost."""
    try:
        stored = _stored(ledger, wanted)
    except PyMongoError as second:
        raise DatabaseError.of("reading back", second) from error
    if stored is not None:
        return stored
    if isinstance(error, PyMongoError):
        raise DatabaseError.of("booking", error) from error
    raise error


def _stored(ledger: Ledger, wanted: OnceKey) -> Answer | None:
    doc = queries.TRANSACTION_OF_KEY.one(ledger.database, key=wanted.key)
    if doc is None:
        return None
    if doc.get("requestHash") != wanted.request_hash:
        raise Refused(
            Refusal.IDEMPOTENCY_KEY_REUSED,
            "the key was used for another request",
            where="Idempotency-Key",
        )
    return Answer(body=doc["answer"], replayed=True)
