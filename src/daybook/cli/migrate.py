"""`migrate`: bring the database to what this version expects."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from daybook.cli.command import CommandResult, Exit, app_from_env, command
from daybook.cli.outcome import row
from daybook.display import moment, number

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.mongo.migrate import MigrationStatus
    from daybook.mongo.objects import ObjectFault


@command(
    "migrate",
    blocked="something prevents it, such as duplicates, rights that the user lacks or migrations "
    "of a newer version; it is named, and nothing was changed",
)
@click.argument("what", type=click.Choice(["status"]), required=False, metavar="[status]")
@click.option("--status", "as_status", is_flag=True, help="Show what was applied, and what is not.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
def migrate(what: str | None, as_status: bool, dry_run: bool) -> CommandResult:
    """Build the indexes and apply what else is pending. May be repeated."""
    if dry_run and (what or as_status):
        raise click.UsageError("--dry-run and status are two questions: ask one")
    app = app_from_env()
    if what or as_status:
        return _status(app)
    return _dry_run(app) if dry_run else _apply(app)


def _apply(app: App) -> CommandResult:
    from daybook.mongo.migrate import migrate as apply
    from daybook.mongo.migrate import obstacles, to_doc

    steps = apply(app.database, now=app.now())
    found = obstacles(app.database)
    lines = [
        f"{step.version:04} {step.name}: {'applied' if step.changed else 'nothing to do'}"
        for step in steps
    ]
    lines += [row("beware", each.detail) for each in found]
    return CommandResult(doc=to_doc(app.settings.database, steps, found), lines=lines)


def _status(app: App) -> CommandResult:
    from daybook.mongo.migrate import obstacles, standings

    found = standings(app.database)
    others = obstacles(app.database)
    problems = [row("in the way", problem) for each in found for problem in each.problems]
    beware = [row("beware", each.detail) for each in others]
    return CommandResult(
        doc=_doc(app, found, others),
        lines=[*(_since(each, app.settings.time_zone) for each in found), *problems, *beware],
    )


def _dry_run(app: App) -> CommandResult:
    from daybook.mongo.migrate import obstacles, standings

    found = standings(app.database)
    others = obstacles(app.database)
    lines = []
    for each in found:
        lines.append(f"{each.version:04} {each.name}: {_would(each)}")
        lines += [row("", step) for step in each.steps]
        lines += [row("in the way", problem) for problem in each.problems]
    lines += [row("beware", each.detail) for each in others]
    blocked = any(each.problems for each in found)
    return CommandResult(
        doc=_doc(app, found, others),
        lines=[*lines],
        code=Exit.CONFIGURATION if blocked else Exit.OK,
    )


def _doc(app: App, found: list[MigrationStatus], others: list[ObjectFault]) -> dict[str, object]:
    return {
        "database": app.settings.database,
        "migrations": [each.to_doc() for each in found],
        "obstacles": [each.to_doc() for each in others],
    }


def _since(status: MigrationStatus, zone: ZoneInfo) -> str:
    applied = status.applied_at
    since = "never applied" if applied is None else f"applied {moment(applied, zone)}"
    if not status.known:
        since += " by a newer version of Daybook"
    again = f", {number(len(status.steps), 'step')} to be done" if status.steps else ""
    return f"{status.version:04} {status.name}: {since}{again}"


def _would(status: MigrationStatus) -> str:
    if status.problems:
        return "cannot be applied" if status.known else "of a newer version of Daybook"
    return "would be applied" if status.pending else "nothing to do"
