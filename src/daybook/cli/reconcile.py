"""`reconcile`: compare wallets, journal, queue and delivered files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, Exit, app_from_env, asks_for_json, command, say
from daybook.cli.outcome import row
from daybook.display import number

if TYPE_CHECKING:
    from daybook.settings.settings import Settings
    from daybook.wallets.reconcile.reconcile import Reconciliation

_SHOWN = 20


@command("reconcile", failed="there is a difference; each is named")
@click.option("--files", is_flag=True, help="Also read each delivered file and compare its bytes.")
def reconcile(files: bool) -> CommandResult:
    """Compare the ledger's wallets, transactions, journal, queue and delivered files.

    Journal entries that no transaction of the ledger names are not compared, nor files of
    other profiles. Reads only, everything as of one moment.
    """
    from daybook.wallets.reconcile.reconcile import reconcile as compare

    app = app_from_env()
    found = compare(
        app.database,
        app.profile(app.settings.ledger_profile),
        chart=app.settings.ledger_chart,
        destination=app.destination if files else None,
        progress=_show if sys.stderr.isatty() and not asks_for_json() else _hide,
    )
    return CommandResult(
        doc=found.to_doc(),
        lines=_lines(found, app.settings),
        code=Exit.OK if found.agrees else Exit.FAILED,
    )


def _show(what: str) -> None:
    say(f"Comparing {what} …", err=True)


def _hide(what: str) -> None:
    pass


def _lines(found: Reconciliation, settings: Settings) -> list[str]:
    seen = ", ".join(
        [
            number(found.wallets, "wallet"),
            number(found.transactions, "transaction"),
            number(found.entries, "journal entry", "journal entries"),
            number(found.files, "delivered file"),
        ]
    )
    scope = f"Ledger in database {settings.database}, profile {settings.ledger_profile}"
    if found.agrees:
        return [f"{scope}: {seen}: all agree."]
    differences = number(sum(found.counts.values()), "difference")
    lines = [f"{scope}: {seen}: {differences}:"]
    lines += [row(kind.value, f"{count:,} in all") for kind, count in found.counts.items()]
    lines += [row(each.kind.value, each.detail) for each in found.differences[:_SHOWN]]
    if len(found.differences) > _SHOWN:
        lines.append(row("", "and more (--json names up to 100 of each kind)"))
    return lines
