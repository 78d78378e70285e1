"""What the ledger answers, as JSON Schemas. Fields may be added; none is renamed or removed."""

from __future__ import annotations

from daybook.http.schema import (
    COUNT,
    OBJECT_ID,
    TEXT,
    TIME,
    TRUTH,
    Schema,
    listed,
    one_of,
    or_null,
    record,
)
from daybook.wallets.context import MAX_PAISE
from daybook.wallets.invites import InviteStatus

WHOLE: Schema = {"type": "integer"}
PAISE: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_PAISE}

USER = record(
    {
        "userId": OBJECT_ID,
        "name": or_null(TEXT),
        "roles": or_null(listed(TEXT)),
        "status": or_null(TEXT),
        "brandCode": or_null(TEXT),
        "mediatorCode": or_null(TEXT),
        "createdAt": or_null(TIME),
    }
)
USERS = record({"users": listed(USER), "more": TRUTH})

WALLET = record(
    {
        "walletId": OBJECT_ID,
        "ownerUserId": OBJECT_ID,
        "currency": TEXT,
        "availablePaise": PAISE,
        "version": COUNT,
        "createdAt": or_null(TIME),
    }
)

TRANSACTION = record(
    {
        "transactionId": OBJECT_ID,
        "walletId": OBJECT_ID,
        "ownerUserId": or_null(TEXT),
        "type": or_null(TEXT),
        "direction": or_null(TEXT),
        "amountPaise": or_null(WHOLE),
        "currency": or_null(TEXT),
        "availablePaise": or_null(WHOLE),
        "version": or_null(WHOLE),
        "description": or_null(TEXT),
        "journalEntryId": or_null(TEXT),
        "reverses": or_null(TEXT),
        "createdAt": TIME,
    }
)
HISTORY = record({"transactions": listed(TRANSACTION), "nextCursor": or_null(TEXT)})

_SIDE = record(
    {
        "transactionId": OBJECT_ID,
        "walletId": OBJECT_ID,
        "ownerUserId": OBJECT_ID,
        "availablePaise": or_null(PAISE),
        "version": or_null(COUNT),
        "reverses": or_null(OBJECT_ID),
    }
)
TRANSFER = record(
    {
        "type": TEXT,
        "amountPaise": PAISE,
        "currency": TEXT,
        "description": or_null(TEXT),
        "journalEntryId": OBJECT_ID,
        "createdAt": TIME,
        "from": _SIDE,
        "to": _SIDE,
    }
)
REVERSAL_OR_TRANSFER: Schema = {"anyOf": [TRANSACTION, TRANSFER]}

INVITE = record(
    {
        "code": TEXT,
        "parentCode": or_null(TEXT),
        "status": one_of(list(InviteStatus)),
        "expiresAt": TIME,
        "createdAt": TIME,
        "usedAt": or_null(TIME),
        "usedBy": or_null(TEXT),
    }
)
INVITES = record({"invites": listed(INVITE), "more": TRUTH})
