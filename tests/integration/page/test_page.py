"""What the status page shows of a database, over real MongoDB."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import flask
import pytest
from pymongo.database import Database
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.http import callers, routes
from tests import books, commands, page_world

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
_SEVERITIES = {
    **dict.fromkeys(("batch_failed", "unsealed_file", "file_changed"), logging.CRITICAL),
    "items_changed_after_seal": logging.CRITICAL,
    "entries_changed_after_export": logging.ERROR,
    **dict.fromkeys(("attempt_failed", "breaker_opened", "day_late"), logging.WARNING),
}
Get = Callable[..., flask.Response]


@pytest.fixture
def app(database: Db, mongo_uri: str, tmp_path: Path) -> App:
    app = books.make_app(mongo_uri, database.name, tmp_path.as_uri())
    return replace(app, clock=lambda: page_world.NOW)


@pytest.fixture
def get(app: App) -> Get:
    def ask(path: str, *, accept: str = "text/html", **headers: str) -> flask.Response:
        given = {
            "Accept": accept,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        environ = EnvironBuilder(path=path, headers=given).get_environ()
        return routes.answer(app, flask.Request(environ))

    ask.app = app  # type: ignore[attr-defined]
    return ask


def test_a_quiet_evening_begins_with_the_one_sentence(database: Db, get: Get) -> None:
    page_world.quiet(database)
    page = get("/")
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "Today is done." in text[text.index("<h1>") : text.index("</h1>")]
    assert "Needs attention" not in text
    assert "1,284 entries" in text


def test_the_page_needs_no_script_and_nothing_from_elsewhere(database: Db, get: Get) -> None:
    page_world.every_state(database)
    for path in ("/", f"/days/{page_world.day_before(3)}", "/entries?name=RV-202601-0000417"):
        page = get(path)
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        text = page.get_data(as_text=True)
        assert re.findall(r"<(?:script|img|iframe|object|embed|audio|video)\b", text) == []
        assert re.findall(r"<[^>]*\s(?:on\w+|style)=|javascript:|@import|url\(", text) == []
        assert set(re.findall(r'<link rel="(\w+)" href="(\w+):', text)) == {("icon", "data")}


def test_hostile_texts_remain_text(database: Db, get: Get) -> None:
    page_world.every_state(database)
    day = page_world.day_before(3)
    change = {"audit.findings.0.detail": "name \u202egpj.exe"}
    database["exportbatches"].update_one({"batchDate": day.isoformat()}, {"$set": change})
    name = quote(page_world.HOSTILE, safe="")
    for path in ("/", f"/days/{day}", f"/entries?name={name}", f"/entries?name={name}x"):
        text = get(path).get_data(as_text=True)
        assert "onerror=alert(1)&gt;" in text, path
        assert "<img" not in text
        assert "\u202e" not in text
    assert "[U+202E]gpj.exe" in get(f"/days/{day}").get_data(as_text=True)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "\u0000https://x"])
def test_a_stored_link_that_is_none_is_text(database: Db, get: Get, link: str) -> None:
    page_world.quiet(database)
    database["exportbatches"].update_many({}, {"$set": {"webViewLink": link}})
    for path in ("/", f"/days/{page_world.TODAY}"):
        page = get(path)
        assert page.status_code == 200
        assert "alert(1)" not in page.get_data(as_text=True)
        assert 'href="data:text' not in page.get_data(as_text=True)


def test_what_needs_attention_says_why_and_what_to_do(database: Db, get: Get) -> None:
    page_world.every_state(database)
    found = get("/", accept="application/json").get_json()
    events = {(item["event"], item["batchDate"]) for item in found["attention"]}
    assert events == {
        ("attempt_failed", "2026-01-19"),
        ("batch_failed", "2026-01-18"),
        ("day_late", "2026-01-13"),
        ("items_changed_after_seal", "2026-01-06"),
        ("breaker_opened", None),
        ("unsealed_file", "2026-01-15"),
        ("file_changed", "2026-01-16"),
        ("entries_changed_after_export", "2026-01-16"),
    }
    text = get("/").get_data(as_text=True)
    for chapter in ("attempt-failed", "batch-failed", "breaker-opened", "unsealed-file"):
        assert f"docs/runbook.md#{chapter}" in text
    assert found["unclaimed"] == {"unknown_path": 1}
    assert "state must be one of" in found["damaged"][0]


def test_items_that_others_changed_are_counted_by_the_days_record(database: Db, get: Get) -> None:
    """`conflictCount` has absorbed refusals of an ID, which are no discrepancies."""
    page_world.quiet(database)
    database["exportbatches"].update_many({}, {"$set": {"conflictCount": 2}})
    assert get("/", accept="application/json").get_json()["attention"] == []
    day = page_world.day_before(2)
    page_world.items_changed(database, day, gone=1, elsewhere=2)
    for path in ("/", f"/days/{day}"):
        (item,) = get(path, accept="application/json").get_json()["attention"]
        assert (item["event"], item["batchDate"]) == ("items_changed_after_seal", day.isoformat())
        assert item["facts"]["gone_count"] == 1
        assert item["facts"]["completed_elsewhere_count"] == 2
        text = get(path).get_data(as_text=True)
        assert "1 item deleted or changed, 2 items completed elsewhere" in text
        assert f'<a class="do" href="/days/{day}/verify">' in text


def test_what_needs_attention_is_all_there_and_the_most_severe_first(
    database: Db, get: Get
) -> None:
    page_world.every_state(database)
    for number in range(30, 45):
        day = page_world.day_before(number)
        database["exportbatches"].update_one(
            {"batchDate": day.isoformat()},
            {"$set": {"markedAt": None, "state": "committed", "error": None}},
        )
    found = get("/", accept="application/json").get_json()["attention"]
    severities = [_SEVERITIES[item["event"]] for item in found]
    assert severities == sorted(severities, reverse=True)
    assert len(found) > 12
    text = get("/").get_data(as_text=True)
    for item in found:
        assert f"#{item['event'].replace('_', '-')}" in text
        assert item["batchDate"] is None or f'href="/days/{item["batchDate"]}"' in text
    assert f"{len(found) - 12} more" in text
    shown = text[text.index('id="attention"') : text.index('id="calendar"')]
    assert shown.count('<div class="head">') == len(found) + 2  # unclaimed items, a damaged day


def test_a_day_whose_entries_went_with_a_later_file_needs_no_attention(
    database: Db, get: Get
) -> None:
    page_world.usual_days(database)
    put = page_world.put
    database["exportbatches"].delete_many({"batchDate": {"$in": ["2026-01-12", "2026-01-14"]}})
    put(database, page_world.day_before(7), "failed")
    put(database, page_world.TODAY, "committed", **page_world.delivered(page_world.TODAY, 1200))
    found = get("/", accept="application/json").get_json()
    assert found["attention"] == []
    states = {day["batchDate"]: day["state"] for day in found["profiles"][0]["days"]}
    assert states["2026-01-12"] == "failed"
    assert states["2026-01-14"] == "missing"
    assert "went with a later file" in get("/days/2026-01-14").get_data(as_text=True)


@pytest.mark.parametrize("failed_later", [False, True])
def test_an_earlier_day_that_failed_after_the_last_one_was_done_is_not_done(
    database: Db, get: Get, failed_later: bool
) -> None:
    """What it planned was queued after the last day's run, and waits for a run to come."""
    page_world.usual_days(database)
    put, earlier = page_world.put, page_world.day_before(7)
    database["exportbatches"].delete_many({"batchDate": earlier.isoformat()})
    put(database, page_world.TODAY, "committed", **page_world.delivered(page_world.TODAY, 1200))
    began = page_world.at(page_world.TODAY if failed_later else earlier, 19)
    put(database, earlier, "failed", startedAt=began)
    found = get("/", accept="application/json").get_json()
    attention = [(item["event"], item["batchDate"]) for item in found["attention"]]
    text = get("/").get_data(as_text=True)
    if failed_later:
        assert attention == [("batch_failed", earlier.isoformat())]
        assert "12 January 2026 failed." in text
    else:
        assert attention == []
        assert "Today is done." in text


