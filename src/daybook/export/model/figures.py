"""The figures of a rendered file: counts, control totals, and the rejected entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any


class RejectionReason(StrEnum):
    """Why an entry was rejected; the word is stored in records and sent in responses."""

    MISSING = "entry_missing"  # the queue item points to no journal entry
    MISSING_VALUE = "missing_value"  # a field that the profile requires is missing or blank
    STORED_AS_TEXT = "stored_as_text"  # a number or a date is stored as text
    UNBALANCED = "unbalanced"  # debits and credits of its lines differ
    NOT_FINITE = "not_finite"  # an amount is NaN or infinite
    TOO_LARGE = "too_large"  # an amount has more digits than fit: 18 whole ones, 15 in an xlsx
    TOO_MANY_DECIMALS = "too_many_decimals"  # more decimals than the currency has
    INVALID_AMOUNT = "invalid_amount"  # an amount is not a number
    INVALID_DATE = "invalid_date"  # a date column holds something else, or a year beyond 9999
    BUDDHIST_YEAR = "buddhist_year"  # a year of the Buddhist Era where the Common Era is stored
    IMPLAUSIBLE_YEAR = "implausible_year"  # a year outside the profile's `years`
    INVALID_TEXT = "invalid_text"  # a text column holds a document or an array
    CONTROL_CHARACTER = "control_character"  # a text contains one other than TAB, CR and LF
    UNKNOWN_CURRENCY = "unknown_currency"  # neither an ISO 4217 code nor one of the profile's
    INVALID_LINES = "invalid_lines"  # `lines` is not an array of documents
    UNENCODABLE = "unencodable"  # a character that the file's encoding lacks
    TOO_LONG = "too_long"  # more characters than the column's `max_length`, or a cell, takes
    UNMAPPED_ACCOUNT = "unmapped_account"  # an account code that the profile's `accounts` lacks
    DUPLICATE = "duplicate"  # the entry is already in this or an earlier file


class Corrector(StrEnum):
    """Who removes a fault; the word is sent in responses."""

    ACCOUNTANT = "accountant"  # the entry's values: in the accounting application
    DEVELOPER = "developer"  # how that application stores them
    NOBODY = "nobody"  # there is nothing to correct


_BY_DEVELOPER = {
    RejectionReason.MISSING,
    RejectionReason.STORED_AS_TEXT,
    RejectionReason.NOT_FINITE,
    RejectionReason.INVALID_AMOUNT,
    RejectionReason.INVALID_DATE,
    RejectionReason.INVALID_TEXT,
    RejectionReason.INVALID_LINES,
}


def corrector(reason: RejectionReason) -> Corrector:
    """Who corrects an entry that was rejected for this reason."""
    if reason is RejectionReason.DUPLICATE:
        return Corrector.NOBODY
    return Corrector.DEVELOPER if reason in _BY_DEVELOPER else Corrector.ACCOUNTANT


@dataclass(frozen=True, kw_only=True)
class EntryFault:
    """One thing that keeps an entry out of the file."""

    reason: RejectionReason
    detail: str
    """In English; completes a sentence that starts with the place."""
    field: str | None = None
    """The path as in the profile's source, from the line if there is one; None for the entry."""
    line: int | None = None
    """From 1, as in the file's `Line` column."""
    value: str = ""
    """The invalid value, in no particular language: short, with every character visible."""

    @property
    def place(self) -> str:
        """`line 2, debit`; empty for the entry as a whole."""
        line = None if self.line is None else f"line {self.line}"
        return ", ".join(part for part in (line, self.field) if part)

    @property
    def text(self) -> str:
        return f"{self.place}: {self.detail}" if self.place else self.detail

    def to_doc(self) -> dict[str, Any]:
        return {
            "reason": self.reason.value,
            "line": self.line,
            "field": self.field,
            "value": self.value,
            "detail": self.detail,
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> EntryFault:
        return cls(
            reason=RejectionReason(doc["reason"]),
            line=doc["line"],
            field=doc["field"],
            value=doc["value"],
            detail=doc["detail"],
        )

    def shortened(self) -> EntryFault:
        """The same fault with each text short enough for a record, and encodable."""
        return replace(
            self,
            detail=_shortened(self.detail, _DETAIL_BYTES),
            field=None if self.field is None else _shortened(self.field, _FIELD_BYTES),
            value=_shortened(self.value, _VALUE_BYTES),
        )


REJECTED_BYTES = 3700
"""What a rejected entry takes up in a stored list, at most, apart from its two IDs.

A document of at most 16 MiB lists up to 1,000 of them, and a run holds up to 10,000 in
memory, however many faults an entry has.
"""
_MAX_FAULTS = 10
_FAULTS_BYTES = 2500
_DETAIL_BYTES = 200
_FIELD_BYTES = 80
_VALUE_BYTES = 100
_SUMMARY_BYTES = 800
_REFERENCE_BYTES = 150


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A queue item whose entry does not go into the file, and why."""

    queue_id: Any
    entry_id: Any
    faults: tuple[EntryFault, ...]
    """At least one; the first few when there are many. Build with `of`, which bounds them."""
    fault_count: int
    """Number of all faults, including those that are not listed."""
    reference: str | None = None
    """The entry's, shortened; None when it has none, and in lists of earlier versions."""

    def with_reference(self, reference: str | None) -> Rejected:
        return replace(
            self,
            reference=None if reference is None else _shortened(reference, _REFERENCE_BYTES),
        )

    @classmethod
    def of(cls, queue_id: Any, entry_id: Any, faults: Sequence[EntryFault]) -> Rejected:
        """List as many of the faults as `REJECTED_BYTES` allow, and count all of them."""
        listed: list[EntryFault] = []
        size_bytes = 0
        for fault in faults[:_MAX_FAULTS]:
            short = fault.shortened()
            size_bytes += _size_bytes(short)
            if listed and size_bytes > _FAULTS_BYTES:
                break
            listed.append(short)
        return cls(
            queue_id=queue_id, entry_id=entry_id, faults=tuple(listed), fault_count=len(faults)
        )

    @property
    def reason(self) -> RejectionReason:
        """The reason of the first fault."""
        return self.faults[0].reason

    @property
    def detail(self) -> str:
        """What is wrong and where, as far as it is listed, and how much more there is."""
        more = self.fault_count - len(self.faults)
        end = f"; and {more} more" if more else ""
        texts = "; ".join(fault.text for fault in self.faults)
        return _shortened(texts, _SUMMARY_BYTES - len(end)) + end

    def why(self) -> dict[str, Any]:
        """The reason as it is stored in batches, records and queue items."""
        return {
            "reason": self.reason.value,
            "detail": self.detail,
            "faults": [fault.to_doc() for fault in self.faults],
            "faultCount": self.fault_count,
        }

    def to_doc(self) -> dict[str, Any]:
        reference = {} if self.reference is None else {"reference": self.reference}
        return {"queueId": self.queue_id, "entryId": self.entry_id, **reference, **self.why()}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Rejected:
        """Also reads what was stored before entries had several faults."""
        reference = doc.get("reference")
        faults = tuple(map(EntryFault.from_doc, doc.get("faults", ()))) or (
            EntryFault(reason=RejectionReason(doc["reason"]), detail=doc["detail"]),
        )
        return cls(
            queue_id=doc["queueId"],
            entry_id=doc["entryId"],
            faults=faults,
            fault_count=doc.get("faultCount", len(faults)),
            reference=reference if isinstance(reference, str) else None,
        )


def _size_bytes(fault: EntryFault) -> int:
    """An upper bound for the size of a fault in a BSON array."""
    texts = (fault.reason.value, fault.field or "", fault.value, fault.detail)
    return 70 + sum(len(text.encode()) for text in texts)


def _shortened(text: str, size_bytes: int) -> str:
    """The text in at most `size_bytes` bytes of UTF-8; half a surrogate pair becomes `?`."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= size_bytes:
        return encoded.decode()
    return encoded[: size_bytes - 3].decode(errors="ignore") + "…"


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


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Counts and totals of one rendered file."""

    entry_count: int
    """Entries in the file."""
    row_count: int
    """Rows below the header."""
    normalised_count: int
    """Doubles very close to a whole minor unit that were read as that unit."""
    other_month_count: int
    """Entries in the file whose date is in another month than the batch's."""
    other_months: Mapping[str, int] = field(default_factory=dict)
    """Of these, how many are dated in each month (`2026-11`); only the `MONTHS` most frequent."""
    no_currency_count: int = 0
    """Entries in the file that name no currency, and count under the profile's."""
    totals: Mapping[str, CurrencyTotals]
    """By currency code, in order of code."""
    rejected_count: int
    rejected: tuple[Rejected, ...] = ()
    """In the manifest's order; a stored seal lists them separately, see `batch.py`."""


MONTHS = 12

NOTHING = Figures(
    entry_count=0,
    row_count=0,
    normalised_count=0,
    other_month_count=0,
    totals={},
    rejected_count=0,
)
"""The figures of an empty day."""
