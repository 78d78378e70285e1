"""`requeue`: put a corrected entry back in the queue."""

from __future__ import annotations

import click

from daybook.cli.command import CommandResult, app_from_env, command


@command("requeue")
@click.argument("entry_id")
def requeue(entry_id: str) -> CommandResult:
    """Queue a rejected entry again, after it was corrected.

    Refused for an entry that is unknown, queued already, exported, or still wrong.
    """
    from daybook.export.operations.requeue import requeue as put_back

    app = app_from_env()
    requeued = put_back(app.database, app.profile(), entry_id, now=app.now())
    reason = "" if requeued.reason is None else f"; it was rejected as {requeued.reason}"
    return CommandResult(
        doc=requeued.to_doc(),
        lines=[f"Entry {requeued.to_doc()['entryId']} is queued for the next run{reason}."],
    )
