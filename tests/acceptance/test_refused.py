"""Calls for a day's run that get an error instead: who is told, and what is stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import flask
import pymongo
import pytest
from pymongo.uri_parser import parse_uri

from daybook.app import App
from daybook.http import routes
from daybook.mongo.migrate import migrate
from tests import books
from tests.acceptance.evening import DAY, MINUTE, Db, Evening, MakeEvening
from tests.acceptance.tasks_calls import hold_run
from tests.acceptance.test_cli import answer, daybook
from tests.emulators.mongo_proxy import MongoProxy

pytestmark = pytest.mark.migrated

pytest_plugins = ["tests.acceptance.evening"]

INDEX = "idx_batch_daily_unique"
TASK = {"profile": "daily", "batchDate": DAY, "generation": 1, "attempt": 2, "kind": "retry"}


@pytest.fixture
def evening(make_evening: MakeEvening, database: Db) -> Evening:
    evening = make_evening(database=database)
    migrate(database, now=evening.starts_at)
    return evening


def refused(evening: Evening) -> dict[str, Any] | None:
    slot = evening.database["exportslots"].find_one({"_id": "daily"}) or {}
    found: dict[str, Any] | None = slot.get("refused")
    return found


def at_hand(evening: Evening) -> dict[str, str]:
    """The variables of a command."""
    return {**evening.env, "DAYBOOK_SERVICE_URL": evening.function.url}


def test_a_missing_index_at_six_is_alerted_at_once_and_once(evening: Evening) -> None:
    ids = books.put_many(evening.database, 2)
    evening.database["exportlogs"].drop_index(INDEX)

    answers = [evening.trigger() for _ in range(5)]
    answers.append(evening.instance().trigger(evening.starts_at))  # another instance

    assert [one.status_code for one in answers] == [500] * 6
    assert evening.alarms() == [("CRITICAL", "run_refused")]
    (mail,) = evening.mail("alerts")
    assert "the call for the run FAILED" in mail
    assert INDEX in mail
    assert "daybook migrate" in mail
    stored = refused(evening)
    assert stored is not None
    assert (stored["batchDate"], stored["type"], stored["count"]) == (DAY, "configuration", 6)
    assert stored["firstAt"] == stored["lastAt"] == stored["alertedAt"] == evening.at(0)
    assert evening.database["exportbatches"].count_documents({}) == 0

    status = answer(at_hand(evening), "status", DAY)
    assert (status["refused"]["count"], status["refused"]["type"]) == (6, "configuration")
    words = daybook(at_hand(evening), "status", DAY).stdout
    assert (
        "refused   6 calls, the last one at 2026-01-18 18:00 (Asia/Bangkok): configuration:"
        in words
    )

    evening.tasks.advance(120 * MINUTE)
    seen = evening.function.post("/watchdog").json()
    assert (seen["status"], seen["refused"]["count"]) == ("missing", 6)
    missing = evening.mail("alerts")[-1]
    assert "called at 2026-01-18 18:00 (Asia/Bangkok), and the call failed, 6 times" in missing
    assert INDEX in missing
    assert "Force run `daybook-migrate` in Cloud Scheduler" in missing
    assert "no trace of a run" not in missing  # nor is the scheduler suspected:
    assert "whether the job called" not in missing

    migrate(evening.database, now=evening.tasks.now())
    assert evening.function.post("/run", {"batchDate": DAY}).json()["status"] == "exported"
    assert [event for _, event in evening.alarms()][-1] == "batch_recovered"
    assert books.statuses(evening.database, ids) == ["completed"] * 2
    assert answer(at_hand(evening), "status", DAY)["refused"] is None
    assert evening.function.post("/watchdog").json()["status"] == "done"


def test_a_retry_that_is_refused_is_alerted_too(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger()
    evening.database["exportlogs"].drop_index(INDEX)
    evening.tasks.advance(5 * MINUTE)

    assert evening.function.post("/tasks/run", TASK).status_code == 500

    assert [event for _, event in evening.alarms()] == ["attempt_failed", "run_refused"]
    evening.tasks.advance(120 * MINUTE)
    assert evening.function.post("/watchdog").json()["status"] == "missing"
    assert "and the call failed." in evening.mail("alerts")[-1]


def test_another_cause_on_the_same_day_is_alerted_as_well(evening: Evening) -> None:
    app = evening.function.app
    day = evening.starts_at.date()
    for kind in ("configuration", "configuration", "mongodb", "mongodb"):
        app.refused_runs.announce(
            "daily", day, kind=kind, message=f"what {kind} says: $not.a $path", now=app.now()
        )
    assert [event for _, event in evening.alarms()] == ["run_refused"] * 2
    stored = refused(evening)
    assert stored is not None
    assert (stored["count"], stored["message"]) == (4, "what mongodb says: $not.a $path")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/run", {"batchDate": DAY, "dryRun": True}), ("/exports", {"from": DAY, "to": DAY})],
)
def test_what_a_person_asked_for_raises_no_alert(
    evening: Evening, path: str, body: dict[str, Any]
) -> None:
    evening.database["exportlogs"].drop_index(INDEX)
    evening.function.post(path, body)
    assert evening.alarms() == []
    assert refused(evening) is None


def test_while_mongodb_is_away_each_instance_tells_once(
    make_evening: MakeEvening, mongo_uri: str
) -> None:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port) as proxy:
        evening = make_evening(
            DAYBOOK_MONGODB_URI=proxy.uri,
            DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="1000",
            DAYBOOK_MONGO_SOCKET_TIMEOUT_MS="2000",
        )
        with proxy.down():
            answers = [evening.trigger() for _ in range(2)]
        assert [one.status_code for one in answers] == [503] * 2
        assert evening.alarms() == [("CRITICAL", "run_refused")]
        assert "mongodb" in evening.mail("alerts")[0]
        assert len(evening.logged("refusal_not_stored")) == 2
        assert refused(evening) is None
        assert "A file of this day may already be visible" in evening.mail("alerts")[0]
        assert evening.trigger().json()["status"] == "empty"
        stored = refused(evening)
        assert stored is not None
        assert (stored["batchDate"], stored["type"]) == (DAY, "mongodb")
        assert evening.alarms()[1:] == [("INFO", "batch_recovered")]


@pytest.mark.parametrize(
    ("request_to_drive", "language", "known"),
    [
        ("generateIds", "en", "A file of this day may already be visible"),
        ("create_multipart", "en", "A file of this day may already be visible"),
        ("create_multipart", "th", "อาจมีไฟล์ของวันนี้อยู่ที่ปลายทางแล้วแต่ยังไม่มีบันทึก"),
    ],
)
def test_mongodb_that_dies_in_a_run_leaves_only_what_is_known_and_the_next_run_clears_it(
    make_evening: MakeEvening, mongo_uri: str, request_to_drive: str, language: str, known: str
) -> None:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port) as proxy:
        evening = make_evening(
            DAYBOOK_MONGODB_URI=proxy.uri,
            DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="1000",
            DAYBOOK_MONGO_SOCKET_TIMEOUT_MS="2000",
            DAYBOOK_LANGUAGE=language,
        )
        books.put_many(evening.database, 1)
        running, held = hold_run(evening, request_to_drive)
        with proxy.down():
            held.let_go()
            assert running.result().status_code == 503
        assert evening.alarms() == [("CRITICAL", "run_refused")]
        (mail,) = evening.mail("alerts")
        assert known in mail
        assert "before a run began" not in mail
        assert "There is no file" not in mail
        evening.bury()
        # Another instance, which knows nothing of the alert.
        again = evening.instance(DAYBOOK_MONGODB_URI=mongo_uri).trigger(evening.starts_at)
    assert again.status_code == 200
    assert evening.alarms()[1:] == [("INFO", "batch_recovered")]
    assert evening.delivered() == {f"batch_{DAY}.csv": ["INV-0"]}


def test_a_missing_index_behind_a_file_without_a_record_does_not_deny_the_file(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 1)
    # The answer is lost, and so is every look at the file.
    evening.drive.fault("answer_lost", on="create_multipart", times=50)
    evening.drive.fault("status", on="get", status=503, times=50)
    evening.trigger()
    assert "ended without a recorded file" in evening.mail("alerts")[0]
    evening.database["exportlogs"].drop_index(INDEX)

    evening.function.post("/run", {"batchDate": DAY})
    assert "A file of this day may already be visible" in evening.mail("alerts")[-1]

    evening.tasks.advance(120 * MINUTE)
    evening.function.post("/watchdog")
    missing = evening.mail("alerts")[-1]
    assert "the batch is MISSING" in missing
    assert "A file of this day may already be visible" in missing
    assert "There is no file" not in missing


def test_after_an_outage_the_watchdog_names_both_things_that_leave_no_trace(
    make_evening: MakeEvening, mongo_uri: str
) -> None:
    host, port = parse_uri(mongo_uri)["nodelist"][0]
    with MongoProxy(host, port) as proxy:
        evening = make_evening(
            DAYBOOK_MONGODB_URI=proxy.uri, DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS="1000"
        )
        with proxy.down():
            assert evening.trigger().status_code == 503
        evening.tasks.advance(timedelta(hours=2))
        seen = evening.function.post("/watchdog").json()
    assert (seen["status"], seen["state"], seen["refused"]) == ("missing", None, None)
    told = evening.mail("alerts")[-1]
    assert "either no call was made, or MongoDB could not be reached when it came" in told
    assert "Force run `daybook-batch` in Cloud Scheduler" in told
    assert "check there whether the job called, and which response it got" in told


@pytest.mark.parametrize(
    ("address", "status", "kind"),
    [
        ("mongodb://127.0.0.1:1/", 503, "mongodb"),
        ("mongodb+srv://daybook.invalid/", 503, "mongodb"),
        ("mongodb://user:p@ss@127.0.0.1/", 500, "configuration"),
    ],
)
def test_a_watchdog_that_cannot_see_the_day_says_so_and_claims_nothing_of_it(
    evening: Evening, address: str, status: int, kind: str
) -> None:
    env = {
        **at_hand(evening),
        "DAYBOOK_MONGODB_URI": address,
        "DAYBOOK_MONGO_SERVER_SELECTION_TIMEOUT_MS": "200",
    }
    app = replace(App.from_env(env), clock=evening.tasks.now)
    with (
        flask.Flask("function").test_request_context("/watchdog", method="POST"),
        pymongo.timeout(1),  # the watchdog itself tries for longer
    ):
        answered = routes.answer(app, cast(flask.Request, flask.request))
    assert answered.status_code == status
    assert evening.alarms() == [("CRITICAL", "day_missing")]
    (told,) = evening.mail("alerts")
    assert f"its state cannot be read. Last error: {kind}: " in told
    assert "There may be no file for this day; whether its entries are exported is unknown" in told
    assert "stay queued" not in told
    assert "p@ss" not in told


# Who announces


def without_addresses(evening: Evening) -> dict[str, str]:
    silenced = ("DAYBOOK_ALERT_URLS", "DAYBOOK_RECEIPT_URLS")
    return {name: text for name, text in at_hand(evening).items() if name not in silenced}


def test_a_command_without_addresses_leaves_the_receipt_to_the_function(evening: Evening) -> None:
    books.put_many(evening.database, 2)

    delivered = answer(without_addresses(evening), "run", "--date", DAY)

    assert delivered["status"] == "exported"
    assert evening.batch()["alertedAt"] is None
    assert evening.mail("receipts") == []
    # The command's clock is this machine's: the function's has to be too, or it were old news.
    update = {"$set": {"updatedAt": evening.tasks.now()}}
    evening.database["exportbatches"].update_one({"batchDate": DAY}, update)
    evening.function.post("/sweep")
    (receipt,) = evening.mail("receipts")
    assert f"batch_{DAY}.csv" in receipt
    assert evening.batch()["alertedAt"] == evening.tasks.now()
    evening.function.post("/sweep")
    assert len(evening.mail("receipts")) == 1


def test_a_failure_that_a_command_met_is_alerted_by_the_function(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    env = {**without_addresses(evening), "DAYBOOK_RETRY_DELAYS_SECONDS": "1"}
    evening.drive.fault("status", on="generateIds", status=403, reason="storageQuotaExceeded")
    evening.drive.fault("status", on="create_multipart", status=403, reason="storageQuotaExceeded")

    process = daybook(env, "run", "--date", DAY)

    assert process.returncode == 1, process.stdout
    assert "batch_failed" in process.stderr  # the log is told in any case
    assert (evening.batch()["state"], evening.batch()["alertedAt"]) == ("failed", None)
    assert evening.mail("alerts") == []
    update = {"$set": {"updatedAt": evening.tasks.now()}}
    evening.database["exportbatches"].update_one({"batchDate": DAY}, update)
    evening.function.post("/sweep")
    assert any("FAILED" in mail for mail in evening.mail("alerts"))
    assert evening.batch()["alertedAt"] is not None


def test_a_command_with_addresses_announces_itself(evening: Evening) -> None:
    books.put_many(evening.database, 1)
    assert answer(at_hand(evening), "run", "--date", DAY)["status"] == "exported"
    assert len(evening.mail("receipts")) == 1
    assert evening.batch()["alertedAt"] is not None


def test_a_function_without_addresses_announces_by_its_log(
    make_evening: MakeEvening, database: Db
) -> None:
    none = {"DAYBOOK_ALERT_URLS": "", "DAYBOOK_RECEIPT_URLS": ""}
    evening = make_evening(database=database, **none)
    migrate(database, now=evening.starts_at)
    assert evening.trigger().json()["status"] == "empty"
    assert evening.batch()["alertedAt"] == evening.at(0)


def test_what_ended_long_ago_is_no_news(evening: Evening) -> None:
    answer(without_addresses(evening), "run", "--date", "2026-01-01")
    evening.tasks.advance(9 * 24 * 60 * MINUTE)
    old = {"$set": {"updatedAt": evening.at(0)}}
    evening.database["exportbatches"].update_one({"batchDate": "2026-01-01"}, old)
    evening.function.post("/sweep")
    assert evening.mail("receipts") == []
    assert evening.batch("2026-01-01")["alertedAt"] is not None


# The receipt again


def test_a_receipt_is_shown_and_sent_again(evening: Evening) -> None:
    books.put_many(evening.database, 2)
    evening.trigger()
    (first,) = evening.mail("receipts")

    shown = daybook(at_hand(evening), "receipt", DAY)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == "\n\n".join(first.split("\n", 1)).strip()
    assert len(evening.mail("receipts")) == 1

    sent = answer(at_hand(evening), "receipt", DAY, "--send")
    assert (sent["sentCount"], sent["entryCount"], sent["filename"]) == (1, 2, f"batch_{DAY}.csv")
    assert evening.mail("receipts") == [first, first]
    thai = answer({**at_hand(evening), "DAYBOOK_LANGUAGE": "th"}, "receipt", DAY)
    assert "ใบยืนยันการส่งออก" in thai["title"]


def test_a_receipt_that_cannot_be_is_explained(evening: Evening) -> None:
    evening.trigger()
    process = daybook(without_addresses(evening), "receipt", DAY, "--send")
    assert (process.returncode, process.stdout) == (3, "")
    assert "DAYBOOK_RECEIPT_URLS" in process.stderr
    nowhere = {**at_hand(evening), "DAYBOOK_RECEIPT_URLS": "json://127.0.0.1:1/receipts"}
    assert answer(nowhere, "receipt", DAY, "--send", code=1)["sentCount"] == 0
    assert "no run yet" in daybook(at_hand(evening), "receipt", "2026-01-01").stderr
    books.put_many(evening.database, 1)
    evening.drive.down = True
    evening.trigger(-1)
    assert "it is open" in daybook(at_hand(evening), "receipt", "2026-01-17").stderr
