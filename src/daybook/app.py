"""The composition root: from settings to the clients and the parts that work with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from threading import RLock
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.destinations.base import Destination
from daybook.destinations.configured import destination_of
from daybook.errors import BadRequest, ConfigurationError, DatabaseError
from daybook.export import jobs
from daybook.export.announce import NoReceipt, receipt_of
from daybook.export.batch import batch as batches
from daybook.export.batch.batch import Batch
from daybook.export.batch.schedule import Schedule
from daybook.export.context import Exporter, Limits
from daybook.export.model.batch_key import BatchKey
from daybook.export.model.lifecycle import TaskCall
from daybook.export.model.notice import Messenger, Receipt
from daybook.export.model.profile import DAILY, Profile
from daybook.export.model.task import Task
from daybook.export.operations.dry_run import dry_run, log_plan
from daybook.export.operations.reopen import release, reopen
from daybook.export.operations.sweep import Sweep, sweep
from daybook.export.outcome import Outcome, Status
from daybook.export.queue import manual
from daybook.export.run import run
from daybook.export.slot import refused_run
from daybook.export.upload.upload import UploadLimits
from daybook.mongo import client, indexes, objects, rights
from daybook.mongo.machine_clock import MachineClock
from daybook.notifications.alerts import Messages
from daybook.notifications.messages import Message
from daybook.notifications.receipt import receipt_message
from daybook.ops.doctor import Installation
from daybook.settings.settings import Settings
from daybook.shutdown import Shutdown
from daybook.text import display
from daybook.wallets import answers, invites

TASK_CLOCK_BEHIND = timedelta(minutes=1)
"""By how much a task's time may correct a clock: a task can be forced long before it is due."""

BEYOND_DEADLINE_SECONDS = 60.0
"""What an invocation may take after its deadline, to come to a boundary and to commit."""


