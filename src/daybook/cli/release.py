"""`release`: close a day for good, without a file."""

from __future__ import annotations

from datetime import date

from daybook.cli.command import CommandResult, app_from_env, command, takes_profile
from daybook.cli.day import takes_day
from daybook.cli.outcome import row
from daybook.display import number


@command(
    "release",
    failed="nothing was run for the day, or it is done",
    accepted="a run is in progress",
)
@takes_profile
@takes_day()
def release(profile_name: str, day: date) -> CommandResult:
    """Close a failed or open day for good.

    No attempt and no alert follows, and `retry` refuses the day from then on. Its entries
    stay queued and go with the next day's file. A file of the day that is found later is
    recorded for it.
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
            row("queued", f"{number(queued, 'entry', 'entries')}, for the next day's file"),
        ],
    )
