"""`lineage`: where one journal entry went."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from daybook.cli.command import CommandResult, app_from_env, command, takes_profile
from daybook.cli.outcome import row
from daybook.display import file_rows, moment
from daybook.export.model.profile import DAILY

if TYPE_CHECKING:
    from daybook.audit.lineage import DeliveredIn, Lineage


@command("lineage", failed="no entry, queue item or file has the ID or reference")
@click.argument("entry", metavar="ID_OR_REFERENCE")
@takes_profile
def lineage(entry: str, profile_name: str) -> CommandResult:
    """Show which files and rows contain an entry.

    If none does, show why: it is rejected, with the reason, or still queued. A reference
    that several entries have shows each of them. An entry that another profile takes is
    shown as that profile's.
    """
    from daybook.audit import lineage as lineages
    from daybook.export.operations.requeue import taking

    app = app_from_env()
    profile = taking(app.database, app.profile(profile_name), entry)
    found = lineages.lineage(app.database, profile, entry)
    zone = profile.time_zone
    return CommandResult(
        doc=lineages.to_doc(found), lines=[line for one in found for line in _lines(one, zone)]
    )


def _lines(found: Lineage, zone: ZoneInfo) -> list[str]:
    from daybook.export.rendering.entry_id import displayed

    reference = f" ({found.reference})" if found.reference else ""
    gone = "" if found.exists else ", which no longer exists"
    lines = [f"Entry {displayed(found.entry_id)}{reference}{gone}:"]
    lines += [line for file in found.files for line in _file(file)]
    for item in found.items:
        reason = f" as {item.reason}" if item.reason else ""
        path = item.export_path or "unknown"
        lines.append(row("queue", f"{item.status}{reason}, {path} item {displayed(item.queue_id)}"))
        if item.unclaimed is not None:
            lines.append(row("", f"no run takes it: {item.unclaimed.explanation}"))
    for event in found.events:
        day = f" on {event.batch_date}" if event.batch_date else ""
        at = "no date" if event.at is None else moment(event.at, zone)
        lines.append(row("record", f"{event.action.value}{day}, {at}: {event.detail}"))
    if not found.files:
        lines.append(row("file", "in none yet"))
    return lines


def _file(file: DeliveredIn) -> list[str]:
    where = f"{file_rows(file.first_row, file.last_row)}, whose row 1 is the header"
    if not file.certain:
        where += " ; by today's entries, of which some were changed since: `verify` tells which"
    kind = "manual export" if file.batch_date is None else f"batch of {file.batch_date}"
    if file.profile != DAILY:
        kind += f", profile {file.profile}"
    return [row("file", f"{file.filename}, {where} ({kind})"), row("", file.link)]
