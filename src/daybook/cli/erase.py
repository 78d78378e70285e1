"""`erase`: remove a person from the ledger, and leave the books unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, app_from_env, command
from daybook.cli.outcome import row

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


@command("erase")
@click.argument("user_id")
@click.option("--yes", is_flag=True, help="Do it. Without --yes nothing is changed, only shown.")
def erase(user_id: str, yes: bool) -> CommandResult:
    """Remove what is stored about a user of the ledger; the books stay.

    Shows what would be changed and what cannot be, and changes it with --yes. May be
    repeated, also after it was killed. Exit code 1: the user is unknown, or has money in
    a wallet.
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
        lines=[*_lines(found, status), *_kept(found)],
    )


def _lines(found: Erasure, status: str) -> list[str]:
    user_id = found.to_doc()["userId"]
    if status == "already_erased":
        return [f"User {user_id} was erased at {_at(found)}; nothing is left to erase."]
    told = "is erased" if status == "erased" else "would be erased; --yes does it"
    if found.erased_at is not None:
        told += f". The user's document was at {_at(found)}"
    lines = [f"User {user_id} {told}."]
    if found.erased_at is None:
        lines.append(row("users", ", ".join(found.fields) or "a tombstone is made"))
    lines.append(row("wallets", f"{found.wallets} closed, with a balance of 0"))
    lines.append(row("invites", f"{found.invites} no longer say who accepted them"))
    lines.append(row("answers", f"{found.answers} stored answers removed"))
    return lines


def _at(found: Erasure) -> str:
    assert found.erased_at is not None  # noqa: S101  (True only with --yes)
    return f"{found.erased_at:%Y-%m-%d %H:%M:%S} UTC"


def _kept(found: Erasure) -> list[str]:
    lines = [row("kept", f"{found.transactions} transactions: balances are made of them")]
    if found.naming:
        lines.append(row("beware", f"{found.naming} of them name the user in their description"))
    return lines + [row("kept", what) for what in KEPT]
