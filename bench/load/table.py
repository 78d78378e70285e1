"""The figures of several rounds as one, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.load.figures import CHUNK, DEADLINE, Case, Measured

_MB = 1_000_000
_WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """One case, measured several times."""

    case: Case
    measured: Sequence[Measured]

    @property
    def typical(self) -> Measured:
        """The round of the middle duration, the longer one of two."""
        ordered = sorted(self.measured, key=lambda one: one.seconds)
        return ordered[len(ordered) // 2]

    def to_doc(self) -> dict[str, Any]:
        """The typical round, the best time, the worst memory, and all rounds."""
        return {
            **self.typical.to_doc(),
            "kind": "several" if self.case.several else "one",
            "lines": self.case.lines,
            "settings": dict(self.case.settings),
            "minSeconds": min(one.seconds for one in self.measured),
            "medianCpuSeconds": median(one.cpu_seconds for one in self.measured),
            "maxPeakMib": max(one.peak_mib for one in self.measured),
            "maxGrowthMib": max(one.growth_mib for one in self.measured),
            "maxInstanceMib": max(one.instance_mib for one in self.measured),
            "rounds": [one.to_doc() for one in self.measured],
        }


def show(found: Sequence[Rounds], *, console: Console | None = None) -> None:
    """Print two tables: days of one invocation, and days of several."""
    console = console or Console(width=_WIDTH)
    single = [rounds for rounds in found if not rounds.case.several]
    several = [rounds for rounds in found if rounds.case.several]
    if single:
        console.print(_single(single))
        for rounds in single:
            _tell_requests(console, rounds)
    if several:
        console.print(_several(several))
        for rounds in several:
            _tell_requests(console, rounds)


def _single(found: Sequence[Rounds]) -> Table:
    table = _table(
        "One invocation",
        *("entries", "rows", "file MB", "seconds", "best s", "Drive s", "plan s", "mark s"),
        *("CPU s", "mongod CPU s", "peak MiB", "growth MiB", "instance MiB", "attempts"),
    )
    for rounds in found:
        one = rounds.typical
        table.add_row(
            f"{one.entries:,}",
            f"{one.rows:,}",
            f"{one.size_bytes / _MB:.2f}",
            f"{one.seconds:.2f}",
            f"{min(each.seconds for each in rounds.measured):.2f}",
            f"{one.drive_seconds:.2f}",
            f"{one.plan_seconds:.2f}",
            f"{one.mark_seconds:.2f}",
            f"{one.cpu_seconds:.2f}",
            f"{one.mongod.cpu_seconds:.2f}",
            *_memory(rounds),
            f"{one.attempts}",
        )
    return table


def _several(found: Sequence[Rounds]) -> Table:
    settings = found[0].case.settings
    table = _table(
        f"Several invocations: a deadline of {settings[DEADLINE]} s, "
        f"chunks of {int(settings[CHUNK]):,} bytes",
        *("entries", "file MB", "invocations", "seconds", "best s", "Drive s", "CPU s"),
        *("mongod CPU s", "sent /file", "peak MiB", "growth MiB", "instance MiB", "attempts"),
    )
    for rounds in found:
        one = rounds.typical
        table.add_row(
            f"{one.entries:,}",
            f"{one.size_bytes / _MB:.2f}",
            f"{one.invocations}",
            f"{one.seconds:.2f}",
            f"{min(each.seconds for each in rounds.measured):.2f}",
            f"{one.drive_seconds:.2f}",
            f"{one.cpu_seconds:.2f}",
            f"{one.mongod.cpu_seconds:.2f}",
            f"{one.uploaded_bytes / one.size_bytes:.3f}",
            *_memory(rounds),
            f"{one.attempts}",
        )
    return table


def _memory(rounds: Rounds) -> list[str]:
    doc = rounds.to_doc()
    return [f"{doc[name]:.0f}" for name in ("maxPeakMib", "maxGrowthMib", "maxInstanceMib")]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right")
    return table


def _tell_requests(console: Console, rounds: Rounds) -> None:
    requests = ", ".join(f"{count} {name}" for name, count in rounds.typical.requests.items())
    commands = rounds.typical.mongod.commands
    console.print(
        f"{rounds.case.entries:,} entries: {requests}; {commands} commands to MongoDB",
        soft_wrap=True,
        highlight=False,
    )
