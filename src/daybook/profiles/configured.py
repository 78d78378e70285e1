"""A configured profile: the file's layout, and when and to whom the file is delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from daybook.export.batch.schedule import Schedule
from daybook.export.model.profile import Profile
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
