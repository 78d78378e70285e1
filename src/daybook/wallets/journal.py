"""Journal entries of movements, and the queue items that have them exported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from bson import Decimal128, ObjectId

from daybook.chart_of_accounts import Account
from daybook.export.model.profile import DAILY
from daybook.export.rendering.cells.money import decimals_of, to_decimal
from daybook.wallets.context import Document
from daybook.wallets.stored import Stored, is_storable, number

ENTRIES = "journalentries"
QUEUE = "exportqueues"


def amount(minor: int, currency: str) -> Decimal128:
    """Convert minor units to the entry's form: major units, with the currency's decimals."""
    return Decimal128(to_decimal(minor, decimals_of(currency, {})))


def balanced(
    debited: Account, credited: Account, amount_paise: int, currency: str
) -> list[Document]:
    """Two lines of the same amount, so that nothing can be out of balance."""
    zero, value = amount(0, currency), amount(amount_paise, currency)
    return [
        {
            "accountCode": debited.code,
            "accountName": debited.name,
            "debit": value,
            "credit": zero,
        },
        {
            "accountCode": credited.code,
            "accountName": credited.name,
            "debit": zero,
            "credit": value,
        },
    ]


def opposed(entry: Document, amount_paise: int, currency: str) -> list[Document]:
    """The lines of a counter-entry: the same accounts with their sides exchanged.

    Raises `DocumentInvalid` unless the entry still has that amount: another application may
    have changed it since, and its opposite would not reverse what the wallets moved.
    """
    stored = Stored(collection=ENTRIES, doc=entry)
    expected = amount(amount_paise, currency).to_decimal()
    lines, sums = entry["lines"], {"debit": Decimal(), "credit": Decimal()}
    if entry.get("currency") != currency:
        raise stored.invalid("currency", f"{currency}, as in its transaction")
    for line in lines if isinstance(lines, list) else [lines]:
        if not isinstance(line, dict) or not is_storable(line):
            raise stored.invalid("lines", "an array of valid documents")
        for side in sums:
            value = number(line.get(side))
            if value is None or not 0 <= value <= expected:
                raise stored.invalid("lines", f"lines whose {side} is from 0 to {expected}")
            sums[side] += value
    if set(sums.values()) != {expected}:
        raise stored.invalid("lines", f"lines of {expected} {currency} on either side")
    return [{**line, "debit": line["credit"], "credit": line["debit"]} for line in lines]


def entry(
    entry_id: ObjectId,
    lines: Sequence[Document],
    *,
    transaction_id: ObjectId,
    description: str,
    currency: str,
    now: datetime,
) -> Document:
    """A document of `journalentries`; a spreadsheet does not take its reference for a number."""
    return {
        "_id": entry_id,
        "date": now,
        "reference": reference(transaction_id),
        "description": description,
        "currency": currency,
        "lines": list(lines),
    }


def reference(transaction_id: ObjectId) -> str:
    return f"TX-{transaction_id}"


def queue_item(item_id: ObjectId, entry_id: ObjectId, *, profile: str, now: datetime) -> Document:
    """A document of `exportqueues`, which the profile's next scheduled batch takes."""
    return {
        "_id": item_id,
        "entryId": entry_id,
        **({} if profile == DAILY else {"profile": profile}),
        "exportPath": "scheduled",
        "status": "queued",
        "createdAt": now,
        "updatedAt": now,
    }
