"""What commands, logs and monitors say of a day, against what is stored: states × commands."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.cli import outcome as words
from daybook.cli import status as shown
from daybook.cli.following import advice
from daybook.export.operations import history
from daybook.export.outcome import Outcome
from daybook.export.slot.slot import Slot
from daybook.ops.health import schedule_health
from daybook.ops.watchdog import watch
from tests import commands
from tests.integration.office import DAY, EVENING, Office

pytestmark = pytest.mark.migrated

DATE = DAY.isoformat()
FILE = f"batch_{DATE}.csv"
TASK = {"attempt": 2, "fence": 1}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A stored state of the day, and what each command has to say of it."""

    plan: tuple[str, str]
    """The dry run's status, and words of its log record."""
    run: tuple[str, str]
    """The run's status and the sentence that it begins with; the state is as the run leaves it."""
    status: str
    """How `status` begins, before the run."""
    watchdog: str
    healthy: bool
    batch: Mapping[str, Any] | None = None
    """Changes to the batch after the day was delivered; None: there is none."""
    held: bool = False


OPEN = {"state": "open", "attempt": 1, "endedAttempt": 1, "markedAt": None, "committedAt": None}
SOON = EVENING + timedelta(hours=2)
CASES = {
    "no run yet": Case(
        plan=("planned", "a run would deliver this now"),
        run=("exported", f"{FILE} is delivered."),
        status=f"{DATE}: no run yet.",
        watchdog="missing",
        healthy=True,
    ),
    "delivered": Case(
        batch={},
        plan=("already_exported", "it was delivered before, and a run would do nothing"),
        run=("already_exported", f"{FILE} was delivered before; no second file was made."),
        status=f"{DATE}: committed, 1 attempt.",
        watchdog="done",
        healthy=True,
    ),
    "delivered, not all marked, and another run at work": Case(
        batch={"markedAt": None, "pendingTask": {**TASK, "kind": "retry", "due": SOON}},
        held=True,
        plan=("already_exported", "it was delivered before, and a run would finish marking its"),
        run=("in_progress", f"{FILE} is delivered; another run is marking"),
        status=f"{DATE}: committed, 1 attempt.",
        watchdog="late",
        healthy=True,
    ),
    "empty": Case(
        batch={"state": "empty", "entryCount": 0, "rejectedCount": 0},
        plan=("empty", "a run would find nothing to deliver now"),
        run=("empty", f"Nothing is queued; no file for {DATE}."),
        status=f"{DATE}: empty, 1 attempt.",
        watchdog="done",
        healthy=True,
    ),
    "failed": Case(
        batch={**OPEN, "state": "failed", "error": {"type": "timeout", "message": "slow"}},
        plan=("failed", "the day has failed or was closed, and a run would do nothing"),
        run=("failed", f"{FILE} could not be delivered, and no further attempt follows."),
        status=f"{DATE}: failed, 1 attempt.",
        watchdog="missing",
        healthy=True,
    ),
    "released": Case(
        batch={**OPEN, "state": "failed", "releasedAt": EVENING},
        plan=("failed", "the day has failed or was closed, and a run would do nothing"),
        run=("failed", f"{FILE} could not be delivered, and no further attempt follows."),
        status=f"{DATE}: failed, 1 attempt.",
        watchdog="done",
        healthy=True,
    ),
    "waiting for its retry, and another run at work": Case(
        batch={**OPEN, "pendingTask": {**TASK, "kind": "retry", "due": SOON}},
        held=True,
        plan=("empty", "a run would find nothing to deliver now"),
        run=("in_progress", "Another run is working, or a later day has to finish first."),
        status=f"{DATE}: open, 1 attempt.",
        watchdog="late",
        healthy=True,
    ),
}


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def lines_of_status(office: Office) -> list[str]:
    found = history.status(office.database, office.app.profile(), DAY)
    batch = None if found.batch is None else shown._summary(found.batch)
    profile = office.app.profile()
    return [
        *shown._batch(DATE, batch, profile.time_zone),
        *shown._next(office.app, found, profile),
    ]


@pytest.mark.parametrize("name", CASES)
def test_every_command_says_what_is_stored(
    office: Office, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[name]
    office.add()
    if case.batch is not None:
        office.export()
        office.database["exportbatches"].update_one(
            {}, {"$set": dict(case.batch)} if case.batch else {"$set": {"profile": "daily"}}
        )
        if case.batch.get("state", "committed") != "committed":
            office.logs.delete_many({"action": "csv_generated"})
    if case.held:
        slots = office.database["exportslots"]
        assert Slot.take(slots, "daily", owner="another", lease_seconds=60) is not None

    assert lines_of_status(office)[0] == case.status
    after = EVENING + timedelta(hours=1)
    seen = watch(office.database, "daily", office.app.schedule, after, office.app.messenger)
    assert seen.status.value == case.watchdog
    health = schedule_health(office.database, "daily", office.app.schedule, after)
    assert health.healthy is case.healthy

    with caplog.at_level(logging.INFO):
        planned = commands.plan_day(office.app, DAY)
    (record,) = [one for one in caplog.records if one.__dict__.get("event") == "planned"]
    assert planned.status.value == case.plan[0]
    assert case.plan[1] in record.getMessage()
    assert record.__dict__["fields"]["status"] == case.plan[0]

    ran = commands.run_day(office.app, DAY)
    assert ran.status.value == case.run[0]
    assert words.answer(ran).lines[0].startswith(case.run[1])


@pytest.mark.parametrize("kind", ["continuation", "retry", "half_open"])
@pytest.mark.parametrize("status", ["continued", "retry_scheduled", "circuit_open", "in_progress"])
def test_whatever_stops_a_run_after_the_commit_the_file_is_called_delivered(
    office: Office, status: str, kind: str
) -> None:
    """Ctrl-C, a deadline, a lost database, an open breaker: what is left is marking."""
    office.add()
    done = office.export()
    assert done.batch is not None
    task = {**TASK, "kind": kind, "due": SOON}
    change = {"$set": {"markedAt": None, "pendingTask": task}}
    office.database["exportbatches"].update_one({}, change)
    found = history.status(office.database, office.app.profile(), DAY)
    assert found.batch is not None
    stopped = Outcome.of_batch(type(done.status)(status), found.batch)

    said = "\n".join(
        [
            *words.answer(stopped).lines,
            *advice(office.app, stopped, again="run"),
            *lines_of_status(office),
        ]
    )

    assert f"{FILE} is delivered" in said
    for untrue in ("not complete", "not delivered", "nothing was done", "attempt 2", "stay queued"):
        assert untrue not in said, said
    assert replace(stopped, batch=None).delivered is False
