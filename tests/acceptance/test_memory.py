"""What a run takes of memory: little, and no more for a larger batch."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.local.sample import seed
from daybook.mongo.migrate import migrate
from tests.emulators.drive.remote import DriveProcess

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os
from datetime import date
from pathlib import Path
from daybook.app import App
from daybook.export.run import run_day

def peak_kb():
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

app = App.from_env(os.environ)
app.database.command("ping")
app.destination
idle_kb = peak_kb()
outcome = run_day(app.exporter(app.profile()), date(2026, 1, 18))
print(outcome.status, outcome.facts["entryCount"], idle_kb // 1024, peak_kb() // 1024)
"""


def idle_and_peak_mb(uri: str, drive: DriveProcess, entries: int) -> tuple[int, int]:
    """Before the run, connected to MongoDB, and at its worst."""
    name = f"memory_{ObjectId()}"
    with MongoClient[dict[str, object]](uri) as client:
        migrate(client[name], now=datetime.now(UTC))
        seed(client[name], entries=entries, at=datetime(2026, 1, 18, 10, tzinfo=UTC))
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": name,
            "DAYBOOK_DESTINATION": f"drive://{drive.state()['folderId']}",
            "DAYBOOK_DRIVE_ENDPOINT": drive.url,
            "DAYBOOK_CSV_TIMEOUT_SECONDS": "300",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        client.drop_database(name)
    status, count, idle, peak = done.stdout.split()
    assert (status, int(count)) == ("exported", entries)
    return int(idle), int(peak)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("many", [30_000, pytest.param(200_000, marks=pytest.mark.storm)])
def test_ten_thousand_entries_cost_less_than_100_mb_and_many_hardly_more(
    mongo_uri: str, many: int
) -> None:
    with DriveProcess() as drive:
        idle, small = idle_and_peak_mb(mongo_uri, drive, 10_000)
        _, large = idle_and_peak_mb(mongo_uri, drive, many)
    assert small - idle < 100, f"{idle} MB before a run of 10,000 entries, {small} MB at most"
    assert large - small < 30, f"{small} MB at 10,000 entries, {large} MB at {many:,}"
