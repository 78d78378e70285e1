"""`receipt`: a day's receipt as the accountant gets it, shown or sent again."""

from __future__ import annotations

from datetime import date

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.day import DAY
from daybook.cli.exits import Exit
from daybook.cli.outcome import row


@command("receipt")
@click.argument("day", type=DAY, metavar="DATE")
@click.option("--send", is_flag=True, help="Send it to DAYBOOK_RECEIPT_URLS.")
@click.option("--profile", "profile_name", default="daily", show_default=True)
def receipt(day: date, send: bool, profile_name: str) -> CommandResult:
    """Show a day's receipt; send it again.

    Exit code 1: the day has none, since it is neither delivered nor empty, or no address
    got it. Exit code 3: there is no address to send it to.
    """
    app = app_from_env()
    sent = app.send_receipt(day, profile_name=profile_name) if send else None
    found, message = app.receipt(day, profile_name=profile_name)
    lines = [message.title, "", *message.text.split("\n")]
    if sent is not None:
        of = len(app.settings.receipt_urls)
        lines += ["", row("sent", f"to {sent} of {of} addresses")]
    return CommandResult(
        doc={**found.to_doc(), "title": message.title, "text": message.text, "sentCount": sent},
        lines=lines,
        code=Exit.FAILED if sent == 0 else Exit.OK,
    )
