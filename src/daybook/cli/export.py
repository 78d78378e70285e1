"""`export`: a manual export, a copy of chosen entries."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from daybook.cli.command import CommandResult, app_from_env, command, takes_profile
from daybook.cli.day import DAY
from daybook.cli.invocations import carry_out


@command("export", failed="the export has failed", accepted="it is not done yet")
@click.argument("entries", nargs=-1, metavar="[ID_OR_REFERENCE]...")
@click.option(
    "--entry-id",
    "--reference",
    "entry_ids",
    multiple=True,
    metavar="ID_OR_REFERENCE",
    help="The same as the argument; may be repeated.",
)
@click.option("--from", "first", type=DAY, help="First date of the entries.")
@click.option("--to", "last", type=DAY, help="Last date of the entries, included.")
@click.option("--key", help="Idempotency key; default: a hash of the request.")
@takes_profile
def export(
    entries: tuple[str, ...],
    entry_ids: tuple[str, ...],
    first: date | None,
    last: date | None,
    key: str | None,
    profile_name: str,
) -> CommandResult:
    """Copy chosen entries into a file of their own.

    The file is made in addition to the daily ones. Give either entries, or --from and --to.
    A reference that several entries have is refused with their IDs. The same key and
    request again returns the file that exists. Ctrl-C or SIGTERM stops it where the same
    command can resume.
    """
    from daybook.export.queue import manual
    from daybook.export.run import run_manual

    body: dict[str, Any] = {}
    entry_ids = (*entries, *entry_ids)
    if entry_ids:
        body["entryIds"] = list(entry_ids)
    if first is not None:
        body["from"] = first.isoformat()
    if last is not None:
        body["to"] = last.isoformat()
    if not body or (entry_ids and (first or last)):
        raise click.UsageError("give either entries, by ID or reference, or --from and --to")
    if not entry_ids and (first is None or last is None):
        raise click.UsageError(f"{'--from' if first is None else '--to'}: is missing")
    request = manual.parse(body, key=key)
    app = app_from_env()
    profile = app.enabled(profile_name)
    return carry_out(
        app,
        lambda shown: run_manual(shown.exporter(profile), request),
        again="the same command again",
    )
