"""Numbers, times and phrases in English."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from daybook.export.model.figures import EntryFault, RejectionReason
from daybook.export.queue.waiting import Unclaimed
from daybook.notifications.facts import Facts

REASONS: Mapping[str, str] = {
    RejectionReason.MISSING: "the journal entry is missing",
    RejectionReason.MISSING_VALUE: "a required value is missing",
    RejectionReason.STORED_AS_TEXT: "stored as text, not as a number or a date",
    RejectionReason.UNBALANCED: "debit and credit differ",
    RejectionReason.NOT_FINITE: "an amount is not a finite number",
    RejectionReason.TOO_LARGE: "an amount has more than 18 digits before the decimal point",
    RejectionReason.TOO_MANY_DECIMALS: "an amount has more decimals than its currency",
    RejectionReason.INVALID_AMOUNT: "an amount is not a number",
    RejectionReason.INVALID_DATE: "the date is not valid",
    RejectionReason.BUDDHIST_YEAR: "the year is of the Buddhist Era where the Common Era is stored",
    RejectionReason.IMPLAUSIBLE_YEAR: "the year is implausible",
    RejectionReason.INVALID_TEXT: "a text field does not hold text",
    RejectionReason.CONTROL_CHARACTER: "a text contains a control character",
    RejectionReason.UNKNOWN_CURRENCY: "the currency is not an ISO 4217 code",
    RejectionReason.INVALID_LINES: "the lines cannot be read",
    RejectionReason.UNENCODABLE: "a character cannot be written to the file",
    RejectionReason.DUPLICATE: "exported already, or twice in the queue",
}
"""Why an entry is rejected."""

UNCLAIMED: Mapping[str, str] = {reason: reason.explanation for reason in Unclaimed}
"""Why no run ever takes a queue item."""

DESTINATIONS: Mapping[str, str] = {
    "google_drive": "Google Drive",
    "s3": "S3",
    "local_folder": "The local folder",
}

STAYS_QUEUED = "The entries stay queued; none is lost and none is exported twice."


def place(fault: EntryFault) -> str:
    """`line 2, debit`; empty for the entry as a whole."""
    return fault.place


def number(count: int, one: str, many: str) -> str:
    """`1 entry`, `1,234 entries`."""
    return f"{count:,} {one if count == 1 else many}"


def moment(at: datetime) -> str:
    """With the name of its time zone."""
    return f"{at:%Y-%m-%d %H:%M} ({at.tzinfo})"


def last_error(facts: Facts) -> str | None:
    return f"Last error: {facts.error.rstrip('.')}." if facts.error else None


def run_it(facts: Facts) -> str:
    if facts.day is None:
        return "the same request to POST /exports"
    return f"`python -m daybook run --date {facts.day}` (or POST /run)"


def at_link(facts: Facts, what: str) -> str | None:
    link = facts.text("link")
    return f"{what}: {link}" if link else None
