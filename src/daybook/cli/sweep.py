"""`sweep`: finish, remove or report what crashes have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.exits import Exit
from daybook.cli.outcome import row

if TYPE_CHECKING:
    from daybook.export.operations.sweep import Sweep


@command("sweep")
def sweep() -> CommandResult:
    """Clean up after crashes.

    Finishes marking, deletes stray manifest parts, checks abandoned IDs. Exit code 1:
    a file is stored under an abandoned ID. Exit code 4: a run is in progress.
    """
    from daybook.ops.maintenance import maintain

    app = app_from_env()
    found = maintain(
        app.exporter(app.profile()),
        queue=app.cloud_tasks,
        answer_days=app.settings.answer_days,
    )
    code = Exit.ACCEPTED if found.in_progress else Exit.OK
    return CommandResult(
        doc=found.to_doc(), lines=_lines(found), code=Exit.FAILED if found.orphans.seen else code
    )


def _lines(found: Sweep) -> list[str]:
    lines = []
    for slot in found.slots:
        if slot.in_progress:
            lines.append(f"Slot {slot.slot}: a run is at work; nothing was done.")
            continue
        lines.append(f"Slot {slot.slot}:")
        lines.append(row("settled", f"{slot.settled} files that were sealed, but not recorded"))
        lines.append(row("marked", f"{slot.marked} batches whose marking was unfinished"))
        lines.append(row("deleted", f"{slot.parts_deleted} stray manifest parts"))
    watch = found.orphans
    text = f"{watch.watched} watched, {len(watch.seen)} with a file"
    if watch.unreachable:
        text += f", {watch.unreachable} that cannot be checked"
    lines.append(f"Given-up ids: {text}.")
    lines += [row("file", file_id) for file_id in watch.seen]
    return lines
