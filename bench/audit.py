"""`python -m bench.audit`: what the daily audit takes of time, memory and requests.

Days are delivered to a local folder and to the stand-in for Drive, and audited by `POST /audit`
of the function in a process of its own; once more with a short deadline, over several calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.load import process as load_process
from bench.load.process import FunctionProcess, cpu_seconds
from daybook.app import App
from daybook.export.outcome import Status
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate
from tests import commands
from tests.emulators.drive.remote import DriveProcess
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
DATABASE = "bench_audit"


@dataclass(frozen=True, kw_only=True)
class Measured:
    where: str
    files: int
    calls: int
    longest_seconds: float
    seconds: float
    cpu_seconds: float
    idle_mib: float
    peak_mib: float
    requests: str
    """To the stand-in for Drive, for each file."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000, help="entries of a day")
    parser.add_argument("--bad", type=int, default=100, help="rejected entries of a day")
    parser.add_argument("--days", type=int, nargs="+", default=[3, 30])
    parser.add_argument("--deadline", type=float, default=5.0, help="of the calls of the last row")
    options = parser.parse_args()
    if not load_process.available():
        sys.exit("bench.audit reads memory from /proc, so it needs Linux")
    found: list[Measured] = []
    with EmbeddedMongod(cache_gb=1.0) as mongod, DriveProcess() as drive:
        with TemporaryDirectory() as folder:
            env = {
                "DAYBOOK_MONGODB_URI": mongod.uri,
                "DAYBOOK_DATABASE": DATABASE,
                "DAYBOOK_DESTINATION": Path(folder).as_uri(),
            }
            found += _measured("local folder", env, options, lambda: None)
        env["DAYBOOK_DESTINATION"] = f"drive://{drive.state()['folderId']}"
        env["DAYBOOK_DRIVE_ENDPOINT"] = drive.url
        found += _measured("Drive", env, options, lambda: len(drive.state()["requests"]))
    _show(found, options)


def _measured(
    where: str,
    env: dict[str, str],
    options: argparse.Namespace,
    requests_so_far: Callable[[], int | None],
) -> Iterator[Measured]:
    _deliver(env, max(options.days), options.entries, options.bad)
    for days in options.days:
        yield _audit(where, env, days, requests_so_far)
    short = {**env, "DAYBOOK_RUN_DEADLINE_SECONDS": f"{options.deadline:g}"}
    yield _audit(where, short, max(options.days), requests_so_far)


def _deliver(env: dict[str, str], days: int, entries: int, bad: int) -> None:
    """Deliver that many days, the last of them yesterday's."""
    with MongoClient[dict[str, Any]](env["DAYBOOK_MONGODB_URI"]) as client:
        client.drop_database(DATABASE)
        migrate(client[DATABASE], now=datetime.now(UTC))
    app = App.from_env({**os.environ, **env})
    today = app.schedule_of("daily").today(app.now())
    for back in range(days, 0, -1):
        day = today - timedelta(days=back)
        at = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
        seed(app.database, entries=entries, bad=bad, at=at, seed=back)
        outcome = commands.run_day(app, day)
        assert outcome.status is Status.EXPORTED, outcome
        print(f"{day} delivered", file=sys.stderr)


def _audit(
    where: str, env: dict[str, str], days: int, requests_so_far: Callable[[], int | None]
) -> Measured:
    since = datetime.now(UTC).isoformat()
    took: list[float] = []
    checked, remaining = 0, 1
    before = requests_so_far()
    with _function(env) as (url, process):
        idle, cpu = process.resident_mib(), cpu_seconds(process.worker)
        process.reset_peak()
        while remaining:
            started = time.perf_counter()
            answer = requests.post(
                f"{url}/audit", json={"days": days + 1, "since": since}, timeout=1800
            )
            took.append(time.perf_counter() - started)
            found = answer.json()
            assert answer.status_code in (200, 202), found
            assert found["checkedCount"], found
            assert all(one["status"] == "unchanged" for one in found["days"]), found
            checked += found["checkedCount"]
            remaining = found["remainingCount"]
        asked = requests_so_far()
        return Measured(
            where=where,
            files=checked,
            calls=len(took),
            longest_seconds=max(took),
            seconds=sum(took),
            cpu_seconds=cpu_seconds(process.worker) - cpu,
            idle_mib=idle,
            peak_mib=process.peak_mib(),
            requests="" if asked is None or before is None else f"{(asked - before) / checked:.2f}",
        )


@contextmanager
def _function(env: dict[str, str]) -> Iterator[tuple[str, FunctionProcess]]:
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "functions_framework", "--target", "daybook"),
            *("--source", str(ROOT / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
        ],
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            try:
                requests.get(f"{url}/health", timeout=60)
            except requests.ConnectionError:
                assert process.poll() is None, "the function has ended"
                assert time.monotonic() < until, "the function does not answer"
                time.sleep(0.1)
            else:
                break
        yield url, FunctionProcess()
    finally:
        process.terminate()
        process.wait()


def _show(found: list[Measured], options: argparse.Namespace) -> None:
    table = Table(title=f"Days of {options.entries:,} entries and {options.bad:,} rejected")
    for title in (
        *("Where", "Files", "Calls", "Seconds", "Longest call", "CPU s"),
        *("Idle MiB", "Peak MiB", "Growth", "Requests"),
    ):
        table.add_column(title, justify="left" if title == "Where" else "right")
    for one in found:
        table.add_row(
            one.where,
            str(one.files),
            str(one.calls),
            f"{one.seconds:.1f}",
            f"{one.longest_seconds:.1f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.idle_mib:.0f}",
            f"{one.peak_mib:.0f}",
            f"{one.peak_mib - one.idle_mib:.0f}",
            one.requests,
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
