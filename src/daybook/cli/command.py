"""The boundary that all commands share: `--json`, logs, errors, exit codes.

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
from typing import TYPE_CHECKING, Any, NoReturn

import click

from daybook import log, write_errors
from daybook.cli.exits import Exit, stated
from daybook.errors import BadRequest, ConfigurationError, DaybookError, DocumentDamaged
from daybook.text import display
from daybook.text.display import escaped, visible
from daybook.text.scrub import scrubbed

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
    click.echo(visible(line), err=err)


@contextmanager
def printable_errors() -> Iterator[None]:
    """Make errors that click prints itself safe for a terminal."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # it is the help, of several lines
    except click.UsageError as error:
        message = error.format_message()
        if visible(message) == message:
            raise
        raise click.UsageError(visible(message), ctx=error.ctx) from error


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
    click.echo(escaped(answer))


_OF_CLOUD_RUN = ("K_SERVICE", "CLOUD_RUN_JOB")
"""https://cloud.google.com/run/docs/container-contract#env-vars"""


class _OnFirstRecord(logging.Handler):
    """Sets up logging when there is something to log.

    As JSON, that imports Google's library, which takes longer than most commands. A person who
    sends a command's output to a file or a pager gets lines instead, unless the log was asked for;
    in Cloud Run nobody but Cloud Logging reads it.
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


_AWAY = (
    "Is it running, does DAYBOOK_MONGODB_URI lead to it, and does its allow-list have this "
    "machine's address?"
)


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
    message = scrubbed(message)
    if as_json:
        print_json({"error": {"type": kind, "message": message}})
    say(f"Error: {message}", err=True)
    sys.exit(code)
