"""`audit`: check the files delivered in the last days."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, app_from_env, asks_for_json, command, say
from daybook.cli.day import takes_day
from daybook.cli.exits import Exit
from daybook.cli.outcome import row
from daybook.cli.profile import takes_profile
from daybook.text.phrases import number

if TYPE_CHECKING:
    from daybook.audit.audit import AuditedDay

_SHOWN = 20


@command("audit", failed="something has changed, which is named, or the day has no file")
@takes_profile
@takes_day(default="by default every delivered day of --days")
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=7,
    show_default=True,
    help="How many days back, today included; without DATE.",
)
def audit(profile_name: str, day: date | None, days: int) -> CommandResult:
    """Check that delivered files and their entries have not changed since.

    Each delivered file of the last days must still exist under its name, outside the trash,
    with the size and digest of its record, and its entries must give the same rows. Changes
    nothing and alerts nobody.
    """
    from daybook.audit import audit as audits
    from daybook.audit.daily import Audit
    from daybook.audit.verify import NotDelivered

    app = app_from_env()
    profile = app.profile(profile_name)
    since = day or audits.first_day(app.schedule_of(profile_name).today(app.now()), days)
    delivered = audits.delivered_days(app.database, profile.name, since=since)
    if day is not None:
        delivered = [batch for batch in delivered if batch.key.batch_date == day.isoformat()]
        if not delivered:
            raise NotDelivered(f"Daybook has delivered no file for {day}")
    found: list[AuditedDay] = []
    watched = sys.stderr.isatty() and not asks_for_json()
    for audited in audits.audit(
        app.database, app.destination_of(profile_name), profile, delivered, now=app.now
    ):
        found.append(audited)
        if watched:
            name = audited.batch.doc["filename"]
            say(f"Audited {name}, {len(found)} of {len(delivered)} …", err=True)
    whole = Audit(profile=profile.name, days=tuple(found), remaining=0)
    return CommandResult(
        doc=whole.to_doc(),
        lines=_lines(found, since.isoformat()),
        code=Exit.OK if whole.status == "unchanged" else Exit.FAILED,
    )


def _lines(found: list[AuditedDay], since: str) -> list[str]:
    if not found:
        return [f"No file was delivered since {since}."]
    lines = []
    for day in found:
        if not day.differs:
            lines.append(f"{day.batch.doc['filename']}: unchanged")
            continue
        more = "" if day.complete else "more than "
        things = number(len(day.findings), "finding")
        lines.append(f"{day.batch.doc['filename']}: {more}{things}")
        lines += [row(one.kind.value, one.detail) for one in day.findings[:_SHOWN]]
        if len(day.findings) > _SHOWN:
            lines.append(row("", f"and {len(day.findings) - _SHOWN} more (--json lists them)"))
    return lines
