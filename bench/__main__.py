"""`make bench`: entries per second and peak memory, beside two references of the same run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.two_collections import separate
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate
from tests.emulators.drive_remote import DriveProcess

ROOT = Path(__file__).parents[1]
FOLDER = "folderId"
WHAT = ("raw", "naive", "render", "render_two", "run")
TITLES = {
    "raw": "both collections as raw bytes",
    "naive": "naive: all in memory, one $in, csv",
    "render": "Daybook: read and render",
    "render_two": "the same, lines in a second collection",
    "run": "Daybook: whole run into Drive",
}


def main() -> None:
    options = _options()
    results: list[dict[str, Any]] = []
    with EmbeddedMongod(cache_gb=options.cache_gb) as mongod, DriveProcess() as drive:
        client = MongoClient[dict[str, Any]](mongod.uri)
        for entries in options.entries:
            for round_ in range(options.rounds):
                for what in WHAT:
                    database = f"bench_{entries}"
                    _prepare(client, database, entries, fresh=what == "run" or round_ == 0)
                    result = _measure(what, mongod.uri, database, drive)
                    results.append({"entries": entries, "round": round_, **result})
                    print(f"{entries:>9,} {what:<10} {result['seconds']:8.3f} s", file=sys.stderr)
            client.drop_database(f"bench_{entries}")
    summary = _summary(results, options.entries)
    _print(summary, options.rounds)
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
        default=[5_000, 10_000, 100_000],
        help="how many queued entries, two lines each (1000000 takes some minutes)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--cache-gb", type=float, default=1.0, help="MongoDB's cache")
    return parser.parse_args()


def _prepare(client: MongoClient[dict[str, Any]], name: str, entries: int, *, fresh: bool) -> None:
    """Sample entries, all queued; a run leaves the database changed, so it gets a fresh one."""
    database = client[name]
    if not fresh and database["exportqueues"].count_documents({"status": "queued"}) == entries:
        return
    client.drop_database(name)
    migrate(database, now=datetime.now(UTC))
    seed(database, entries=entries, at=datetime(2026, 1, 18, 10, tzinfo=UTC))
    separate(database)


def _measure(what: str, uri: str, database: str, drive: DriveProcess) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure", what],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
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


def _summary(results: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Medians per size and kind, and each one's ratio to the naive way of the same size."""
    summary = []
    for entries in sizes:
        median = {
            what: statistics.median(
                result["seconds"]
                for result in results
                if (result["entries"], result["what"]) == (entries, what)
            )
            for what in WHAT
        }
        for what in WHAT:
            of_it = [r for r in results if (r["entries"], r["what"]) == (entries, what)]
            summary.append(
                {
                    "entries": entries,
                    "what": what,
                    "seconds": median[what],
                    "entries_per_second": entries / median[what],
                    "times_as_fast_as_naive": median["naive"] / median[what],
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
            f"{row['times_as_fast_as_naive']:.2f}",
            f"{row['peak_mb']:.0f}",
            f"{row['over_idle_mb']:.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
