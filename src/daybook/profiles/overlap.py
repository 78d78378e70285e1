"""Profiles that would deliver the same queue item, or that would write the same file."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date
from itertools import combinations

from daybook.export.model.profile import DAILY, MatchValue, Profile
from daybook.profiles.configured import ConfiguredProfile, Profiles

_ANY_DAY = date(2026, 1, 18)

_Allowed = frozenset[tuple[str, MatchValue | None]]
"""Values that a field may have, each with its type: in MongoDB, true is not 1."""


def overlaps(profiles: Profiles) -> list[str]:
    """What is wrong with pairs of enabled profiles, naming both."""
    enabled = [profile for profile in profiles.values() if profile.enabled]
    faults = []
    for one, other in combinations(enabled, 2):
        if one.profile.source.queue == other.profile.source.queue and not disjoint(
            one.profile, other.profile
        ):
            faults.append(
                f"profiles {one.name} and {other.name}: a queue item can match both "
                f"({_in_words(one.profile)}; {_in_words(other.profile)}), and would be delivered "
                "twice: give both a match with different values of one field, or disable one "
                "with enabled = false"
            )
        if _same_file(one, other):
            faults.append(
                f"profiles {one.name} and {other.name}, filename: both would write "
                f"{one.profile.file_name(_ANY_DAY)} to {one.destination.url}: a file is never "
                "overwritten"
            )
    return faults


def disjoint(one: Profile, other: Profile) -> bool:
    """Whether no queue item can match both: some field must have different values."""
    first, second = _allowed(one), _allowed(other)
    return any(not first[field] & second[field] for field in first.keys() & second.keys())


def _allowed(profile: Profile) -> Mapping[str, _Allowed]:
    if profile.match is not None:
        return {field: frozenset({_typed(value)}) for field, value in profile.match.items()}
    names = {_typed(profile.name)}
    if profile.name == DAILY:
        names.add(("none", None))  # an item without a profile
    return {"profile": frozenset(names)}


def _typed(value: MatchValue) -> tuple[str, MatchValue | None]:
    return type(value).__name__, value


def _in_words(profile: Profile) -> str:
    if profile.match is not None:
        pairs = ", ".join(f"{field} = {value!r}" for field, value in profile.match.items())
        return f"{profile.name} takes those with {pairs}"
    if profile.name == DAILY:
        return f"{profile.name} takes those without profile, or with profile = {DAILY!r}"
    return f"{profile.name} takes those with profile = {profile.name!r}"


def _same_file(one: ConfiguredProfile, other: ConfiguredProfile) -> bool:
    names = {_folded(each.profile.file_name(_ANY_DAY)) for each in (one, other)}
    return one.destination.place == other.destination.place and len(names) == 1


def _folded(name: str) -> str:
    """Equal for names that some file system or some people take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
