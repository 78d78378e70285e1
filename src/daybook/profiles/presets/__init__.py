"""Presets: the layouts of other programs, as TOML files with the keys of a profile."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


def names() -> tuple[str, ...]:
    """All presets, in alphabetical order."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(x.name.removesuffix(".toml") for x in files if x.name.endswith(".toml")))


@cache
def load(name: str) -> Mapping[str, Any]:
    """The keys that the preset sets; `name` is one of `names()`."""
    text = (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
