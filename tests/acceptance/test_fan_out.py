"""One call for all profiles: a task for each that is due, and none disturbs another."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import books
from tests.acceptance.evening import DAY, DAY_BEFORE, SIX, Evening, MakeEvening
from tests.acceptance.test_cli import answer

pytest_plugins = ["tests.acceptance.evening"]

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
EVERY = {"profile": "*"}

OFFICES = """
[east]
[late]
cron = "0 19 * * *"
[off]
enabled = false
[west]
"""
AT_SIX = ["daily", "east", "west"]


def put(evening: Evening, *profiles: str) -> None:
    """One entry for each profile, whose reference begins with its name."""
    for name in profiles:
        entry = books.entry(f"{name}-1")
        evening.database["journalentries"].insert_one(entry)
        evening.database["exportqueues"].insert_one(books.queue_item(entry["_id"], profile=name))


def trigger(evening: Evening, minutes: int = 0) -> Any:
    at = (SIX + timedelta(minutes=minutes)).isoformat()
    return evening.function.post("/run", EVERY, **{SCHEDULE_TIME: at})


def batches(evening: Evening) -> dict[str, tuple[str, str, int]]:
    """By profile the day, state and attempt of its one batch."""
    found = list(evening.database["exportbatches"].find())
    assert len({batch["profile"] for batch in found}) == len(found)
    return {
        batch["profile"]: (batch["batchDate"], batch["state"], batch["attempt"]) for batch in found
    }


def committed(profiles: Iterable[str], day: str = DAY) -> dict[str, tuple[str, str, int]]:
    return dict.fromkeys(profiles, (day, "committed", 1))


@pytest.fixture
def offices(make_evening: MakeEvening) -> Evening:
    evening = make_evening(DAYBOOK_PROFILES=OFFICES)
    put(evening, "daily", "east", "west", "late", "off")
    return evening


@pytest.mark.parametrize("copies", ["none", "after", "together"])
def test_each_profile_whose_schedule_is_due_gets_one_task_and_one_file(
    offices: Evening, copies: str
) -> None:
    first = trigger(offices)
    again = trigger(offices)

    assert (first.status_code, first.json()) == (
        202,
        {"status": "fanned_out", "profiles": AT_SIX},
    )
    assert again.json() == first.json()
    assert len(offices.tasks.created) == len(AT_SIX)
    assert batches(offices) == {}  # a task's run begins the batch, as the scheduler's would
    offices.tasks.copies = copies
    assert {one.status for one in offices.tasks.run_until(SIX + timedelta(hours=1))} <= {200, 202}

    assert batches(offices) == committed(AT_SIX)
    assert offices.delivered() == {
        f"batch_{DAY}.csv": ["daily-1"],
        f"east_{DAY}.csv": ["east-1"],
        f"west_{DAY}.csv": ["west-1"],
    }
    assert trigger(offices, 60).json()["profiles"] == ["late"]
    # Of two deliveries together, the one that is owed may find the copy at work.
    assert {one.status for one in offices.tasks.run_until(SIX + timedelta(hours=2))} <= {200, 202}
    assert batches(offices) == committed([*AT_SIX, "late"])


def test_a_task_that_is_delivered_twice_starts_no_second_attempt(offices: Evening) -> None:
    offices.drive.down = True
    offices.tasks.copies = "after"
    trigger(offices)

    answers = [offices.tasks.deliver(task.id) for task in list(offices.tasks.tasks)]

    assert [one.status for one in answers] == [202] * len(AT_SIX)
    assert batches(offices) == dict.fromkeys(AT_SIX, (DAY, "open", 1))
    assert {batch["scheduleTime"] for batch in offices.database["exportbatches"].find()} == {SIX}


def test_a_final_failure_is_not_delivered_again(make_evening: MakeEvening) -> None:
    evening = make_evening(
        DAYBOOK_PROFILES='[east]\ndestination = "drive://1NoSuchFolderAnywhere0000000000000"\n'
    )
    put(evening, "daily", "east")
    trigger(evening)

    statuses = [one.status for one in evening.tasks.run_due()]

    assert statuses == [200, 200]
    assert batches(evening) == {
        "daily": (DAY, "committed", 1),
        "east": (DAY, "failed", 1),
    }
    assert evening.tasks.tasks == []


def test_a_queue_that_is_away_is_asked_again_with_the_repeated_call(offices: Evening) -> None:
    offices.tasks.denied.add("cloudtasks.tasks.create")
    refused = trigger(offices)
    offices.tasks.denied.clear()

    assert (refused.status_code, refused.json()["missing"]) == (503, AT_SIX)
    assert refused.json()["error"]["type"] == "tasks"
    assert trigger(offices).json() == {"status": "fanned_out", "profiles": AT_SIX}
    offices.tasks.run_due()
    assert batches(offices) == committed(AT_SIX)


def test_a_call_by_hand_makes_up_for_days_that_have_not_ended(offices: Evening) -> None:
    found = offices.function.post("/run", EVERY)
    assert found.json()["profiles"] == ["daily", "east", "late", "west"]
    offices.tasks.run_due()
    offices.tasks.advance(timedelta(minutes=5))

    assert batches(offices) == {**committed(AT_SIX), **committed(["late"], DAY_BEFORE)}
    assert offices.function.post("/run", EVERY).json()["profiles"] == []
    given = offices.function.post("/run", {**EVERY, "batchDate": DAY_BEFORE})
    assert given.json()["profiles"] == AT_SIX


def test_a_dry_run_and_an_unknown_profile_are_refused(offices: Evening) -> None:
    refused = offices.function.post("/run", {**EVERY, "dryRun": True})
    assert (refused.status_code, refused.json()["where"]) == (400, "dryRun")
    for path in ("/admin/retry", "/admin/verify", "/exports"):
        assert offices.function.post(path, {**EVERY}).status_code == 400, path


def test_without_a_queue_the_profiles_take_turns_and_a_broken_one_stops_none(
    make_evening: MakeEvening, tmp_path: Path
) -> None:
    missing = tmp_path / "missing" / "folder"
    evening = make_evening(
        DAYBOOK_TASKS_QUEUE="",
        DAYBOOK_PROFILES=f'[broken]\ndestination = "{missing.as_uri()}"\n{OFFICES}',
    )
    (tmp_path / "missing").write_text("a file, not a folder")
    put(evening, "daily", "broken", "east", "west")

    found = trigger(evening)

    assert found.status_code == 500
    assert found.json()["profiles"] == ["daily", "broken", "east", "west"]
    assert [one["status"] for one in found.json()["answers"]] == [
        *("exported", "failed", "exported", "exported")
    ]
    assert {name: state for name, (_, state, _) in batches(evening).items()} == {
        **dict.fromkeys(AT_SIX, "committed"),
        "broken": "failed",
    }


def test_the_circuit_of_one_destination_delays_no_profile_with_another(
    make_evening: MakeEvening,
) -> None:
    evening = make_evening(
        DAYBOOK_PROFILES='[far]\ndestination = "drive://1FarFolderFarFolderFarFolder00"\n[near]\n',
        DAYBOOK_BREAKER_FAILURES="1",
    )
    put(evening, "daily", "far", "near")
    evening.drive.down = True
    evening.function.post("/run", {"profile": "far"})
    evening.drive.down = False

    assert [doc["_id"] for doc in evening.database["circuitbreakers"].find()] == [
        "drive://1FarFolderFarFolderFarFolder00"
    ]
    trigger(evening)
    evening.tasks.run_due()

    states = {name: state for name, (_, state, _) in batches(evening).items()}
    assert states == {"daily": "committed", "near": "committed", "far": "open"}
    assert evening.function.post("/run", {"profile": "far"}).json()["status"] == "circuit_open"


def test_a_circuit_that_the_previous_version_opened_holds_for_the_default_destination(
    make_evening: MakeEvening,
) -> None:
    evening = make_evening(DAYBOOK_PROFILES="[near]\n")
    put(evening, "daily", "near")
    evening.database["circuitbreakers"].insert_one(
        {
            "_id": "google_drive",
            "failures": 3,
            "openedAt": SIX,
            "openUntil": SIX + timedelta(minutes=15),
            "trial": None,
            "updatedAt": SIX,
        }
    )

    for name in ("daily", "near"):
        assert evening.function.post("/run", {"profile": name}).json()["status"] == "circuit_open"


def test_watchdog_sweep_and_audit_cover_every_enabled_profile(offices: Evening) -> None:
    enabled = ["daily", "east", "late", "west"]
    trigger(offices)
    offices.tasks.run_due()

    watched = offices.function.post("/watchdog", EVERY)

    assert (watched.status_code, watched.json()["profiles"]) == (202, enabled)
    states = {one["profile"]: one["status"] for one in watched.json()["answers"]}
    assert states == {**dict.fromkeys(AT_SIX, "done"), "late": "missing"}
    for path in ("/sweep", "/audit"):
        before = len(offices.tasks.created)
        found = offices.function.post(path, EVERY)
        assert (found.status_code, found.json()["profiles"]) == (202, enabled), path
        assert len(offices.tasks.created) == before + len(enabled)
        assert {one.status for one in offices.tasks.run_due()} == {200}
    assert len(offices.logged("audited")) == len(enabled)


def test_tasks_for_a_hundred_profiles_are_created_in_two_seconds(
    make_evening: MakeEvening,
) -> None:
    names = [f"p{number:02}" for number in range(100)]
    evening = make_evening(DAYBOOK_PROFILES="".join(f"[{name}]\n" for name in names))

    started = time.monotonic()
    found = trigger(evening)
    seconds = time.monotonic() - started

    assert found.json()["profiles"] == ["daily", *names]
    assert len(evening.tasks.created) == 101
    assert seconds < 2


def test_the_command_runs_the_due_profiles_in_order(
    make_evening: MakeEvening, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    missing.write_text("a file, not a folder")
    evening = make_evening(
        DAYBOOK_PROFILES=f'[broken]\ndestination = "{missing.as_uri()}"\n{OFFICES}'
    )
    put(evening, "daily", "broken", "east", "west", "late")

    env = {**evening.env, "DAYBOOK_TASKS_QUEUE": ""}

    found = answer(env, "run", "--profile", "*", "--date", DAY, code=1)

    names = ["daily", "broken", "east", "late", "west"]
    assert (found["status"], found["profiles"]) == ("fanned_out", names)
    assert [one["status"] for one in found["answers"]] == [
        "failed" if name == "broken" else "exported" for name in names
    ]
    left = answer(env, "run", "--profile", "*", "--date", DAY)
    assert left["profiles"] == []
