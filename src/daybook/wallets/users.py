"""Users: who may hold a wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybook.mongo.query import Query
from daybook.wallets import queries
from daybook.wallets.context import Document, Ledger, stamp
from daybook.wallets.idempotency import IdempotencyKey, KeyedResponse, insert_under_key, new_id
from daybook.wallets.queries import USERS
from daybook.wallets.stored import Stored


@dataclass(frozen=True, kw_only=True)
class NewUser:
    name: str
    roles: tuple[str, ...]
    status: str
    brand_code: str | None = None
    mediator_code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A search for users: they must match every given field. `query()` chooses the index."""

    role: str | None = None
    status: str | None = None
    brand_code: str | None = None
    mediator_code: str | None = None

    def query(self) -> Query | None:
        """The query to run; None when no given field is the first of an index."""
        if self.brand_code is not None:
            return queries.USERS_OF_BRAND
        if self.mediator_code is not None:
            return queries.USERS_OF_MEDIATOR
        return None if self.role is None else queries.USERS_OF_ROLE

    def fields(self) -> dict[str, Any]:
        fields = {
            "brandCode": self.brand_code,
            "mediatorCode": self.mediator_code,
            "roles": self.role,
            "status": self.status,
        }
        return {name: value for name, value in fields.items() if value is not None}


def create(ledger: Ledger, user: NewUser) -> Document:
    return create_under_key(ledger, user, None).body


def create_under_key(ledger: Ledger, user: NewUser, wanted: IdempotencyKey | None) -> KeyedResponse:
    """Under a key, a repeated request gets the first answer. Raises `LedgerError`."""
    now = ledger.now()
    doc = {
        "_id": new_id(wanted),
        "name": user.name,
        "roles": list(user.roles),
        "status": user.status,
        **({} if user.brand_code is None else {"brandCode": user.brand_code}),
        **({} if user.mediator_code is None else {"mediatorCode": user.mediator_code}),
        "deletedAt": None,
        "createdAt": now,
        "updatedAt": now,
    }
    return insert_under_key(ledger, queries.USER_MADE, doc, to_answer(doc), wanted)


def find(ledger: Ledger, query: Query, wanted: Wanted, *, limit: int) -> Document:
    """Up to `limit` users, and whether there are more. Raises `DocumentInvalid`."""
    docs = query.some(ledger.database, limit=limit + 1, **wanted.fields())
    return {"users": [to_answer(doc) for doc in docs[:limit]], "more": len(docs) > limit}


def to_answer(doc: Document) -> Document:
    """Raises `DocumentInvalid`."""
    stored = Stored(collection=USERS, doc=doc)
    created_at = stored.optional_moment("createdAt")
    stored.optional_moment("deletedAt")  # a query for null also matches a list that contains null
    return {
        "userId": str(stored.object_id("_id")),
        "name": stored.optional_text("name"),
        "roles": None if doc.get("roles") is None else stored.texts("roles"),
        "status": stored.optional_text("status"),
        "brandCode": stored.optional_text("brandCode"),
        "mediatorCode": stored.optional_text("mediatorCode"),
        "createdAt": None if created_at is None else stamp(created_at),
    }
