"""Reading and rendering, against the obvious way, on the same documents in the same run.

    python -m bench.render_bench [ENTRIES]

Each measurement has a process of its own, so that peak memory is its own, too;
the ways take turns, and the fastest round of each counts.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from bench.naive import naive_csv
from daybook.export.part import PART_SIZE, Part
from daybook.export.profile import Profile
from daybook.export.render import Renderer
from daybook.export.source import EntrySource
from daybook.local.mongod import EmbeddedMongod

DATABASE = "daybook_render_bench"
_DAY = date(2026, 1, 18)
_ACCOUNTS = [
    (f"{group}-{number:04d}", f"บัญชี {number} ลูกหนี้การค้า")
    for group in range(1, 6)
    for number in range(40)
]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way of making the file."""

    seconds: float
    """From the first request to the last byte, reading included."""
    cpu_seconds: float
    """Of the client alone."""
    peak_mb: float
    """Above what the process held before it began."""
    sha256: str

    def __str__(self) -> str:
        return f"{self.seconds:6.2f} s  {self.cpu_seconds:6.2f} s cpu  {self.peak_mb:6.0f} MB"


def fill(database: Database[Any], count: int) -> list[ObjectId]:
    """Store entries of two lines with Decimal128 amounts, the same ones each time."""
    chance = random.Random(18)  # noqa: S311 -- sample data
    database.journalentries.drop()
    start = datetime.combine(_DAY, datetime.min.time(), UTC) - timedelta(days=1)
    zero = Decimal128("0.00")
    ids: list[ObjectId] = []
    batch: list[dict[str, Any]] = []
    for number in range(count):
        amount = Decimal128(f"{chance.randrange(100, 10**7)}.{chance.randrange(100):02d}")
        debit, credit = chance.sample(_ACCOUNTS, 2)
        ids.append(ObjectId())
        batch.append(
            {
                "_id": ids[-1],
                "date": start + timedelta(seconds=chance.randrange(86400)),
                "reference": f"INV-2026-{number:06d}",
                "description": f"ขายสินค้า ใบแจ้งหนี้ {number}",
                "currency": "THB",
                "lines": [_line(debit, amount, zero), _line(credit, zero, amount)],
            }
        )
        if len(batch) == PART_SIZE or number + 1 == count:
            database.journalentries.insert_many(batch)
            batch = []
    return ids


def parts(ids: Sequence[Any]) -> Iterator[Part]:
    for number, start in enumerate(range(0, len(ids), PART_SIZE)):
        page = list(ids[start : start + PART_SIZE])
        yield Part(number=number, queue_ids=page, entry_ids=page, duplicates={})


def daybook_csv(database: Database[Any], ids: Sequence[Any]) -> str:
    """Read one page ahead while rendering, as a run does. Returns the file's SHA-256."""
    profile = Profile(name="daily")
    renderer = Renderer(profile, _DAY)
    source = EntrySource(database, profile)
    digest = hashlib.sha256(renderer.header())
    for part, rows in source.read_ahead(parts(ids)):
        digest.update(renderer.part(part, rows.result()))
    assert not renderer.figures().rejected
    return digest.hexdigest()


def naive_sha256(database: Database[Any], ids: Sequence[Any]) -> str:
    return hashlib.sha256(naive_csv(database, ids)[0]).hexdigest()


WAYS: dict[str, Callable[[Database[Any], Sequence[Any]], str]] = {
    "naive": naive_sha256,
    "daybook": daybook_csv,
}


def measure(uri: str, way: str, *, database: str = DATABASE) -> Measured:
    """Make the file once, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure_here, (uri, way, database))


def compare(uri: str, *, rounds: int = 3, database: str = DATABASE) -> dict[str, Measured]:
    """The fastest of several rounds of each way. Raises when their bytes differ."""
    best: dict[str, Measured] = {}
    for _ in range(rounds):
        for way in WAYS:
            measured = measure(uri, way, database=database)
            if way not in best or measured.seconds < best[way].seconds:
                best[way] = measured
    if len({measured.sha256 for measured in best.values()}) != 1:
        raise AssertionError(f"the ways make different files: {best}")
    return best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with EmbeddedMongod() as mongod:
        with MongoClient[dict[str, Any]](mongod.uri) as client:
            fill(client[DATABASE], count)
        best = compare(mongod.uri)
    for way, measured in best.items():
        print(f"{way:8} {measured}")
    print(f"{best['naive'].seconds / best['daybook'].seconds:.1f} times as fast")


def _line(account: tuple[str, str], debit: Decimal128, credit: Decimal128) -> dict[str, Any]:
    return {
        "accountCode": account[0],
        "accountName": account[1],
        "debit": debit,
        "credit": credit,
    }


def _measure_here(uri: str, way: str, database: str) -> Measured:
    with MongoClient[dict[str, Any]](uri, readConcernLevel="majority") as client:
        entries = client[database].journalentries
        ids = [entry["_id"] for entry in entries.find({}, {"_id": 1}).sort("_id", 1)]
        before_mb = _peak_mb()
        began, began_cpu = time.perf_counter(), time.process_time()
        sha256 = WAYS[way](client[database], ids)
        return Measured(
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - began_cpu,
            peak_mb=_peak_mb() - before_mb,
            sha256=sha256,
        )


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
