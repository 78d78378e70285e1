"""From an alert to its cause and its fix on the status page alone, in Chromium.

The function's real process shows a database in which every alert about a state is current. A
person opens the overview, looks for what the alert speaks of, and clicks what can be seen.

Screenshots and the table of clicks and seconds are kept in `DAYBOOK_SCREENSHOTS`, a folder, if
that is set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.export.model.notice import AlertEvent
from daybook.mongo.migrate import migrate
from tests import books, page_world, pages
from tests.acceptance.test_browser import DESKTOP, LOOKS, absent, keep, today
from tests.acceptance.wire import serving
from tests.browser import chromium
from tests.browser.chromium import Chromium

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

RUNBOOK = "https://git.example.com/daybook/docs/runbook.md"
SALES = '[sales]\nfilename = "sales_{date}.csv"'
ATTENTION = "[...document.querySelectorAll('.attention li')]"
PROFILES = "[...document.querySelectorAll('.profiles li')]"
REJECTED = "[...document.querySelectorAll('section[aria-labelledby=rejected] tr')]"


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a person gets from the overview to the cause and the fix of an alert."""

    event: AlertEvent
    cause: str
    """What is stored as the cause; `{0}` is the day that was due last, `{1}` the one before."""
    to_do: str
    fix: tuple[str, ...] = ()
    """Links to the action's form, as they read; none where no action of the page helps."""
    chapter_has: str = ""
    """What the runbook's chapter says about this very cause."""
    where: str = ATTENTION
    cause_clicks: int = 0
    """At most."""
    fix_clicks: int = 3
    """At most, to the form or, without an action, to the link that leads to the chapter."""


CASES = (
    Case(
        event=AlertEvent.ATTEMPT_FAILED,
        cause="Drive files.create: answered 503 backendError",
        to_do="The next attempt is due at",
        fix=("Try now…",),
        cause_clicks=1,  # below the more severe ones
        fix_clicks=2,
    ),
    Case(
        event=AlertEvent.BATCH_FAILED,
        cause="Drive files.create: answered 403 storageQuotaExceeded",
        to_do="daybook retry {1}",
        fix=("Retry…",),
        chapter_has="`storageQuotaExceeded`",
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.BATCH_FAILED,
        cause="too_many_rejected: 12 of 20 entries would be rejected",
        to_do="daybook retry --profile sales {0}",
        fix=("Retry…",),
        chapter_has="`too_many_rejected: …`",
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.RUN_REFUSED,
        cause="no valid unique index idx_batch_daily_unique on exportlogs",
        to_do="daybook migrate builds the index",
        fix=("Retry…",),
        chapter_has="(#migrate-is-needed)",
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.BREAKER_OPENED,
        cause="Google Drive failed 3 times in a row",
        to_do="Check whether the service has an outage",
        cause_clicks=1,  # below the more severe ones
        fix_clicks=2,
    ),
    Case(
        event=AlertEvent.ENTRIES_REJECTED,
        cause="debit and credit differ (0.01 THB)",
        to_do="Correct each in the application that made it, then queue it again",
        fix=("Requeue…",),
        where=REJECTED,
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.ORPHAN_LEFT_BEHIND,
        cause="batch_{13}.csv) is, or may yet be, stored under ID 1day_recorded_elsewhere",
        to_do="daybook status {13} shows which file the day is recorded with",
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.UNSEALED_FILE,
        cause="batch_{12}.csv under ID 1unsealed is not what Daybook sent",
        to_do="Compare the changed one with it, and remove the changed one",
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.ITEMS_CHANGED_AFTER_SEAL,
        cause="1 item deleted or changed, 2 items completed elsewhere",
        to_do="Tell the accountant not to import this file",
        fix=("Verify…",),
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.FILE_UNRECORDED,
        cause="E11000 duplicate key error collection: daybook.exportlogs index: by_another",
        to_do="Do not delete the file",
        fix=("Retry…",),
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.MARKING_REFUSED,
        cause="Document failed validation: exportqueues, additionalProperties completedBy",
        to_do="an object in MongoDB that belongs to another application is in the way",
        fix=("Retry…",),
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.PUBLISH_FAILED,
        cause="batch_{8}.csv exists already, and is another file",
        to_do="move it away",
        fix=("Retry…",),
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.FILE_CHANGED,
        cause="batch.csv is now named old.csv",
        to_do="Tell the accountant not to import this day",
        fix=("Show", "Audit…"),
        fix_clicks=2,
    ),
    Case(
        event=AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT,
        cause="row 7: Description: the file says 'a', the entry gives",
        to_do="Have the change undone",
        fix=("Show", "Audit…"),
        fix_clicks=2,
    ),
    Case(
        event=AlertEvent.DAY_MISSING,
        cause="There is no trace of a run",
        to_do="daybook run --date {2} starts it",
        fix=("Run it…",),
        fix_clicks=1,
    ),
    Case(
        event=AlertEvent.DAY_LATE,
        cause="is delivered, but not all its entries are marked yet",
        to_do="Nothing to do yet",
        fix=("Try now…",),
        cause_clicks=1,  # below the more severe ones
        fix_clicks=2,
    ),
)
NOT_CURRENT = {AlertEvent.BATCH_RECOVERED}
"""It is over when it is sent."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a person did to get there."""

    event: str
    cause: str
    cause_clicks: int
    chapter_clicks: int
    fix: str
    fix_clicks: int
    seconds: float

    def row(self) -> str:
        return (
            f"| `{self.event}` | {self.cause} | {self.cause_clicks} | {self.chapter_clicks} "
            f"| {self.fix} | {self.fix_clicks} | {self.seconds:.1f} |"
        )


