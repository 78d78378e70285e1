"""schemathesis against both functions as they run: what they answer is what they describe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from bson import ObjectId
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests import books, options
from tests.acceptance.wire import Server, serving
from tests.fuzz.openapi_hooks import DELIVERED, ENTRIES, OPEN_DAYS, OWNERS

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

HOOKS = "tests.fuzz.openapi_hooks"
EXAMPLES = 5
SEED = 20260118
EXCLUDED = (
    "ignored_auth",  # Cloud Run asks for the token
    "positive_data_acceptance",  # in its place: accepts_what_its_schema_allows
)
ROOT = Path(__file__).parents[2]


def budget() -> list[str]:
    """The same few examples each time, or others for as long as it is asked for."""
    seconds = options.get("FUZZ_SECONDS")
    if seconds:
        return ["--max-time", str(max(1, int(float(seconds))))]
    return ["--max-examples", str(EXAMPLES), "--seed", str(SEED)]


def run_schemathesis(server: Server, folder: Path, **env: str) -> None:
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", url, *budget()),
        *("--exclude-checks", ",".join(EXCLUDED), "--continue-on-failure", "--no-color"),
        *("--warnings", "off", "--generation-database", "none"),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": HOOKS,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.errors() == []


@pytest.fixture
def stage(database: Db, tmp_path: Path) -> Path:
    """A folder for what the processes say and deliver, beside a migrated database."""
    migrate(database, now=datetime.now(UTC))
    return tmp_path


def test_the_ledger_answers_what_it_describes(database: Db, mongo_uri: str, stage: Path) -> None:
    chosen = {"DAYBOOK_LEDGER_INVITE_CODES": "chosen"}
    with serving("ledger", mongo_uri, database.name, stage, **chosen) as ledger:
        run_schemathesis(ledger, stage, **{OWNERS: " ".join(owners_with_money(ledger))})


def owners_with_money(ledger: Server) -> list[str]:
    owners = [str(ObjectId()) for _ in range(5)]
    for owner in owners:
        assert post(ledger, "/wallets", {"ownerUserId": owner}).status_code == 201
        body = {"amountPaise": 10**15, "type": "topup"}
        path = f"/wallets/{owner}/credits"
        assert post(ledger, path, body, Idempotency_Key=owner).status_code == 201
    return owners


def test_the_export_answers_what_it_describes(database: Db, mongo_uri: str, stage: Path) -> None:
    files = stage / "files"
    place = {"DAYBOOK_DESTINATION": files.as_uri()}
    with serving("daybook", mongo_uri, database.name, stage, **place) as export:
        for day in OPEN_DAYS:  # there is no folder yet
            books.put_many(database, 1)
            failed = post(export, "/run", {"batchDate": day.isoformat()})
            assert failed.json()["status"] == "failed", failed.text
        files.mkdir()
        books.put_many(database, 1)
        done = post(export, "/run", {"batchDate": DELIVERED.isoformat()})
        assert done.json()["status"] == "exported", done.text
        corrected = rejected_and_corrected(database, export)
        run_schemathesis(export, stage, **{ENTRIES: " ".join(corrected)})


def rejected_and_corrected(database: Db, export: Server) -> list[str]:
    """Entries that a run has rejected, and that requeueing would now take."""
    entries = [books.entry(f"WRONG-{number}", currency="BAHT") for number in range(20)]
    books.put(database, *entries)
    done = post(export, "/run", {"batchDate": "2025-12-31"})
    assert done.json()["rejectedCount"] == len(entries), done.text
    database["journalentries"].update_many({"currency": "BAHT"}, {"$set": {"currency": "THB"}})
    return [str(entry["_id"]) for entry in entries]


def post(server: Server, path: str, body: Mapping[str, Any], **headers: str) -> requests.Response:
    """Headers as keywords, with `_` for `-`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    url = f"http://127.0.0.1:{server.port}{path}"
    return requests.post(url, json=dict(body), headers=named, timeout=60)
