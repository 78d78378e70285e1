"""What a rendered file amounts to: counts, control totals, and the entries set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why an entry was set aside; the word stands in records and answers."""

    MISSING = "entry_missing"  # the queue item points to no journal entry
    UNBALANCED = "unbalanced"  # debits and credits of its lines differ
    NOT_FINITE = "not_finite"  # an amount is NaN or infinite
    TOO_MANY_DECIMALS = "too_many_decimals"  # more decimals than the currency has
    INVALID_AMOUNT = "invalid_amount"  # an amount is no number, or there is none at all
    INVALID_DATE = "invalid_date"  # a date column holds something else, or a year beyond 9999
    INVALID_TEXT = "invalid_text"  # a text column holds a document or an array
    INVALID_LINES = "invalid_lines"  # `lines` is no array of documents
    UNENCODABLE = "unencodable"  # a character that the file's encoding lacks
    DUPLICATE = "duplicate"  # the entry stands in this or an earlier file already


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A queue item whose entry does not go into the file."""

    queue_id: Any
    entry_id: Any
    reason: Reason
    detail: str
    """Names the field and its value, for whoever has to correct the entry."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "queueId": self.queue_id,
            "entryId": self.entry_id,
            "reason": self.reason.value,
            "detail": self.detail,
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Rejected:
        return cls(
            queue_id=doc["queueId"],
            entry_id=doc["entryId"],
            reason=Reason(doc["reason"]),
            detail=doc["detail"],
        )


@dataclass(frozen=True, kw_only=True)
class CurrencyTotals:
    """Control totals of one currency, in major units with the currency's decimals."""

    debit: Decimal
    credit: Decimal
    amount: Decimal

    def to_doc(self) -> dict[str, str]:
        return {
            "debit": f"{self.debit:f}",
            "credit": f"{self.credit:f}",
            "amount": f"{self.amount:f}",
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, str]) -> CurrencyTotals:
        return cls(
            debit=Decimal(doc["debit"]),
            credit=Decimal(doc["credit"]),
            amount=Decimal(doc["amount"]),
        )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Counts and totals of one rendered file."""

    entry_count: int
    """Entries that stand in the file."""
    row_count: int
    """Rows below the header."""
    normalised_count: int
    """Doubles a hair off a whole minor unit that were read as that unit."""
    other_month_count: int
    """Entries in the file dated in another month than the batch."""
    totals: Mapping[str, CurrencyTotals]
    """By currency code, in order of code."""
    rejected_count: int
    rejected: tuple[Rejected, ...] = ()
    """In the manifest's order; a stored seal keeps them apart, see `manifest.py`."""


NOTHING = Figures(
    entry_count=0,
    row_count=0,
    normalised_count=0,
    other_month_count=0,
    totals={},
    rejected_count=0,
)
"""Of an empty day."""