def test_a_file_whose_record_was_refused_is_named_until_it_is_recorded(
    database: Db, get: Get
) -> None:
    page_world.usual_days(database)
    database["exportbatches"].delete_many({"batchDate": page_world.TODAY.isoformat()})
    file = {"filename": "batch_2026-01-19.csv", "fileId": "1aBcD", "webViewLink": page_world.LINK}
    page_world.put(database, page_world.TODAY, "failed", unrecorded=file)
    (item,) = get("/", accept="application/json").get_json()["attention"]
    assert (item["event"], item["batchDate"]) == ("file_unrecorded", "2026-01-19")
    database["exportbatches"].delete_many({"batchDate": page_world.TODAY.isoformat()})
    done = page_world.delivered(page_world.TODAY, 1200)
    page_world.put(database, page_world.TODAY, "committed", **done, unrecorded=None)
    assert get("/", accept="application/json").get_json()["attention"] == []


def test_the_rejected_entries_are_those_that_still_wait(database: Db, get: Get) -> None:
    page_world.every_state(database)
    found = get("/", accept="application/json").get_json()
    assert {one["reference"] for one in found["rejected"]} == {
        "RV-202601-0000417",
        page_world.HOSTILE,
    }
    database["exportqueues"].update_many({"status": "failed"}, {"$set": {"status": "queued"}})
    assert get("/", accept="application/json").get_json()["rejected"] == []
    day = get(f"/days/{page_world.day_before(5)}", accept="application/json").get_json()
    assert [one["waiting"] for one in day["rejected"]] == [False, False]


