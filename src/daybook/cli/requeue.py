"""`requeue`: put a corrected entry back in the queue."""

from __future__ import annotations

import click

from daybook.cli.command import CommandResult, app_from_env, command, takes_profile


@command("requeue", failed="it is refused, with the reason")
@click.argument("entry", metavar="ID_OR_REFERENCE")
@takes_profile
def requeue(entry: str, profile_name: str) -> CommandResult:
    """Queue a rejected entry again, after it was corrected.

    Refused for an entry that is unknown, queued already, exported, or still wrong, and for
    a reference that several entries have.
    """
    from daybook.export.operations.requeue import requeue as put_back
    from daybook.export.rendering.entry_id import displayed

    app = app_from_env()
    requeued = put_back(app.database, app.profile(profile_name), entry, now=app.now())
    name = displayed(requeued.entry_id)
    if requeued.reference is not None:
        name = f"{requeued.reference} ({name})"
    reason = "" if requeued.reason is None else f"; it was rejected as {requeued.reason}"
    return CommandResult(
        doc=requeued.to_doc(),
        lines=[f"Entry {name} is queued for the next run{reason}."],
    )
