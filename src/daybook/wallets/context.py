"""The ledger: database, clock, settings and locks that every request works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from daybook.chart_of_accounts import Chart
from daybook.export.model.profile import DAILY
from daybook.wallets.atomic import MAX_WAIT_SECONDS
from daybook.wallets.sharing import Sharing
from daybook.wallets.striped_locks import StripedLocks
from daybook.wallets.waiting import Waiting

MAX_PAISE = 2**53 - 1
"""Larger JSON numbers are not exact everywhere (https://www.rfc-editor.org/rfc/rfc8259#section-6)."""

OPERATION_TIMEOUT_SECONDS = 5.0

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The ledger's database, whose reads and writes are majority, and its rules."""

    database: Database[Document]
    clock: Callable[[], datetime]
    """Returns the current time, with a time zone."""
    profile: str = DAILY
    """The profile whose file the journal entries go to."""
    chart: Chart = field(default_factory=Chart)
    max_wait_seconds: float = MAX_WAIT_SECONDS
    """How long a movement may try."""
    operation_timeout_seconds: float = OPERATION_TIMEOUT_SECONDS
    """How long a request may look up its key, before and after the movement."""
    striped_locks: StripedLocks = field(default_factory=StripedLocks)
    waiting: Waiting[Any, Any] = field(default_factory=Waiting)
    """Credits and debits that wait for their wallet."""
    sharing: Sharing[Any, Any] = field(default_factory=Sharing)
    """Credits and debits of several wallets that wait for a transaction."""

    def now(self) -> datetime:
        """The time as MongoDB keeps it, in whole milliseconds."""
        now = self.clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def stamp(moment: datetime) -> str:
    """A time in an answer: UTC, in milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
