"""`retry`: reopen a failed day and run it."""

from __future__ import annotations

from datetime import date

from daybook.cli.command import CommandResult, app_from_env, command, takes_profile
from daybook.cli.day import takes_day
from daybook.cli.invocations import carry_out, run_again


@command(
    "retry",
    failed="the day was released, or failed again",
    accepted="another run is in progress, this one was stopped like `run`, or a later attempt "
    "follows",
)
@takes_profile
@takes_day()
def retry(profile_name: str, day: date) -> CommandResult:
    """Open a failed day again, with all of its attempts, and run it.

    A day that has not failed is run as it is.
    """
    from daybook.export.operations.reopen import reopen_day
    from daybook.export.run import run_day

    app = app_from_env()
    profile = app.enabled(profile_name)
    day = app.schedule_of(profile_name).requested_day(day, app.now())  # before MongoDB is needed
    reopen_day(app.exporter(profile), day)
    return carry_out(
        app,
        lambda shown: run_day(shown.exporter(profile), day),
        again=run_again(profile_name, day),
    )
