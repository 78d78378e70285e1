"""Invites: a code that one person accepts, once, before it expires."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from daybook import write_errors
from daybook.wallets import queries
from daybook.wallets.context import Document, Ledger, stamp
from daybook.wallets.errors import ErrorCode, LedgerError
from daybook.wallets.idempotency import (
    IdempotencyKey,
    KeyedResponse,
    answered_before,
    check_same_request,
    insert_under_key,
    new_id,
)
from daybook.wallets.stored import Stored
from daybook.wallets.striped_locks import TooContended

_RANDOM_BYTES = 10
"""80 bits. With a million open invites and 200 guesses a second the first hit is to be expected
after 190 million years, so wrong guesses are not counted.
"""
_TRIES = 10


class InviteStatus(StrEnum):
    ACTIVE = "active"  # may be accepted until `expiresAt`
    USED = "used"  # has been accepted
    EXPIRED = "expired"  # `expiresAt` has passed; removed 30 days after it


@dataclass(frozen=True, kw_only=True)
class NewInvite:
    parent_code: str
    expires_at: datetime
    code: str | None = None
    """None for a random code."""


def create(ledger: Ledger, invite: NewInvite) -> Document:
    """Raises `LedgerError` when the code is taken."""
    return create_under_key(ledger, invite, None).body


def create_under_key(
    ledger: Ledger, invite: NewInvite, wanted: IdempotencyKey | None
) -> KeyedResponse:
    """Under a key, a repeated request gets the first answer. Raises `LedgerError`."""
    now = ledger.now()
    doc = {
        "_id": new_id(wanted),
        "code": invite.code or secrets.token_hex(_RANDOM_BYTES).upper(),
        "parentCode": invite.parent_code,
        "status": InviteStatus.ACTIVE.value,
        "expiresAt": invite.expires_at,
        "createdAt": now,
        "updatedAt": now,
    }
    try:
        return insert_under_key(ledger, queries.INVITE_MADE, doc, to_answer(doc), wanted)
    except DuplicateKeyError as error:
        if write_errors.describe(error).permanent:
            raise
        raise LedgerError(
            ErrorCode.INVITE_EXISTS, f"there is an invite {doc['code']}", where="code"
        ) from error


def made_before(ledger: Ledger, wanted: IdempotencyKey | None) -> KeyedResponse | None:
    """The first answer, if the key made an invite. Raises `LedgerError`."""
    return answered_before(ledger, queries.INVITE_MADE, wanted)


def accept(ledger: Ledger, code: str, *, user_id: ObjectId | None) -> Document:
    """Accept an unused invite. Raises `LedgerError`, after marking one that has expired."""
    return accept_once(ledger, code, None, user_id=user_id).body


def accept_once(
    ledger: Ledger, code: str, wanted: IdempotencyKey | None, *, user_id: ObjectId | None
) -> KeyedResponse:
    """Accept under a key: a repeated request gets the same answer again.

    Raises `DocumentInvalid`, before it is used, for an invite that an answer cannot show.
    """
    if user_id is not None and queries.USER.one(ledger.database, user_id=user_id) is None:
        raise LedgerError(ErrorCode.USER_NOT_FOUND, f"there is no user {user_id}", where="userId")
    now = ledger.now()
    invites = ledger.database[queries.INVITES]
    # Repeated when another request came between, or the invite has expired meanwhile.
    for _ in range(_TRIES):
        doc = queries.INVITE.one(ledger.database, code=code)
        if doc is None:
            raise LedgerError(
                ErrorCode.INVITE_NOT_FOUND, f"there is no invite {code}", where="code"
            )
        to_answer(doc)
        if doc["status"] != InviteStatus.ACTIVE:
            return _accepted_before(doc, wanted)
        if doc["expiresAt"] <= now:
            invites.update_one(queries.INVITE_TO_EXPIRE.filter(code=code, now=now), _expired(now))
            continue
        used = _used(wanted, user_id, now)
        found = invites.update_one(
            queries.INVITE_TO_ACCEPT.filter(code=code, expires_at=doc["expiresAt"]), {"$set": used}
        )
        if found.modified_count:
            # The document is not read again, so no error can occur after the invite is used.
            return KeyedResponse(body=to_answer(doc | used), replayed=False)
    raise TooContended(f"others kept changing invite {code}")


def _used(wanted: IdempotencyKey | None, user_id: ObjectId | None, now: datetime) -> Document:
    used = {"status": InviteStatus.USED.value, "usedAt": now, "usedBy": user_id, "updatedAt": now}
    if wanted is not None:
        used |= {"usedKey": wanted.key, "usedHash": wanted.request_hash}
        if wanted.caller is not None:
            used["usedCaller"] = wanted.caller
    return used


def _accepted_before(doc: Document, wanted: IdempotencyKey | None) -> KeyedResponse:
    if doc["status"] == InviteStatus.EXPIRED:
        raise LedgerError(
            ErrorCode.INVITE_EXPIRED,
            f"the invite expired at {stamp(doc['expiresAt'])}",
            where="code",
        )
    if (
        wanted is None
        or doc.get("usedKey") != wanted.key
        or not wanted.may_be_of(doc.get("usedCaller"))
    ):
        raise LedgerError(ErrorCode.INVITE_USED, "the invite has been accepted", where="code")
    check_same_request(wanted, doc.get("usedHash"))
    return KeyedResponse(body=to_answer(doc), replayed=True)


def find(ledger: Ledger, parent_code: str, status: InviteStatus, *, limit: int) -> Document:
    """Up to `limit` invites of a parent, newest first, and whether there are more.

    Raises `DocumentInvalid`.
    """
    docs = queries.INVITES_OF_PARENT.some(
        ledger.database, limit=limit + 1, parent=parent_code, status=status.value
    )
    return {"invites": [to_answer(doc) for doc in docs[:limit]], "more": len(docs) > limit}


def mark_expired(database: Database[dict[str, Any]], now: datetime) -> int:
    """Mark every active invite that has expired; return how many there were. For the sweep."""
    found = database[queries.INVITES].update_many(
        queries.INVITES_TO_EXPIRE.filter(now=now), _expired(now)
    )
    return found.modified_count


def _expired(now: datetime) -> Document:
    return {"$set": {"status": InviteStatus.EXPIRED.value, "updatedAt": now}}


def to_answer(doc: Document) -> Document:
    """Raises `DocumentInvalid`."""
    stored = Stored(collection=queries.INVITES, doc=doc)
    if stored.text("status") not in set(InviteStatus):
        raise stored.invalid("status", " or ".join(InviteStatus))
    used_at = stored.optional_moment("usedAt")
    return {
        "code": stored.text("code"),
        "parentCode": stored.optional_text("parentCode"),
        "status": doc["status"],
        "expiresAt": stamp(stored.moment("expiresAt")),
        "createdAt": stamp(stored.moment("createdAt")),
        "usedAt": None if used_at is None else stamp(used_at),
        "usedBy": stored.optional_id("usedBy"),
    }
