"""`run` and `plan`: one run of a day's batch, for real or dry."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daybook.cli import outcome
from daybook.cli.command import (
    CommandResult,
    Exit,
    RequestAborted,
    app_from_env,
    command,
    table,
    takes_profile,
)
from daybook.cli.day import LATEST, takes_day
from daybook.cli.invocations import carry_out, run_again
from daybook.cli.preview import preview
from daybook.display import scrubbed
from daybook.errors import DaybookError
from daybook.export.model.profile import EVERY

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.model.profile import Profile

_WORST_LAST = (Exit.OK, Exit.ACCEPTED, Exit.FAILED)

_profiles = click.option(
    "--profile",
    "profile_name",
    default="daily",
    show_default=True,
    help="'*' runs each enabled profile that is due, one after the other.",
)
_date = takes_day(default=LATEST)


@command(
    "run",
    failed="the day has failed; `retry` opens it again",
    accepted="it was stopped, another run is in progress, or a later attempt follows",
)
@_profiles
@_date
def run(profile_name: str, day: date | None) -> CommandResult:
    """Deliver a day's file now.

    Continues beyond DAYBOOK_RUN_DEADLINE_SECONDS until it is done. Ctrl-C or SIGTERM stops
    it where the next run can resume, a second Ctrl-C breaks it off.
    """
    from daybook.export.run import run_day

    app = app_from_env()
    if profile_name == EVERY:
        return _run_every(app, day)
    profile = app.enabled(profile_name)
    # Chosen once: a run that continues beyond the next day's slot keeps its own day.
    day = app.schedule_of(profile_name).requested_day(day, app.now())
    return carry_out(
        app,
        lambda shown: run_day(shown.exporter(profile), day),
        again=run_again(profile_name, day),
    )


def _run_every(app: App, day: date | None) -> CommandResult:
    from daybook.profiles.configured import due

    found = due(app.database, app.profiles, given=day, now=app.now())
    results = []
    for one in found.days:
        if app.shutdown.requested():
            break
        results.append(_run_one(app, one.configured.profile, one.day))
    made, missing = found.days[: len(results)], found.days[len(results) :]
    code = max((result.code for result in results), key=_WORST_LAST.index, default=Exit.OK)
    doc: dict[str, Any] = {
        "status": "fanned_out",
        "profiles": [one.configured.name for one in made],
        "answers": [result.doc for result in results],
    }
    lines = [line for result in results for line in result.lines]
    if missing:
        names = [one.configured.name for one in missing]
        doc["missing"] = names
        lines.append(f"Stopped before the turn of {', '.join(names)}.")
        code = max(code, Exit.ACCEPTED, key=_WORST_LAST.index)
    return CommandResult(doc=doc, lines=lines or ["No profile is due."], code=code)


def _run_one(app: App, profile: Profile, day: date) -> CommandResult:
    """A failure is a result, so that the other profiles have their turn."""
    from daybook.export.run import run_day

    name = profile.name
    try:
        result = carry_out(
            app,
            lambda shown: run_day(shown.exporter(profile), day),
            again=run_again(name, day),
        )
    except RequestAborted:
        raise
    except DaybookError as error:
        failure = {"type": error.type, "message": scrubbed(str(error))}
        return CommandResult(
            doc={"status": "failed", "profile": name, "error": failure},
            lines=[f"{name}: error: {failure['message']}"],
            code=Exit.FAILED,
        )
    return replace(result, lines=[f"{name}:", *result.lines])


@command("plan", failed="a run would fail", accepted="another run is in progress")
@takes_profile
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
    answer = outcome.planned(planned, profile.field_names, every=every)
    if out is not None and not shown.kept:
        line = outcome.row("out", f"no file was written to {out}")
        answer = replace(answer, lines=[*answer.lines, line])
    if head is None:
        return answer
    rows = shown.rows() if planned.status == "planned" else []
    return replace(
        answer,
        doc={**(answer.doc or {}), "head": rows},
        lines=[*answer.lines, "", *table(rows)],
    )
