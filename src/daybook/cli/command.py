"""What all commands share: `--json`, logs, errors, exit codes, the profile, tables.

With `--json` stdout carries one JSON document and nothing else: the command's
answer, or `{"error": {"type", "message"}}` when there is none. Without it, errors
are on stderr only. Wrong arguments (exit code 2) leave stdout empty.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import click

from daybook import display, log, write_errors
from daybook.errors import BadRequest, ConfigurationError, DaybookError, DocumentDamaged
from daybook.export.model.profile import DAILY

OPTIONS: Mapping[str, str] = {
    "bad": "--bad",
    "batchDate": "--date",
    "entries": "--entries",
    "columns": "--columns",
    "entryId": "ID_OR_REFERENCE",
    "key": "--key",
    "entryIds": "ID_OR_REFERENCE",
    "from": "--from",
    "Idempotency-Key": "--key",
    "profile": "--profile",
    "to": "--to",
    "userId": "USER_ID",
}
"""Field or header of an HTTP request → what is typed for it on the command line."""

_OF_CLOUD_RUN = ("K_SERVICE", "CLOUD_RUN_JOB")
"""https://cloud.google.com/run/docs/container-contract#env-vars"""

_AWAY = (
    "Is it running, does DAYBOOK_MONGODB_URI lead to it, and does its allow-list have this "
    "machine's address?"
)

_WIDEST = 32
"""Cells that are wider are cut off; the file has them in full."""


class Exit(IntEnum):
    """The command's help says what a code means for it: see `stated`."""

    OK = 0  # done, or there was nothing to do
    FAILED = 1  # the operation failed, or found a difference
    USAGE = 2  # wrong arguments or input; click's own code
    CONFIGURATION = 3  # a setting or the database has to be changed first
    ACCEPTED = 4  # not done yet: in progress elsewhere, stopped on demand, or to be tried again
    BROKEN_OFF = 130  # aborted by Ctrl-C; the code that shells use for it


def stated(*, failed: str, accepted: str | None, blocked: str) -> str:
    """The codes of one command, for its help."""
    codes = {
        Exit.OK: "done, or nothing to do",
        Exit.FAILED: failed,
        Exit.USAGE: "wrong arguments",
        Exit.CONFIGURATION: blocked,
        Exit.ACCEPTED: accepted,
        Exit.BROKEN_OFF: "broken off by Ctrl-C",
    }
    said = (f"{code.value} {text}" for code, text in codes.items() if text is not None)
    return f"Exit codes: {'; '.join(said)}."


if TYPE_CHECKING:
    from daybook.app import App


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """The result of a command: as a JSON document, and in words."""

    doc: Mapping[str, Any] | None
    """None when the command has printed its document itself."""
    lines: Sequence[str] = field(default_factory=tuple)
    code: Exit = Exit.OK


class RequestAborted(DaybookError):
    """The operator aborted the run before it reached a boundary."""

    type = "interrupted"


def command(
    name: str,
    *,
    failed: str = "it failed",
    accepted: str | None = None,
    blocked: str = "a setting or the database must be changed first",
) -> Callable[[Callable[..., CommandResult]], click.Command]:
    """Turn a function that returns a result into a command; its docstring is the help.

    `failed`, `accepted` and `blocked` say what the exit codes 1, 4 and 3 mean for this command;
    without `accepted` it never ends with 4.
    """

    def decorate(work: Callable[..., CommandResult]) -> click.Command:
        @click.command(name, epilog=stated(failed=failed, accepted=accepted, blocked=blocked))
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
        @click.option("--verbose", "-v", is_flag=True, help="Show details; log to stderr.")
        @functools.wraps(work)
        def call(*, as_json: bool, verbose: bool, **arguments: Any) -> None:
            logging.getLogger().addHandler(_OnFirstRecord(verbose=verbose))
            try:
                answer = work(**arguments)
            except click.ClickException:
                raise
            except BadRequest as error:
                raise click.UsageError(f"{_option(error.where)}: {error}") from error
            except (ConfigurationError, DocumentDamaged) as error:
                _fail(error.type, str(error), Exit.CONFIGURATION, as_json=as_json)
            except DaybookError as error:
                _fail(error.type, str(error), _code_of(error), as_json=as_json)
            except KeyboardInterrupt:
                _fail("interrupted", "broken off", Exit.BROKEN_OFF, as_json=as_json)
            except Exception as error:  # noqa: BLE001  (the command line's boundary)
                _crash(error, as_json=as_json)
            if as_json:
                if answer.doc is not None:
                    print_json(answer.doc)
            else:
                for line in answer.lines:
                    say(line)
            sys.exit(answer.code)

        return call

    return decorate


