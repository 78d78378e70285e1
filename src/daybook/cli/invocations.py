"""A run by command: it makes one invocation after the other until it ends or has to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from types import FrameType
from typing import TYPE_CHECKING

from daybook.cli import following, outcome
from daybook.cli.command import CommandResult, RequestAborted, asks_for_json
from daybook.export.model.profile import command

if TYPE_CHECKING:
    from daybook.app import App
    from daybook.export.outcome import Outcome

_HINTS = {
    signal.SIGTERM: "Stopping at the next boundary.",
    signal.SIGINT: "Stopping at the next boundary; Ctrl-C again breaks off.",
}


def run_again(profile: str, day: date | str) -> str:
    """The command that runs the profile's day once more."""
    return command("run", profile, day, option=True)


def carry_out(app: App, call: Callable[[App], Outcome], *, again: str) -> CommandResult:
    """Call until the answer is no longer that the invocation has used up its time.

    SIGTERM and Ctrl-C stop it where the next call can resume; `again` is the command that
    makes that call. Must be called in the main thread. Raises `RequestAborted` at a second Ctrl-C.
    """
    try:
        with _stoppable(app), _progress(app) as shown:
            ended = call(shown)
            while ended.status == "continued" and not app.shutdown.requested():
                ended = call(shown)
    except KeyboardInterrupt as error:
        raise RequestAborted(
            f"broken off; what was done is kept, and the next run settles it: {again}"
        ) from error
    return outcome.answer(ended, follows=following.advice(app, ended, again=again))


@contextmanager
def _stoppable(app: App) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C stop what runs in the block at its next boundary, and say so."""
    before = {number: signal.getsignal(number) for number in _HINTS}
    app.shutdown.listen()
    for number, hint in _HINTS.items():
        signal.signal(number, _saying(hint, signal.getsignal(number)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _saying(hint: str, handler: object) -> Callable[[int, FrameType | None], None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        if callable(handler):
            handler(number, frame)  # first: a second signal may come as soon as the hint is read
        with suppress(OSError):  # stderr may be closed, and must not be used through its buffer
            os.write(2, f"{hint}\n".encode())

    return on_signal


@contextmanager
def _progress(app: App) -> Iterator[App]:
    """The app, with a progress bar on stderr if it is a terminal."""
    if asks_for_json() or not sys.stderr.isatty():
        yield app
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("Rendering and uploading", total=None)

        def report(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        yield replace(app, progress=report)
