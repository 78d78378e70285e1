"""`python -m bench.page`: how long the status page takes, of 20 profiles and 90 days.

The queue holds a day's entries; the function runs in its own process and is asked over HTTP.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from daybook.local.mongod import EmbeddedMongod
from daybook.mongo.migrate import migrate
from tests import books, page_world
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
PROFILES = 20
INSERTED_AT_ONCE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="queued entries")
    parser.add_argument("--requests", type=int, default=30)
    options = parser.parse_args()
    names = ["daily", *(f"profile-{number:02}" for number in range(1, PROFILES))]
    with EmbeddedMongod() as mongod, TemporaryDirectory() as folder:
        database = MongoClient[dict[str, Any]](mongod.uri, tz_aware=True)["bench"]
        migrate(database, now=datetime.now(UTC))
        fill(database, names, options.entries)
        port = free_port()
        process = serve(mongod.uri, folder, names, port)
        try:
            measure(f"http://127.0.0.1:{port}/", options.requests)
        finally:
            process.terminate()
            process.wait()


def fill(database: Database[dict[str, Any]], names: list[str], entries: int) -> None:
    """Ninety days of each profile, and as many queued items of all of them."""
    today = datetime.now(UTC).date() - timedelta(days=1)
    for name in names:
        page_world.usual_days(database, profile=name, first=0, today=today)
    for first in range(0, entries, INSERTED_AT_ONCE):
        count = min(INSERTED_AT_ONCE, entries - first)
        items = [
            books.queue_item(ObjectId(), profile=names[number % len(names)])
            for number in range(count)
        ]
        database["exportqueues"].insert_many(items)


def serve(uri: str, folder: str, names: list[str], port: int) -> subprocess.Popen[bytes]:
    profiles = "".join(f'["{name}"]\npreset = "generic"\n' for name in names[1:])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "functions_framework", "--target", "daybook"),
            *("--source", str(ROOT / "main.py"), "--host", "127.0.0.1", "--port", str(port)),
        ],
        env={
            **os.environ,
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": "bench",
            "DAYBOOK_DESTINATION": Path(folder).as_uri(),
            "DAYBOOK_PROFILES": profiles,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/health", timeout=60)
        except requests.ConnectionError:
            assert process.poll() is None, "the function has ended"
            assert time.monotonic() < until, "the function does not answer"
            time.sleep(0.1)
        else:
            return process


def measure(url: str, count: int) -> None:
    times, size = [], 0
    with requests.Session() as session:
        for _ in range(count + 1):
            started = time.perf_counter()
            page = session.get(url, headers={"Accept": "text/html"}, timeout=60)
            times.append((time.perf_counter() - started) * 1000)
            assert page.status_code == 200, page.text[:500]
            size = len(page.content)
    first, *others = times
    print(f"the first request of a process: {first:.0f} ms")
    print(
        f"others: {statistics.median(others):.0f} ms in the middle, {min(others):.0f} at best, "
        f"{max(others):.0f} at worst; {size / 1024:.0f} kB"
    )


if __name__ == "__main__":
    main()
