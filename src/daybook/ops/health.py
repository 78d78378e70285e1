"""Health: whether the database answers, and whether the batch was done in time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import DocumentDamaged
from daybook.export.model.lifecycle import Schedule
from daybook.ops.day import Day, days_since_done

GRACE = timedelta(hours=2)
"""How long a batch may take after it was due: the last retry ends within this time."""


@dataclass(frozen=True, kw_only=True)
class DatabaseHealth:
    """The answer to `GET /health`."""

    at: datetime
    connected: bool

    @property
    def http_status(self) -> int:
        return 200 if self.connected else 503

    def to_doc(self) -> dict[str, Any]:
        """The JSON answer. `readyState` has Mongoose's values, as in the Node application's answer.

        https://mongoosejs.com/docs/api/connection.html#Connection.prototype.readyState
        """
        return {
            "status": "ok" if self.connected else "degraded",
            "timestamp": timestamp(self.at),
            "database": {
                "status": "connected" if self.connected else "disconnected",
                "readyState": 1 if self.connected else 0,
            },
        }


def database_health(client: MongoClient[dict[str, Any]], now: datetime) -> DatabaseHealth:
    """Ping the primary once, waiting no longer than the server selection timeout."""
    try:
        with pymongo.timeout(client.options.server_selection_timeout):
            client.admin.command("ping")
    except PyMongoError as error:
        log.event(logging.WARNING, "health_degraded", "MongoDB did not answer.", error=str(error))
        return DatabaseHealth(at=now, connected=False)
    return DatabaseHealth(at=now, connected=True)


def timestamp(moment: datetime) -> str:
    """In UTC with milliseconds and a Z, as the Node application writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


@dataclass(frozen=True, kw_only=True)
class ScheduleHealth:
    """The answer to `GET /health/cron`."""

    at: datetime
    healthy: bool
    last_run: datetime | None
    """When the latest done day was done; None if no day is, or MongoDB does not answer."""
    next_run: datetime
    """In the schedule's zone."""

    @property
    def http_status(self) -> int:
        return 200 if self.healthy else 503

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "healthy" if self.healthy else "unhealthy",
            "lastRun": None if self.last_run is None else timestamp(self.last_run),
            "hoursSinceLastRun": self.hours_since_last_run,
            "nextRun": self.next_run.isoformat(),
        }

    @property
    def hours_since_last_run(self) -> float | None:
        """Never negative, although the run may have used another machine's clock."""
        if self.last_run is None:
            return None
        age = self.at.astimezone(UTC) - self.last_run.astimezone(UTC)
        return max(0.0, round(age / timedelta(hours=1), 2))


def schedule_health(
    database: Database[dict[str, Any]], profile_name: str, schedule: Schedule, now: datetime
) -> ScheduleHealth:
    """Ask MongoDB once, waiting no longer than the server selection timeout.

    Batches of future days, which were run by hand, are ignored: they do not show that the
    schedule works.
    """
    next_run = schedule.next_slot(now)
    today = now.astimezone(schedule.time_zone).date()
    try:
        with pymongo.timeout(database.client.options.server_selection_timeout):
            days = days_since_done(database, profile_name, today)
    except (PyMongoError, DocumentDamaged) as error:
        text = "MongoDB did not answer, or what it holds cannot be read."
        log.event(logging.WARNING, "health_degraded", text, error=str(error))
        return ScheduleHealth(at=now, healthy=False, last_run=None, next_run=next_run)
    due = first_due(days, schedule)
    return ScheduleHealth(
        at=now,
        healthy=due is None or now.astimezone(UTC) - due <= GRACE,
        last_run=next((day.done_at for day in days if day.done), None),
        next_run=next_run,
    )


def first_due(days: Sequence[Day], schedule: Schedule) -> datetime | None:
    """When the first batch after the latest closed day is, or was, due, in UTC.

    `days` are those of `days_since_done`. A closed day is done, or an operator has released
    it. A missed day before it no longer counts: its entries went out with the later one. None
    before the first run, since there is no time to count from.
    """
    if not days:
        return None
    closed = next((day for day in days if day.done or day.released), None)
    if closed is None:
        oldest = days[-1]
        due = _first_slot(schedule, oldest.date)
        # It may be a day long ago, run to try out a new installation.
        return due if oldest.created_at is None else max(due, oldest.created_at.astimezone(UTC))
    due = _first_slot(schedule, closed.date + timedelta(days=1))
    due_date = due.astimezone(schedule.time_zone).date()
    begun = next((day.started_at for day in days if day.date == due_date), None)
    if begun is None:
        return due
    # Of several slots a day, a later one may open an empty day again: it has its own time.
    answered = schedule.latest_slot(begun)
    return answered.astimezone(UTC) if answered.date() == due_date else due


def _first_slot(schedule: Schedule, day: date) -> datetime:
    """The first slot on or after the day, in UTC."""
    midnight = datetime.combine(day, time(), schedule.time_zone).astimezone(UTC)
    return schedule.next_slot(midnight - timedelta(microseconds=1)).astimezone(UTC)