@dataclass(kw_only=True)
class Person:
    """Sees what is visible, and counts the clicks since the overview was opened."""

    browser: Chromium
    overview: str
    clicks: int = 0
    began: float = 0.0
    item: str = field(default="", init=False)
    """The item that was found, as a JavaScript expression."""

    def open_overview(self) -> None:
        self.clicks, self.began = 0, time.monotonic()
        self.browser.open(self.overview)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def find(self, where: str, *texts: str) -> str:
        """What the first item that says all of it says; opens the rest if none can be seen."""
        for _ in range(2):
            said = f"text => ({READ})(one).includes(text)"
            self.item = f"{where}.find(one => {json.dumps(texts)}.every({said}))"
            if self.browser.run(f"Boolean({self.item})"):
                return self.read(self.item)
            rest = "document.querySelector('.attention .rest > summary')"
            if not self.browser.run(f"Boolean({rest})"):
                break
            self.click(rest)
        raise AssertionError(f"nobody can see {texts}: {self.read('document.body')}")

    def read(self, element: str) -> str:
        """The text of the element that can be seen."""
        seen: str = self.browser.run(f"({READ})({element})")
        return seen

    def can_see(self, element: str) -> bool:
        seen: bool = self.browser.run(f"({element})?.checkVisibility() ?? false")
        return seen

    def click(self, element: str, *, leads_on: bool = False) -> None:
        self.browser.point_and_click(element, leads_on=leads_on)
        self.clicks += 1

    def follow(self, label: str, within: str = "document.querySelector('main')") -> None:
        """Click the first link there that reads so."""
        self.click(
            f"[...({within}).querySelectorAll('a')].find("
            f"one => one.innerText === {json.dumps(label)})",
            leads_on=True,
        )


READ = """one => {
  const texts = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
  let seen = '';
  while (texts.nextNode())
    if (texts.currentNode.parentElement.checkVisibility()) seen += texts.currentNode.data;
  return seen.replace(/\\s+/g, ' ').trim();
}"""


def days_in(text: str, due: date) -> str:
    return text.format(*(page_world.day_before(days, due).isoformat() for days in range(20)))


def walk(person: Person, case: Case, due: date) -> Way:
    """From the overview to the cause, the chapter and the form."""
    person.open_overview()
    cause = days_in(case.cause, due)
    assert cause in person.find(case.where, cause), case.event
    cause_clicks = person.clicks
    # What to do, and the chapter.
    anchor = case.event.value.replace("_", "-")
    place = person.item if case.where == ATTENTION else f"({person.item}).closest('section')"
    chapter = f"({place}).querySelector('a[href=\"{RUNBOOK}#{anchor}\"]')"
    if not person.can_see(chapter):
        person.click(f"({place}).querySelector('summary')")
    assert person.can_see(chapter), case.event
    assert days_in(case.to_do, due) in person.read(place), case.event
    chapter_clicks = fix_clicks = person.clicks
    seconds = person.seconds()
    if case.fix:
        person.clicks = cause_clicks  # the form needs no look at what to do
        first, *more = case.fix
        person.follow(first, person.item)
        for label in more:
            person.follow(label)
        page = person.read("document.querySelector('main')")
        assert person.can_see("document.querySelector('button.go')"), (case.event, page)
        assert person.read("document.querySelector('h1')").endswith("?")
        fix_clicks, seconds = person.clicks, person.seconds()
    return Way(
        event=case.event.value,
        cause=cause,
        cause_clicks=cause_clicks,
        chapter_clicks=chapter_clicks,
        fix=" ".join(case.fix) or "the chapter",
        fix_clicks=fix_clicks,
        seconds=seconds,
    )


def act(person: Person, button: str, answer: str) -> None:
    """Send the form that is open; the page then says what it did."""
    go = "document.querySelector('button.go')"
    assert person.read(go) == button
    person.click(go, leads_on=True)
    assert answer in person.read("document.querySelector('h1')")


