"""`run` and `plan`: one run of a day's batch, for real or dry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import click

from daybook.cli import outcome
from daybook.cli.command import Answer, app_from_env, asks_for_json, command
from daybook.cli.day import DAY

if TYPE_CHECKING:
    from daybook.app import App

_profile = click.option("--profile", "profile_name", default="daily", show_default=True)
_date = click.option(
    "--date", "--batch-date", "batch_date", type=DAY, help="Default: the latest day due."
)


@command("run")
@_profile
@_date
def run(profile_name: str, batch_date: date | None) -> Answer:
    """Deliver a day's file now.

    Exit code 4: another run is at work, or a later attempt follows.
    """
    with _progress(app_from_env()) as app:
        return outcome.answer(app.run_batch(profile_name=profile_name, batch_date=batch_date))


@command("plan")
@_profile
@_date
def plan(profile_name: str, batch_date: date | None) -> Answer:
    """Show what a run would deliver; write nothing.

    The answer has the same digests and totals as the run's.
    """
    app = app_from_env()
    return outcome.answer(app.plan_batch(profile_name=profile_name, batch_date=batch_date))


@contextmanager
def _progress(app: App) -> Iterator[App]:
    """The app, with a progress bar on stderr if somebody watches."""
    if asks_for_json() or not sys.stderr.isatty():
        yield app
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("Rendering and uploading", total=None)

        def report(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        yield replace(app, progress=report)
