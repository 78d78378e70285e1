"""Many profiles at once, in four processes of the function: one file each, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo.database import Database

from daybook.cli.explain import queries
from daybook.mongo.explain import explain
from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.front import Front
from tests.acceptance.processes import Instance
from tests.emulators.tasks import TasksEmulator

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

PROCESSES = 4
DELIVERED_AT_ONCE = 8


def fill(database: Db, names: list[str], entries: int) -> dict[str, list[str]]:
    """Queue entries for each profile; returns their references, in order."""
    references = {name: [f"{name}-{number:04}" for number in range(entries)] for name in names}
    for name in names:
        made = [books.entry(reference) for reference in references[name]]
        database["journalentries"].insert_many(made)
        database["exportqueues"].insert_many(
            [books.queue_item(entry["_id"], profile=name) for entry in made]
        )
    return references


@pytest.fixture
def tasks() -> Iterator[TasksEmulator]:
    with TasksEmulator() as running:
        yield running


@pytest.mark.parametrize(
    ("profiles", "entries"),
    [(8, 20), pytest.param(100, 1000, marks=[pytest.mark.storm, pytest.mark.timeout(0)])],
)
def test_four_processes_deliver_one_file_for_each_profile(
    database: Db,
    mongo_uri: str,
    tmp_path: Path,
    tasks: TasksEmulator,
    profiles: int,
    entries: int,
) -> None:
    migrate(database, now=datetime.now(UTC))
    names = [f"p{number:02}" for number in range(profiles)]
    wanted = fill(database, names, entries)
    folder = tmp_path / "files"
    folder.mkdir()
    with ExitStack() as stack:
        front = stack.enter_context(Front())
        env = {
            "DAYBOOK_MONGODB_URI": mongo_uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": folder.as_uri(),
            "DAYBOOK_PROFILES": "".join(f"[{name}]\n" for name in names),
            "DAYBOOK_TASKS_QUEUE": tasks.queue_name,
            "DAYBOOK_TASKS_ENDPOINT": tasks.url,
            "DAYBOOK_SERVICE_URL": front.url,
        }
        instances = [Instance(env, tmp_path / f"{number}.log") for number in range(PROCESSES)]
        for instance in instances:
            stack.callback(instance.crash)
        front.ports = [instance.ready().port for instance in instances]
        tasks.copies = "together"  # Cloud Tasks delivers at least once

        began = time.monotonic()
        found = requests.post(f"{front.url}/run", json={"profile": "*"}, timeout=120)
        created = time.monotonic()
        tasks.advance(timedelta(minutes=1))  # its clock does not go on by itself
        with ThreadPoolExecutor(max_workers=DELIVERED_AT_ONCE) as couriers:
            for done in [couriers.submit(tasks.run_due) for _ in range(DELIVERED_AT_ONCE)]:
                done.result()
        ended = time.monotonic()

    assert (found.status_code, found.json()["profiles"]) == (202, ["daily", *names])
    assert {port for port, count in front.served.items() if count} == set(front.ports)
    files = {path.name.split("_")[0]: path for path in folder.glob("*.csv")}
    assert sorted(files) == names
    assert len(list(folder.glob("*.csv"))) == profiles
    for name, path in files.items():
        references = list(dict.fromkeys(books.references(path.read_bytes())))
        assert references == wanted[name], name
    batches = list(database["exportbatches"].find({"profile": {"$ne": "daily"}}))
    assert sorted(batch["profile"] for batch in batches) == names
    assert {(batch["state"], batch["attempt"]) for batch in batches} == {("committed", 1)}
    assert database["exportqueues"].count_documents({"status": "completed"}) == profiles * entries
    logged = database["exportlogs"].count_documents({"action": "csv_generated"})
    assert logged == profiles
    plans = explain(database, queries(_profile(names[-1])))
    assert not plans.failed, plans.to_doc()
    print(
        f"\n{profiles} profiles of {entries} entries: tasks in {created - began:.2f} s, "
        f"delivered in {ended - created:.1f} s by {PROCESSES} processes"
    )


def _profile(name: str) -> Any:
    from daybook.export.model.profile import Profile

    return Profile(name=name, match={"profile": name})
