"""`receipt`: a day's receipt as the accountant gets it, shown or sent again."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, Exit, app_from_env, command, takes_profile
from daybook.cli.day import LATEST, latest, takes_day
from daybook.cli.outcome import row
from daybook.display import number
from daybook.errors import ConfigurationError

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.model.notice import Receipt


@command(
    "receipt",
    failed="the day has no receipt, since it is neither delivered nor empty, or no address got it",
    blocked="there is no address to send it to, or a setting or the database must be changed first",
)
@takes_day(default=LATEST)
@click.option("--send", is_flag=True, help="Send it to DAYBOOK_RECEIPT_URLS.")
@click.option("--all", "every", is_flag=True, help="Name every rejected entry; sends the first.")
@takes_profile
def receipt(day: date | None, send: bool, every: bool, profile_name: str) -> CommandResult:
    """Show a day's receipt; send it again."""
    from daybook.export.operations.receipt import receipt_of_day
    from daybook.notifications.receipt import receipt_message

    app = app_from_env()
    configured = app.configured(profile_name)
    day, which = latest(app, profile_name, day)
    found = receipt_of_day(
        app.database, configured.profile, day, schedule=configured.schedule, every=every
    )
    sent = _send(app, found) if send else None
    message = receipt_message(
        found, language=configured.language, zone=configured.profile.time_zone, every=every
    )
    lines = [*which, message.title, "", *message.text.split("\n")]
    if sent is not None:
        of = len(configured.receipt_urls)
        lines += ["", row("sent", f"to {sent} of {number(of, 'address', 'addresses')}")]
    return CommandResult(
        doc={**found.to_doc(), "title": message.title, "text": message.text, "sentCount": sent},
        lines=lines,
        code=Exit.FAILED if sent == 0 else Exit.OK,
    )


def _send(app: App, found: Receipt) -> int:
    """How many addresses got it."""
    if not app.configured(found.profile).receipt_urls:
        raise ConfigurationError(
            "DAYBOOK_RECEIPT_URLS: is not set, so there is nobody to send the receipt to"
        )
    return app.messenger_of(found.profile).receipt(found)
