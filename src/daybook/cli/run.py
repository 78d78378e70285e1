"""`run` and `plan`: one run of a day's batch, for real or dry."""

from __future__ import annotations

from datetime import date

import click

from daybook.cli import outcome
from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.day import takes_day
from daybook.cli.invocations import carry_out, run_again

_profile = click.option("--profile", "profile_name", default="daily", show_default=True)
_date = takes_day(default="by default the latest day that was due")


@command(
    "run",
    failed="the day has failed; `retry` opens it again",
    accepted="it was stopped, another run is in progress, or a later attempt follows",
)
@_profile
@_date
def run(profile_name: str, day: date | None) -> CommandResult:
    """Deliver a day's file now.

    Continues beyond DAYBOOK_RUN_DEADLINE_SECONDS until it is done. Ctrl-C or SIGTERM stops
    it where the next run can resume, a second Ctrl-C breaks it off.
    """
    from daybook.export.operations.runs import run_day

    app = app_from_env()
    profile = app.enabled(profile_name)
    # Chosen once: a run that continues beyond the next day's slot keeps its own day.
    day = app.schedule_of(profile_name).requested_day(day, app.now())
    return carry_out(
        app,
        lambda shown: run_day(shown.exporter(profile), day),
        again=run_again(profile_name, day),
    )


@command("plan", failed="a run would fail", accepted="another run is in progress")
@_profile
@_date
@click.option("--all", "every", is_flag=True, help="Name every entry that would be rejected.")
def plan(profile_name: str, day: date | None, every: bool) -> CommandResult:
    """Show what a run would deliver; write nothing.

    The answer has the same digests and totals as the run's.
    """
    from daybook.export.operations.dry_run import plan_day

    app = app_from_env()
    profile = app.enabled(profile_name)
    day = app.schedule_of(profile_name).requested_day(day, app.now())
    planned = plan_day(app.database, profile, day, every=every)
    return outcome.answer(planned, every=every)
