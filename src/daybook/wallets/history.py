"""A wallet's history, newest first, page by page."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from bson import ObjectId

from daybook.errors import BadRequest
from daybook.wallets import queries
from daybook.wallets.booking import single_answer
from daybook.wallets.context import Document, Ledger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = struct.Struct(">q12s")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The transaction that a page ended with: what is inserted later does not move it."""

    created_at: datetime
    transaction_id: ObjectId

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadRequest` for what no answer contained."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            milliseconds, id_ = _FORM.unpack(raw)
            created_at = _EPOCH + timedelta(milliseconds=milliseconds)
        except (UnicodeEncodeError, binascii.Error, struct.error, OverflowError) as error:
            raise BadRequest(
                f"must be the nextCursor of an answer, not {text!r:.80}", where="cursor"
            ) from error
        return cls(created_at=created_at, transaction_id=ObjectId(id_))

    def __str__(self) -> str:
        milliseconds = (self.created_at - _EPOCH) // timedelta(milliseconds=1)
        raw = _FORM.pack(milliseconds, self.transaction_id.binary)
        return base64.urlsafe_b64encode(raw).decode()


def page(ledger: Ledger, wallet_id: ObjectId, *, limit: int, cursor: Cursor | None) -> Document:
    """Up to `limit` transactions, and the cursor of the page after, null at the end."""
    database = ledger.database
    if cursor is None:
        docs = queries.HISTORY.some(database, limit=limit + 1, wallet_id=wallet_id)
    else:
        docs = queries.HISTORY_AFTER.some(
            database,
            limit=limit + 1,
            wallet_id=wallet_id,
            created_at=cursor.created_at,
            transaction_id=cursor.transaction_id,
        )
    shown, more = docs[:limit], len(docs) > limit
    last = shown[-1] if more else None
    return {
        "transactions": [single_answer(doc) for doc in shown],
        "nextCursor": last
        and str(Cursor(created_at=last["createdAt"], transaction_id=last["_id"])),
    }
