"""Configured profiles: a file's layout, when and to whom it is delivered, and which are due."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal

from pymongo.database import Database

from daybook.errors import DocumentDamaged
from daybook.export.batch import batches
from daybook.export.model.lifecycle import BatchState, Schedule
from daybook.export.model.profile import BatchKey, Profile
from daybook.settings.parsers import DestinationAddress


@dataclass(frozen=True, kw_only=True)
class ConfiguredProfile:
    """One table of `DAYBOOK_PROFILES`, completed by its preset and the other settings."""

    profile: Profile
    preset: str
    cron: str
    destination: DestinationAddress
    receipt_urls: tuple[str, ...]
    language: Literal["en", "th"]
    enabled: bool = True
    """A profile that is not enabled starts no run; what it has delivered can be verified."""

    @property
    def name(self) -> str:
        return self.profile.name

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(self.cron, self.profile.time_zone)


Profiles = Mapping[str, ConfiguredProfile]
"""Name → profile, in the order of the TOML, `daily` first where it is not in it."""


@dataclass(frozen=True, kw_only=True)
class DueDay:
    """A day of an enabled profile whose run is due."""

    configured: ConfiguredProfile
    day: date


@dataclass(frozen=True, kw_only=True)
class Due:
    """The due days, in the order of the profiles, and the time that names this call.

    A repeated delivery of the call has the same `trigger`.
    """

    days: tuple[DueDay, ...]
    trigger: datetime


def enabled(profiles: Profiles) -> tuple[ConfiguredProfile, ...]:
    return tuple(each for each in profiles.values() if each.enabled)


def due(
    database: Database[dict[str, Any]],
    profiles: Profiles,
    *,
    given: date | None,
    now: datetime,
    schedule_time: datetime | None = None,
) -> Due:
    """The profiles that have a slot at `schedule_time` (a current one), each with that slot's day.

    If none has, or a day is given, the call is a person's: then each profile is due whose day, by
    default that of its latest slot, is due and has not ended. Such a call is named by its minute.
    Raises `BadRequest` for a day to come, and `PyMongoError`.
    """
    if given is None and schedule_time is not None:
        named = tuple(_named(profiles, schedule_time))
        if named:
            return Due(days=named, trigger=schedule_time)
    days = (
        DueDay(configured=each, day=each.schedule.requested_day(given, now))
        for each in enabled(profiles)
    )
    return Due(
        days=tuple(
            one
            for one in days
            if one.configured.schedule.is_due(one.day, now) and not _ended(database, one)
        ),
        trigger=now.replace(second=0, microsecond=0),
    )


def _named(profiles: Profiles, schedule_time: datetime) -> Iterator[DueDay]:
    for each in enabled(profiles):
        slot = each.schedule.slot_at(schedule_time)
        if slot is not None:
            yield DueDay(configured=each, day=slot.date())


def _ended(database: Database[dict[str, Any]], one: DueDay) -> bool:
    key = BatchKey(profile=one.configured.name, batch_date=one.day.isoformat())
    try:
        batch = batches.find(database[batches.COLLECTION], key)
    except DocumentDamaged:
        return False  # its run reports it, and the other profiles' runs begin
    if batch is None or batch.state is BatchState.OPEN:
        return False
    return not batch.unmarked
