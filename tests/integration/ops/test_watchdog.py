"""The dead man's switch, on a real MongoDB: what it says of the last due day, and to whom."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pymongo
import pytest
from bson import ObjectId
from pymongo import MongoClient, monitoring
from pymongo.database import Database

from daybook.errors import DatabaseError
from daybook.export.model.lifecycle import Schedule
from daybook.export.model.notice import Alert, AlertEvent, Receipt
from daybook.export.slot.slot import Slot
from daybook.mongo.client import connect
from daybook.mongo.migrate import migrate
from daybook.ops.watchdog import Watch, WatchStatus, watch
from tests.integration.days import BANGKOK, local, put_day
from tests.integration.office import EVENING, Office
from tests.integration.ops.test_health import settings_for

pytestmark = pytest.mark.migrated

DAILY = Schedule("0 18 * * *", BANGKOK)
WEEKDAYS = Schedule("0 18 * * MON-FRI", BANGKOK)
NOON_AND_EVENING = Schedule("0 12,18 * * *", BANGKOK)
LATE_EVENING = Schedule("30 22 * * *", BANGKOK)
NEW_YORK = ZoneInfo("America/New_York")
DUE = local("01-18 18:00")
AT_EIGHT = local("01-18 20:00")
MILLISECOND = timedelta(milliseconds=1)
Data = Database[dict[str, Any]]


class Inbox:
    """A messenger that keeps what it is given."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.receipts: list[Receipt] = []

    def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def check(
    database: Data, inbox: Inbox, now: datetime = AT_EIGHT, schedule: Schedule = DAILY
) -> Watch:
    seen = watch(database, "daily", schedule, now, inbox)
    assert seen.http_status == 200
    return seen


def hold(database: Data, *, seconds: float, slot_id: str = "daily") -> datetime:
    """A lease on the slot; negative seconds are one that ran out. MongoDB's clock counts."""
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    lease = {"owner": "someone", "expiresAt": expires_at}
    database["exportslots"].insert_one({"_id": slot_id, "fence": 1, "lease": lease})
    return expires_at


def follow_up(due: datetime, kind: str = "retry") -> dict[str, Any]:
    return {"kind": kind, "attempt": 2, "fence": 1, "due": due}


def quiet_events(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if getattr(r, "event", "") == "watchdog_quiet"]


