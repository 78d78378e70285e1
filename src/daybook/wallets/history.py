"""A wallet's history, newest first, page by page."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from bson import ObjectId

from daybook import display
from daybook.errors import BadRequest
from daybook.wallets import queries
from daybook.wallets.booking import single_answer
from daybook.wallets.context import Document, Ledger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = struct.Struct(">12sq12s")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The transaction that a page ended with: later inserts do not shift the next page."""

    wallet_id: ObjectId
    """The wallet whose history the cursor belongs to."""
    created_at: datetime
    transaction_id: ObjectId

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadRequest` for a text that is not a cursor of an answer."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            wallet_id, milliseconds, id_ = _FORM.unpack(raw)
            created_at = _EPOCH + timedelta(milliseconds=milliseconds)
        except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError) as error:
            raise BadRequest(
                f"must be the nextCursor of an answer, not {display.quoted(text)}", where="cursor"
            ) from error
        return cls(
            wallet_id=ObjectId(wallet_id), created_at=created_at, transaction_id=ObjectId(id_)
        )

    def __str__(self) -> str:
        milliseconds = (self.created_at - _EPOCH) // timedelta(milliseconds=1)
        raw = _FORM.pack(self.wallet_id.binary, milliseconds, self.transaction_id.binary)
        return base64.urlsafe_b64encode(raw).decode()


def page(ledger: Ledger, wallet_id: ObjectId, *, limit: int, cursor: Cursor | None) -> Document:
    """Up to `limit` transactions, and the cursor of the next page, null at the end.

    Raises `BadRequest` for the cursor of another wallet's history, `DocumentInvalid`.
    """
    database = ledger.database
    if cursor is None:
        docs = queries.HISTORY.some(database, limit=limit + 1, wallet_id=wallet_id)
    elif cursor.wallet_id != wallet_id:
        raise BadRequest("is a place in the history of another wallet", where="cursor")
    else:
        docs = queries.HISTORY_BEFORE.some(
            database, limit=limit + 1, wallet_id=wallet_id, created_at=cursor.created_at
        )
    _check(docs)
    if len(docs) > limit:  # other transactions may share the last one's millisecond
        last_at = docs[-1]["createdAt"]
        docs = [doc for doc in docs if doc["createdAt"] != last_at]
        docs += _at(ledger, wallet_id, last_at)
    if cursor is not None:
        docs += [
            doc
            for doc in _at(ledger, wallet_id, cursor.created_at)
            if doc["_id"] < cursor.transaction_id
        ]
    docs.sort(key=lambda doc: (doc["createdAt"], doc["_id"]), reverse=True)
    shown, more = docs[:limit], len(docs) > limit
    last = _place_of(shown[-1]) if more else None
    return {
        "transactions": [single_answer(doc) for doc in shown],
        "nextCursor": None if last is None else str(last),
    }


def _at(ledger: Ledger, wallet_id: ObjectId, created_at: datetime) -> list[Document]:
    """All transactions of one millisecond, whose order the index does not define."""
    docs = queries.HISTORY_AT.some(
        ledger.database, limit=0, wallet_id=wallet_id, created_at=created_at
    )
    _check(docs)
    return docs


def _check(docs: list[Document]) -> None:
    """Raise `DocumentInvalid` for a transaction that a history cannot order."""
    for doc in docs:
        single_answer(doc)


def _place_of(doc: Document) -> Cursor:
    return Cursor(wallet_id=doc["walletId"], created_at=doc["createdAt"], transaction_id=doc["_id"])