@dataclass(frozen=True)
class App:
    """Daybook, put together. Building it does no I/O; clients connect when first used."""

    settings: Settings
    clock: Callable[[], datetime] = field(default_factory=MachineClock)
    """A `MachineClock` is compared with MongoDB's; another one is taken as it is."""
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[int, int], None] | None = None
    """Gets the number of items that a run has rendered, and of all."""
    shutdown: Shutdown = field(default_factory=Shutdown)
    by_hand: bool = False
    """True for an operator's command: its machine need not have the addresses that the
    function has, and must then leave announcing to it.
    """
    project: str | None = None
    """Google Cloud project, for links in alerts."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> App:
        """Read and check the settings; raises `ConfigurationError` naming each fault."""
        app = cls(Settings.from_env(env), project=env.get("GOOGLE_CLOUD_PROJECT") or None)
        try:
            app.profile(app.settings.ledger_profile)
        except BadRequest as error:
            raise ConfigurationError(
                f"Settings cannot be used. DAYBOOK_LEDGER_PROFILE: {error}"
            ) from error
        return app

    _alerted: set[tuple[str, date, str]] = field(
        default_factory=set, init=False, repr=False, compare=False
    )
    """Refused runs that this process has alerted: profile, day, type of error."""
    _building: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """One per process, whichever of the first requests asks first."""
        with self._building:
            return self._client

    @cached_property
    def _client(self) -> MongoClient[dict[str, Any]]:
        return client.connect(self.settings)

    @property
    def database(self) -> Database[dict[str, Any]]:
        return client.database(self.client, self.settings)

    @property
    def destination(self) -> Destination:
        """One per process, like the client."""
        with self._building:
            return self._destination

    @cached_property
    def _destination(self) -> Destination:
        return destination_of(self.settings, cut=self.shutdown.cuts)

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(self.settings.cron, self.settings.time_zone)

    def profile(self, name: str = DAILY) -> Profile:
        """The profile of that name; raises `BadRequest` when there is none."""
        if name != DAILY:
            raise BadRequest(
                f"there is no profile {display.quoted(name)}, only {DAILY!r}", where="profile"
            )
        return Profile(name=DAILY, time_zone=self.settings.time_zone)

    @cached_property
    def messenger(self) -> Messenger:
        settings = self.settings
        return Messages(
            alert_urls=settings.alert_urls,
            receipt_urls=settings.receipt_urls,
            language=settings.language,
            time_zone=settings.time_zone,
            project=self.project,
        )

    @cached_property
    def cloud_tasks(self) -> CloudTasks | None:
        """None without a queue: then what has to follow is only recorded."""
        settings = self.settings
        if settings.tasks_queue is None or settings.service_url is None:
            return None
        return CloudTasks(
            queue=settings.tasks_queue,
            service_url=settings.service_url,
            service_account=settings.tasks_service_account,
            endpoint=settings.tasks_endpoint,
            dispatch_deadline_seconds=settings.run_deadline_seconds + BEYOND_DEADLINE_SECONDS,
        )

    def right_clock(self) -> Callable[[], datetime]:
        """What decisions and stored times go by, for as long as one request lasts."""
        if not isinstance(self.clock, MachineClock):
            return self.clock
        try:
            return self.clock.compared_with(self.client)
        except ConfigurationError:
            return self.clock  # whatever needs the client raises it again, where it is answered

    def now(self) -> datetime:
        return self.right_clock()()

    def batch_day(self, given: date | None, schedule_time: datetime | None = None) -> date:
        """The day that a call is for, given or not. Raises `BadRequest` for one to come."""
        now = self.now()
        if given is None:
            return self.schedule.batch_date(now, schedule_time)
        return self.schedule.check_day(given, now)

    def due_day(self, given: date) -> date:
        """The day that is to be closed. Raises `BadRequest` before its own run is due."""
        day = self.batch_day(given)
        if not self.schedule.is_due(day, self.now()):
            raise BadRequest(
                f"{day} is not due yet: its run would find it closed", where="batchDate"
            )
        return day

    def exporter(
        self, profile: Profile, *, clock: Callable[[], datetime] | None = None
    ) -> Exporter:
        """Raises `ConfigurationError` when the database lacks an index of the guarantee.

        Also when a collection is no ordinary one: see `objects.check`.

        `clock` takes the place of the app's own. Raises `DatabaseError` when MongoDB
        cannot be asked.
        """
        try:
            objects.check(self.database)
            indexes.check_guards(self.database)
        except PyMongoError as error:
            raise DatabaseError.of("looking at the indexes", error) from error
        settings = self.settings
        return Exporter(
            database=self.database,
            destination=self.destination,
            profile=profile,
            limits=Limits(
                lease_seconds=settings.lease_seconds,
                csv_timeout_seconds=settings.csv_timeout_seconds,
                run_deadline_seconds=settings.run_deadline_seconds,
                retry_delays_seconds=settings.retry_delays_seconds,
                breaker_failures=settings.breaker_failures,
                breaker_reset_seconds=settings.breaker_reset_seconds,
                upload=UploadLimits(
                    chunk=_multiple(
                        settings.upload_chunk_bytes, self.destination.chunk_multiple_bytes
                    ),
                    whole=settings.multipart_limit_bytes,
                ),
            ),
            clock=clock or self.right_clock(),
            messenger=self.messenger,
            reaches_operator=not self.by_hand or bool(settings.alert_urls),
            reaches_accountant=not self.by_hand or bool(settings.receipt_urls),
            tasks=None if self.cloud_tasks is None else _Queue(self.cloud_tasks),
            stopping=self.shutdown.requested,
            sleep=self.sleep,
            progress=self.progress,
        )

    def run_batch(
        self,
        *,
        profile_name: str = DAILY,
        batch_date: date | None = None,
        schedule_time: datetime | None = None,
    ) -> Outcome:
        """One run of a day's batch; without a date, of the latest one that is due."""
        profile = self.profile(profile_name)
        day = batch_date or self.batch_day(None, schedule_time)
        return run(self.exporter(profile), jobs.daily(self.database, profile, day, schedule_time))

    def plan_batch(
        self,
        *,
        profile_name: str = DAILY,
        batch_date: date | None = None,
        schedule_time: datetime | None = None,
    ) -> Outcome:
        """What a run would deliver now: the same bytes, digests and totals, nothing written."""
        profile = self.profile(profile_name)
        day = batch_date or self.batch_day(None, schedule_time)
        try:
            job = jobs.daily(self.database, profile, day, schedule_time)
            outcome = dry_run(self.database, profile, job)
        except PyMongoError as error:
            raise DatabaseError.of(f"dry run of {day}", error) from error
        log_plan(job, outcome)
        return outcome

    def run_manual(
        self,
        request: manual.ManualRequest,
        *,
        profile_name: str = DAILY,
        caller: str | None = None,
    ) -> Outcome:
        """One manual export: a copy of chosen entries, in a file of its own.

        Its key belongs to `caller`, a verified account. An export that was stored under the
        key without a caller, by an earlier version, is the same one and is finished.
        """
        profile = self.profile(profile_name)
        exporter = self.exporter(profile)
        try:
            known = self._manual_batch(profile, request)
            if caller is not None and (known is None or manual.caller_of(known.doc) is not None):
                request = request.for_caller(caller)
                known = self._manual_batch(profile, request)
            if known is None:
                manual.check_entries(self.database, profile, request)
        except PyMongoError as error:
            raise DatabaseError.of(request.filename, error) from error
        return run(exporter, jobs.manual(self.database, profile, request))

    def _manual_batch(self, profile: Profile, request: manual.ManualRequest) -> Batch | None:
        key = BatchKey(profile=profile.name, manual_key=request.key)
        return batches.find(self.database[batches.COLLECTION], key)

    def run_task(
        self,
        key: BatchKey,
        call: TaskCall,
        *,
        task_name: str = "",
        scheduled_at: datetime | None = None,
    ) -> Outcome:
        """What a task asks for; a late, repeated or unknown one changes nothing.

        `scheduled_at` is when the queue had it due. A clock that shows a little less counts
        as behind the queue's, by `TASK_CLOCK_BEHIND` at most.
        """
        profile = self.profile(key.profile)
        clock = self.right_clock()
        behind = (scheduled_at or clock()) - clock()
        behind = min(max(behind, timedelta()), TASK_CLOCK_BEHIND)
        exporter = self.exporter(profile, clock=lambda: clock() + behind)
        try:
            batch = batches.find(self.database[batches.COLLECTION], key)
        except PyMongoError as error:
            raise DatabaseError.of("a task's batch", error) from error
        if batch is None:
            return Outcome(
                status=Status.FAILED,
                profile=profile.name,
                batch_date=key.batch_date,
                error={"type": "unknown_batch", "message": "no run ever began for it"},
            )
        job = jobs.of_batch(self.database, profile, batch)
        return run(exporter, replace(job, task=call, task_name=task_name))

    def run_refused(self, profile_name: str, day: date, *, kind: str, message: str) -> None:
        """Alert that a call for the day's run got an error, once; see `refused.announce`."""
        refused_run.announce(
            lambda: self.database,
            self.messenger,
            profile_name,
            day,
            kind=kind,
            message=message,
            now=self.now(),
            alerted=self._alerted,
        )

    def reopen_day(self, day: date, *, profile_name: str = DAILY) -> Batch | None:
        """Open the day again if it has failed; None when nothing was ever run for it.

        Raises `NotPossible` for a day that was closed for good, `SlotBusy`.
        """
        profile = self.profile(profile_name)
        key = BatchKey(profile=profile.name, batch_date=day.isoformat())
        try:
            return reopen(self.exporter(profile), key)
        except PyMongoError as error:
            raise DatabaseError.of(f"retry of {day}", error) from error

    def receipt(self, day: date, *, profile_name: str = DAILY) -> tuple[Receipt, Message]:
        """The day's receipt, and how it reads. Raises `NoReceipt`."""
        profile = self.profile(profile_name)
        key = BatchKey(profile=profile.name, batch_date=day.isoformat())
        try:
            batch = batches.find(self.database[batches.COLLECTION], key)
            if batch is None:
                raise NoReceipt(f"{day} has no receipt: no run yet")
            found = receipt_of(self.database, profile, batch)
        except PyMongoError as error:
            raise DatabaseError.of(f"receipt of {day}", error) from error
        language, zone = self.settings.language, self.settings.time_zone
        return found, receipt_message(found, language=language, zone=zone)

    def send_receipt(self, day: date, *, profile_name: str = DAILY) -> int:
        """Send the day's receipt, again or not; how many addresses got it.

        Raises `NoReceipt`, and `ConfigurationError` without an address.
        """
        found, _ = self.receipt(day, profile_name=profile_name)
        if not self.settings.receipt_urls:
            raise ConfigurationError(
                "DAYBOOK_RECEIPT_URLS: is not set, so there is nobody to send the receipt to"
            )
        return self.messenger.receipt(found)

    def release_day(self, day: date, *, profile_name: str = DAILY) -> Batch:
        """Close an open or failed day for good. Raises `NotPossible`, `SlotBusy`."""
        profile = self.profile(profile_name)
        key = BatchKey(profile=profile.name, batch_date=day.isoformat())
        try:
            return release(self.exporter(profile), key)
        except PyMongoError as error:
            raise DatabaseError.of(f"release of {day}", error) from error

    def sweep(self, *, profile_name: str = DAILY) -> Sweep:
        """Sweep the profile's slots, tidy up after the ledger, see that the queue is there.

        Of the ledger, invites that have expired are marked, and answers removed that need not
        be kept any longer.

        A queue that is not used for 30 days may be gone when the first retry needs it; a
        look at it counts as use (https://cloud.google.com/tasks/docs/queues-and-limits).
        """
        found = sweep(self.exporter(self.profile(profile_name)))
        now = self.now()
        invites.mark_expired(self.database, now)
        queue = None if self.cloud_tasks is None else self.cloud_tasks.check()
        if queue is not None and not queue.ok:
            log.event(logging.WARNING, "queue_unusable", queue.detail)
        if self.settings.answer_days is not None:
            # Last, since the user of the database may lack the rights.
            before = now - timedelta(days=self.settings.answer_days)
            answers.remove_before(self.database, before, now=now)
        return found

    def installation(self, env: Mapping[str, str]) -> Installation:
        """What `doctor` examines; `env` are the variables as they were given."""
        return Installation(
            env=env,
            client=self.client,
            database=self.database,
            mongodb_uri=self.settings.mongodb_uri,
            destination=lambda: self.destination,
            tasks=self.cloud_tasks,
            needed=rights.NEEDED if self.settings.answer_days is None else rights.WITH_ANSWER_DAYS,
            messages={
                "DAYBOOK_ALERT_URLS": self.settings.alert_urls,
                "DAYBOOK_RECEIPT_URLS": self.settings.receipt_urls,
            },
            profile=self.profile(),
            schedule=self.schedule,
            clock=self.clock,
        )


@dataclass(frozen=True)
class _Queue:
    """Cloud Tasks as the port that runs know."""

    cloud: CloudTasks

    def create(self, task: Task) -> None:
        self.cloud.create(name=task.name, body=task.body(), due=task.due)


def _multiple(size_bytes: int, of_bytes: int) -> int:
    """`size_bytes` rounded up to what the destination takes."""
    return -(-size_bytes // of_bytes) * of_bytes
