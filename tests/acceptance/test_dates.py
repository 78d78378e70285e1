"""Every argument that is a date, with every kind of date that people give.

What is not a date is refused with the argument's name. Of real dates, commands that act refuse
days to come, and commands that look find nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pymongo.database import Database

from daybook.cli.day import DAY as DAY_TYPE
from daybook.cli.main import main
from daybook.export.model.lifecycle import SCHEDULE_TIME_MAX_AHEAD
from tests import books
from tests.acceptance.evening import BANGKOK, DAY, NEXT_DAY, Evening
from tests.acceptance.runbook_stage import own_logging
from tests.integration.office import Office

pytest_plugins = ["tests.acceptance.evening"]
pytestmark = pytest.mark.migrated

NO_DATES = {
    "malformed": ["", "yesterday", "18.01.2026", "2026-1-18", "20260118", "2026/01/18"],
    "weeks": ["2026-W03", "2026W037", "2026-W03-7", "2026-018"],
    "impossible": ["2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "0000-01-01"],
    "with_a_time": ["2026-01-18T18:00:00Z", "2026-01-18 18:00", "2026-01-18Z"],
    "other_digits": ["๒๕๖๙-๐๑-๑๘", "２０２６-01-18", "+026-01-18"],
}
"""Some of which `date.fromisoformat` takes: only YYYY-MM-DD is a date here."""
TO_COME = ["2569-01-18", "9999-12-31"]
"""The first is 18 January 2026 as Thai calendars write it."""

THEIRS = Path(__file__).parents[1] / "unit/profiles/golden/generic.csv"
"""A file with entries, none of which is in the office."""

COMMANDS: dict[tuple[str, str], list[str]] = {
    **{
        (command, parameter): [command, *option]
        for command in ("run", "plan", "retry", "release", "status", "verify", "receipt", "audit")
        for parameter, option in (("day_argument", []), ("day_option", ["--date"]))
    },
    ("compare", "day_argument"): ["compare", "--file", str(THEIRS)],
    ("compare", "day_option"): ["compare", "--file", str(THEIRS), "--date"],
    ("export", "first"): ["export", "--to", "9999-12-31", "--from"],
    ("export", "last"): ["export", "--from", "2000-01-01", "--to"],
}
"""Command and parameter → how it is called, the date coming last."""
ACTING = {"run", "plan", "retry", "release"}
LOOKING = {"status": 0, "verify": 1, "receipt": 1, "audit": 1, "compare": 1, "export": 0}
"""Exit codes on a day of which there is nothing."""
TODAY = {
    "run": {0},
    "plan": {0},
    "retry": {0},
    "release": {1, 2},
    **{c: {LOOKING[c]} for c in LOOKING},
}
"""`release` refuses a day with 2 until its run is due, then with 1 as nothing was run."""

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/run", "batchDate"): {},
    ("/", "batchDate"): {},
    ("/tasks/run", "batchDate"): {"generation": 1, "attempt": 2, "kind": "retry"},
    ("/admin/retry", "batchDate"): {},
    ("/admin/release", "batchDate"): {},
    ("/admin/verify", "batchDate"): {},
    ("/exports", "from"): {"to": "9999-12-31"},
    ("/exports", "to"): {"from": "2000-01-01"},
}
"""Path and field → what else the body has."""
STATUS = {"/admin/verify": 409, "/exports": 200}
"""Of requests that only look, about a day to come."""


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def call(office: Office, arguments: list[str]) -> tuple[int, str, str]:
    with own_logging():
        result = CliRunner(env=office.env).invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def today() -> date:
    """Of which it is not certain that it ends during the test."""
    return (datetime.now(UTC) + SCHEDULE_TIME_MAX_AHEAD).astimezone(BANGKOK).date()


def test_every_argument_that_is_a_date_is_in_the_table() -> None:
    found = {
        (name, parameter.name)
        for name, command in main.commands.items()
        for parameter in command.params
        if isinstance(parameter.type, type(DAY_TYPE))
    }
    assert found == set(COMMANDS)


@pytest.mark.parametrize(("command", "parameter"), COMMANDS)
def test_a_command_names_the_argument_that_is_no_date(
    office: Office, command: str, parameter: str
) -> None:
    (declared,) = (each for each in main.commands[command].params if each.name == parameter)
    name = declared.metavar if isinstance(declared, click.Argument) else declared.opts[0]
    for text in (text for texts in NO_DATES.values() for text in texts):
        code, stdout, stderr = call(office, [*COMMANDS[command, parameter], text])
        assert (code, stdout) == (2, ""), (text, stderr)
        assert str(name) in stderr
        assert f"{text!r} is not a date like 2026-01-18" in stderr
    assert office.database["exportbatches"].count_documents({}) == 0


@pytest.mark.parametrize(("command", "parameter"), COMMANDS)
def test_a_command_that_acts_refuses_days_to_come(
    office: Office, command: str, parameter: str
) -> None:
    tomorrow = (today() + timedelta(days=1)).isoformat()
    for day in (tomorrow, *TO_COME):
        arguments = [*COMMANDS[command, parameter], day]
        code, stdout, stderr = call(office, arguments)
        if command in ACTING:
            assert (code, stdout) == (2, ""), (day, stderr)
            assert f"--date: {day} is still to come" in stderr
        else:
            assert code == LOOKING[command], (day, stdout, stderr)
    assert office.database["exportbatches"].count_documents({"batchDate": {"$gt": DAY}}) == 0
    day = datetime.now(UTC).astimezone(BANGKOK).date().isoformat()
    code, _, stderr = call(office, [*COMMANDS[command, parameter], day])
    assert code in TODAY[command], stderr


@pytest.mark.parametrize(("path", "field"), BODIES)
def test_a_request_names_the_field_that_is_no_date(evening: Evening, path: str, field: str) -> None:
    ids = books.put_many(evening.database, 2)
    texts = [text for texts in NO_DATES.values() for text in texts]
    for value in (*texts, 20260118, ["2026-01-18"], {"$gt": ""}, True):
        answer = evening.function.post(path, {**BODIES[path, field], field: value})
        assert (answer.status_code, answer.json()["where"]) == (400, field), (value, answer.text)
        assert f"{field}: must be a date like 2026-01-18, not" in answer.json()["detail"]
    assert books.statuses(evening.database, ids) == ["queued"] * 2


@pytest.mark.parametrize(("path", "field"), BODIES)
def test_a_request_that_acts_refuses_days_to_come(evening: Evening, path: str, field: str) -> None:
    for day in (NEXT_DAY, *TO_COME):
        answer = evening.function.post(path, {**BODIES[path, field], field: day})
        if path in STATUS:
            assert answer.status_code == STATUS[path], (day, answer.text)
        else:
            assert (answer.status_code, answer.json()["where"]) == (400, field), day
            assert f"{day} is still to come" in answer.json()["detail"]
    assert evening.database["exportbatches"].count_documents({"batchDate": {"$gt": DAY}}) == 0
