"""`run` and `plan`: one run of a day's batch, for real or dry."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import click

from daybook.cli import outcome
from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.day import takes_day
from daybook.cli.invocations import carry_out, run_again
from daybook.cli.preview import preview
from daybook.cli.table import table

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
@click.option("--head", type=click.IntRange(1, 1000), help="Print the first rows as a table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the file there; nothing is delivered.",
)
def plan(
    profile_name: str,
    day: date | None,
    every: bool,
    head: int | None,
    out: Path | None,
) -> CommandResult:
    """Show what a run would deliver; write nothing to the database or the destination.

    The answer has the same digests and totals as the run's.
    """
    from daybook.export.operations.dry_run import plan_day

    app = app_from_env()
    profile = app.enabled(profile_name)
    day = app.schedule_of(profile_name).requested_day(day, app.now())
    with preview(profile, head=head, out=out) as shown:
        planned = plan_day(app.database, profile, day, every=every, sink=shown.write)
        if planned.status == "planned":
            shown.keep()
    answer = outcome.answer(planned, every=every)
    if head is None:
        return answer
    rows = shown.rows() if planned.status == "planned" else []
    return replace(
        answer,
        doc={**(answer.doc or {}), "head": rows},
        lines=[*answer.lines, "", *table(rows)],
    )
