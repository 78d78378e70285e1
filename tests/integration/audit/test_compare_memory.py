"""`compare` holds neither of the two files in memory."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from daybook.export.model.profile import Profile

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from daybook.audit.other_system import compare_tables, keep, naming, paired
from daybook.audit.spool import Side, Spool
from daybook.audit.table import read_table
from daybook.export.model.profile import Profile

def peak_kib():
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

profile = Profile(name="daily")
idle = peak_kib()
with open(sys.argv[1], "rb") as first, open(sys.argv[2], "rb") as second, Spool() as spool:
    ours, theirs = read_table(first, where="ours"), read_table(second, where="theirs")
    pairs = paired(profile, theirs.titles, {})
    key = naming(pairs, None)
    keep(spool, Side.THEIRS, theirs.rows, key)
    keep(spool, Side.OURS, ours.rows, key)
    found = compare_tables(
        profile, pairs, key, spool,
        our_titles=ours.titles, their_titles=theirs.titles, reasons={},
    )
print((peak_kib() - idle) // 1024, found.our_entries, found.their_entries)
print(*found.only_ours)
print(*found.only_theirs)
print(*(one.entry for one in found.differing))
"""
TITLES = tuple(column.title for column in Profile(name="daily").columns)


def rows(numbers: Iterable[int], amount: str = "100.00") -> Iterator[tuple[str, ...]]:
    for number in numbers:
        about = ("2026-01-18", f"RV-{number}", "ค่าเช่าสำนักงาน " * 4, "1110", "เงินสด")
        for line, sides in enumerate(((amount, ""), ("", amount)), start=1):
            yield (f"{number:024}", str(line), *about, *sides, "", "THB")


def written(path: Path, *blocks: Iterator[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TITLES)
        for block in blocks:
            writer.writerows(block)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("entries", [60_000, pytest.param(500_000, marks=pytest.mark.storm)])
def test_memory_does_not_grow_with_the_files_and_every_difference_is_found(
    tmp_path: Path, entries: int
) -> None:
    ours = written(tmp_path / "ours.csv", rows(range(entries)))
    # Theirs backwards: one entry missing, one with other amounts, one more.
    theirs = written(
        tmp_path / "theirs.csv",
        rows(range(entries - 1, 100, -1)),
        rows([entries]),
        rows([50], "100.01"),
        rows(range(100, 50, -1)),
        rows(range(49, 7, -1)),
        rows(range(7)),
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ours), str(theirs)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    counts, *differences = done.stdout.splitlines()
    growth_mib, our_entries, their_entries = map(int, counts.split())
    assert (our_entries, their_entries) == (entries, entries)
    assert differences == [f"{7:024}", f"{entries:024}", f"{50:024}"]
    # Of 60,000 entries the two files together have 65 MB.
    assert growth_mib < 30, f"{growth_mib} MiB for {ours.stat().st_size:,} bytes each"