@pytest.mark.parametrize("state", ["committed", "empty"])
def test_a_done_day_raises_no_alert(
    database: Data, inbox: Inbox, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    caplog.set_level(logging.INFO, "daybook")
    put_day(database, "01-18", state)
    seen = check(database, inbox)
    assert seen.to_doc() == {
        "status": "done",
        "profile": "daily",
        "batchDate": "2026-01-18",
        "due": "2026-01-18T18:00:00+07:00",
        "state": state,
        "nextAttemptAt": None,
        "leaseExpiresAt": None,
        "refused": None,
        "unclaimed": {},
    }
    assert inbox.alerts == []
    (record,) = quiet_events(caplog)
    assert record.levelno == logging.INFO
    assert record.fields["batchDate"] == "2026-01-18"  # type: ignore[attr-defined]


def test_a_day_without_a_run_is_missing(
    database: Data, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "daybook")
    put_day(database, "01-17", "committed")
    seen = check(database, inbox)
    assert (seen.status, seen.to_doc()["state"]) == (WatchStatus.MISSING, None)
    assert inbox.alerts == [
        Alert(
            event=AlertEvent.DAY_MISSING,
            severity=logging.CRITICAL,
            profile="daily",
            batch_date="2026-01-18",
            batch_id=None,
            facts={"due": DUE, "state": None},
        )
    ]
    assert inbox.alerts[0].facts["due"].tzinfo is BANGKOK
    assert quiet_events(caplog) == []


def test_a_fresh_installation_is_watched_from_its_first_slot(database: Data, inbox: Inbox) -> None:
    assert check(database, inbox).status is WatchStatus.MISSING


def test_a_failed_day_is_missing_and_the_alert_has_its_error(database: Data, inbox: Inbox) -> None:
    batch_id = put_day(database, "01-18", "failed")
    assert check(database, inbox).status is WatchStatus.MISSING
    (alert,) = inbox.alerts
    assert (alert.event, alert.severity) == (AlertEvent.DAY_MISSING, logging.CRITICAL)
    assert alert.batch_id == str(batch_id)
    assert alert.facts == {
        "due": DUE,
        "state": "failed",
        "error_type": "google_drive",
        "error": "Drive answered 503",
    }


def test_a_crashed_day_that_nothing_is_at_is_missing(database: Data, inbox: Inbox) -> None:
    put_day(database, "01-18", "open")
    hold(database, seconds=-1)
    seen = check(database, inbox)
    assert (seen.status, seen.lease_expires_at) == (WatchStatus.MISSING, None)
    assert inbox.alerts[0].facts == {"due": DUE, "state": "open"}


def test_a_run_at_work_makes_it_late(database: Data, inbox: Inbox) -> None:
    batch_id = put_day(database, "01-18", "open")
    expires_at = hold(database, seconds=60)
    seen = check(database, inbox)
    assert seen.status is WatchStatus.LATE
    assert seen.to_doc()["leaseExpiresAt"] == expires_at.astimezone(BANGKOK).isoformat()
    assert inbox.alerts == [
        Alert(
            event=AlertEvent.DAY_LATE,
            severity=logging.WARNING,
            profile="daily",
            batch_date="2026-01-18",
            batch_id=str(batch_id),
            facts={"due": DUE, "state": "open", "lease_expires_at": expires_at},
        )
    ]


def test_a_lease_that_was_really_taken_counts_and_a_released_one_does_not(
    database: Data, inbox: Inbox
) -> None:
    put_day(database, "01-18", "open")
    slot = Slot.take(database["exportslots"], "daily", owner="someone", lease_seconds=60)
    assert slot is not None
    assert check(database, inbox).status is WatchStatus.LATE
    slot.release()
    assert check(database, inbox).status is WatchStatus.MISSING


@pytest.mark.parametrize("slot_id", ["daily/manual", "monthly"])
def test_a_run_at_something_else_does_not_make_it_late(
    database: Data, inbox: Inbox, slot_id: str
) -> None:
    put_day(database, "01-18", "open")
    hold(database, seconds=60, slot_id=slot_id)
    assert check(database, inbox).status is WatchStatus.MISSING


def test_who_holds_the_slot_is_not_at_a_day_that_has_no_batch(database: Data, inbox: Inbox) -> None:
    hold(database, seconds=60)
    assert check(database, inbox).status is WatchStatus.MISSING


@pytest.mark.parametrize("kind", ["retry", "continuation", "half_open"])
@pytest.mark.parametrize("late", [timedelta(minutes=-45), timedelta(), timedelta(minutes=10)])
def test_a_call_that_follows_makes_it_late(
    database: Data, inbox: Inbox, kind: str, late: timedelta
) -> None:
    due = AT_EIGHT - late
    put_day(database, "01-18", "open", pendingTask=follow_up(due, kind))
    seen = check(database, inbox)
    assert seen.status is WatchStatus.LATE
    assert seen.to_doc()["nextAttemptAt"] == due.isoformat()
    (alert,) = inbox.alerts
    assert (alert.event, alert.severity) == (AlertEvent.DAY_LATE, logging.WARNING)
    assert alert.facts == {"due": DUE, "state": "open", "next_attempt_at": due}


def test_a_call_that_should_have_come_is_lost_and_the_day_missing(
    database: Data, inbox: Inbox
) -> None:
    due = AT_EIGHT - timedelta(minutes=10) - MILLISECOND
    put_day(database, "01-18", "open", pendingTask=follow_up(due))
    seen = check(database, inbox)
    assert seen.status is WatchStatus.MISSING
    assert seen.next_attempt_at == due
    assert inbox.alerts[0].event is AlertEvent.DAY_MISSING


def test_a_day_that_an_operator_released_is_done(database: Data, inbox: Inbox) -> None:
    put_day(database, "01-18", "failed", releasedAt=local("01-18 19:30"))
    assert check(database, inbox).status is WatchStatus.DONE
    assert inbox.alerts == []


def test_a_released_day_that_is_opened_again_is_watched_again(database: Data, inbox: Inbox) -> None:
    put_day(database, "01-18", "open", releasedAt=local("01-18 19:30"))
    assert check(database, inbox).status is WatchStatus.MISSING


@pytest.mark.parametrize("seconds", [60, -60])
def test_a_delivered_day_that_is_not_all_marked_is_late_and_never_missing(
    database: Data, inbox: Inbox, seconds: float
) -> None:
    put_day(database, "01-18", "committed", markedAt=None)
    hold(database, seconds=seconds)
    seen = check(database, inbox)
    assert (seen.status, seen.to_doc()["state"]) == (WatchStatus.LATE, "committed")
    (alert,) = inbox.alerts
    assert (alert.event, alert.severity) == (AlertEvent.DAY_LATE, logging.WARNING)
    assert alert.facts["state"] == "committed"


def test_another_profiles_day_does_not_stand_for_it(database: Data, inbox: Inbox) -> None:
    put_day(database, "01-18", "committed", profile="monthly")
    assert check(database, inbox).status is WatchStatus.MISSING


@pytest.mark.parametrize(
    ("schedule", "now", "day"),
    [
        (DAILY, AT_EIGHT.astimezone(UTC), "01-18"),
        (DAILY, local("01-18 17:59"), "01-17"),
        (DAILY, DUE, "01-18"),
        (LATE_EVENING, local("01-19 00:30"), "01-18"),  # past midnight: still the day before
        (NOON_AND_EVENING, AT_EIGHT, "01-18"),
        (WEEKDAYS, local("01-16 20:00"), "01-16"),  # a Friday
        (WEEKDAYS, local("01-17 18:00"), "01-16"),  # 24 hours later
    ],
)
def test_the_day_of_the_last_slot_is_watched(
    database: Data, inbox: Inbox, schedule: Schedule, now: datetime, day: str
) -> None:
    seen = check(database, inbox, now, schedule)
    assert (seen.status, seen.to_doc()["batchDate"]) == (WatchStatus.MISSING, f"2026-{day}")
    put_day(database, day, "committed")
    assert check(database, inbox, now, schedule).status is WatchStatus.DONE


@pytest.mark.parametrize(
    "now", [local("01-17 18:00") + MILLISECOND, local("01-17 20:00"), local("01-19 17:59")]
)
def test_what_was_due_more_than_a_day_ago_was_watched_then(
    database: Data, inbox: Inbox, caplog: pytest.LogCaptureFixture, now: datetime
) -> None:
    caplog.set_level(logging.INFO, "daybook")
    put_day(database, "01-16", "failed")  # a Friday
    seen = check(database, inbox, now, WEEKDAYS)
    assert seen.to_doc() == {
        "status": "no_slot",
        "profile": "daily",
        "batchDate": "2026-01-16",
        "due": "2026-01-16T18:00:00+07:00",
        "state": None,
        "nextAttemptAt": None,
        "leaseExpiresAt": None,
        "refused": None,
        "unclaimed": {},
    }
    assert inbox.alerts == []
    assert len(quiet_events(caplog)) == 1


def test_a_day_is_24_real_hours_when_the_clock_goes_back(database: Data, inbox: Inbox) -> None:
    saturday = Schedule("0 18 * * SAT", NEW_YORK)
    now = local("11-01 17:30", NEW_YORK)  # by the wall clock 23.5 hours later
    assert check(database, inbox, now, saturday).status is WatchStatus.NO_SLOT


def test_each_look_tells_again(database: Data, inbox: Inbox) -> None:
    check(database, inbox)
    check(database, inbox)
    assert len(inbox.alerts) == 2


def test_looking_changes_nothing(database: Data, inbox: Inbox) -> None:
    put_day(database, "01-18", "open", pendingTask=follow_up(AT_EIGHT))
    hold(database, seconds=60)
    before = everything(database)
    check(database, inbox)
    assert everything(database) == before


def everything(database: Data) -> dict[str, list[dict[str, Any]]]:
    return {name: database[name].find().to_list() for name in database.list_collection_names()}


def test_a_run_that_starts_between_the_reads_is_not_called_missing(
    database: Data, mongo_uri: str, inbox: Inbox
) -> None:
    """A retry that begins right after the batch was read: the task is gone, a lease there."""
    batch_id = put_day(database, "01-18", "open", pendingTask=follow_up(AT_EIGHT))
    database["exportslots"].insert_one({"_id": "daily", "fence": 1, "lease": None})
    seen = between_reads(mongo_uri, database, inbox, lambda: begin(database, batch_id))
    assert seen.status is WatchStatus.LATE
    assert check(database, inbox).status is WatchStatus.LATE


def test_a_run_that_ends_between_the_reads_is_not_called_missing(
    database: Data, mongo_uri: str, inbox: Inbox
) -> None:
    batch_id = put_day(database, "01-18", "open")
    hold(database, seconds=60)
    seen = between_reads(mongo_uri, database, inbox, lambda: end(database, batch_id))
    assert seen.status is WatchStatus.LATE
    assert check(database, inbox).status is WatchStatus.DONE


def begin(database: Data, batch_id: ObjectId) -> None:
    lease = {"owner": "someone", "expiresAt": datetime.now(UTC) + timedelta(seconds=60)}
    database["exportslots"].update_one({"_id": "daily"}, {"$set": {"lease": lease}})
    database["exportbatches"].update_one({"_id": batch_id}, {"$set": {"pendingTask": None}})


def end(database: Data, batch_id: ObjectId) -> None:
    done = {"state": "empty", "committedAt": AT_EIGHT}
    database["exportbatches"].update_one({"_id": batch_id}, {"$set": done})
    database["exportslots"].update_one({"_id": "daily"}, {"$set": {"lease": None}})


def between_reads(mongo_uri: str, database: Data, inbox: Inbox, happens: Any) -> Watch:
    """Look while something happens between the watchdog's first read and its second."""

    class AfterFirstFind(monitoring.CommandListener):
        pending = True

        def started(self, event: monitoring.CommandStartedEvent) -> None:
            pass

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
            if event.command_name == "find" and self.pending:
                self.pending = False
                happens()

        def failed(self, event: monitoring.CommandFailedEvent) -> None:
            pass

    listener = AfterFirstFind()
    with MongoClient[dict[str, Any]](
        mongo_uri, tz_aware=True, event_listeners=[listener]
    ) as client:
        seen = watch(client[database.name], "daily", DAILY, AT_EIGHT, inbox)
    assert not listener.pending
    return seen


def test_a_day_whose_state_is_unknown_counts_as_missing(inbox: Inbox) -> None:
    with (
        connect(settings_for("mongodb://127.0.0.1:1/", selection_ms=100)) as client,
        pymongo.timeout(0.5),  # the watchdog itself tries for longer
        pytest.raises(DatabaseError, match=r"watch over 2026-01-18.*refused"),
    ):
        watch(client["daybook"], "daily", DAILY, AT_EIGHT, inbox)
    (alert,) = inbox.alerts
    assert (alert.event, alert.severity) == (AlertEvent.DAY_MISSING, logging.CRITICAL)
    assert (alert.facts["state"], alert.facts["error_type"]) == ("unknown", "mongodb")
    assert "refused" in alert.facts["error"]


def test_both_reads_go_by_an_index(database: Data, inbox: Inbox) -> None:
    migrate(database, now=EVENING)
    put_day(database, "01-18", "committed")
    hold(database, seconds=60)
    database.command("profile", 2)
    check(database, inbox)
    database.command("profile", 0)
    reads = {read["ns"]: read for read in database["system.profile"].find({"op": "query"})}
    batches = reads.pop(f"{database.name}.exportbatches")
    slots = reads.pop(f"{database.name}.exportslots")
    logs = reads.pop(f"{database.name}.exportlogs")
    assert "IXSCAN" in logs["planSummary"]
    assert reads == {}
    assert "profile: 1, batchDate: 1" in batches["planSummary"]
    assert slots["planSummary"].startswith(("IDHACK", "IXSCAN { _id: 1 }"))


def test_what_the_export_leaves_is_understood(
    database: Data, mongo_uri: str, tmp_path: Path, inbox: Inbox
) -> None:
    with Office(database, mongo_uri, tmp_path) as office:
        office.add()
        office.export()
        assert check(office.app.database, inbox).status is WatchStatus.DONE
    assert inbox.alerts == []
