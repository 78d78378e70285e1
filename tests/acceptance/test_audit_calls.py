"""`POST /audit` over real HTTP: files in Drive, the rest through Cloud Tasks, alerts once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import requests
from click.testing import CliRunner, Result

from daybook.cli.main import main
from tests import books
from tests.acceptance.evening import ACCOUNT, DAY, MINUTE, Evening, MakeEvening
from tests.acceptance.runbook_stage import own_logging
from tests.acceptance.test_cli import answer

pytest_plugins = ["tests.acceptance.evening"]


def deliver(evening: Evening, days: int) -> list[str]:
    """Files of so many days; returns their IDs, the oldest first."""
    ids = []
    for day in range(days):
        books.put_many(evening.database, 2)
        evening.tasks.advance(timedelta(days=1 if day else 0))
        answer = evening.trigger(day)
        assert answer.json()["status"] == "exported"
        ids.append(answer.json()["fileId"])
    return ids


def test_a_day_costs_one_request_and_the_rest_goes_through_the_queue(
    make_evening: MakeEvening,
) -> None:
    evening = make_evening(DAYBOOK_RUN_DEADLINE_SECONDS="0.001")
    evening.function.app = evening.instance(DAYBOOK_RUN_DEADLINE_SECONDS="480").app
    deliver(evening, 3)
    quick = evening.instance(DAYBOOK_RUN_DEADLINE_SECONDS="0.001")
    evening.function.app = quick.app
    asked = len(evening.drive.requests)

    first = evening.function.post("/audit", {"days": 7})

    assert (first.status_code, first.json()["status"]) == (202, "continued")
    assert (first.json()["checkedCount"], first.json()["remainingCount"]) == (1, 2)
    assert len(evening.drive.requests) == asked + 1
    statuses = []
    while (answered := evening.tasks.run_next()) is not None:
        statuses.append(answered.status)
    assert statuses == [202, 200]
    assert len(evening.drive.requests) == asked + 3
    audited = [doc["audit"]["findingCount"] for doc in evening.database["exportbatches"].find()]
    assert audited == [0, 0, 0]
    assert evening.alarms() == []


@pytest.mark.parametrize("kind", ["file_missing", "file_trashed", "file_renamed", "file_content"])
def test_what_people_do_to_a_file_in_drive_is_alerted_once(evening: Evening, kind: str) -> None:
    (file_id,) = deliver(evening, 1)
    item = evening.drive.world.items[file_id]
    if kind == "file_missing":
        evening.drive.remove(file_id)
    elif kind == "file_trashed":
        item.trashed = True
    elif kind == "file_renamed":
        item.name = '=HYPERLINK("https://evil.example")\u202e.csv'
    else:
        evening.drive.tamper(file_id, item.content.replace(b"0", b"1", 1))

    for _ in range(2):
        evening.tasks.advance(MINUTE)
        answer = evening.function.post("/audit")
        assert (answer.status_code, answer.json()["status"]) == (200, "differs")
        (day,) = answer.json()["days"]
        assert day["batchDate"] == DAY
        assert [finding["kind"] for finding in day["findings"]] == [kind]

    assert evening.alarms() == [("CRITICAL", "file_changed")]
    (mail,) = evening.mail("alerts")
    assert f"batch_{DAY}.csv" in mail


def test_changed_entries_are_named_in_the_alert_and_the_file_is_left_alone(
    evening: Evening,
) -> None:
    (file_id,) = deliver(evening, 1)
    before = evening.drive.world.items[file_id].content
    entry = evening.database["journalentries"].find_one_and_update(
        {}, {"$set": {"description": "Another description"}}
    )
    assert entry is not None

    answer = evening.function.post("/audit", {"profile": "daily", "days": 1})

    (day,) = answer.json()["days"]
    assert [(f["kind"], f["entryId"]) for f in day["findings"]] == [
        ("entry_changed", str(entry["_id"]))
    ]
    assert evening.alarms() == [("ERROR", "entries_changed_after_export")]
    (mail,) = evening.mail("alerts")
    assert "Another description" in mail
    assert evening.drive.world.items[file_id].content == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"days": 0}, "days"),
        ({"days": 401}, "days"),
        ({"days": "7"}, "days"),
        ({"days": True}, "days"),
        ({"since": "2026-01-18"}, "since"),
        ({"since": 5}, "since"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"profile": "nobody"}, "profile"),
        ({"batchDate": DAY}, "batchDate"),
    ],
)
def test_a_wrong_field_is_named(evening: Evening, body: dict[str, object], said: str) -> None:
    answer = evening.function.post("/audit", body)
    assert answer.status_code == 400
    assert said in answer.text


def test_drive_that_cannot_be_asked_is_no_finding(evening: Evening) -> None:
    deliver(evening, 1)
    evening.drive.down = True
    answer = evening.function.post("/audit")
    assert (answer.status_code, answer.json()["code"]) == (502, "DESTINATION_UNAVAILABLE")
    assert evening.alarms() == []
    assert "audit" not in evening.batch(DAY)


def test_a_task_of_the_audit_is_sent_as_the_service_account(make_evening: MakeEvening) -> None:
    evening = make_evening()
    deliver(evening, 2)
    evening.function.app = evening.instance(DAYBOOK_RUN_DEADLINE_SECONDS="0.001").app
    evening.function.post("/audit")
    (task,) = evening.tasks.tasks
    assert task.id.startswith("audit-")
    assert ACCOUNT in str(task)


def test_the_command_reports_what_changed_and_changes_nothing(evening: Evening) -> None:
    (file_id,) = deliver(evening, 1)
    before = evening.stored(but=("exportbatches",))

    def command(*arguments: str) -> Result:
        env = {**evening.env, "DAYBOOK_SERVICE_URL": evening.function.url}
        with own_logging():
            return CliRunner(env=env).invoke(main, ["audit", *arguments])

    unchanged = command(DAY)
    assert (unchanged.exit_code, unchanged.stdout) == (0, f"batch_{DAY}.csv: unchanged\n")
    evening.drive.tamper(file_id, b"another")
    changed = command(DAY, "--json")
    assert changed.exit_code == 1
    document = json.loads(changed.stdout)
    assert document["status"] == "differs"
    assert [f["kind"] for f in document["days"][0]["findings"]] == ["file_content"]
    assert evening.stored(but=("exportbatches",)) == before  # the finding itself is stored
    none = command("2026-01-17")
    assert none.exit_code == 1
    assert "Daybook has delivered no file for 2026-01-17" in none.stderr
    assert command("2026-01").exit_code == 2


def test_the_command_stores_what_it_finds_and_clears_what_is_restored(evening: Evening) -> None:
    (file_id,) = deliver(evening, 1)
    env = {**evening.env, "DAYBOOK_SERVICE_URL": evening.function.url}
    item = evening.drive.world.items[file_id]
    item.trashed = True

    (day,) = answer(env, "audit", DAY, code=1)["days"]
    assert [finding["kind"] for finding in day["findings"]] == ["file_trashed"]
    assert evening.batch()["audit"]["findingCount"] == 1
    assert evening.mail("alerts") == []  # the operator has read it; others hear of it by the next
    # The command's clock is this machine's, and the function's is fixed long before.
    evening.database["exportbatches"].update_one({}, {"$set": {"audit.auditedAt": evening.at(-1)}})
    assert evening.function.post("/audit").json()["status"] == "differs"
    assert len(evening.mail("alerts")) == 1

    item.trashed = False
    every = answer(env, "audit", "--profile", "*", DAY)
    assert [one["status"] for one in every["answers"]] == ["unchanged"]
    assert evening.batch()["audit"]["findingCount"] == 0
    page = requests.get(
        f"{evening.function.url}/days/{DAY}", headers={"Accept": "application/json"}, timeout=30
    )
    assert page.json()["state"] == "delivered"