def say(line: str, *, err: bool = False) -> None:
    """Print one line for people, whatever characters its values contain."""
    click.echo(display.visible(line), err=err)


@contextmanager
def printable_errors() -> Iterator[None]:
    """Make errors that click prints itself safe for a terminal."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # it is the help, of several lines
    except click.UsageError as error:
        message = error.format_message()
        if display.visible(message) == message:
            raise
        raise click.UsageError(display.visible(message), ctx=error.ctx) from error


def app_from_env() -> App:
    """Raises `ConfigurationError` naming each faulty variable.

    A variable that nothing reads is a warning on stderr: the setting that it was to be has its
    default.
    """
    from daybook.app import App  # its libraries take most of a command's start
    from daybook.settings.settings import unread

    app = replace(App.from_env(os.environ), by_hand=True)
    fault = unread(os.environ)
    if fault is not None:
        say(f"Warning: {fault}", err=True)
    return app


def takes_profile(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command `--profile`, which it gets as `profile_name`."""
    return click.option("--profile", "profile_name", default=DAILY, show_default=True)(command)


def takes_profile_or_every(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--profile`, where `*` means every enabled profile."""
    return click.option(
        "--profile",
        "profile_name",
        default=DAILY,
        show_default=True,
        help="'*' is for each enabled profile.",
    )(command)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first row is the header."""
    from rich.cells import cell_len, set_cell_size

    cells = [[_short(display.visible(cell)) for cell in row] for row in rows]
    count = max(map(len, cells), default=0)
    widths = [
        max((cell_len(row[at]) for row in cells if at < len(row)), default=0) for at in range(count)
    ]
    return [
        "  ".join(
            set_cell_size(cell, width) for cell, width in zip(row, widths, strict=False)
        ).rstrip()
        for row in cells
    ]


def _option(field: str) -> str:
    """How the command line names a field of a request, such as `entryIds[3]`."""
    return OPTIONS.get(field.partition("[")[0], field)


def asks_for_details() -> bool:
    """Whether the running command was called with `--verbose`."""
    return bool(click.get_current_context().params["verbose"])


def asks_for_json() -> bool:
    """Whether the running command was called with `--json`."""
    return bool(click.get_current_context().params["as_json"])


def print_json(doc: Mapping[str, Any]) -> None:
    answer = json.dumps(display.document(doc), ensure_ascii=False, indent=2, allow_nan=False)
    click.echo(display.escaped(answer))


class _OnFirstRecord(logging.Handler):
    """Sets up logging when there is something to log.

    As JSON, that imports Google's library, which takes longer than most commands. A person who
    sends a command's output to a file or a pager gets lines instead, unless the log was asked for;
    in Cloud Run only Cloud Logging reads it.
    """

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._readable = not verbose and not any(name in os.environ for name in _OF_CLOUD_RUN)
        self._level = logging.INFO if verbose else logging.WARNING
        logging.getLogger().setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().removeHandler(self)
        log.setup(sys.stderr, level=self._level, readable=self._readable)
        logging.getLogger(record.name).handle(record)


def _code_of(error: DaybookError) -> Exit:
    from daybook.export.operations.reopen import SlotBusy

    if isinstance(error, RequestAborted):
        return Exit.BROKEN_OFF
    return Exit.ACCEPTED if isinstance(error, SlotBusy) else Exit.FAILED


def _crash(error: Exception, *, as_json: bool) -> NoReturn:
    from pymongo.errors import ConnectionFailure, PyMongoError

    if isinstance(error, PyMongoError):
        described = write_errors.describe(error)
        message = f"MongoDB: {described}"
        if isinstance(error, ConnectionFailure) and described.hint is None:
            message += f". {_AWAY}"
        _fail("mongodb", message, Exit.FAILED, as_json=as_json)
    log.event(logging.ERROR, "command_crashed", str(error), exc_info=error)
    _fail("unknown", f"{type(error).__name__}: {error}", Exit.FAILED, as_json=as_json)


def _fail(kind: str, message: str, code: Exit, *, as_json: bool) -> NoReturn:
    message = display.scrubbed(message)
    if as_json:
        print_json({"error": {"type": kind, "message": message}})
    say(f"Error: {message}", err=True)
    sys.exit(code)


def _short(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else cell[: _WIDEST - 1] + "…"
