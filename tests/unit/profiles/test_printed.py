"""A printed profile is read as the same profile; a sample says what a layout cannot fill."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from daybook.profiles import presets
from daybook.profiles.configured import Profiles
from daybook.profiles.printed import to_toml
from daybook.profiles.reading import of_preset, read
from daybook.profiles.sample import sample
from daybook.settings.settings import Settings
from tests.unit.profiles.test_reading import FULL, LEAST

DAY = date(2026, 1, 18)


def settings(toml: str) -> Settings:
    return Settings.from_env({**LEAST, "DAYBOOK_PROFILES": toml})


def profiles(toml: str) -> Profiles:
    return read(settings(toml), fetch_secret=str)


@pytest.mark.parametrize("name", presets.names())
def test_a_printed_preset_is_read_as_the_same_profile(name: str) -> None:
    shown = of_preset(settings(""), name)
    again = profiles(to_toml(shown))[name]
    assert replace(again.profile, filename="") == shown.profile
    assert again.profile.file_name(DAY) == shown.profile.file_name(DAY)


def test_every_key_of_a_profile_is_printed_and_addresses_are_not() -> None:
    found = profiles(
        FULL + '\n[b]\n[c]\n[d]\nmatch = {"odd key" = "q\\"\\t\\\\\\u0001"}\nenabled = false\n'
    )
    text = "\n".join(map(to_toml, found.values()))
    assert "example.com" not in text
    again = profiles(text)
    for name, one in found.items():
        other = again[name]
        assert replace(other.profile, filename=one.profile.filename) == one.profile
        assert other.profile.file_name(DAY) == one.profile.file_name(DAY)
        assert replace(other, profile=one.profile, receipt_urls=one.receipt_urls) == one


def test_the_sample_fills_what_the_source_names_and_names_the_rest() -> None:
    found = profiles(
        '[s]\npreset = "erpnext"\nsource = {reference = "meta.ref", lines = "rows"}\n'
        '[m]\npreset = "quickbooks"\naccounts = {"77" = "Bank"}\n'
        '[[x.columns]]\ntitle = "A"\nvalue = "entry.description"\nmax_length = 5\n'
    )
    erpnext = sample(found["s"].profile)
    assert erpnext.unfilled == ("Company: entry.company",)
    assert erpnext.rejected is None
    assert (
        b"Journal Entry,ACC-JV-.YYYY.-,,2026-01-18,INV-1,2026-01-18,Sample entry,Cash,100.00"
        in (erpnext.content)
    )
    mapped = sample(found["m"].profile)
    assert mapped.content.decode().count(",Bank,") == 2
    assert sample(found["daily"].profile).unfilled == ()
    rejected = sample(found["x"].profile)
    assert rejected.rejected is not None
    assert "12 characters, at most 5" in rejected.rejected
