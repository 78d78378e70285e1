"""`serve`: function and MongoDB on this machine, and the demonstration."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daybook.cli.command import CommandResult, asks_for_json, command, print_json, say
from daybook.cli.outcome import row
from daybook.display import number
from daybook.errors import DatabaseError
from daybook.write_errors import describe

if TYPE_CHECKING:
    from daybook.app import App

_HIGHEST_PORT = 65535


@command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--ledger-port",
    type=click.IntRange(0, 65535),
    default=None,
    help="The ledger's port; by default the one after --port.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".daybook"),
    show_default=True,
    help="The folder of the embedded MongoDB and the files.",
)
@click.option("--seed", "entries", type=click.IntRange(0), default=0, help="Queue sample entries.")
@click.option("--demo", is_flag=True, help="Show one day from queue to file, then end.")
def serve(
    port: int, ledger_port: int | None, data_dir: Path, entries: int, demo: bool
) -> CommandResult:
    """Run both functions and MongoDB on this machine.

    They run until Ctrl-C or SIGTERM. DAYBOOK_MONGODB_URI and DAYBOOK_DESTINATION replace
    the embedded MongoDB and the local folder. Without DAYBOOK_TASKS_QUEUE, `serve` itself
    makes the calls that have to follow a run: retries, continuations, and calls that an
    earlier `serve` has left.
    """
    # Both signals end the `with` blocks, and so MongoDB and the function.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    try:
        if demo:
            from daybook.cli.demo import show

            return show(data_dir / "demo", say=_nothing if asks_for_json() else say)
        if ledger_port is None:
            ledger_port = port + 1 if 0 < port < _HIGHEST_PORT else 0
        _serve(port, ledger_port, data_dir, entries)
    except KeyboardInterrupt:
        say("Stopped.", err=True)
    return CommandResult(doc=None)


def _serve(port: int, ledger_port: int, data_dir: Path, entries: int) -> None:
    from daybook.app import App
    from daybook.local import sample
    from daybook.local.serve import FunctionServer, complete_environment, wait, without_own

    given = without_own(os.environ, data_dir)
    with complete_environment(given, data_dir) as (env, mongod):
        app = App.from_env(env)
        _migrate(app, own=mongod is not None)
        seeded = 0
        if entries:
            seeded = sample.seed(app.database, at=app.now(), entries=entries).queued
        output = sys.stderr.fileno()
        with (
            FunctionServer(env, port=port, output=output) as server,
            FunctionServer(
                env, port=ledger_port, output=output, target="ledger", option="--ledger-port"
            ) as ledger,
            _follow_ups(app, server.url),
        ):
            _announce(server.url, ledger.url, app, _added(env, given), seeded=seeded)
            wait(server, ledger, mongod=mongod)


def _migrate(app: App, *, own: bool) -> None:
    """Raises `DatabaseError` when a MongoDB that is not `serve`'s `own` cannot be reached."""
    from pymongo.errors import ConnectionFailure

    from daybook.mongo.migrate import migrate

    try:
        migrate(app.database, now=app.now())
    except ConnectionFailure as error:
        if own:
            raise
        raise DatabaseError(
            f"the MongoDB of DAYBOOK_MONGODB_URI cannot be reached: {describe(error)}. "
            "`unset DAYBOOK_MONGODB_URI DAYBOOK_DESTINATION` if `serve` is to start its own"
        ) from error


def _added(env: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The variables that `serve` has set itself; those of its caller may hold a password."""
    return {name: text for name, text in env.items() if given.get(name) != text}


def _follow_ups(app: App, url: str) -> AbstractContextManager[object]:
    """Makes the calls that have to follow a run, unless Cloud Tasks does."""
    from daybook.app import BEYOND_DEADLINE_SECONDS
    from daybook.local.courier import Courier
    from daybook.local.follow_ups import FollowUps, due_calls

    if app.cloud_tasks is not None:
        return nullcontext()
    courier = Courier(
        url,
        answer_timeout_seconds=app.settings.run_deadline_seconds + BEYOND_DEADLINE_SECONDS,
        clock=app.clock,
    )
    return FollowUps(
        lambda now: [call for name in app.profiles for call in due_calls(app.database, name, now)],
        courier,
        app.clock,
    )


def _announce(
    url: str, ledger_url: str, app: App, added: Mapping[str, str], *, seeded: int
) -> None:
    settings = app.settings
    queue = settings.tasks_queue
    if asks_for_json():
        print_json(
            {
                "url": url,
                "ledgerUrl": ledger_url,
                "database": settings.database,
                "pid": os.getpid(),
                "retries": "here" if queue is None else queue,
                "seeded": seeded,
                "environment": dict(added),
            }
        )
        return
    hosts = ", ".join(f"{host}:{port}" for host, port in sorted(app.client.nodes))
    say(f"Daybook listens on {url}, its ledger on {ledger_url}; Ctrl-C ends both.")
    say(row("page", f"{url}/"))
    say(row("MongoDB", f"{hosts}, database {settings.database}"))
    say(row("files", settings.destination.url))
    say(row("retries", "made here, while this runs" if queue is None else f"by {queue}"))
    if seeded:
        entries = number(seeded, "sample entry", "sample entries")
        say(row("queued", f"{entries}, which the next run takes"))
    say(row("try", f"curl -X POST {url}/run"))
    say(row("", f"curl {url}/health"))
    say("")
    say("For the other commands, and for curl as the documents show it, in another terminal:")
    for name, text in {**added, "DAYBOOK": url, "LEDGER": ledger_url}.items():
        say(f"  export {name}={shlex.quote(text)}")
    say("")
    say("To queue an entry of your own: docs/data-model.md#an-entry-of-your-own")


def _nothing(_line: str) -> None:
    """What the demonstration says with `--json`."""
