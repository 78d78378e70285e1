"""`audit`: check the files delivered in the last days."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import click

from daybook.cli.command import (
    CommandResult,
    Exit,
    app_from_env,
    asks_for_json,
    command,
    say,
    takes_profile_or_every,
)
from daybook.cli.day import takes_day
from daybook.cli.outcome import row
from daybook.display import number
from daybook.export.model.profile import EVERY

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.audit.audit import AuditedDay
    from daybook.audit.daily import Audit

_SHOWN = 20


@command("audit", failed="something has changed, which is named, or the day has no file")
@takes_profile_or_every
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
    with the size and digest of its record, and its entries must give the same rows. What is
    found is stored with the day, for the status page; nothing else is changed, and nobody is
    alerted.
    """
    from daybook.audit.verify import NotDelivered
    from daybook.profiles.configured import enabled

    app = app_from_env()
    every = profile_name == EVERY
    names = [one.name for one in enabled(app.profiles)] if every else [profile_name]
    checked = [_audit(app, name, day, days) for name in names]
    if day is not None and not any(one.found.days for one in checked):
        raise NotDelivered(f"Daybook has delivered no file for {day}")
    lines = [
        f"{one.found.profile}: {line}" if every else line for one in checked for line in one.lines
    ]
    differs = any(one.found.status != "unchanged" for one in checked)
    docs = [one.found.to_doc() for one in checked]
    return CommandResult(
        doc={"status": "fanned_out", "profiles": names, "answers": docs} if every else docs[0],
        lines=lines,
        code=Exit.FAILED if differs else Exit.OK,
    )


@dataclass(frozen=True, kw_only=True)
class _Checked:
    found: Audit
    lines: list[str]


def _audit(app: App, name: str, day: date | None, days: int) -> _Checked:
    from daybook.audit import audit as audits
    from daybook.audit.daily import Audit, store

    profile = app.profile(name)
    since = day or audits.first_day(app.schedule_of(name).today(app.now()), days)
    delivered = audits.delivered_days(app.database, profile.name, since=since)
    if day is not None:
        delivered = [batch for batch in delivered if batch.key.batch_date == day.isoformat()]
    found: list[AuditedDay] = []
    watched = sys.stderr.isatty() and not asks_for_json()
    for audited in audits.audit(
        app.database, app.destination_of(name), profile, delivered, now=app.now
    ):
        store(app.database, audited, None)
        found.append(audited)
        if watched:
            filename = audited.batch.doc["filename"]
            say(f"Audited {filename}, {len(found)} of {len(delivered)} …", err=True)
    return _Checked(
        found=Audit(profile=profile.name, days=tuple(found), remaining=0),
        lines=_lines(found, since.isoformat()),
    )


def _lines(found: list[AuditedDay], since: str) -> list[str]:
    if not found:
        return [f"No file was delivered since {since}."]
    lines = []
    for day in found:
        if day.note is not None:
            entries = "differ" if day.differs else "match"
            lines.append(f"{day.note}; its entries {entries}")
        elif not day.differs:
            lines.append(f"{day.batch.doc['filename']}: unchanged")
        if not day.differs:
            continue
        more = "" if day.complete else "more than "
        things = number(len(day.findings), "finding")
        lines.append(f"{day.batch.doc['filename']}: {more}{things}")
        lines += [row(one.kind.value, one.detail) for one in day.findings[:_SHOWN]]
        if len(day.findings) > _SHOWN:
            lines.append(row("", f"and {len(day.findings) - _SHOWN} more (--json lists them)"))
    return lines