def take_pictures(browser: Chromium, overview: str, due: date) -> None:
    if "DAYBOOK_SCREENSHOTS" not in os.environ:
        return
    days = {"rejected": 10, "failed": 1, "damaged": 11, "changed": 5, "items-changed": 9}
    shown = {"alerts": "", "alerts-thai": "?lang=th"} | {
        f"alert-day-{name}": f"days/{page_world.day_before(ago, due)}" for name, ago in days.items()
    }
    for look, size, dark in LOOKS:
        browser.look_like(width=size[0], height=size[1], dark=dark)
        for name, path in shown.items():
            browser.open(f"{overview}{path}")
            keep(browser, f"{name}-{look}")


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = chromium.found()
    if program is None:
        absent("Chromium")
    with chromium.browsing(program, tmp_path_factory.mktemp("browser")) as started:
        yield started


def test_every_alert_about_a_state_has_a_case() -> None:
    assert {case.event for case in CASES} == set(AlertEvent) - NOT_CURRENT


def test_the_page_alone_leads_from_each_alert_to_its_cause_and_its_fix(
    browser: Chromium, database: Db, mongo_uri: str, tmp_path: Path
) -> None:
    migrate(database, now=datetime.now(UTC))
    due = today()
    page_world.every_alert(database, due)
    chapters = chapters_of(pages.ROOT / "docs" / "runbook.md")
    settings = {"DAYBOOK_PROFILES": SALES, "DAYBOOK_RUNBOOK_URL": RUNBOOK}
    with serving("daybook", mongo_uri, database.name, tmp_path, **settings) as function:
        overview = f"http://127.0.0.1:{function.port}/"
        browser.look_like(width=DESKTOP[0], height=DESKTOP[1], dark=False)
        person = Person(browser=browser, overview=overview)
        ways = [walk(person, case, due) for case in CASES]
        keep_table(ways)
        take_pictures(browser, overview, due)
        for case, way in zip(CASES, ways, strict=True):
            assert case.chapter_has in chapters[case.event.value.replace("_", "-")]
            assert way.cause_clicks <= case.cause_clicks, way
            assert way.chapter_clicks <= case.cause_clicks + 1, way  # opens what to do
            assert way.fix_clicks <= case.fix_clicks <= 3, way
        browser.look_like(width=DESKTOP[0], height=DESKTOP[1], dark=False)
        each_action_does_what_it_says(person, database, due, tmp_path)
        assert function.errors() == []


def chapters_of(runbook: Path) -> dict[str, str]:
    """Anchor → text of each chapter."""
    _, *chapters = runbook.read_text(encoding="utf-8").split("\n## ")
    titles = [chapter.partition("\n")[0] for chapter in chapters]
    return {
        title.lower().replace(" ", "-"): text for title, text in zip(titles, chapters, strict=True)
    }


def keep_table(ways: list[Way]) -> None:
    folder = os.environ.get("DAYBOOK_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        rows = "\n".join(way.row() for way in ways)
        (Path(folder) / "alerts.md").write_text(f"{rows}\n", encoding="utf-8")


def each_action_does_what_it_says(person: Person, database: Db, due: date, folder: Path) -> None:
    """Requeue, retry, verify, audit and release, from the overview, with what is stored."""
    item = database["exportqueues"].find_one({"profile": "sales"})
    assert item is not None
    person.open_overview()
    person.find(REJECTED, "S-88")
    person.follow("Requeue…", person.item)
    act(person, "Queue it again", "S-88 is queued again")
    stored = database["exportqueues"].find_one({"_id": item["_id"]})
    assert stored is not None
    assert stored["status"] == "queued"

    person.open_overview()
    person.find(ATTENTION, "sales,", "too_many_rejected")
    person.follow("Retry…", person.item)
    act(person, "Run it now", "delivered")
    file = folder / f"sales_{due}.csv"
    assert books.references(file.read_bytes()) == ["S-88"]
    batch = database["exportbatches"].find_one({"profile": "sales", "batchDate": due.isoformat()})
    assert batch is not None
    assert (batch["state"], batch["entryCount"], batch["generation"]) == ("committed", 1, 2)

    person.open_overview()
    person.find(PROFILES, "sales", "delivered")
    person.click(f"({person.item}).querySelector('a[href*=\"/days/\"]')", leads_on=True)
    person.follow("Verify…")
    act(person, "Verify the file", "is as it was delivered")
    person.follow("To the day")
    person.follow("Audit…")
    act(person, "Audit the day", "Nothing has changed since the delivery")

    failed = page_world.day_before(1, due).isoformat()
    person.open_overview()
    person.find(ATTENTION, "403 storageQuotaExceeded")
    person.click(f"({person.item}).querySelector('b a')", leads_on=True)
    person.follow("Release…")
    act(person, "Release the day", "is closed for good")
    batch = database["exportbatches"].find_one({"profile": "daily", "batchDate": failed})
    assert batch is not None
    assert batch["releasedAt"] is not None
    done = database["exportlogs"].find({"action": "operator_request"}).sort("_id", 1)
    assert [one["metadata"]["operation"] for one in done] == [
        *("retry", "verify", "audit", "release"),
    ]
