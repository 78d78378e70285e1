"""`make bench`: entries per second and peak memory, beside references of the same run.

The least that a run could take is reading both collections and one update of all items, and it
is measured against that. `--beside` measures another checkout in turn with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.two_collections import LINES, separate
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate
from tests.emulators.drive.remote import DriveProcess

ROOT = Path(__file__).parents[1]
FOLDER = "folderId"
WHAT = ("raw", "update", "naive", "render", "render_two", "run")
CHANGES = ("update", "run")
"""What leaves the database changed, so that each round needs a fresh one."""
BESIDE = ("render", "run")
"""What is measured of another checkout."""
TITLES = {
    "raw": "both collections as raw bytes",
    "update": "one bare update of all items",
    "naive": "naive: all in memory, one $in, csv",
    "render": "Daybook: read and render",
    "render_two": "the same, lines in a second collection",
    "run": "Daybook: whole run into Drive",
    "render_beside": "the other checkout: read and render",
    "run_beside": "the other checkout: whole run into Drive",
}


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A row of the table that says how close a figure is to its limit."""

    title: str
    what: str
    limit: tuple[str, ...]
    """What the figure is divided by: the sum of these."""


RATIOS = (
    Ratio(title="reading and rendering, x raw bytes", what="render", limit=("raw",)),
    Ratio(title="whole run, x (raw bytes + bare update)", what="run", limit=("raw", "update")),
)


def main() -> None:
    options = _options()
    results: list[dict[str, Any]] = []
    with EmbeddedMongod(cache_gb=options.cache_gb) as mongod, DriveProcess() as drive:
        client = MongoClient[dict[str, Any]](mongod.uri)
        for entries in options.entries:
            for round_ in range(options.rounds):
                for name, what, root in _turns(options, round_):
                    database = f"bench_{entries}"
                    fresh = what in CHANGES
                    _prepare(client, database, entries, fresh=fresh, apart=what == "render_two")
                    result = _measure(what, mongod.uri, database, drive, root)
                    results.append({"entries": entries, "round": round_, **result, "what": name})
                    print(f"{entries:>9,} {name:<13} {result['seconds']:8.3f} s", file=sys.stderr)
            client.drop_database(f"bench_{entries}")
    measured = [what for what in TITLES if any(result["what"] == what for result in results)]
    summary = _summary(results, options.entries, measured)
    ratios = _ratios(results, options.entries)
    _print(summary, options.rounds)
    _print_ratios(ratios)
    target = ROOT / "bench" / "results"
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    path.write_text(
        json.dumps(
            {
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "summary": summary,
                "ratios": ratios,
                "measurements": results,
            },
            indent=2,
        )
    )
    print(f"\nWritten to {path.relative_to(ROOT)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--entries",
        type=int,
        nargs="+",
        default=[10_000, 100_000],
        help="how many queued entries, two lines each (1000000 takes some minutes)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--what", nargs="+", choices=WHAT, default=WHAT, help="only these")
    parser.add_argument(
        "--beside", type=Path, help="another checkout, whose rendering and runs are measured too"
    )
    parser.add_argument("--cache-gb", type=float, default=1.0, help="MongoDB's cache")
    return parser.parse_args()


def _turns(options: argparse.Namespace, round_: int) -> list[tuple[str, str, Path]]:
    """(name of the result, what is measured, checkout); the two checkouts begin in turn."""
    turns = []
    for what in options.what:
        pair = [(what, what, ROOT)]
        if options.beside is not None and what in BESIDE:
            pair.append((f"{what}_beside", what, options.beside.resolve()))
        turns += pair if round_ % 2 == 0 else reversed(pair)
    return turns


def _prepare(
    client: MongoClient[dict[str, Any]], name: str, entries: int, *, fresh: bool, apart: bool
) -> None:
    """Sample entries, all queued; `apart` also with their lines in a second collection."""
    database = client[name]
    if fresh or database["exportqueues"].count_documents({"status": "queued"}) != entries:
        client.drop_database(name)
        migrate(database, now=datetime.now(UTC))
        seed(database, entries=entries, at=datetime(2026, 1, 18, 10, tzinfo=UTC))
    if apart and database[LINES].find_one() is None:
        separate(database)


