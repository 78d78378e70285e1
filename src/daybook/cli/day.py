"""Dates on the command line."""

from __future__ import annotations

from datetime import date

import click


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        if isinstance(value, date):
            return value
        try:
            if len(value) != len("2026-01-18"):
                raise ValueError  # noqa: TRY301  (one message for every form of a wrong date)
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date like 2026-01-18", param, ctx)


DAY = _Day()
