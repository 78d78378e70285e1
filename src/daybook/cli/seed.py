"""`seed`: sample entries to try Daybook with."""

from __future__ import annotations

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.display import number


@command("seed")
@click.option("--entries", type=click.IntRange(0), default=12, show_default=True)
@click.option("--bad", type=click.IntRange(0), default=0, show_default=True, help="Broken ones.")
def seed(entries: int, bad: int) -> CommandResult:
    """Queue sample journal entries, the broken ones spread among them."""
    from daybook.local import sample

    app = app_from_env()
    result = sample.seed(app.database, at=app.now(), entries=entries, bad=bad)
    broken = {reason.value: count for reason, count in result.broken.items()}
    return CommandResult(
        doc={"entries": result.entries, "queued": result.queued, "broken": broken},
        lines=[
            f"{number(result.queued, 'item')} queued, "
            f"{number(result.entries, 'journal entry', 'journal entries')}.",
            *(f"  to be rejected as {reason}: {count}" for reason, count in broken.items()),
        ],
    )