def test_the_run_at_work_is_shown_without_its_secrets(database: Db, get: Get) -> None:
    page_world.every_state(database)
    page_world.hold_slot(database)
    found = get("/", accept="application/json").get_json()
    assert [work["sentBytes"] for work in found["running"]] == [4_404_019]
    text = get("/").get_data(as_text=True)
    assert "Today is running now." in text
    assert "4.2 MB are at the destination" in text
    assert "secret-session" not in text + json.dumps(found)


def test_a_suspiciously_small_day_is_marked(database: Db, get: Get) -> None:
    page_world.every_state(database)
    assert get("/", accept="application/json").get_json()["fewEntries"] == ["2026-01-16"]
    assert "Fri 16 Jan: 210, unusually few" in get("/").get_data(as_text=True)


def test_a_file_of_another_application_counts_as_delivered(database: Db, get: Get) -> None:
    page_world.every_state(database)
    day = page_world.day_before(15)
    found = get(f"/days/{day}", accept="application/json").get_json()
    assert (found["state"], found["batchId"]) == ("delivered", None)
    assert "recorded by another application" in get(f"/days/{day}").get_data(as_text=True)


def test_the_page_is_in_thai_when_it_is_asked_for(database: Db, get: Get) -> None:
    page_world.quiet(database)
    text = get("/?lang=th").get_data(as_text=True)
    assert '<html lang="th">' in text
    assert "วันนี้เสร็จเรียบร้อยแล้ว" in text
    assert 'href="/days/2026-01-19?lang=th"' in text
    assert get("/?lang=de").status_code == 400


def test_nothing_has_run_yet(database: Db, get: Get) -> None:
    assert "Nothing has run yet." in get("/").get_data(as_text=True)
    assert get("/", accept="application/json").get_json()["level"] == "idle"


@pytest.mark.parametrize("language", ["en", "th"])
def test_a_profile_that_never_ran_is_shown_beside_others(
    database: Db, mongo_uri: str, tmp_path: Path, language: str
) -> None:
    profiles = "[daily]\n[sales]\n[old]\nenabled = false"
    app = books.make_app(mongo_uri, database.name, tmp_path.as_uri(), DAYBOOK_PROFILES=profiles)
    app = replace(app, clock=lambda: page_world.NOW)

    def ask(path: str) -> str:
        environ = EnvironBuilder(path=path, headers={"Accept": "text/html"}).get_environ()
        answer = routes.answer(app, flask.Request(environ))
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    said = {"en": "Nothing has run yet.", "th": "ยังไม่เคยทำงาน"}[language]
    paths = [f"/?lang={language}", f"/?profile=sales&lang={language}"]
    assert [ask(path).count(said) for path in paths] == [4, 4]  # title, heading, both profiles
    disabled = {"en": "The profile is disabled", "th": "โปรไฟล์นี้ถูกปิดใช้งาน"}[language]
    shown = ask(f"/?profile=old&lang={language}")
    assert (shown.count(said), shown.count(disabled)) == (4, 1)
    page_world.quiet(database)
    assert [ask(path).count(said) for path in paths] == [1, 1]


