"""A profile printed as TOML, in full: what `profiles show` gives to edit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from daybook.export.model.profile import DAILY
from daybook.export.model.source import Column
from daybook.profiles.configured import ConfiguredProfile
from daybook.profiles.keys import toml_text

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def to_toml(configured: ConfiguredProfile) -> str:
    """The table of a profile with every key, which read again gives the same profile.

    `receipt_urls` are left out: they may contain a password.
    """
    return "\n".join(_lines(configured)) + "\n"


def _lines(configured: ConfiguredProfile) -> Iterator[str]:
    profile = configured.profile
    yield f"[{profile.name}]"
    pairs: dict[str, Any] = {
        "preset": configured.preset,
        "enabled": configured.enabled,
        "format": profile.format.value,
        "destination": configured.destination.url,
        "filename": profile.filename or profile.default_filename,
        "cron": configured.cron,
        "time_zone": profile.time_zone.key,
        "match": profile.match,
        "language": configured.language,
        "encoding": profile.encoding,
        "delimiter": profile.delimiter,
        "formula_guard": profile.formula_guard.value,
        "date_format": profile.date_format,
        "calendar": profile.calendar.value,
        "currency": profile.currency,
        "decimals": profile.decimals,
        "require": sorted(profile.require),
        "years": list(profile.years),
        "max_rows": profile.max_rows,
        "one_page_wide": profile.one_page_wide or None,
        "accounts": profile.accounts,
        "source": asdict(profile.source),
    }
    if profile.match is None and profile.name != DAILY:
        pairs["match"] = {"profile": profile.name}
    for key, value in pairs.items():
        if value is not None and value != {}:
            yield f"{key} = {_value(value)}"
    if profile.match is None and profile.name == DAILY:
        yield '# match: items without profile, or with profile = "daily"'
    if configured.receipt_urls:
        yield "# receipt_urls are set, and not shown"
    yield "columns = ["
    for column in profile.columns:
        yield f"    {_value(_column(column))},"
    yield "]"


def _column(column: Column) -> Mapping[str, Any]:
    default = asdict(Column(title="", value=""))
    return {
        key: value
        for key, value in asdict(column).items()
        if key in ("title", "value") or value != default[key]
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else toml_text(key)
