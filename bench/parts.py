"""`python -m bench.parts`: where reading and rendering spend their time, per entry.

CPU is that of this process or of mongod, so it hardly depends on what else the machine does.
Waiting does: it is the time in which the rendering thread had nothing to work on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from rich.console import Console
from rich.table import Table

from bench.load.process import cpu_seconds
from bench.measure import DAY
from daybook.app import App
from daybook.export.model.part import Part
from daybook.export.model.profile import DAILY
from daybook.export.rendering.cells.values import RejectedValue, missing
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.source import PAGE_SIZE, EntrySource
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.mongo.migrate import migrate

DATABASE = "bench_parts"
PARTS = (
    "raw bytes of both collections: mongod",
    "projection: mongod",
    "receiving: client",
    "decoding and finding by ID: client",
    "formatting and adding up: client",
    "waiting for the next page: client",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parts", description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with EmbeddedMongod(cache_gb=1.0) as mongod, MongoClient[dict[str, Any]](mongod.uri) as client:
        migrate(client[DATABASE], now=datetime.now(UTC))
        seed(client[DATABASE], entries=options.entries, at=datetime(2026, 1, 18, 10, tzinfo=UTC))
        app = App.from_env(
            {
                **os.environ,
                "DAYBOOK_MONGODB_URI": mongod.uri,
                "DAYBOOK_DATABASE": DATABASE,
                "DAYBOOK_DESTINATION": "file:///tmp",
            }
        )
        measured = defaultdict[str, list[float]](list)
        for _ in range(options.rounds):
            for part, seconds in _round(app, mongod.pid).items():
                measured[part].append(seconds / options.entries * 1e6)
    _print(measured, options)


class _Decoded:
    """A page whose entries are found already."""

    def __init__(self, found: list[Mapping[str, Any] | None]) -> None:
        self._found = found

    def find(self, _entry_ids: Sequence[Any]) -> list[Mapping[str, Any] | None]:
        return self._found

    def why_missing(self, entry_id: Any) -> RejectedValue:
        return missing(entry_id)


def _round(app: App, mongod: int) -> dict[str, float]:
    """Seconds of each part, for all entries."""
    seconds = dict.fromkeys(PARTS, 0.0)

    def of_mongod(part: str, work: Callable[[], object]) -> None:
        before = cpu_seconds(mongod)
        work()
        seconds[part] += cpu_seconds(mongod) - before

    database, profile = app.database, app.profile(DAILY)
    for name in ("exportqueues", "journalentries"):
        of_mongod(PARTS[0], partial(_all_bytes, database[name]))
    items = list(database["exportqueues"].find({}, {"entryId": 1}).sort("_id", 1))
    ids = [item["entryId"] for item in items]
    parts = [
        Part(number=at, queue_ids=page, entry_ids=page, duplicates={})
        for at, page in enumerate(
            ids[start : start + PAGE_SIZE] for start in range(0, len(ids), PAGE_SIZE)
        )
    ]
    source, renderer = EntrySource(database, profile), Renderer(profile, DAY)
    pages: list[Any] = []
    began = time.thread_time()
    of_mongod(PARTS[1], lambda: pages.extend(source.read(part.entry_ids) for part in parts))
    seconds[PARTS[2]] = time.thread_time() - began
    for part, page in zip(parts, pages, strict=True):
        began = time.thread_time()
        found = page.find(part.entry_ids)
        seconds[PARTS[3]] += time.thread_time() - began
        began = time.thread_time()
        renderer.part(part, _Decoded(found))
        seconds[PARTS[4]] += time.thread_time() - began
    pages.clear()
    for part, reading in source.read_ahead(parts):
        waited = time.perf_counter()
        page = reading.result()
        seconds[PARTS[5]] += time.perf_counter() - waited
        renderer.part(part, page)
    return seconds


def _all_bytes(collection: Collection[dict[str, Any]]) -> None:
    for _ in collection.find_raw_batches({}):
        pass


def _print(measured: Mapping[str, Sequence[float]], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.entries:,} entries of two lines, {options.rounds} rounds")
    table.add_column("Part")
    for title in ("least", "median, µs per entry"):
        table.add_column(title, justify="right")
    for part in PARTS:
        values = measured[part]
        table.add_row(part, f"{min(values):.1f}", f"{statistics.median(values):.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
