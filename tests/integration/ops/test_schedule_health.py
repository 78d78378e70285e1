"""`GET /health/cron`: whether the batch came when it was due, on a real MongoDB."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.export.model.lifecycle import Schedule
from daybook.mongo.client import connect
from daybook.mongo.migrate import migrate
from daybook.ops.health import ScheduleHealth, schedule_health
from tests.emulators.gate import Gate
from tests.integration.days import BANGKOK, local, put_day
from tests.integration.office import DAY, EVENING, Office
from tests.integration.ops.test_health import settings_for

pytestmark = pytest.mark.migrated

DAILY = Schedule("0 18 * * *", BANGKOK)
WEEKDAYS = Schedule("0 18 * * MON-FRI", BANGKOK)
NOON_AND_EVENING = Schedule("0 12,18 * * *", BANGKOK)
HOURLY = Schedule("0 * * * *", BANGKOK)
MONTHLY = Schedule("0 18 1 * *", BANGKOK)
MIDNIGHT = Schedule("0 0 * * *", BANGKOK)
NEW_YORK = ZoneInfo("America/New_York")
MICROSECOND = timedelta(microseconds=1)
Data = Database[dict[str, Any]]


def health(database: Data, now: str | datetime, schedule: Schedule = DAILY) -> ScheduleHealth:
    moment = local(now) if isinstance(now, str) else now
    return schedule_health(database, "daily", schedule, moment)


def status(database: Data, now: str | datetime, schedule: Schedule = DAILY) -> str:
    found = health(database, now, schedule)
    assert found.http_status == (200 if found.healthy else 503)
    word = found.to_doc()["status"]
    assert isinstance(word, str)
    return word


def assert_turns_unhealthy_after(
    database: Data, last_healthy: str | datetime, schedule: Schedule = DAILY
) -> None:
    """Healthy up to and including the moment, not a microsecond longer."""
    moment = local(last_healthy) if isinstance(last_healthy, str) else last_healthy
    moment = moment.astimezone(UTC)
    assert status(database, moment, schedule) == "healthy"
    assert status(database, moment + MICROSECOND, schedule) == "unhealthy"


def test_before_the_first_run_it_is_healthy_and_says_when_it_comes(database: Data) -> None:
    found = health(database, "01-18 17:59")
    assert found.http_status == 200
    assert found.to_doc() == {
        "status": "healthy",
        "lastRun": None,
        "hoursSinceLastRun": None,
        "nextRun": "2026-01-18T18:00:00+07:00",
    }


def test_a_done_day_is_shown_with_its_time_and_age(database: Data) -> None:
    put_day(database, "01-18", "committed")
    found = health(database, local("01-18 18:30:10"))
    assert found.http_status == 200
    assert found.to_doc() == {
        "status": "healthy",
        "lastRun": "2026-01-18T11:00:10.000Z",
        "hoursSinceLastRun": 0.5,
        "nextRun": "2026-01-19T18:00:00+07:00",
    }


def test_hours_have_two_decimals(database: Data) -> None:
    put_day(database, "01-18", "committed")
    assert health(database, "01-18 18:20:10").to_doc()["hoursSinceLastRun"] == 0.33


def test_a_clock_behind_that_of_the_run_gives_no_negative_age(database: Data) -> None:
    put_day(database, "01-18", "committed")
    assert health(database, "01-18 17:59").to_doc()["hoursSinceLastRun"] == 0.0


@pytest.mark.parametrize("state", ["committed", "empty"])
def test_a_daily_schedule_is_unhealthy_26_hours_after_the_last_done_slot(
    database: Data, state: str
) -> None:
    put_day(database, "01-17", state)
    assert_turns_unhealthy_after(database, "01-18 20:00")


def test_it_stays_unhealthy_while_the_following_days_come_and_go(database: Data) -> None:
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", "failed")
    for now in ("01-19 17:59", "01-19 18:30", "02-19 12:00"):
        assert status(database, now) == "unhealthy"
    found = health(database, "01-19 18:00:10").to_doc()
    assert found["lastRun"] == "2026-01-17T11:00:10.000Z"
    assert found["hoursSinceLastRun"] == 48.0


@pytest.mark.parametrize("state", ["open", "failed"])
def test_a_day_that_is_begun_but_not_done_is_due_like_one_that_is_not(
    database: Data, state: str
) -> None:
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", state)
    assert_turns_unhealthy_after(database, "01-18 20:00")


def test_a_missed_day_no_longer_counts_once_a_later_one_is_done(database: Data) -> None:
    put_day(database, "01-16", "committed")
    put_day(database, "01-17", "failed")
    put_day(database, "01-18", "committed")
    assert_turns_unhealthy_after(database, "01-19 20:00")


def test_a_day_that_was_made_up_later_counts_for_its_own_date(database: Data) -> None:
    put_day(database, "01-17", "committed", began=local("01-18 19:55"))
    assert_turns_unhealthy_after(database, "01-18 20:00")
    put_day(database, "01-18", "committed", began=local("01-19 09:00"))
    assert_turns_unhealthy_after(database, "01-19 20:00")


def test_an_old_day_made_up_by_hand_does_not_stand_for_today(database: Data) -> None:
    put_day(database, "01-16", "committed")
    put_day(database, "01-10", "committed", began=local("01-18 09:00"))
    assert status(database, "01-18 09:30") == "unhealthy"
    assert health(database, "01-18 09:30").last_run == local("01-16 18:00:10")


def test_a_batch_of_a_day_to_come_says_nothing_until_that_day(database: Data) -> None:
    put_day(database, "01-17", "committed")
    put_day(database, "01-25", "committed", began=local("01-18 09:00"))
    assert_turns_unhealthy_after(database, "01-18 20:00")
    assert health(database, "01-24 23:59").last_run == local("01-17 18:00:10")
    assert_turns_unhealthy_after(database, "01-26 20:00")


def test_todays_batch_made_before_it_was_due_covers_a_missed_yesterday(database: Data) -> None:
    put_day(database, "01-16", "committed")
    put_day(database, "01-18", "committed", began=local("01-18 09:00"))
    assert_turns_unhealthy_after(database, "01-19 20:00")


def test_a_day_recorded_by_the_node_application_is_done(database: Data) -> None:
    recorded = local("01-18 18:02").astimezone(UTC)
    put_day(database, "01-18", "committed", recordedElsewhere=True, committedAt=recorded)
    assert health(database, "01-18 21:00").last_run == recorded
    assert_turns_unhealthy_after(database, "01-19 20:00")


def test_a_delivered_day_is_done_although_not_all_of_it_is_marked(database: Data) -> None:
    put_day(database, "01-18", "committed", markedAt=None)
    assert_turns_unhealthy_after(database, "01-19 20:00")


def test_a_day_that_an_operator_released_is_settled_but_was_no_run(database: Data) -> None:
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", "failed", releasedAt=local("01-19 09:00"))
    assert_turns_unhealthy_after(database, "01-19 20:00")
    assert health(database, "01-19 12:00").last_run == local("01-17 18:00:10")


def test_a_released_day_that_is_opened_again_is_no_longer_settled(database: Data) -> None:
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", "open", releasedAt=local("01-19 09:00"))
    assert status(database, "01-19 12:00") == "unhealthy"


def test_a_first_run_that_never_comes_to_an_end_is_found_out(database: Data) -> None:
    put_day(database, "01-16", "failed")
    put_day(database, "01-17", "open")
    found = health(database, "01-18 12:00")
    assert (found.http_status, found.last_run) == (503, None)
    assert found.hours_since_last_run is None


def test_the_first_run_has_two_hours_even_for_a_day_long_past(database: Data) -> None:
    put_day(database, "01-03", "failed", began=local("01-18 10:00"))
    assert_turns_unhealthy_after(database, "01-18 12:00:01")


def test_a_released_first_day_leaves_the_schedule_healthy(database: Data) -> None:
    put_day(database, "01-17", "failed", releasedAt=local("01-17 19:30"))
    assert_turns_unhealthy_after(database, "01-18 20:00")


def test_other_profiles_and_manual_exports_do_not_count(database: Data) -> None:
    migrate(database, now=EVENING)
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", "committed", profile="monthly")
    put_day(database, "01-18", "committed", profile="daily", batchDate=None, manualKey="k")
    assert status(database, "01-18 21:00") == "unhealthy"
    assert health(database, "01-18 21:00").last_run == local("01-17 18:00:10")


class TestOddSchedules:
    def test_without_weekends_friday_lasts_until_monday_evening(self, database: Data) -> None:
        put_day(database, "01-16", "committed")  # a Friday
        assert_turns_unhealthy_after(database, "01-19 20:00", WEEKDAYS)
        assert health(database, "01-17 12:00", WEEKDAYS).to_doc()["nextRun"] == (
            "2026-01-19T18:00:00+07:00"
        )

    def test_a_missed_friday_is_unhealthy_over_the_weekend(self, database: Data) -> None:
        put_day(database, "01-15", "committed")
        assert_turns_unhealthy_after(database, "01-16 20:00", WEEKDAYS)
        assert status(database, "01-18 12:00", WEEKDAYS) == "unhealthy"

    def test_a_month_may_lie_between_two_slots(self, database: Data) -> None:
        put_day(database, "01-01", "committed")
        assert_turns_unhealthy_after(database, "02-01 20:00", MONTHLY)

    def test_a_slot_at_midnight_belongs_to_the_day_that_begins(self, database: Data) -> None:
        put_day(database, "01-18", "committed", began=local("01-18 00:00"))
        assert_turns_unhealthy_after(database, "01-19 02:00", MIDNIGHT)

    def test_one_done_slot_of_several_does_for_the_day(self, database: Data) -> None:
        put_day(database, "01-18", "committed", began=local("01-18 12:00"))
        assert_turns_unhealthy_after(database, "01-19 14:00", NOON_AND_EVENING)

    def test_a_missed_slot_is_not_forgotten_when_the_next_one_is_due(self, database: Data) -> None:
        put_day(database, "01-17", "committed")
        assert_turns_unhealthy_after(database, "01-18 14:00", NOON_AND_EVENING)
        assert status(database, "01-18 18:30", NOON_AND_EVENING) == "unhealthy"

    def test_a_day_given_up_at_noon_stays_unhealthy_in_the_evening(self, database: Data) -> None:
        put_day(database, "01-17", "committed")
        put_day(database, "01-18", "failed", began=local("01-18 12:00"))
        assert status(database, "01-18 18:30", NOON_AND_EVENING) == "unhealthy"

    @pytest.mark.parametrize("state", ["open", "failed"])
    def test_an_empty_day_that_a_later_slot_opens_again_has_that_slots_time(
        self, database: Data, state: str
    ) -> None:
        put_day(database, "01-17", "committed")
        put_day(
            database,
            "01-18",
            state,
            createdAt=local("01-18 12:00:01"),
            began=local("01-18 18:05"),  # a second attempt
        )
        assert_turns_unhealthy_after(database, "01-18 20:00", NOON_AND_EVENING)

    def test_a_day_gets_no_more_time_from_a_slot_of_the_next_one(self, database: Data) -> None:
        put_day(database, "01-16", "committed")
        put_day(database, "01-17", "open", began=local("01-18 12:30"))
        assert status(database, "01-18 12:31", NOON_AND_EVENING) == "unhealthy"

    def test_an_hourly_day_that_hangs_is_found_out_the_same_day(self, database: Data) -> None:
        put_day(database, "01-17", "committed")
        put_day(database, "01-18", "open", began=local("01-18 09:00"))
        assert_turns_unhealthy_after(database, "01-18 11:00", HOURLY)

    @pytest.mark.parametrize(
        ("done", "last_healthy"),
        [
            ("03-07", datetime(2026, 3, 9, 0, tzinfo=UTC)),  # 23 hours later, and two
            ("10-31", datetime(2026, 11, 2, 1, tzinfo=UTC)),  # 25 hours later, and two
        ],
    )
    def test_clock_changes_shift_the_limit_with_the_slot(
        self, database: Data, done: str, last_healthy: datetime
    ) -> None:
        evening = Schedule("0 18 * * *", NEW_YORK)
        put_day(database, done, "committed", began=local(f"{done} 18:00", NEW_YORK))
        assert_turns_unhealthy_after(database, last_healthy, evening)

    def test_two_hours_are_real_hours_when_the_clock_goes_back(self, database: Data) -> None:
        night = Schedule("30 0 * * *", NEW_YORK)
        put_day(database, "10-31", "committed", began=local("10-31 00:30", NEW_YORK))
        due = datetime(2026, 11, 1, 4, 30, tzinfo=UTC)  # at 06:00 the clock goes back to 01:00
        assert_turns_unhealthy_after(database, due + timedelta(hours=2), night)
        now_in_zone = (due + timedelta(hours=2, minutes=1)).astimezone(NEW_YORK)
        assert status(database, now_in_zone, night) == "unhealthy"

    def test_a_day_begins_at_midnight_of_the_schedules_zone(self, database: Data) -> None:
        put_day(database, "01-18", "committed", began=local("01-18 00:00"))
        still_the_17th = datetime(2026, 1, 17, 17, 0, 11, tzinfo=UTC)  # 00:00:11 in Bangkok
        assert health(database, still_the_17th, MIDNIGHT).to_doc() == {
            "status": "healthy",
            "lastRun": "2026-01-17T17:00:10.000Z",
            "hoursSinceLastRun": 0.0,
            "nextRun": "2026-01-19T00:00:00+07:00",
        }


def test_what_the_export_leaves_is_understood(
    database: Data, mongo_uri: str, tmp_path: Path
) -> None:
    with Office(database, mongo_uri, tmp_path) as office:
        office.add()
        office.export(DAY)
        found = schedule_health(office.app.database, "daily", DAILY, EVENING + timedelta(hours=1))
    assert found.healthy
    assert found.last_run == EVENING
    assert found.hours_since_last_run == 1.0


def test_a_long_history_is_not_read(database: Data) -> None:
    migrate(database, now=EVENING)
    first = datetime(2023, 1, 1, 18, tzinfo=BANGKOK)
    days = [(first + timedelta(days=number)).date().isoformat() for number in range(1000)]
    database["exportbatches"].insert_many(
        {"profile": "daily", "batchDate": day, "state": "committed"} for day in days
    )
    put_day(database, "01-17", "committed")
    put_day(database, "01-18", "failed")
    database.command("profile", 2)
    assert health(database, "01-19 12:00").last_run == local("01-17 18:00:10")
    database.command("profile", 0)
    (read,) = database["system.profile"].find({"op": "query"})
    assert read["ns"] == f"{database.name}.exportbatches"
    assert "profile: 1, batchDate: 1" in read["planSummary"]
    assert read["docsExamined"] <= 101  # what the planner tries out, of over a thousand


def test_without_mongodb_it_is_unhealthy_and_still_says_when_the_next_run_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with connect(settings_for("mongodb://127.0.0.1:1/", selection_ms=100)) as client:
        found = schedule_health(client["daybook"], "daily", DAILY, local("01-18 12:00"))
    assert found.http_status == 503
    assert found.to_doc() == {
        "status": "unhealthy",
        "lastRun": None,
        "hoursSinceLastRun": None,
        "nextRun": "2026-01-18T18:00:00+07:00",
    }
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "health_degraded"]
    assert "refused" in record.fields["error"]  # type: ignore[attr-defined]


def test_a_database_that_hangs_is_unhealthy_within_the_selection_timeout(
    database: Data, mongo_uri: str
) -> None:
    put_day(database, "01-17", "committed")
    gate = Gate(parse_uri(mongo_uri)["nodelist"][0])
    uri = f"mongodb://127.0.0.1:{gate.port}/?directConnection=true"
    with connect(settings_for(uri, selection_ms=400)) as client:
        behind = client[database.name]
        assert status(behind, "01-18 12:00") == "healthy"
        gate.stall()
        start = time.perf_counter()
        assert status(behind, "01-18 12:00") == "unhealthy"
        assert time.perf_counter() - start < 3
        gate.flow()
        assert status(behind, "01-18 12:00") == "healthy"
    gate.close()
