"""`erase`: remove a person from the ledger, and leave the books unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.outcome import row
from daybook.display import moment, number

if TYPE_CHECKING:
    from daybook.wallets.erase import Erasure

KEPT = (
    "journal entries and their queue items: the books, which the law has kept for years",
    "delivered files, exportlogs, exportbatches: Daybook never changes what was delivered",
    "idempotency keys of transactions and wallets: without them a repeated request moves money",
    "campaigns, campaignassignments and other collections: another application's",
    "logs, backups and messages that were sent: outside of the database",
)
"""Where the person may still be named, and why that is not changed: docs/security.md."""


@command("erase", failed="the user is unknown, or has money in a wallet")
@click.argument("user_id", metavar="USER_ID")
@click.option("--yes", is_flag=True, help="Do it. Without --yes nothing is changed, only shown.")
def erase(user_id: str, yes: bool) -> CommandResult:
    """Remove what is stored about a user of the ledger; the books stay.

    Shows what would be changed and what cannot be, and changes it with --yes. May be
    repeated, also after it was killed.
    """
    from daybook.wallets import erase as erasing

    app = app_from_env()
    if yes:
        found = erasing.erase(app.database, user_id, now=app.now())
    else:
        found = erasing.preview(app.database, user_id)
    status = ("erased" if yes else "planned") if found.is_needed else "already_erased"
    return CommandResult(
        doc={"status": status, **found.to_doc(), "notErased": list(KEPT)},
        lines=[*_lines(found, status, app.settings.time_zone), *_kept(found)],
    )


def _lines(found: Erasure, status: str, zone: ZoneInfo) -> list[str]:
    user_id = found.to_doc()["userId"]
    if status == "already_erased":
        return [f"User {user_id} was erased at {_at(found, zone)}; nothing is left to erase."]
    outcome = "is erased" if status == "erased" else "would be erased; --yes does it"
    if found.erased_at is not None:
        outcome += f". The user's document was at {_at(found, zone)}"
    lines = [f"User {user_id} {outcome}."]
    if found.erased_at is None:
        lines.append(row("users", ", ".join(found.fields) or "a tombstone is made"))
    lines.append(row("wallets", f"{found.wallets:,} closed, with a balance of 0"))
    lines.append(row("invites", f"{found.invites:,} without the name of who accepted them"))
    lines.append(row("answers", f"{number(found.answers, 'stored answer')} removed"))
    return lines


def _at(found: Erasure, zone: ZoneInfo) -> str:
    assert found.erased_at is not None  # noqa: S101  (True only with --yes)
    return moment(found.erased_at, zone)


def _kept(found: Erasure) -> list[str]:
    lines = [row("kept", f"{number(found.transactions, 'transaction')}: balances are made of them")]
    if found.naming:
        lines.append(row("beware", f"{found.naming:,} with the user's name in the description"))
    return lines + [row("kept", what) for what in KEPT]
