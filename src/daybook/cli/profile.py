"""The option that names the profile a command is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from daybook.export.model.profile import DAILY


def takes_profile(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command `--profile`, which it gets as `profile_name`."""
    return click.option("--profile", "profile_name", default=DAILY, show_default=True)(command)


EVERY = "*"


def takes_profile_or_every(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--profile`, where `*` means every enabled profile."""
    return click.option(
        "--profile",
        "profile_name",
        default=DAILY,
        show_default=True,
        help="'*' is for each enabled profile.",
    )(command)
