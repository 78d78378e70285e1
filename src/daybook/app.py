"""The composition root: from settings to the clients and the parts that work with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from threading import RLock
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook.destinations.base import Destination
from daybook.errors import BadRequest, DatabaseError
from daybook.export import batch as batches
from daybook.export import manual, plan
from daybook.export.batch import BatchKey
from daybook.export.context import Exporter, Job, Limits
from daybook.export.dryrun import dry_run
from daybook.export.outcome import Outcome
from daybook.export.profile import DAILY, Profile
from daybook.export.run import run
from daybook.export.schedule import Schedule
from daybook.export.upload import UploadLimits
from daybook.mongo import client, indexes
from daybook.settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class App:
    """Daybook, put together. Building it does no I/O; clients connect when first used."""

    settings: Settings
    clock: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep
    progress: Callable[[int, int], None] | None = None
    """Gets the parts that a run has rendered, and their total."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> App:
        """Read and check the settings; raises `ConfigurationError` naming each fault."""
        return cls(Settings.from_env(env))

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
        return build_destination(self.settings)

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(self.settings.cron, self.settings.time_zone)

    def profile(self, name: str = DAILY) -> Profile:
        """The profile of that name; raises `BadRequest` when there is none."""
        if name != DAILY:
            raise BadRequest(f"there is no profile {name!r}, only {DAILY!r}", where="profile")
        return Profile(name=DAILY, time_zone=self.settings.time_zone)

    def exporter(self, profile: Profile) -> Exporter:
        """Raises `ConfigurationError` when the database lacks an index of the guarantee.

        Raises `DatabaseError` when MongoDB cannot be asked.
        """
        try:
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
                upload=UploadLimits(
                    chunk=_multiple(
                        settings.upload_chunk_bytes, self.destination.chunk_multiple_bytes
                    ),
                    whole=settings.multipart_limit_bytes,
                ),
            ),
            clock=self.clock,
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
        day = batch_date or self.schedule.batch_date(self.clock(), schedule_time)
        return run(self.exporter(profile), self._daily_job(profile, day, schedule_time))

    def plan_batch(
        self,
        *,
        profile_name: str = DAILY,
        batch_date: date | None = None,
        schedule_time: datetime | None = None,
    ) -> Outcome:
        """What a run would deliver now: the same bytes, digests and totals, nothing written."""
        profile = self.profile(profile_name)
        day = batch_date or self.schedule.batch_date(self.clock(), schedule_time)
        try:
            return dry_run(self.database, profile, self._daily_job(profile, day, schedule_time))
        except PyMongoError as error:
            raise DatabaseError.of(f"dry run of {day}", error) from error

    def run_manual(self, request: manual.ManualRequest, *, profile_name: str = DAILY) -> Outcome:
        """One manual export: a copy of chosen entries, in a file of its own."""
        profile = self.profile(profile_name)
        exporter = self.exporter(profile)
        key = BatchKey(profile=profile.name, manual_key=request.key)
        try:
            if batches.find(self.database[batches.COLLECTION], key) is None:
                manual.check_entries(self.database, profile, request)
        except PyMongoError as error:
            raise DatabaseError.of(request.filename, error) from error
        job = Job(
            key=key,
            filename=request.filename,
            scan=lambda: manual.scan(self.database, profile, request),
            request=request.to_doc(),
        )
        return run(exporter, job)

    def _daily_job(self, profile: Profile, day: date, schedule_time: datetime | None) -> Job:
        name = "" if profile.name == DAILY else f"{profile.name}_"
        return Job(
            key=BatchKey(profile=profile.name, batch_date=day.isoformat()),
            filename=f"batch_{name}{day.isoformat()}.csv",
            scan=lambda: plan.scan(self.database, profile),
            schedule_time=schedule_time,
        )


def build_destination(settings: Settings) -> Destination:
    """The destination of the settings; its libraries are imported only when it is the one."""
    address = settings.destination
    if address.scheme == "drive":
        from daybook.destinations.drive import ROOT_URL, DriveDestination, drive_session

        assert address.folder_id is not None  # noqa: S101  (checked by the settings)
        return DriveDestination(
            folder_id=address.folder_id,
            session=drive_session(settings.drive_subject, settings.drive_endpoint),
            root_url=settings.drive_endpoint or ROOT_URL,
            subject=settings.drive_subject,
        )
    if address.scheme == "s3":
        from daybook.destinations.s3 import S3Destination, s3_client

        assert address.bucket is not None  # noqa: S101  (checked by the settings)
        return S3Destination(client=s3_client(), bucket=address.bucket, prefix=address.prefix)
    from daybook.destinations.local import LocalDestination

    assert address.path is not None  # noqa: S101  (checked by the settings)
    return LocalDestination(address.path)


def _multiple(size_bytes: int, of_bytes: int) -> int:
    """`size_bytes` rounded up to what the destination takes."""
    return -(-size_bytes // of_bytes) * of_bytes
