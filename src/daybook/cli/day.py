"""Dates on the command line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from daybook.app import App

T = TypeVar("T")

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        if isinstance(value, date):
            return value
        try:
            # `fromisoformat` also reads weeks: 2026-W03-7 is the 18th of January.
            if not _DATE.fullmatch(value):
                raise ValueError  # noqa: TRY301  (one message for every form of a wrong date)
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date like 2026-01-18", param, ctx)


class _DayBeforeFile(_Day):
    """DATE of a command that takes DATE and FILE.

    With `--date` there is only one argument: unless it is a date, it is FILE.
    """

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        beside_option = ctx is not None and ctx.params.get("day_option") is not None
        if ctx is not None and beside_option and not _DATE.fullmatch(str(value)):
            ctx.meta[_FILE] = str(value)
            value = ctx.params["day_option"]
        return super().convert(value, param, ctx)


DAY = _Day()
BEFORE_FILE = _DayBeforeFile()
_FILE = "daybook.file"


def file_beside_date() -> str | None:
    """FILE when it was the first argument, since `--date` gave the day."""
    return click.get_current_context().meta.get(_FILE)


LATEST = "by default the latest day that was due"


def latest(app: App, profile_name: str, day: date | None) -> tuple[date, list[str]]:
    """The day, or the latest that was due, and a line that says which one that is."""
    if day is not None:
        return day, []
    due = app.schedule_of(profile_name).batch_date(app.now(), schedule_time=None)
    return due, [f"The latest day that was due: {due}."]


def takes_day(
    *, default: str | None = None, argument: _Day = DAY
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a command the parameter `day`, which is typed as an argument or as `--date`.

    `default` says in the help what no day means, which is then None; without it a day is
    required. A command that takes a FILE after it has `argument` `BEFORE_FILE`.
    """

    def decorate(work: Callable[..., T]) -> Callable[..., T]:
        @click.argument(
            "day_argument",
            type=argument,
            required=False,
            metavar="DATE" if default is None else "[DATE]",
        )
        @click.option(
            *("--date", "--batch-date", "day_option"),
            type=DAY,
            help="The same as DATE." if default is None else f"The same as DATE: {default}.",
        )
        @functools.wraps(work)
        def call(*, day_argument: date | None, day_option: date | None, **arguments: Any) -> T:
            if day_argument and day_option and day_argument != day_option:
                raise click.UsageError(f"--date: {day_option} is not DATE, {day_argument}")
            day = day_argument or day_option
            if day is None and default is None:
                raise click.UsageError("Missing argument 'DATE', or --date")
            return work(day=day, **arguments)

        return call

    return decorate
