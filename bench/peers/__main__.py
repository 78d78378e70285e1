"""`make bench-peers`: other programs and Daybook at the same documents, in turn, in one run.

Each peer has an environment of its own under `build/peers`, from pinned packages. What a peer
can do is read from the files that it has written and from the queue that it has left.
The exit code is 1 when a peer could not be installed or has failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from rich.console import Console
from rich.table import Table

from bench.load.process import Peaks
from bench.peers.peers import DAYBOOK, HERE, PEERS, WORKS, Peer, Task
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate

BUILD = HERE.parents[1] / "build" / "peers"
AT = datetime(2026, 1, 18, 3, tzinfo=UTC)
DONE_SHARE = 10
"""One entry of so many is in the queue as exported already."""
EXACT = "12345678901234567.89"
"""An amount with more digits than a double has."""
QUOTED = 'ซื้อ "สินค้า", งวดที่ 1\nline two'
FORMULA = "=HYPERLINK(1)"
CHECKS = ("join", "row per line", "exact decimals", "quotes", "guard", "marking")


class Failed(Exception):
    """A peer could not be installed, or has ended with an error."""


def main() -> None:
    options = _options()
    csv.field_size_limit(sys.maxsize)
    peers = [peer for peer in PEERS if not options.only or peer.name in options.only]
    failures: dict[str, str] = {}
    results: list[dict[str, Any]] = []
    programs: dict[str, Path] = {}
    for peer in peers:
        try:
            for environment in peer.environments:
                programs[environment] = install(environment)
        except Failed as error:
            failures[peer.name] = str(error)
    with EmbeddedMongod(cache_gb=1.0) as mongod, TemporaryDirectory() as folder:
        client = MongoClient[dict[str, Any]](mongod.uri)
        for round_ in range(options.rounds + 1):
            database = client[f"peers_{round_}"]
            references = prepare(database, options.entries)
            for peer in peers:
                for work in WORKS:
                    if peer.name in failures or work in peer.cannot:
                        continue
                    task = Task(
                        work=work,
                        uri=mongod.uri,
                        database=database.name,
                        folder=Path(folder) / f"{round_}-{work}-{PEERS.index(peer)}",
                        programs=programs,
                    )
                    try:
                        result = run(peer, task, database, references)
                    except Failed as error:
                        failures[peer.name] = str(error)
                        continue
                    if round_:  # the first one compiles and warms up
                        results.append(result)
                    print(f"{peer.name:<34}{work:<8}{result['seconds']:8.2f} s", file=sys.stderr)
            client.drop_database(database.name)
    summary = _summary(results)
    if options.json:
        print(json.dumps({"failures": failures, "summary": summary}, indent=2))
    else:
        _print(summary, options)
    for name, why in failures.items():
        print(f"NOT MEASURED: {name}: {why}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def install(environment: str) -> Path:
    """The folder of programs of an environment with the pinned packages."""
    pinned, folder = HERE / f"{environment}.txt", BUILD / environment
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != pinned.read_text():
        print(f"Installing {environment}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(pinned)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failed(f"{environment} cannot be installed: {done.stderr.strip()[-500:]}")
        stamp.write_text(pinned.read_text())
    return folder / "bin"


def prepare(database: Database[dict[str, Any]], entries: int) -> dict[str, bool]:
    """Journal entries of two lines, and a queue; the result is reference → whether queued."""
    migrate(database, now=AT)
    seed(database, entries=entries, at=AT)
    queue, journal = database["exportqueues"], database["journalentries"]
    done = [item["_id"] for item in queue.find({}, {"_id": 1}).limit(entries // DONE_SHARE)]
    queue.update_many({"_id": {"$in": done}}, {"$set": {"status": "completed"}})
    for description in (QUOTED, FORMULA):
        sides = ((EXACT, "0"), ("0", EXACT))
        lines = [
            {
                "accountCode": "1100",
                "accountName": "Cash",
                "debit": Decimal128(debit),
                "credit": Decimal128(credit),
            }
            for debit, credit in sides
        ]
        entry = {
            "_id": ObjectId(),
            "date": AT,
            "reference": f"PEERS-{len(description)}",
            "description": description,
            "currency": "THB",
            "lines": lines,
        }
        journal.insert_one(entry)
        item = queue.find_one({"status": "queued"}) or {}
        queue.insert_one({**item, "_id": ObjectId(), "entryId": entry["_id"]})
    queued = set(queue.distinct("entryId", {"status": "queued"}))
    return {one["reference"]: one["_id"] in queued for one in journal.find({}, {"reference": 1})}


def run(
    peer: Peer, task: Task, database: Database[dict[str, Any]], references: dict[str, bool]
) -> dict[str, Any]:
    """Time and memory of the peer's processes together, and what its files show."""
    task.folder.mkdir(parents=True)
    log = task.folder / "log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "DAYBOOK_"))
    }
    with log.open("w") as errors:
        processes: list[subprocess.Popen[bytes]] = []
        commands = peer.commands(task)
        started = time.perf_counter()
        for command in commands:
            last = len(processes) == len(commands) - 1
            processes.append(
                subprocess.Popen(
                    command,
                    stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                    stdout=errors if last else subprocess.PIPE,
                    stderr=errors,
                    env={**environment, **task.environment},
                    cwd=task.folder,
                )
            )
        for process in processes[:-1]:
            assert process.stdout is not None
            process.stdout.close()  # the next process has it
        with Peaks([process.pid for process in processes]) as peaks:
            used = [os.wait4(process.pid, 0) for process in processes]
        seconds = time.perf_counter() - started
    for process, (_, status, _) in zip(processes, used, strict=True):
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"exit code {process.returncode}: {log.read_text().strip()[-500:]}")
    shown = checks(task.folder, database, references)
    if shown is None:
        raise Failed(f"no entry is in its files: {log.read_text().strip()[-500:]}")
    return {
        "peer": peer.name,
        "work": task.work,
        "seconds": seconds,
        "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for _, _, usage in used),
        "peak_mb": sum(peaks.mib.values()),
        "checks": shown,
    }


