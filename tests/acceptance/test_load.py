"""`make load` on a day that is small enough for a test: its figures are there and agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.load import drive
from daybook.errors import ConfigurationError
from daybook.local.mongod import find_mongod

ROOT = Path(__file__).parents[2]
SLOWER = 0.2
ENTRIES, LINES = 300, 20  # of more than one chunk, so that a deadline can cut it up
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.load", *arguments],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, Any]]:
    try:
        find_mongod()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    done = load(
        *("--entries", str(ENTRIES), "--lines", str(LINES), "--rounds", "1"),
        *("--slower", str(SLOWER), "--deadline", "0.05", "--json"),
    )
    assert done.returncode == 0, done.stderr
    return {case["kind"]: case for case in json.loads(done.stdout)["cases"]}


@linux_only
@pytest.mark.parametrize("kind", ["one", "several"])
def test_every_entry_is_in_the_file_after_one_attempt(
    cases: dict[str, dict[str, Any]], kind: str
) -> None:
    case = cases[kind]
    assert (case["entries"], case["rows"]) == (ENTRIES, ENTRIES * LINES)
    assert case["attempts"] == 1
    assert case["sizeBytes"] == cases["one"]["sizeBytes"] > 3 * 262_144


@linux_only
@pytest.mark.parametrize("kind", ["one", "several"])
def test_the_times_fit_into_the_time_of_the_requests(
    cases: dict[str, dict[str, Any]], kind: str
) -> None:
    case = cases[kind]
    waits = [drive.ANSWER_SECONDS[name] * n for name, n in case["requests"].items()]
    sending = case["sizeBytes"] / drive.UPLOAD_BYTES_PER_SECOND
    # A chunk is sent while the next request may already wait, but never two at a time.
    assert case["driveSeconds"] >= SLOWER * (sum(waits) + sending)
    of_it = ("driveSeconds", "planSeconds", "markSeconds")
    assert min(case[name] for name in of_it) > 0
    assert sum(case[name] for name in of_it) < case["seconds"]
    assert case["minSeconds"] == case["seconds"] == case["rounds"][0]["seconds"]
    assert 0 < case["cpuSeconds"] < case["seconds"] * 2


@linux_only
@pytest.mark.parametrize("kind", ["one", "several"])
def test_the_peak_of_memory_is_the_idle_process_and_what_the_day_added(
    cases: dict[str, dict[str, Any]], kind: str
) -> None:
    case = cases[kind]
    assert case["peakMib"] == pytest.approx(case["idleMib"] + case["growthMib"])
    assert 10 < case["idleMib"] < case["peakMib"] < case["instanceMib"]
    assert 0 < case["growthMib"] < 100


@linux_only
def test_more_invocations_cost_mongodb_and_the_processor_more(
    cases: dict[str, dict[str, Any]],
) -> None:
    one, several = cases["one"], cases["several"]
    assert 10 < one["mongodCommands"] < several["mongodCommands"]
    assert 0 < one["cpuSeconds"] < several["cpuSeconds"]
    assert one["mongodCpuSeconds"] > 0


@linux_only
def test_a_day_of_one_invocation_asks_drive_twice(cases: dict[str, dict[str, Any]]) -> None:
    case = cases["one"]
    assert case["invocations"] == 1
    assert case["requests"] == {"create_multipart": 1, "generateIds": 1}
    assert case["requestCount"] == 2
    assert 0 < case["uploadedBytes"] - case["sizeBytes"] < 1000


@linux_only
def test_a_day_of_several_invocations_sends_every_byte_once(
    cases: dict[str, dict[str, Any]],
) -> None:
    case = cases["several"]
    requests = case["requests"]
    assert case["invocations"] > 2
    assert case["uploadedBytes"] == case["sizeBytes"]
    assert requests["session_open"] == requests["chunk_last"] == 1
    assert requests["session_query"] == case["invocations"] - 1
    assert requests["chunk"] == (case["sizeBytes"] - 1) // 262_144
    assert case["requestCount"] == sum(requests.values())


def test_help_names_the_sizes_that_it_takes_without_arguments() -> None:
    told = load("--help")
    assert told.returncode == 0
    assert "[5000, 10000]" in told.stdout


def test_a_size_that_is_none_is_refused() -> None:
    told = load("--entries", "0")
    assert told.returncode == 2
    assert "--entries: must be 1 or more, not 0" in told.stderr