def test_an_entry_is_found_by_its_reference(database: Db, get: Get, tmp_path: Path) -> None:
    books.put(database, books.entry("INV/2026/1"), books.entry("INV/2026/2"))
    commands.run_day(get.app, page_world.TODAY)  # type: ignore[attr-defined]
    text = get("/entries?name=INV/2026/2").get_data(as_text=True)
    assert "batch_2026-01-19.csv" in text
    assert "rows 3 to 4" in text
    entry = database["journalentries"].find_one({"reference": "INV/2026/2"})
    assert entry is not None
    found = get(f"/entries/{entry['_id']}", accept="application/json").get_json()
    assert found["reference"] == "INV/2026/2"
    assert found["files"][0]["firstRow"] == 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/entries?name=unknown", 404),
        ("/entries", 400),
        (f"/entries?name={'x' * 256}", 400),
        ("/days/2026-02-30", 400),
        ("/days/2026-01-20", 400),
        ("/days/1999-01-01", 400),
        ("/?profile=unknown", 400),
        ("/nothing", 404),
    ],
)
def test_a_problem_is_a_page_for_a_browser_and_json_for_a_program(
    get: Get, path: str, status: int
) -> None:
    page = get(path)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    program = get(path, accept="application/json")
    assert (program.status_code, program.mimetype) == (status, "application/problem+json")


OF_DAY = [
    (path, method)
    for path, methods in routes.ROUTES.items()
    if path.startswith("/days/{date}")
    for method in methods
]


@pytest.mark.parametrize("day", ["2026-02-30", "2026-01-20", "1999-01-01", "today"])
@pytest.mark.parametrize(("path", "method"), OF_DAY)
def test_an_error_of_a_day_in_the_path_names_the_paths_segment(
    app: App, path: str, method: str, day: str
) -> None:
    headers = {"Accept": "application/json"}
    if method == "POST":
        headers |= {
            "Cookie": f"{callers.COOKIE}={'t' * 43}",
            "Origin": "http://localhost",
            "Sec-Fetch-Site": "same-origin",
        }
    environ = EnvironBuilder(
        path=path.format(date=day),
        method=method,
        headers=headers,
        data={"token": "t" * 43} if method == "POST" else None,
    ).get_environ()
    answer = routes.answer(app, flask.Request(environ))
    assert answer.status_code == 400, answer.get_data(as_text=True)
    problem = answer.get_json()
    assert problem["where"] == "date"
    assert problem["detail"].startswith("date: ")


IN_A_BODY = ("/", "/run", "/admin/retry", "/admin/release")


@pytest.mark.parametrize("day", ["2026-02-30", "2026-01-20", "1999-01-01", "today"])
@pytest.mark.parametrize("path", IN_A_BODY)
def test_an_error_of_a_day_in_a_body_names_the_field(app: App, path: str, day: str) -> None:
    environ = EnvironBuilder(path=path, method="POST", json={"batchDate": day}).get_environ()
    answer = routes.answer(app, flask.Request(environ))
    assert (answer.status_code, answer.get_json()["where"]) == (400, "batchDate")


def test_no_page_asks_the_destination(database: Db, mongo_uri: str, tmp_path: Path) -> None:
    """Its folder does not exist, and nothing creates it."""
    app = books.make_app(mongo_uri, database.name, (tmp_path / "gone").as_uri())
    app = replace(app, clock=lambda: page_world.NOW)
    page_world.every_state(database)
    for path in ("/", f"/days/{page_world.TODAY}", f"/days/{page_world.day_before(3)}"):
        environ = EnvironBuilder(path=path).get_environ()
        assert routes.answer(app, flask.Request(environ)).status_code == 200
    assert not (tmp_path / "gone").exists()
    assert app._destinations == {}


def test_every_state_is_shown(database: Db, get: Get) -> None:
    page_world.every_state(database)
    page = get("/")
    assert page.status_code == 200, page.get_data(as_text=True)
    found = get("/", accept="application/json").get_json()
    states = {day["state"] for profile in found["profiles"] for day in profile["days"]}
    assert states >= {"delivered", "empty", "retrying", "failed", "released", "missing"}
    assert states >= {"changed", "unreadable"}