def checks(
    folder: Path, database: Database[dict[str, Any]], references: dict[str, bool]
) -> dict[str, bool] | None:
    """What the files in the folder show, whatever columns they have; None: no entry at all."""
    rows, found = 0, set()
    exact = quoted = guarded = False
    for file in folder.glob("*.csv"):
        with file.open(newline="", encoding="utf-8-sig") as text:
            for row in csv.reader(text):
                rows += 1
                found.update(cell for cell in row if cell in references)
                exact = exact or EXACT in row
                quoted = quoted or QUOTED in row
                guarded = guarded or f"'{FORMULA}" in row
        rows -= 1  # the header
    if not found:
        return None
    queued = {reference for reference, is_queued in references.items() if is_queued}
    return {
        "join": found == queued,
        "row per line": rows == 2 * len(found),
        "exact decimals": exact,
        "quotes": quoted,
        "guard": guarded,
        "marking": database["exportqueues"].count_documents({"status": "queued"}) == 0,
    }


def _summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians by peer and work, and how many times as long as `DAYBOOK` each took."""
    kinds = list(dict.fromkeys((result["peer"], result["work"]) for result in results))
    summary = []
    for peer, work in kinds:
        of_it = [result for result in results if (result["peer"], result["work"]) == (peer, work)]
        summary.append(
            {
                "peer": peer,
                "work": work,
                **{
                    figure: statistics.median(result[figure] for result in of_it)
                    for figure in ("seconds", "cpu_seconds", "peak_mb")
                },
                "checks": {
                    check: all(result["checks"][check] for result in of_it) for check in CHECKS
                },
            }
        )
    own = next((row for row in summary if row["peer"] == DAYBOOK.name), None)
    for row in summary:
        for figure in ("seconds", "cpu_seconds"):
            row[f"times_{figure}"] = row[figure] / own[figure] if own else None
    return summary


def _print(summary: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    table = Table(
        title=f"{options.entries:,} entries of two lines, median of {options.rounds} rounds; "
        f"x: times '{DAYBOOK.name}'"
    )
    for title in ("Peer", "Work"):
        table.add_column(title)
    for title in ("Seconds", "x", "CPU s", "x", "Peak MB"):
        table.add_column(title, justify="right")
    for title in CHECKS:
        table.add_column(title)
    for row in summary:
        table.add_row(
            row["peer"],
            row["work"],
            f"{row['seconds']:.2f}",
            _times(row["times_seconds"]),
            f"{row['cpu_seconds']:.2f}",
            _times(row["times_cpu_seconds"]),
            f"{row['peak_mb']:.0f}",
            *("yes" if row["checks"][check] else "no" for check in CHECKS),
        )
    Console(width=150).print(table)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000, help="journal entries")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--only", nargs="+", metavar="PEER", help="by name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
