"""The status page in Chromium, over the function's real process and real MongoDB.

Screenshots are kept in `DAYBOOK_SCREENSHOTS`, a folder, if that is set. axe-core comes from npm:
`npm ci --prefix tests/browser`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pytest
from pymongo.database import Database

from daybook.mongo.migrate import migrate
from tests import books, page_world, pages
from tests.acceptance.wire import Server, serving
from tests.browser import chromium
from tests.browser.chromium import Chromium

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

AXE = pages.ROOT / "tests" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
PHONE, DESKTOP = (390, 844), (1280, 900)
LOOKS = [
    ("phone", PHONE, False),
    ("phone-dark", PHONE, True),
    ("desktop", DESKTOP, False),
    ("desktop-dark", DESKTOP, True),
]


def today() -> date:
    """The batch date of an evening that is over for the processes as well."""
    return (datetime.now(UTC).astimezone(ZoneInfo("Asia/Bangkok")) - timedelta(hours=18)).date()


def absent(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing in CI")
    pytest.skip(f"{what} is not on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = chromium.found()
    if program is None:
        absent("Chromium")
    with chromium.browsing(program, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def axe() -> str:
    if not AXE.is_file():
        absent("axe-core (npm ci --prefix tests/browser)")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture
def function(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Server]:
    migrate(database, now=datetime.now(UTC))
    with serving("daybook", mongo_uri, database.name, tmp_path) as served:
        yield served


def url(function: Server, path: str) -> str:
    return f"http://127.0.0.1:{function.port}{path}"


def paths() -> dict[str, str]:
    """Name of the screenshot → every kind of page."""
    day = page_world.day_before
    return {
        "overview": "/",
        "overview-thai": "/?lang=th",
        "day-changed": f"/days/{day(3, today())}",
        "day-rejected": f"/days/{day(5, today())}",
        "day-failed": f"/days/{day(1, today())}",
        "day-unreadable": f"/days/{day(20, today())}",
        "entry": "/entries?name=RV-202601-0000417",
        "entry-unknown": "/entries?name=nothing",
        "form": f"/days/{day(1, today())}/release",
        "requeue": "/requeue?entry=RV-202601-0000417",
        "problem": "/days/2026-02-30",
    }


def keep(browser: Chromium, name: str) -> None:
    folder = os.environ.get("DAYBOOK_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.screenshot(Path(folder) / f"{name}.png")


@pytest.mark.parametrize(("look", "size", "dark"), LOOKS, ids=[look for look, *_ in LOOKS])
def test_every_page_is_readable_silent_and_without_barriers(
    browser: Chromium,
    function: Server,
    database: Db,
    axe: str,
    look: str,
    size: tuple[int, int],
    dark: bool,
) -> None:
    page_world.every_state(database, today())
    browser.look_like(width=size[0], height=size[1], dark=dark)
    for name, path in paths().items():
        browser.open(url(function, path))
        keep(browser, f"{name}-{look}")
        silent = [text for text in browser.complaints() if "status of 40" not in text]
        assert silent == [], path
        elsewhere = [
            one
            for one in browser.requested()
            if not one.startswith((url(function, "/"), "data:image/svg+xml,"))
        ]
        assert elsewhere == [], path
        assert not browser.run("document.documentElement.scrollWidth > innerWidth"), path
        # Nothing that comes from data has become an element.
        assert browser.run("document.querySelectorAll('img, script, iframe').length") == 0
        browser.run(axe)
        found = browser.run("axe.run().then(found => found.violations)")
        assert [
            (one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in found
        ] == [], path


def test_what_one_sees_first_is_the_sentence(
    browser: Chromium, function: Server, database: Db
) -> None:
    page_world.quiet(database, today())
    for look, size, dark in LOOKS:
        browser.look_like(width=size[0], height=size[1], dark=dark)
        browser.open(url(function, "/"))
        keep(browser, f"quiet-{look}")
        assert "done." in browser.text("h1")
        seen = browser.run(
            "[...document.querySelectorAll('h1, h2, p, td, li')].filter("
            "one => one.getBoundingClientRect().height).sort((a, b) =>"
            "parseFloat(getComputedStyle(b).fontSize) - parseFloat(getComputedStyle(a).fontSize))"
            "[0].tagName"
        )
        assert seen == "H1"
        assert browser.run("document.querySelector('h1').getBoundingClientRect().bottom") < 300


def test_a_failed_day_is_released_by_keyboard(
    browser: Chromium, function: Server, database: Db
) -> None:
    page_world.every_state(database, today())
    database["exportslots"].insert_one({"_id": "daily", "fence": 3})
    browser.look_like(width=DESKTOP[0], height=DESKTOP[1], dark=False)
    day = page_world.day_before(1, today())
    browser.open(url(function, f"/days/{day}"))
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.click(f'a[href="/days/{day}/release"]')
    assert "cannot be opened again" in browser.text("main")
    for _ in range(20):
        browser.press("Tab")
        if browser.run("document.activeElement.className") == "go":
            break
    browser.press("Enter", leads_on=True)
    assert "closed for good" in browser.text("h1")
    keep(browser, "done")
    batch = database["exportbatches"].find_one({"batchDate": day.isoformat()})
    assert batch is not None
    assert batch["releasedAt"] is not None
    record = database["exportlogs"].find_one({"action": "operator_request"})
    assert record is not None
    assert record["metadata"]["operation"] == "release"


def test_an_accountant_finds_the_file_of_an_entry_by_its_reference(
    browser: Chromium, function: Server, database: Db
) -> None:
    books.put(database, books.entry("INV/2026/1"), books.entry("INV/2026/2"))
    browser.look_like(width=PHONE[0], height=PHONE[1], dark=False)
    browser.open(url(function, f"/days/{today()}/retry"))
    browser.click("button.go")
    assert "delivered" in browser.text("h1")
    browser.open(url(function, "/"))
    browser.run("document.querySelector('input[type=search]').value = 'INV/2026/2'")
    browser.click("form.find button")
    assert "INV/2026/2" in browser.text("h1")
    assert f"batch_{today()}.csv, rows 3 to 4" in browser.text("main")
    keep(browser, "entry-found")


def test_another_site_cannot_send_the_forms(
    browser: Chromium, function: Server, database: Db, tmp_path: Path
) -> None:
    page_world.every_state(database, today())
    day = page_world.day_before(1, today())
    browser.open(url(function, f"/days/{day}/release"))  # which stores the cookie
    token = browser.run("document.querySelector('[name=token]').value")
    foreign = tmp_path / "foreign.html"
    foreign.write_text(
        f'<form method="post" action="{url(function, f"/days/{day}/release")}">'
        f'<input name="token" value="{token}"><button class="go"></button></form>',
        encoding="utf-8",
    )
    browser.open(foreign.as_uri())
    browser.click("button.go")
    assert "That did not work" in browser.text("h1")
    batch = database["exportbatches"].find_one({"batchDate": day.isoformat()})
    assert batch is not None
    assert "releasedAt" not in batch


def test_the_browser_is_where_ci_installs_it() -> None:
    text = (pages.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "chromium" in text
    assert "npm ci" in text
    assert shutil.which("chromium") or not os.environ.get("CI")
