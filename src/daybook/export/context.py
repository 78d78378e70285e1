"""What a run works with: its exporter, its job, built for a call, and the slot that it holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

from pymongo.collection import Collection
from pymongo.database import Database

from daybook import log
from daybook.destinations.base import Destination
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import Batch
from daybook.export.model.budgets import RetryBudget, StopToken, TimeBudget
from daybook.export.model.lifecycle import Schedule, TaskCall, TaskQueue
from daybook.export.model.notice import Alert, AlertEvent, Messenger
from daybook.export.model.part import Part
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.queue import manifest as manifests
from daybook.export.queue import manual, plan
from daybook.export.queue.manual import ManualRequest
from daybook.export.slot.slot import Slot
from daybook.export.upload.breaker import Breaker
from daybook.export.upload.upload import UploadLimits

NO_REQUEST: Mapping[str, Any] = {"entryIds": []}


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a run. Times are in seconds; see docs/configuration.md."""

    lease_seconds: float
    csv_timeout_seconds: float
    run_deadline_seconds: float
    retry_delays_seconds: tuple[int, ...]
    breaker_failures: int
    breaker_reset_seconds: float
    upload: UploadLimits

    @property
    def attempts(self) -> int:
        """How many attempts a batch gets."""
        return 1 + len(self.retry_delays_seconds)


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """What all runs of a profile share. `app.py` builds it."""

    database: Database[dict[str, Any]]
    destination: Destination
    profile: Profile
    limits: Limits
    clock: Callable[[], datetime]
    """The current time, aware."""
    messenger: Messenger
    breaker: str | None = None
    """Name of the destination's circuit breaker; None for the destination's kind."""
    reaches_operator: bool = True
    """False when alerts only reach the log: another process then has to announce results."""
    reaches_accountant: bool = True
    """The same for receipts."""
    tasks: TaskQueue | None = None
    """None when follow-up calls are only recorded."""
    stopping: Callable[[], bool] = _never
    """Whether the process has been asked to end."""
    sleep: Callable[[float], None] = time.sleep
    schedule: Schedule | None = None
    """The profile's, by which a receipt says that a day was closed early; None: it does not."""
    monotonic: Callable[[], float] = time.monotonic
    """Times the rendering, in seconds from any beginning."""
    progress: Callable[[int, int], None] | None = None
    """Called with the number of items rendered so far and the number in the manifest."""

    @property
    def breaker_name(self) -> str:
        return self.breaker or self.destination.kind

    @property
    def circuit(self) -> Breaker:
        """The breaker of the destination."""
        return Breaker(
            self.database,
            self.breaker_name,
            failures=self.limits.breaker_failures,
            reset_seconds=self.limits.breaker_reset_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a run is to export: a day's batch, or a manual export."""

    key: BatchKey
    filename: str
    scan: Callable[[], Iterator[Part]]
    """Yields the items to export; each call reads the queue again."""
    schedule_time: datetime | None = None
    """The trigger's time; it distinguishes a repeated delivery from a new call."""
    request: dict[str, Any] | None = None
    """Stored with a manual export's batch."""
    task: TaskCall | None = None
    """Which attempt the run is for, when a task called it."""
    task_name: str = ""
    """The task's name in the queue."""

    @property
    def day(self) -> date | None:
        """The batch date; None for a manual export."""
        return None if self.key.batch_date is None else date.fromisoformat(self.key.batch_date)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One run: its exporter, its job, and the slot that it holds."""

    exporter: Exporter
    job: Job
    slot: Slot
    stop_token: StopToken
    retry_budget: RetryBudget
    rendering: TimeBudget
    first_fence: int
    """The slot's fence when this run took it; an attempt under a lower one is an earlier run's."""

    @classmethod
    def of(cls, exporter: Exporter, job: Job, slot: Slot) -> Self:
        """Starts the run's deadline and its budgets."""
        stop_token = StopToken(
            exporter.stopping, deadline_seconds=exporter.limits.run_deadline_seconds
        )
        return cls(
            exporter=exporter,
            job=job,
            slot=slot,
            stop_token=stop_token,
            retry_budget=RetryBudget(exporter.sleep, stop_token),
            rendering=TimeBudget(
                exporter.limits.csv_timeout_seconds, stop_token, clock=exporter.monotonic
            ),
            first_fence=slot.fence,
        )

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
        return self.database[export_log.COLLECTION]

    @property
    def breaker_name(self) -> str:
        return self.exporter.breaker_name

    @property
    def breaker(self) -> Breaker:
        return self.exporter.circuit

    def alert(
        self, event: AlertEvent, severity: int, batch: Batch | None = None, **facts: Any
    ) -> None:
        """Alert the operator; `batch` is the one that the alert is about, if any."""
        self.exporter.messenger.alert(
            Alert(
                event=event,
                severity=severity,
                profile=self.job.key.profile,
                batch_date=None if batch is None else batch.key.batch_date,
                batch_id=None if batch is None else str(batch.id),
                facts=facts,
            )
        )

    def conflict_absorbed(self) -> None:
        """Count a refusal of the ID as taken that was caused by our own file under it.

        The count is only for metrics, so it is not needed for a batch that was deleted by hand.
        """
        log.event(logging.INFO, "conflict_absorbed", "The ID was taken by this slot's own file.")
        self.batches.update_one(self.job.key.filter(), {"$inc": {"conflictCount": 1}})

    def now(self) -> datetime:
        return self.exporter.clock()

    def batch(self) -> Batch:
        """The job's batch as it is stored now."""
        return batches.ensure(self.batches, self.job.key, now=self.now(), request=self.job.request)


def daily_job(
    database: Database[dict[str, Any]],
    profile: Profile,
    day: date,
    schedule_time: datetime | None = None,
) -> Job:
    """The day's job. `schedule_time` is the trigger's, if it has one."""
    return Job(
        key=BatchKey(profile=profile.name, batch_date=day.isoformat()),
        filename=profile.file_name(day),
        scan=lambda: plan.scan(database, profile),
        schedule_time=schedule_time,
    )


def manual_job(database: Database[dict[str, Any]], profile: Profile, request: ManualRequest) -> Job:
    """The job of a manual export, which copies chosen entries."""
    return Job(
        key=BatchKey(profile=profile.name, manual_key=request.key),
        filename=request.file_name(profile),
        scan=lambda: manual.scan(database, profile, request),
        request=request.to_doc(),
    )


def job_of_batch(database: Database[dict[str, Any]], profile: Profile, batch: Batch) -> Job:
    """The job that a stored batch was made for."""
    if batch.key.batch_date is not None:
        return daily_job(database, profile, date.fromisoformat(batch.key.batch_date))
    assert batch.key.manual_key is not None  # noqa: S101  (one of the two is set)
    return manual_job(
        database,
        profile,
        # A batch that was restored from its seal has no request; its file already exists.
        ManualRequest.from_doc(batch.doc.get("request", NO_REQUEST), key=batch.key.manual_key),
    )