def _measure(what: str, uri: str, database: str, drive: DriveProcess, root: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure", what],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}",
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database,
            "DAYBOOK_DESTINATION": f"drive://{drive.state()[FOLDER]}",
            "DAYBOOK_DRIVE_ENDPOINT": drive.url,
            "DAYBOOK_CSV_TIMEOUT_SECONDS": "1800",
            "DAYBOOK_RUN_DEADLINE_SECONDS": "1800",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _summary(
    results: Sequence[dict[str, Any]], sizes: Sequence[int], measured: Sequence[str]
) -> list[dict[str, Any]]:
    """Medians per size and kind, and each one's ratio to the naive way of the same size."""
    summary = []
    for entries in sizes:
        median = {
            what: statistics.median(
                result["seconds"]
                for result in results
                if (result["entries"], result["what"]) == (entries, what)
            )
            for what in measured
        }
        for what in measured:
            of_it = [r for r in results if (r["entries"], r["what"]) == (entries, what)]
            summary.append(
                {
                    "entries": entries,
                    "what": what,
                    "seconds": median[what],
                    "entries_per_second": entries / median[what],
                    "times_as_fast_as_naive": (
                        median["naive"] / median[what] if "naive" in median else None
                    ),
                    "cpu_seconds": statistics.median(
                        result["cpu_seconds"] + result["mongod_cpu_seconds"] for result in of_it
                    ),
                    "peak_mb": max(result["peak_mb"] for result in of_it),
                    "over_idle_mb": max(r["peak_mb"] - r["idle_mb"] for r in of_it),
                }
            )
    return summary


def _print(summary: Sequence[dict[str, Any]], rounds: int) -> None:
    table = Table(title=f"Median of {rounds} rounds, a process each")
    for title in (
        "Entries",
        "What",
        "Seconds",
        "CPU with mongod",
        "Entries/s",
        "x naive",
        "Peak MB",
        "Over idle MB",
    ):
        table.add_column(title, justify="left" if title == "What" else "right")
    for row in summary:
        table.add_row(
            f"{row['entries']:,}",
            TITLES[row["what"]],
            f"{row['seconds']:.3f}",
            f"{row['cpu_seconds']:.3f}",
            f"{row['entries_per_second']:,.0f}",
            "" if (times := row["times_as_fast_as_naive"]) is None else f"{times:.2f}",
            f"{row['peak_mb']:.0f}",
            f"{row['over_idle_mb']:.0f}",
        )
    Console(width=110).print(table)


def _ratios(results: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """How close each figure is to its limit: the median of the rounds' own ratios.

    A round compares what was measured within seconds of each other, on the same busy machine.
    """
    rows = []
    for entries in sizes:
        rounds: dict[int, dict[str, dict[str, Any]]] = {}
        for result in results:
            if result["entries"] == entries:
                rounds.setdefault(result["round"], {})[result["what"]] = result
        for ratio in RATIOS:
            for what in (ratio.what, f"{ratio.what}_beside"):
                whole = [one for one in rounds.values() if {what, *ratio.limit} <= one.keys()]
                if not whole:
                    continue
                rows.append(
                    {
                        "entries": entries,
                        "ratio": ratio.title,
                        "checkout": "other" if what.endswith("_beside") else "this",
                        "by_time": _median_ratio(whole, what, ratio.limit, _seconds),
                        "by_cpu": _median_ratio(whole, what, ratio.limit, _cpu_seconds),
                    }
                )
    return rows


def _median_ratio(
    rounds: Sequence[dict[str, dict[str, Any]]],
    what: str,
    limit: Sequence[str],
    of: Callable[[dict[str, Any]], float],
) -> float:
    return statistics.median(of(one[what]) / sum(of(one[part]) for part in limit) for one in rounds)


def _seconds(result: dict[str, Any]) -> float:
    return float(result["seconds"])


def _cpu_seconds(result: dict[str, Any]) -> float:
    return float(result["cpu_seconds"] + result["mongod_cpu_seconds"])


def _print_ratios(ratios: Sequence[dict[str, Any]]) -> None:
    table = Table(title="Ratios, median of the rounds")
    for title in ("Entries", "Ratio", "Checkout", "By time", "By CPU"):
        table.add_column(title, justify="left" if title in ("Ratio", "Checkout") else "right")
    for row in ratios:
        table.add_row(
            f"{row['entries']:,}",
            row["ratio"],
            row["checkout"],
            f"{row['by_time']:.2f}",
            f"{row['by_cpu']:.2f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
