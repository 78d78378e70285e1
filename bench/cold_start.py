"""`python -m bench.cold_start`: what a function's process costs before it answers.

Each row is a new process: importing what no function can do without, importing `main` for each
target, and the first request after it (a run of 100 entries into the Drive stand-in; a debit).
The rows are measured in turn, so their ratios hold on a busy machine; processor time is the
steadier figure. `--beside ROOT` measures another checkout in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.ledger import holder
from daybook.ledger_app import LedgerApp
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate
from daybook.settings.settings import Settings
from tests.emulators.drive.remote import DriveProcess

ROOT = Path(__file__).parents[1]
ENTRIES = 100
BASE = "functions-framework, pymongo"
WITH_HANDLER = "the same, google.cloud.logging's handler"
COLUMNS = ("import_ms", "import_cpu_ms", "import_mb", "answered_ms", "answered_cpu_ms")


def main() -> None:
    options = _options()
    rows = {BASE: ("packages", ROOT, True), WITH_HANDLER: ("and_handler", ROOT, True)}
    for name, root in (("before: main", options.beside), ("main", ROOT)):
        if root is not None:
            for target in ("daybook", "ledger"):
                rows[f"{name}, {target}"] = (target, root.resolve(), True)
    rows["main, daybook, not compiled"] = ("daybook", ROOT, False)
    with EmbeddedMongod() as mongod, DriveProcess() as drive, TemporaryDirectory() as folder:
        measured = measure(rows, options.rounds, mongod.uri, drive, Path(folder))
    _print(measured, options.rounds)


def measure(
    rows: Mapping[str, tuple[str, Path, bool]],
    rounds: int,
    uri: str,
    drive: DriveProcess,
    folder: Path,
) -> dict[str, dict[str, float]]:
    """Medians by row and column; the first round fills the cache of bytecode and is left out."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    client = MongoClient[dict[str, Any]](uri)
    for round_ in range(rounds + 1):
        for number, (name, (what, root, compiled)) in enumerate(rows.items()):
            database = f"cold_{round_}_{number}"
            env = _env(uri, database, drive)
            if what == "daybook":
                migrate(client[database], now=datetime.now(UTC))
                seed(client[database], entries=ENTRIES, at=datetime(2026, 1, 18, 10, tzinfo=UTC))
            if what == "ledger":
                env["BENCH_DEBIT"] = _debit(env)
            result = _process(what, root, {**env, **_bytecode(folder, compiled, root)})
            client.drop_database(database)
            if round_ and result is not None:
                results[name].append(result)
    return {
        name: {column: statistics.median(each[column] for each in of_it) for column in of_it[0]}
        for name, of_it in results.items()
        if of_it
    }


def _env(uri: str, database: str, drive: DriveProcess) -> dict[str, str]:
    folder_id = drive.state()["folderId"]
    return {
        "DAYBOOK_MONGODB_URI": uri,
        "DAYBOOK_DATABASE": database,
        "DAYBOOK_DESTINATION": f"drive://{folder_id}",
        "DAYBOOK_DRIVE_ENDPOINT": drive.url,
    }


def _bytecode(folder: Path, compiled: bool, root: Path) -> dict[str, str]:
    """Where the bytecode is; not compiled: that of the packages alone, as a build may leave it."""
    cache = folder / "compiled"
    if compiled:
        return {"PYTHONPYCACHEPREFIX": str(cache)}
    without = folder / "not-compiled"
    if not without.exists() and cache.exists():
        own = str(root.resolve()).lstrip("/")
        shutil.copytree(cache, without)
        shutil.rmtree(without / own / "src")
        for file in (without / own).glob("main.*"):
            file.unlink()
    return {"PYTHONPYCACHEPREFIX": str(without), "PYTHONDONTWRITEBYTECODE": "1"}


def _debit(env: Mapping[str, str]) -> str:
    app = LedgerApp(Settings.from_env(env))
    migrate(app.database, now=datetime.now(UTC))
    owner = holder(app.ledger)
    app.client.close()
    return f"/wallets/{owner}/debits"


def _process(what: str, root: Path, env: Mapping[str, str]) -> dict[str, float] | None:
    """None where a package is missing."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "DAYBOOK_"))
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "cold_start_process.py"), what, str(root)],
        env={**inherited, **env, "PYTHONPATH": str(root / "src")},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ModuleNotFoundError: No module named 'google" in done.stderr:
        return None
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print(measured: Mapping[str, Mapping[str, float]], rounds: int) -> None:
    of = WITH_HANDLER if WITH_HANDLER in measured else BASE
    table = Table(title=f"Median of {rounds} rounds, a process each; x: of '{of}'")
    table.add_column("What")
    titles = ("Import ms", "x", "CPU ms", "x", "MB", "With first request ms", "CPU ms")
    for title in titles:
        table.add_column(title, justify="right")
    for name, row in measured.items():
        cells = []
        for column in COLUMNS:
            cells.append(f"{row[column]:.0f}" if column in row else "")
            if column in ("import_ms", "import_cpu_ms"):
                cells.append(f"{row[column] / measured[of][column]:.2f}")
        table.add_row(name, *cells)
    Console(width=120).print(table)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    parser.add_argument("--beside", type=Path, help="another checkout, measured as 'before'")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
