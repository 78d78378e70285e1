"""Dates on the command line."""

from __future__ import annotations

import re
from datetime import date

import click

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


DAY = _Day()
