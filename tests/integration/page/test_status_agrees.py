"""`daybook status` without a date says what the status page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import flask
import pytest
from bson import ObjectId
from click.testing import CliRunner
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.cli.main import main
from daybook.http import routes
from tests import books, page_world

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
LONG = timedelta(hours=6)
"""Since the last slot: not just now, and not on its way any more."""


@dataclass(frozen=True, kw_only=True)
class Days:
    """A database, and the day that was due last."""

    database: Db
    due: date
    now: datetime

    def put(self, ago: int, state: str, **fields: Any) -> ObjectId:
        day = page_world.day_before(ago, self.due)
        if state == "committed":
            fields = page_world.delivered(day, 3, **fields)
        elif state == "empty":
            fields = {**page_world.empty(day), **fields}
        return page_world.put(self.database, day, state, **fields)

    def work(self, fence: int) -> None:
        lease = {"owner": "a-run", "expiresAt": datetime.now(UTC) + timedelta(hours=1)}
        self.database["exportslots"].insert_one({"_id": "daily", "fence": fence, "lease": lease})


def done(days: Days) -> None:
    days.put(1, "committed")
    days.put(0, "committed")


def changed(days: Days) -> None:
    findings = [{"kind": "file_missing", "detail": "it is gone", "entryId": None, "row": None}]
    audit = {"auditedAt": days.now, "findingCount": 1, "allFound": True, "findings": findings}
    days.put(0, "committed", audit=audit)


def recorded_elsewhere(days: Days) -> None:
    days.put(1, "committed")
    metadata = {"batchDate": days.due.isoformat(), "filename": "a.csv"}
    record = {"action": "csv_generated", "createdAt": days.now, "metadata": metadata}
    days.database["exportlogs"].insert_one(record)


def failed_before(days: Days, *, after: timedelta) -> None:
    """The day before failed, and was tried for the last time so long after the latest was done."""
    days.put(0, "committed")
    done_at = days.database["exportbatches"].find_one({"state": "committed"})
    assert done_at is not None
    days.put(1, "failed", startedAt=done_at["committedAt"] + after)
    books.put(days.database, books.entry("LEFT"))


def twice_failed(days: Days) -> None:
    failed_before(days, after=timedelta(hours=1))
    days.put(2, "failed", startedAt=days.now)


def running(days: Days) -> None:
    days.put(1, "committed")
    days.put(0, "open", fence=7)
    days.work(7)


def retrying(days: Days) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    call = {"kind": "retry", "generation": 1, "attempt": 2, "due": due, "fence": 3, "after": ""}
    days.put(0, "open", pendingTask=call, nextAttemptAt=due)


def begun_early(days: Days) -> None:
    """A run for a day whose slot is still to come: the page speaks of it once it is today."""
    days.put(1, "committed")
    days.put(0, "committed")
    days.put(-1, "failed")


STATES: dict[str, tuple[Callable[[Days], Any], str | None, int | None]] = {
    "nothing ever ran": (lambda days: None, "none", None),
    "done": (done, "delivered", 0),
    "empty": (lambda days: days.put(0, "empty"), "empty", 0),
    "failed": (lambda days: days.put(0, "failed"), "failed", 0),
    "released": (lambda days: days.put(0, "failed", releasedAt=days.now), "released", 0),
    "never ran": (lambda days: days.put(1, "committed"), "missing", 0),
    "never ran after a failed day": (lambda days: days.put(1, "failed"), "missing", 0),
    "stalled": (lambda days: days.put(0, "open"), "missing", 0),
    "running": (running, "running", 0),
    "retrying": (retrying, "retrying", 0),
    "changed": (changed, "changed", 0),
    "recorded elsewhere": (recorded_elsewhere, "delivered", 0),
    "done, and the day before failed again later": (
        lambda days: failed_before(days, after=timedelta(hours=1)),
        "failed",
        1,
    ),
    "done, and took what the day before had left": (
        lambda days: failed_before(days, after=-timedelta(hours=1)),
        "delivered",
        0,
    ),
    "done, and two days before failed": (twice_failed, "failed", 1),
    "done, and a day between never ran": (
        lambda days: (days.put(2, "committed"), days.put(0, "committed")),
        "delivered",
        0,
    ),
    "begun early": (begun_early, None, None),
}


@pytest.mark.parametrize("name", STATES)
def test_the_command_says_what_the_page_says(
    database: Db,
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    make, state, ago = STATES[name]
    now = datetime.now(ZoneInfo("Asia/Bangkok"))
    env = {"DAILY_BATCH_CRON": f"0 {(now - LONG).hour} * * *"}
    app = books.make_app(mongo_uri, database.name, tmp_path.as_uri(), **env)
    due = app.schedule.latest_slot(now).date()
    make(Days(database=database, due=due, now=now))
    for variable, value in {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        **env,
    }.items():
        monkeypatch.setenv(variable, value)

    page, status = page_of(app), status_in_json()

    (shown,) = page["profiles"]
    verdict = {name: shown[name] for name in ("state", "batchDate", "lastDone")}
    assert status["verdict"] == verdict
    assert status["batchDate"] == (verdict["batchDate"] or due.isoformat())
    if state is not None:
        day = None if ago is None else page_world.day_before(ago, due).isoformat()
        assert (verdict["state"], verdict["batchDate"]) == (state, day)
    assert CliRunner().invoke(main, ["status"]).stdout.splitlines()[0] == page["summary"]
    assert status["nextSlot"] == shown["nextSlot"]
    app.client.close()


def page_of(app: App) -> Any:
    builder = EnvironBuilder("/?lang=en", headers={"Accept": "application/json"})
    return json.loads(routes.answer(app, flask.Request(builder.get_environ())).get_data())


def status_in_json() -> Any:
    said = CliRunner().invoke(main, ["status", "--json"])
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.mark.parametrize(
    ("state", "later"), [("committed", 1), ("empty", 0), ("failed", 0), (None, 0)]
)
def test_a_day_that_is_delivered_before_its_time_is_not_the_next(
    database: Db,
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str | None,
    later: int,
) -> None:
    """Its own run would deliver nothing; that of an empty day may still make a file."""
    # A zone in which the day has just begun, so that its slot is hours away.
    hour = datetime.now(UTC).hour
    zone = f"Etc/GMT{hour:+d}" if hour <= 12 else f"Etc/GMT{hour - 24:+d}"
    env = {"DAILY_BATCH_CRON": "59 23 * * *", "DAILY_BATCH_TIMEZONE": zone}
    app = books.make_app(mongo_uri, database.name, tmp_path.as_uri(), **env)
    now = datetime.now(ZoneInfo(zone))
    days = Days(database=database, due=now.date() - timedelta(days=1), now=now)
    days.put(0, "committed")
    if state is not None:
        days.put(-1, state)
    for variable, value in {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        **env,
    }.items():
        monkeypatch.setenv(variable, value)

    (shown,) = page_of(app)["profiles"]
    assert shown["nextSlot"] == status_in_json()["nextSlot"]
    following = datetime.fromisoformat(shown["nextSlot"]).astimezone(ZoneInfo(zone))
    assert following.date() == now.date() + timedelta(days=later)
    app.client.close()


@pytest.mark.parametrize("ran", [True, False])
def test_later_days_of_a_disabled_profile_are_not_missing(
    database: Db, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: bool
) -> None:
    env = {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
        "DAYBOOK_PROFILES": "[daily]\n[old]\nenabled = false",
    }
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    app = App.from_env(env)
    now = app.now().astimezone(ZoneInfo("Asia/Bangkok"))
    last = now.date() - timedelta(days=9)
    if ran:
        for day in (last - timedelta(days=2), last):
            fields = page_world.delivered(day, 3)
            page_world.put(database, day, "committed", profile="old", **fields)

    path = "/?lang=en&profile=old"
    builder = EnvironBuilder(path, headers={"Accept": "application/json"})
    page = json.loads(routes.answer(app, flask.Request(builder.get_environ())).get_data())
    html = routes.answer(app, flask.Request(EnvironBuilder(path).get_environ())).get_data(
        as_text=True
    )
    said = CliRunner().invoke(main, ["status", "--profile", "old"])
    (shown,) = (one for one in page["profiles"] if one["profile"] == "old")
    missing = [day["batchDate"] for day in shown["days"] if day["state"] == "missing"]

    # A day before the last one was missed while the profile was enabled.
    assert missing == ([(last - timedelta(days=1)).isoformat()] if ran else [])
    assert shown["batchDate"] == (last.isoformat() if ran else None)
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines()[0] == (
        page["summary"] if ran else "The profile is disabled, and nothing has run for it."
    )
    assert "The profile is disabled: no batch is due." in said.stdout
    assert "The profile is disabled" in html
    app.client.close()
