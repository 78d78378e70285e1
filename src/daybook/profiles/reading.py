"""Reading `DAYBOOK_PROFILES`: TOML tables become profiles, completed by presets and settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from daybook.errors import ConfigurationError
from daybook.export.model.profile import DAILY, FileFormat, Profile
from daybook.export.model.source import ColumnType
from daybook.export.rendering.cells.layout import Layout
from daybook.export.rendering.render import Renderer
from daybook.profiles import keys, presets
from daybook.profiles.configured import ConfiguredProfile, Profiles
from daybook.profiles.overlap import overlaps
from daybook.settings.settings import Settings, resolved

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_HIDDEN = ("receipt_urls",)
"""Keys whose values may contain a password."""

_SHOWN_LENGTH = 100


def read(settings: Settings, *, fetch_secret: Callable[[str], str]) -> Profiles:
    """All profiles; `daily` is always one of them.

    Raises `ConfigurationError` naming profile, key, value and fault, all faults at once.
    """
    tables = settings.profiles
    if DAILY not in tables:
        tables = {DAILY: {}, **tables}
    faults: list[str] = []
    found: dict[str, ConfiguredProfile] = {}
    for name, table in tables.items():
        profile = _profile(name, table, settings, fetch_secret, faults)
        if profile is not None:
            found[name] = profile
    faults += [] if faults else overlaps(found)
    if faults:
        raise ConfigurationError(f"Settings cannot be used. DAYBOOK_PROFILES: {'; '.join(faults)}")
    return {name: _beside(one, found) for name, one in found.items()}


def _beside(configured: ConfiguredProfile, profiles: Profiles) -> ConfiguredProfile:
    """The profile, with the others known to it."""
    others = tuple(one.profile for name, one in profiles.items() if name != configured.name)
    return replace(configured, profile=replace(configured.profile, others=others))


def of_preset(settings: Settings, preset: str) -> ConfiguredProfile:
    """A profile of the preset's name that has only what the preset sets."""
    faults: list[str] = []
    found = _profile(preset, {"preset": preset}, settings, _no_secret, faults)
    if found is None:
        raise ConfigurationError(f"preset {preset}: {'; '.join(faults)}")
    return found


def _no_secret(name: str) -> str:
    raise ConfigurationError(f"a preset names the secret {name}")


def _profile(
    name: str,
    table: Any,
    settings: Settings,
    fetch_secret: Callable[[str], str],
    faults: list[str],
) -> ConfiguredProfile | None:
    """The profile of a table; adds what is wrong with it to `faults`."""
    if not NAME.fullmatch(name):
        faults.append(
            f"profile {name!r}: a profile's name has 1 to 40 of a-z, 0-9 and -, and begins with "
            "a letter or a digit"
        )
        return None
    if not isinstance(table, Mapping):
        faults.append(f"profile {name}: must be a table, [{name}], not {_shown(table)}")
        return None
    before = len(faults)
    preset = table.get("preset", "generic")
    if preset not in presets.names():
        known = presets.names()
        faults.append(
            f"profile {name}, preset: there is no preset {_shown(preset)}"
            f"{keys.meant(str(preset), known)}"
        )
        return None
    layout: dict[str, Any] = {}
    delivery: dict[str, Any] = {}
    for key, value in {**presets.load(preset), **table}.items():
        if key == "preset":
            continue
        reader = keys.LAYOUT.get(key) or keys.DELIVERY.get(key)
        if reader is None:
            faults.append(f"profile {name}: unknown key {key}{keys.meant(key, keys.KEYS)}")
            continue
        try:
            given = value
            if key == "receipt_urls" and isinstance(value, str):
                given = resolved(value, fetch_secret)
            (layout if key in keys.LAYOUT else delivery)[key] = reader(given)
        except keys.Nested as error:
            faults.append(
                f"profile {name}, {key}: {error.key} {error}"
                + ("" if error.value is None else f", not {_shown(error.value)}")
            )
        except (ValueError, ConfigurationError) as error:
            shown = "" if key in _HIDDEN else f", not {_shown(value)}"
            faults.append(f"profile {name}, {key}: {error}{shown}")
    if len(faults) > before:
        return None
    if layout.get("match") == {"profile": name} and name != DAILY:
        del layout["match"]  # the default, spelt out
    profile = Profile(name=name, **{"time_zone": settings.time_zone, **layout})
    if profile.filename == profile.default_filename:
        profile = replace(profile, filename="")  # the same: it needs no plan of its own
    if profile.filename and (fault := _wrong_end(profile)) is not None:
        faults.append(f"profile {name}, filename: {fault}, not {_shown(profile.filename)}")
        return None
    try:
        Renderer(profile, None).header()
        _check_cut(profile)
    except ConfigurationError as error:
        said = str(error)
        faults.append(said if said.startswith("profile ") else f"profile {name}: {said}")
        return None
    return ConfiguredProfile(
        profile=profile,
        preset=preset,
        cron=delivery.get("cron", settings.cron),
        destination=delivery.get("destination", settings.destination),
        receipt_urls=delivery.get("receipt_urls", settings.receipt_urls),
        language=delivery.get("language", settings.language),
        enabled=delivery.get("enabled", True),
    )


def _check_cut(profile: Profile) -> None:
    """Raise `ConfigurationError` for a column whose truncated values would be other values."""
    for cell in Layout.of(profile).cells:
        if cell.column.cut and cell.type is not ColumnType.TEXT:
            raise ConfigurationError(
                f"profile {profile.name}, column {cell.column.title!r}: cut applies only to texts, "
                f"and {cell.column.value} is of type {cell.type}: without cut, an entry whose "
                "value is longer is rejected"
            )


def _wrong_end(profile: Profile) -> str | None:
    """What is wrong with the end of a file name: programs tell formats by it."""
    is_sheet = profile.format is FileFormat.XLSX
    if profile.filename.lower().endswith(".xlsx") == is_sheet:
        return None
    return f"must {'' if is_sheet else 'not '}end in .xlsx: format is {profile.format.value}"


def _shown(value: Any) -> str:
    """A value as TOML would have it, roughly, and short."""
    if isinstance(value, bool):
        return str(value).lower()
    text = keys.toml_text(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
