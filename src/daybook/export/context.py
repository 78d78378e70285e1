"""What a run works with: the exporter it belongs to, the job it was given, the slot it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from daybook.destinations.base import Destination
from daybook.export import batch as batches
from daybook.export import manifest as manifests
from daybook.export import records
from daybook.export.batch import Batch, BatchKey
from daybook.export.part import Part
from daybook.export.patience import Patience
from daybook.export.profile import Profile
from daybook.export.slot import Slot
from daybook.export.stopwatch import Stopwatch
from daybook.export.upload import UploadLimits


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times in seconds; see docs/configuration.md."""

    lease_seconds: float
    csv_timeout_seconds: float
    run_deadline_seconds: float
    retry_delays_seconds: tuple[int, ...]
    upload: UploadLimits


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """What all runs of a profile share; built in `app.py`."""

    database: Database[dict[str, Any]]
    destination: Destination
    profile: Profile
    limits: Limits
    clock: Callable[[], datetime]
    """The current time, aware."""
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[int, int], None] | None = None
    """Gets the manifest's parts rendered so far, and their total."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one run is asked for: a day's batch, or a manual export."""

    key: BatchKey
    filename: str
    scan: Callable[[], Iterator[Part]]
    """What to export, read afresh at each call."""
    schedule_time: datetime | None = None
    """Of the trigger; tells a repeated delivery from a new call."""
    request: dict[str, Any] | None = None
    """Kept with a manual export's batch."""

    @property
    def day(self) -> date | None:
        """The batch date; None for a manual export."""
        return None if self.key.batch_date is None else date.fromisoformat(self.key.batch_date)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One run: its exporter, its job, and the slot it holds."""

    exporter: Exporter
    job: Job
    slot: Slot
    patience: Patience
    rendering: Stopwatch

    @property
    def destination(self) -> Destination:
        return self.exporter.destination

    @property
    def database(self) -> Database[dict[str, Any]]:
        return self.exporter.database

    @property
    def batches(self) -> Collection[dict[str, Any]]:
        return self.database[batches.COLLECTION]

    @property
    def manifests(self) -> Collection[dict[str, Any]]:
        return self.database[manifests.COLLECTION]

    @property
    def logs(self) -> Collection[dict[str, Any]]:
        return self.database[records.COLLECTION]

    def now(self) -> datetime:
        return self.exporter.clock()

    def batch(self) -> Batch:
        """The job's batch as it is stored now."""
        return batches.ensure(self.batches, self.job.key, now=self.now(), request=self.job.request)
