"""The group of all commands."""

from __future__ import annotations

import gc
from typing import Any

import click

from daybook import __version__
from daybook.cli.audit import audit
from daybook.cli.command import printable_errors
from daybook.cli.compare import compare
from daybook.cli.completion import completion
from daybook.cli.doctor import doctor
from daybook.cli.erase import erase
from daybook.cli.explain import explain
from daybook.cli.export import export
from daybook.cli.lineage import lineage
from daybook.cli.migrate import migrate
from daybook.cli.profiles import profiles
from daybook.cli.receipt import receipt
from daybook.cli.reconcile import reconcile
from daybook.cli.release import release
from daybook.cli.requeue import requeue
from daybook.cli.retry import retry
from daybook.cli.run import plan, run
from daybook.cli.seed import seed
from daybook.cli.serve import serve
from daybook.cli.status import history, status
from daybook.cli.sweep import sweep
from daybook.cli.verify import verify


class _Commands(click.Group):
    """Makes errors on the command line quote what was typed there, or what a script passed."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with printable_errors():
            return super().invoke(ctx)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed or a difference was found, 2 wrong arguments, "
    "3 a setting or the database must be changed first, 4 not done yet, "
    "130 broken off by Ctrl-C. The help of each command says what they mean for it.",
)
@click.version_option(__version__, prog_name="daybook")
def main() -> None:
    """The day's journal entries as one CSV file, exactly once.

    Settings are environment variables, see docs/configuration.md.
    """
    # Nothing that a command imports becomes garbage, and a page of entries is thousands of objects.
    gc.set_threshold(20_000, 10, 10)


for _command in (
    audit,
    compare,
    completion,
    doctor,
    erase,
    explain,
    export,
    history,
    lineage,
    migrate,
    plan,
    profiles,
    receipt,
    reconcile,
    release,
    requeue,
    retry,
    run,
    seed,
    serve,
    status,
    sweep,
    verify,
):
    main.add_command(_command)
