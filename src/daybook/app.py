"""The composition root: builds the clients and the exporter from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from threading import RLock
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import display
from daybook.cloud import secrets
from daybook.cloud.tasks.tasks import CloudTasks
from daybook.destinations.base import Destination
from daybook.errors import BadRequest, ConfigurationError, DatabaseError
from daybook.export.context import Exporter, Limits
from daybook.export.model.lifecycle import Schedule, Task
from daybook.export.model.notice import Messenger
from daybook.export.model.profile import DAILY, Profile
from daybook.export.slot.refused_run import RefusedRuns
from daybook.export.upload.upload import UploadLimits
from daybook.mongo import client, indexes, objects, rights
from daybook.mongo.client import MachineClock
from daybook.notifications.alerts import Messages
from daybook.ops.doctor import Installation
from daybook.profiles.configured import ConfiguredProfile, Profiles
from daybook.profiles.reading import read
from daybook.settings.parsers import DestinationAddress
from daybook.settings.settings import Settings
from daybook.shutdown import Shutdown

BEYOND_DEADLINE_SECONDS = 60.0
"""How long an invocation may take after its deadline, to reach a boundary and commit."""


@dataclass(frozen=True)
class App:
    """Daybook, assembled. Building it does no I/O; clients connect when first used."""

    settings: Settings
    clock: Callable[[], datetime] = field(default_factory=MachineClock)
    """A `MachineClock` is compared with MongoDB's; any other clock is used unchecked."""
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[int, int], None] | None = None
    """Called with the number of items rendered so far and the number of all items."""
    shutdown: Shutdown = field(default_factory=Shutdown)
    by_hand: bool = False
    """True for an operator's command. Its machine may lack the addresses that the function
    has; then it leaves announcing to the function.
    """
    project: str | None = None
    """Google Cloud project, for links in alerts."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> App:
        """Read and check the settings; raises `ConfigurationError` naming each fault."""
        app = cls(Settings.from_env(env), project=env.get("GOOGLE_CLOUD_PROJECT") or None)
        wanted = app.settings.ledger_profile
        if wanted not in app.profiles:
            raise ConfigurationError(
                f"Settings cannot be used. DAYBOOK_LEDGER_PROFILE: {app.no_profile(wanted)}"
            )
        return app

    _building: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)
    _destinations: dict[str, Destination] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """One per process, also when the first requests come at the same time."""
        with self._building:
            return self._client

    @cached_property
    def _client(self) -> MongoClient[dict[str, Any]]:
        return client.connect(self.settings)

    @property
    def database(self) -> Database[dict[str, Any]]:
        return client.database(self.client, self.settings)

    @cached_property
    def profiles(self) -> Profiles:
        """Every profile by name; raises `ConfigurationError` naming each fault."""
        return read(self.settings, fetch_secret=secrets.fetch)

    def no_profile(self, name: str) -> str:
        """What to say when there is no profile of that name."""
        known = ", ".join(map(repr, self.profiles))
        only = "only " if len(self.profiles) == 1 else "but "
        return f"there is no profile {display.quoted(name)}, {only}{known}"

    def configured(self, name: str = DAILY) -> ConfiguredProfile:
        """The profile of that name with its schedule; raises `BadRequest` if there is none."""
        if name not in self.profiles:
            raise BadRequest(self.no_profile(name), where="profile")
        return self.profiles[name]

    def profile(self, name: str = DAILY) -> Profile:
        """The profile of that name; raises `BadRequest` if it does not exist."""
        return self.configured(name).profile

    def enabled(self, name: str = DAILY) -> Profile:
        """The same for a new run; raises `BadRequest` also if the profile is disabled."""
        configured = self.configured(name)
        if not configured.enabled:
            raise BadRequest(
                f"profile {name!r} is disabled in DAYBOOK_PROFILES (enabled = false)",
                where="profile",
            )
        return configured.profile

    @property
    def schedule(self) -> Schedule:
        return self.schedule_of(DAILY)

    @property
    def destination(self) -> Destination:
        return self.destination_of(DAILY)

    @property
    def messenger(self) -> Messenger:
        return self.messenger_of(DAILY)

    def schedule_of(self, name: str) -> Schedule:
        """When the profile's batches are due."""
        return self.configured(name).schedule

    def destination_of(self, name: str) -> Destination:
        """Where the profile's files go; one per address and process, like the client."""
        address = self.configured(name).destination
        with self._building:
            if address.url not in self._destinations:
                self._destinations[address.url] = destination_of(
                    self.settings, address, cut=self.shutdown.cuts
                )
            return self._destinations[address.url]

    def breaker_of(self, name: str) -> str:
        """Name of the circuit breaker: profiles share it if they share the destination."""
        address = self.configured(name).destination
        own = address.url != self.settings.destination.url
        return address.url if own else address.kind

    def messenger_of(self, name: str) -> Messenger:
        """Who learns what about the profile's batches."""
        configured, settings = self.configured(name), self.settings
        return Messages(
            alert_urls=settings.alert_urls,
            receipt_urls=configured.receipt_urls,
            language=configured.language,
            time_zone=configured.profile.time_zone,
            project=self.project,
            runbook=settings.runbook_url,
            page=settings.page_url,
        )

    @cached_property
    def cloud_tasks(self) -> CloudTasks | None:
        """None without a queue; then follow-up calls are only recorded."""
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
        """The clock for the decisions and stored times of one request."""
        if not isinstance(self.clock, MachineClock):
            return self.clock
        try:
            return self.clock.compared_with(self.client)
        except ConfigurationError:
            return self.clock  # the first use of the client raises it again, where it is handled

    def now(self) -> datetime:
        return self.right_clock()()

    def exporter(self, profile: Profile) -> Exporter:
        """What runs of the profile share, once the database is known to hold the guarantee.

        Raises `ConfigurationError` when an index that forbids duplicates is missing, or when a
        collection is not an ordinary one (`objects.check`), and `DatabaseError`.
        """
        try:
            objects.check(self.database)
            indexes.check_guards(self.database)
        except PyMongoError as error:
            raise DatabaseError.of("looking at the indexes", error) from error
        settings = self.settings
        configured = self.configured(profile.name)
        destination = self.destination_of(profile.name)
        return Exporter(
            database=self.database,
            destination=destination,
            profile=profile,
            limits=Limits(
                lease_seconds=settings.lease_seconds,
                csv_timeout_seconds=settings.csv_timeout_seconds,
                run_deadline_seconds=settings.run_deadline_seconds,
                retry_delays_seconds=settings.retry_delays_seconds,
                breaker_failures=settings.breaker_failures,
                breaker_reset_seconds=settings.breaker_reset_seconds,
                upload=UploadLimits(
                    chunk=_multiple(settings.upload_chunk_bytes, destination.chunk_multiple_bytes),
                    whole=settings.multipart_limit_bytes,
                ),
            ),
            clock=self.right_clock(),
            messenger=self.messenger_of(profile.name),
            breaker=self.breaker_of(profile.name),
            reaches_operator=not self.by_hand or bool(settings.alert_urls),
            reaches_accountant=not self.by_hand or bool(configured.receipt_urls),
            tasks=None if self.cloud_tasks is None else _Queue(self.cloud_tasks),
            stopping=self.shutdown.requested,
            schedule=configured.schedule,
            sleep=self.sleep,
            progress=self.progress,
        )

    @property
    def refused_runs(self) -> RefusedRuns:
        """One per process, since it remembers what it has alerted."""
        with self._building:
            return self._refused_runs

    @cached_property
    def _refused_runs(self) -> RefusedRuns:
        return RefusedRuns(database=lambda: self.database, messenger=self.messenger)

    def installation(self, env: Mapping[str, str]) -> Installation:
        """What `doctor` examines; `env` are the variables as they were given."""
        return Installation(
            env=env,
            client=self.client,
            database=self.database,
            mongodb_uri=self.settings.mongodb_uri,
            destination=lambda: self.destination,
            other_destinations=self._other_destinations(),
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

    def _other_destinations(self) -> dict[str, Callable[[], Destination]]:
        """Of the enabled profiles, by those that deliver there; without that of `DAILY`."""
        names: dict[str, list[str]] = {}
        for name, configured in self.profiles.items():
            if configured.enabled:
                names.setdefault(configured.destination.url, []).append(name)
        names.pop(self.configured(DAILY).destination.url, None)
        return {", ".join(of): partial(self.destination_of, of[0]) for of in names.values()}


@dataclass(frozen=True)
class _Queue:
    """Cloud Tasks behind the port that runs use."""

    cloud: CloudTasks

    def create(self, task: Task) -> None:
        self.cloud.create(name=task.name, body=task.body(), due=task.due)


def _multiple(size_bytes: int, of_bytes: int) -> int:
    """`size_bytes` rounded up to what the destination takes."""
    return -(-size_bytes // of_bytes) * of_bytes


def destination_of(
    settings: Settings, address: DestinationAddress, *, cut: Callable[[], bool]
) -> Destination:
    """Build it; its libraries are imported only if it is the configured one.

    `cut` tells requests to Drive that the process is about to be killed.
    """
    if address.scheme == "drive":
        from daybook.destinations.drive.drive import ROOT_URL, DriveDestination, drive_session

        assert address.folder_id is not None  # noqa: S101  (checked by the settings)
        return DriveDestination(
            folder_id=address.folder_id,
            session=drive_session(settings.drive_subject, settings.drive_endpoint),
            root_url=settings.drive_endpoint or ROOT_URL,
            subject=settings.drive_subject,
            cut=cut,
        )
    if address.scheme == "s3":
        from daybook.destinations.s3.s3 import S3Destination, s3_client

        assert address.bucket is not None  # noqa: S101  (checked by the settings)
        return S3Destination(client=s3_client(), bucket=address.bucket, prefix=address.prefix)
    from daybook.destinations.local import LocalDestination

    assert address.path is not None  # noqa: S101  (checked by the settings)
    return LocalDestination(address.path)
