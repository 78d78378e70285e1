"""`release`: close a day for good, without a file."""

from __future__ import annotations

from datetime import date

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.day import DAY
from daybook.cli.outcome import row


@command("release")
@click.option("--profile", "profile_name", default="daily", show_default=True)
@click.argument("day", type=DAY, metavar="DATE")
def release(profile_name: str, day: date) -> CommandResult:
    """Close a failed or open day for good.

    No attempt and no alert follows, and `retry` refuses the day from then on. Its entries
    stay queued and go with the next day's file. A file of the day that is found later is
    recorded for it. Exit code 1: nothing was run for the day, or it is done. Exit code 4:
    a run is in progress.
    """
    from daybook.export.operations import history
    from daybook.export.operations.reopen import release_day

    app = app_from_env()
    profile = app.profile(profile_name)
    day = app.schedule_of(profile_name).due_day(day, app.now())  # before MongoDB is needed
    batch = release_day(app.exporter(profile), day)
    queued = history.status(app.database, profile, day).queued
    return CommandResult(
        doc={"status": "released", **history.summary(batch)},
        lines=[
            f"{day} is closed for good: no attempt and no alert follows.",
            row("queued", f"{queued} entries, which go with the next day's file"),
        ],
    )
