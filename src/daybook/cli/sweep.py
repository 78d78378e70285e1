"""`sweep`: finish, remove or report what crashes have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daybook.cli.command import CommandResult, Exit, app_from_env, command, takes_profile
from daybook.cli.outcome import row
from daybook.display import number

if TYPE_CHECKING:
    from daybook.export.operations.sweep import Sweep


@command("sweep", failed="a file is stored under an abandoned ID", accepted="a run is in progress")
@takes_profile
def sweep(profile_name: str) -> CommandResult:
    """Clean up after crashes.

    Finishes marking, deletes stray manifest parts, checks abandoned IDs.
    """
    from daybook.ops.maintenance import maintain

    app = app_from_env()
    found = maintain(
        app.exporter(app.profile(profile_name)),
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
        lines.append(
            row("settled", f"{number(slot.settled, 'file')} sent, but not recorded before")
        )
        lines.append(
            row("marked", f"{number(slot.marked, 'batch', 'batches')} with unfinished marking")
        )
        lines.append(row("deleted", number(slot.parts_deleted, "stray manifest part")))
    watch = found.orphans
    text = f"{watch.watched} watched, {len(watch.seen)} with a file"
    if watch.unreachable:
        text += f", {watch.unreachable} that cannot be checked"
    lines.append(f"Abandoned IDs: {text}.")
    lines += [row("file", file_id) for file_id in watch.seen]
    return lines
