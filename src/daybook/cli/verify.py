"""`verify`: compare a delivered file with everything that is stored about it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from daybook.cli.command import CommandResult, Exit, app_from_env, command, takes_profile
from daybook.cli.day import LATEST, latest, takes_day
from daybook.cli.outcome import figures, row
from daybook.display import number

if TYPE_CHECKING:
    from daybook.audit.verify import Verification

_SHOWN = 20


@command("verify", failed="there is a difference, which is named, or no file to compare")
@takes_profile
@takes_day(default=LATEST)
def verify(profile_name: str, day: date | None) -> CommandResult:
    """Compare a delivered file with its entries.

    Downloads it and compares it, row by row, with manifest, entries and records.
    """
    from daybook.audit.verify import verify as compare

    app = app_from_env()
    profile = app.profile(profile_name)
    day, which = latest(app, profile_name, day)
    found = compare(app.database, app.destination_of(profile_name), profile, day)
    return CommandResult(
        doc=found.to_doc(),
        lines=[*which, *describe(found)],
        code=Exit.FAILED if found.differences else Exit.OK,
    )


def describe(found: Verification) -> list[str]:
    """A verification in words."""
    day = found.batch.key.batch_date
    name = found.batch.doc.get("filename")
    if found.status == "empty":
        return [f"{day}: signed off as empty; there is no file to compare."]
    if found.status == "verified":
        return [
            f"{name} is as it was delivered: bytes, rows, control totals, queue items and record.",
            *figures(found.batch.doc),
            *(row("note", note) for note in found.notes),
        ]
    lines = [f"{name or day} differs in {number(len(found.differences), 'way')}:"]
    lines += [row(each.kind.value, each.detail) for each in found.differences[:_SHOWN]]
    if len(found.differences) > _SHOWN:
        lines.append(row("", f"and {len(found.differences) - _SHOWN:,} more (--json lists all)"))
    return [*lines, *(row("note", note) for note in found.notes)]
