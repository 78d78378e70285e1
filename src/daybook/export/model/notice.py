"""Messages to people: alerts for the operator, receipts for the accountant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from daybook.export.model.figures import Corrector, EntryFault, corrector


class AlertEvent(StrEnum):
    """The constant names under which alerts are logged; the stored words never change."""

    ATTEMPT_FAILED = "attempt_failed"  # WARNING: ended without a file; the next one is scheduled
    BATCH_FAILED = "batch_failed"  # CRITICAL: failed for good; the entries stay queued
    RUN_REFUSED = "run_refused"  # CRITICAL: a call for the day's run failed, unrecorded
    BATCH_RECOVERED = "batch_recovered"  # INFO: delivered or signed off after a failure
    BREAKER_OPENED = "breaker_opened"  # WARNING: the destination is not called for a while
    ENTRIES_REJECTED = (
        "entries_rejected"  # WARNING: entries are left out of a file, or of an empty day
    )
    ORPHAN_LEFT_BEHIND = "orphan_left_behind"  # CRITICAL: an unrecorded file exists or may appear
    UNSEALED_FILE = "unsealed_file"  # CRITICAL: the file under the slot's ID is not what was sent
    ITEMS_CHANGED_AFTER_SEAL = "items_changed_after_seal"  # CRITICAL: changed although delivered
    FILE_UNRECORDED = "file_unrecorded"  # CRITICAL: visible, but MongoDB refuses its record
    MARKING_REFUSED = "marking_refused"  # CRITICAL: recorded, but MongoDB refuses the items' marks
    PUBLISH_FAILED = "publish_failed"  # CRITICAL: complete and recorded, but without its name
    FILE_CHANGED = "file_changed"  # CRITICAL: a delivered file is gone, or not as delivered
    ENTRIES_CHANGED_AFTER_EXPORT = (
        "entries_changed_after_export"  # ERROR: entries no longer match their delivered file
    )
    DAY_MISSING = "day_missing"  # CRITICAL: the last due day is not done, and no run is live
    DAY_LATE = "day_late"  # WARNING: the last due day is not done, but a run or retry is live


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert for the operator. `facts` are what its text needs, see `notifications.alerts`."""

    event: AlertEvent
    severity: int
    """One of `logging`'s levels."""
    profile: str
    batch_date: str | None = None
    """ISO date; None when the alert belongs to no day."""
    batch_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RejectedEntry:
    """An entry that the file leaves out."""

    entry_id: str
    reference: str | None
    """As in the journal entry; None when the entry is missing or has none."""
    faults: tuple[EntryFault, ...]
    """At least one; the first few of `fault_count`."""
    fault_count: int
    queue_id: str | None = None
    detail: str = ""
    """In English: what is wrong and where."""

    @property
    def correctors(self) -> tuple[Corrector, ...]:
        """Who has something to correct, each once; `NOBODY` only if there is nothing."""
        found = dict.fromkeys(corrector(fault.reason) for fault in self.faults)
        correctors = tuple(one for one in found if one is not Corrector.NOBODY)
        return correctors or tuple(found)

    def to_doc(self) -> dict[str, Any]:
        return {
            "queueId": self.queue_id,
            "entryId": self.entry_id,
            "reference": self.reference,
            "reason": self.faults[0].reason.value,
            "detail": self.detail,
            "faults": [fault.to_doc() for fault in self.faults],
            "faultCount": self.fault_count,
            "correctedBy": [one.value for one in self.correctors],
        }


@dataclass(frozen=True, kw_only=True)
class CheckedEntry:
    """An entry in the file that the accountant checks before importing it."""

    entry_id: str
    reference: str | None


class Check(StrEnum):
    """Why an entry in a file is to be checked."""

    OTHER_MONTH = "other_month"  # dated in another month than the batch
    NO_CURRENCY = "no_currency"  # names none, and counts under the profile's
    HIDDEN_CURRENCY = "hidden_currency"  # is in another one, which no column says


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A committed or an empty day, as reported to the accountant."""

    profile: str
    batch_date: str
    batch_id: str
    filename: str | None
    """None on an empty day, as are `link` and `sha256`."""
    link: str | None
    sha256: str | None
    entry_count: int
    row_count: int
    totals: Mapping[str, Mapping[str, str]]
    """Currency → `debit`, `credit`, `amount`, each a plain decimal in major units."""
    rejected_count: int
    rejected: tuple[RejectedEntry, ...]
    """The first ones; `rejected_count` is the number of all."""
    done_at: datetime
    unclaimed: Mapping[str, int] = field(default_factory=dict)
    """Queue items that no run ever takes, by `waiting.Unclaimed`."""
    other_month_count: int = 0
    """Entries in the file dated in another month than the batch."""
    other_months: Mapping[str, int] = field(default_factory=dict)
    """Of these, how many in which month (`2026-11`), as far as recorded."""
    no_currency_count: int = 0
    """Entries in the file without a currency, counted under `currency`."""
    currency: str = ""
    repeated: bool = False
    """Whether the day was opened again after it had failed."""
    early: bool = False
    """Whether the day was closed before its own run was due."""
    max_rows: int | None = None
    """Rows that the importing program takes in one file; None without such a limit."""

    hidden_currencies: tuple[str, ...] = ()
    """Currencies in the file besides `currency`, when no column says which row is in which."""
    to_check: Mapping[Check, tuple[CheckedEntry, ...]] = field(default_factory=dict)
    """The entries to check, as they are now; at most the first few of each unless all are asked."""
    field_names: Mapping[str, str] = field(default_factory=dict)
    """Path in the profile's source → the name of `Source`'s default path, or the column's title."""

    @property
    def has_too_many_rows(self) -> bool:
        return self.max_rows is not None and self.row_count > self.max_rows

    def to_doc(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "batchDate": self.batch_date,
            "batchId": self.batch_id,
            "filename": self.filename,
            "webViewLink": self.link,
            "sha256": self.sha256,
            "entryCount": self.entry_count,
            "rowCount": self.row_count,
            "totals": self.totals,
            "rejectedCount": self.rejected_count,
            "unclaimed": dict(self.unclaimed),
            "rejected": [one.to_doc() for one in self.rejected],
            "otherMonthCount": self.other_month_count,
            "otherMonths": dict(self.other_months),
            "noCurrencyCount": self.no_currency_count,
            "maxRows": self.max_rows,
            "hiddenCurrencies": list(self.hidden_currencies),
            "doneAt": self.done_at,
        }


class Messenger(Protocol):
    """Sends messages. Neither method raises: an undeliverable message must not fail a batch."""

    def alert(self, alert: Alert) -> None:
        """Log the alert under its event, and send it to the alert addresses."""

    def receipt(self, receipt: Receipt) -> int:
        """Send the receipt to the receipt addresses; returns how many received it."""
