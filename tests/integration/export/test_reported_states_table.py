"""States of a day, made by real runs × commands and metrics: what is told is what is stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from daybook.cli.main import main
from daybook.display import number
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.slot.slot import Slot
from daybook.ops.metrics import metrics
from daybook.ops.metrics.metrics import Measured
from daybook.ops.watchdog import watch
from daybook.shutdown import Shutdown
from tests import books, commands
from tests.acceptance.test_cli_retry import office_with
from tests.emulators.drive import DriveEmulator
from tests.emulators.mongo_proxy import Event, MongoProxy, Phase
from tests.integration.office import DAY, EVENING, NEXT_DAY

pytestmark = pytest.mark.migrated

DATE = DAY.isoformat()
FILE = f"batch_{DATE}.csv"
CHUNK = "262144"
IN_CHUNKS = {"DAYBOOK_UPLOAD_CHUNK_BYTES": CHUNK, "DAYBOOK_MULTIPART_LIMIT_BYTES": CHUNK}
Db = Database[dict[str, Any]]


class Scene:
    """An office whose files go to a Drive; `entry` is the entry that is asked about."""

    def __init__(self, database: Db, uri: str, drive: DriveEmulator, **settings: str) -> None:
        self.database, self.drive = database, drive
        host, port = parse_uri(uri)["nodelist"][0]
        self.proxy = MongoProxy(host, port)
        self._env = {**settings}
        self.entry: Any = None

    def __enter__(self) -> Scene:
        self.proxy.__enter__()
        self.office = office_with(self.database, self.proxy.uri, self.drive, **self._env)
        self.office.app = replace(self.office.app, clock=lambda: EVENING, sleep=lambda _: None)
        self.office.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.office.__exit__(*raised)
        self.proxy.__exit__(*raised)

    def run(self) -> str:
        return commands.run_day(self.office.app, DAY).status.value

    def tell(self, *arguments: str) -> tuple[int, str]:
        """A command's exit code and what it prints."""
        told = self._invoked(*arguments)
        assert told.exception is None or isinstance(told.exception, SystemExit), told.exception
        return told.exit_code, told.stdout + told.stderr

    def document(self, *arguments: str) -> Any:
        return json.loads(self._invoked(*arguments, "--json").stdout)

    def _invoked(self, *arguments: str) -> Result:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            return CliRunner(env=self.office.env).invoke(main, list(arguments))
        finally:
            # A thread of the command's client may log once more, and would set logging up.
            root.handlers[:] = handlers
            root.setLevel(level)

    def measured(self) -> dict[str, float]:
        """`/metrics` by name, where something other than 0 is measured."""
        _, body = metrics.render(
            self.database,
            [Measured(profile=self.office.app.profile(), destination="drive", breaker="drive")],
            now=EVENING,
        )
        lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in lines if float(value)}


def never(_: Scene) -> None:
    pass


def retried(scene: Scene) -> None:
    scene.drive.down = True
    assert scene.run() == "retry_scheduled"
    scene.drive.down = False


def leased(scene: Scene) -> None:
    retried(scene)
    slots = scene.database["exportslots"]
    assert Slot.take(slots, "daily", owner="another", lease_seconds=60) is not None


def crashed(scene: Scene) -> None:
    """Its process was killed in the second attempt: nothing but the lease tells of it."""
    retried(scene)
    scene.database["exportbatches"].update_one(
        {}, {"$set": {"attempt": 2, "error": None, "pendingTask": None, "nextAttemptAt": None}}
    )
    past = datetime.now(UTC) - timedelta(minutes=1)
    lease = {"owner": "killed", "expiresAt": past}
    scene.database["exportslots"].update_one({}, {"$set": {"lease": lease}})


def continued(scene: Scene) -> None:
    many = (books.entry(f"INV-{n}", description="x" * 300) for n in range(1500))
    books.put(scene.database, *many)
    assert scene.run() == "continued"


def rested(scene: Scene) -> None:
    scene.drive.down = True
    assert scene.run() == "retry_scheduled"
    assert scene.run() == "circuit_open"
    scene.drive.down = False


def delivered(scene: Scene) -> None:
    assert scene.run() == "exported"


def unmarked(scene: Scene) -> None:
    """Stopped behind the commit, which marks the first part. The entry is in the second."""
    many = [books.entry(f"INV-{n}") for n in range(FIRST_PART_SIZE + 1)]
    books.put(scene.database, *many)
    scene.entry = many[-1]["_id"]
    app = scene.office.app

    def stop(event: Event) -> None:
        committed = event.name == "commitTransaction" and event.phase is Phase.AFTER
        if committed and scene.database["exportlogs"].find_one({"action": "csv_generated"}):
            app.shutdown.request()

    scene.proxy.hook = stop
    assert scene.run() == "continued"
    scene.proxy.hook = None
    scene.office.app = replace(app, shutdown=Shutdown())


def empty(scene: Scene) -> None:
    scene.database["exportqueues"].delete_many({})
    assert scene.run() == "empty"


def all_rejected(scene: Scene) -> None:
    scene.database["journalentries"].update_one({}, {"$set": {"lines.0.debit": 1}})
    assert scene.run() == "empty"


def failed(scene: Scene) -> None:
    scene.drive.down = True
    while scene.run() != "failed":
        pass
    scene.drive.down = False


def released(scene: Scene) -> None:
    failed(scene)
    commands.release_day(scene.office.app, DAY)


def refused(scene: Scene) -> None:
    scene.office.app.refused_runs.announce(
        "daily",
        DAY,
        kind="configuration",
        message="an index is missing",
        now=scene.office.app.now(),
    )


def elsewhere(scene: Scene) -> None:
    """The application that exported before has recorded the day."""
    scene.database["exportlogs"].insert_one(
        {
            "action": "csv_generated",
            "metadata": {"batchDate": DATE, "fileId": "theirs", "filename": "old.csv"},
            "createdAt": EVENING,
        }
    )


def adopted(scene: Scene) -> None:
    elsewhere(scene)
    assert scene.run() == "already_exported"


@dataclass(frozen=True, kw_only=True)
class Reported:
    """Exit codes and words of each command about the day, and what is measured."""

    made: Callable[[Scene], None]
    history: str
    verify: tuple[int, str]
    receipt: tuple[int, str]
    retry: tuple[int, str]
    release: tuple[int, str]
    watchdog: tuple[str, str]
    """Its status, and words of its log record."""
    lineage: str = "file      in none yet"
    requeue: str = "is queued already"
    status: str = ""
    """A line of `status` below the first."""
    waiting: int = 1
    """What `status`, `doctor` and the metric count as waiting."""
    stored: str | None = "open"
    """The state that is counted."""
    recorded: Mapping[str, Any] | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


NOT_DELIVERED = (1, f"{DATE}: the batch is open, not delivered")
IS_OPEN = (1, f"{DATE} has no receipt: it is open")
DELIVERS = (0, f"{FILE} is delivered.")
CLOSES = (0, f"{DATE} is closed for good")
NO_BATCH = (1, f"there is no batch of {DATE}")
ONE_ATTEMPT = {"daily_batch_export_attempts_total": 1.0}
LOST = "A run began, but none is working on it now."
ANOTHERS = "another application recorded old.csv (file ID theirs) as delivered"
STATES = {
    "no run yet": Reported(
        made=never,
        stored=None,
        history="There is no batch yet.",
        verify=(1, "there was no run for this day"),
        receipt=(1, "no run yet"),
        retry=DELIVERS,
        release=NO_BATCH,
        watchdog=("missing", "either no call was made, or MongoDB could not be reached"),
    ),
    "waits for its retry": Reported(
        made=retried,
        history="open        google_drive: Drive files.generateIds: answered 503 backendError  "
        "(attempt 2 is due at 2026-01-18 18:05 (Asia/Bangkok))",
        status="next      attempt 2 is due at 2026-01-18 18:05 (Asia/Bangkok)",
        verify=NOT_DELIVERED,
        receipt=IS_OPEN,
        retry=DELIVERS,
        release=CLOSES,
        watchdog=("missing", LOST),
        measured={**ONE_ATTEMPT, 'daily_batch_export_errors_total{error_type="google_drive"}': 1.0},
    ),
    "another run is at work": Reported(
        made=leased,
        history="(attempt 2 is due at",
        status="Slot: held by another until ",
        verify=NOT_DELIVERED,
        receipt=IS_OPEN,
        retry=(4, "Another run is working"),
        release=(4, "a run is at work in slot daily"),
        watchdog=("late", "A run is working on it; its lease lasts until"),
        measured=ONE_ATTEMPT,
    ),
    "its process was killed": Reported(
        made=crashed,
        history=f"{DATE}  open\n",
        status="Slot: left behind by killed, free for the next run",
        verify=NOT_DELIVERED,
        receipt=IS_OPEN,
        retry=(1, "attempt 2, the last one, ended without an answer"),
        release=CLOSES,
        watchdog=("missing", LOST),
    ),
    "goes on in another call": Reported(
        made=continued,
        settings={**IN_CHUNKS, "DAYBOOK_RUN_DEADLINE_SECONDS": "0.001"},
        waiting=1501,
        history="(attempt 1 resumes where it stopped, at",
        status="next      attempt 1 resumes where it stopped",
        verify=NOT_DELIVERED,
        receipt=IS_OPEN,
        retry=DELIVERS,
        release=CLOSES,
        watchdog=("missing", LOST),
        measured=ONE_ATTEMPT,
    ),
    "the destination rests": Reported(
        made=rested,
        settings={"DAYBOOK_BREAKER_FAILURES": "1"},
        history="(attempt 2 asks the destination again, at 2026-01-18 18:15 (Asia/Bangkok))",
        status="next      attempt 2 asks the destination again",
        verify=NOT_DELIVERED,
        receipt=IS_OPEN,
        retry=DELIVERS,  # by the machine's clock the rest is over
        release=CLOSES,
        watchdog=("missing", LOST),
        measured=ONE_ATTEMPT,
    ),
    "delivered, not all marked": Reported(
        made=unmarked,
        stored="committed",
        waiting=0,
        history="1,002 entries  (not all items are marked yet)",
        status="marking   unfinished; the next run or `sweep` finishes it",
        verify=(1, "marking is unfinished"),
        receipt=(0, "Entries: 1,002"),
        lineage=f"file      {FILE}, rows 2003 to 2004 of the data, 2004 to 2005 in a "
        f"spreadsheet, whose row 1 is the header (batch of {DATE})",
        requeue=f"went with the batch of {DATE}, whose items are not all marked yet",
        retry=(0, f"{FILE} was delivered before; no second file was made."),
        release=(1, f"{DATE} is committed: nothing is to be closed"),
        watchdog=("late", "is delivered, but not all its entries are marked yet"),
        measured={"daily_batch_export_entries": 1002.0},
    ),
    "delivered": Reported(
        made=delivered,
        stored="committed",
        waiting=0,
        history="committed          1 entry\n",
        verify=(0, f"{FILE} is as it was delivered"),
        receipt=(0, "Entries: 1 (rows: 2)"),
        lineage=f"file      {FILE}, rows 1 to 2 of the data, 2 to 3 in a "
        f"spreadsheet, whose row 1 is the header (batch of {DATE})",
        requeue=f"was exported already with {FILE} (file ID ",
        retry=(0, f"{FILE} was delivered before; no second file was made."),
        release=(1, f"{DATE} is committed: nothing is to be closed"),
        watchdog=("done", f"{DATE} is done."),
        measured={"daily_batch_export_entries": 1.0},
    ),
    "empty": Reported(
        made=empty,
        stored="empty",
        waiting=0,
        history="empty            0 entries\n",
        verify=(0, "signed off as empty; there is no file to compare"),
        receipt=(0, "found nothing to export, so there is no file"),
        requeue="has no scheduled queue item",
        retry=(0, f"Nothing is queued; no file for {DATE}."),
        release=(1, f"{DATE} is empty: nothing is to be closed"),
        watchdog=("done", f"{DATE} is done."),
    ),
    "empty, as the only entry was rejected": Reported(
        made=all_rejected,
        stored="empty",
        waiting=0,
        history="empty            0 entries, 1 rejected\n",
        status="rejected  1",
        verify=(0, "signed off as empty; there is no file to compare"),
        receipt=(0, "Every queued entry has a fault, so there is no file"),
        requeue="would be rejected again; correct it first",
        retry=(0, f"Every queued entry is rejected; no file for {DATE}."),
        release=(1, f"{DATE} is empty: nothing is to be closed"),
        watchdog=("done", f"{DATE} is done."),
        measured={"daily_batch_export_rejected_entries_total": 1.0},
    ),
    "failed": Reported(
        made=failed,
        stored="failed",
        history="failed      google_drive: Drive files.generateIds: answered 503",
        status="error     google_drive",
        verify=(1, f"{DATE}: the batch is failed, not delivered"),
        receipt=(1, f"{DATE} has no receipt: it is failed"),
        retry=DELIVERS,
        release=CLOSES,
        watchdog=("missing", "It has failed, and no further attempt follows."),
    ),
    "failed and released": Reported(
        made=released,
        stored="failed",
        history="(released)",
        status="closed for good, its entries go with the next day",
        verify=(1, f"{DATE}: the batch is failed, not delivered"),
        receipt=(1, f"{DATE} has no receipt: it is failed"),
        retry=(1, f"{DATE} was released at 2026-01-18T11:00:05+00:00"),
        release=CLOSES,
        watchdog=("done", f"{DATE} is done."),
    ),
    "refused": Reported(
        made=refused,
        stored=None,
        history="There is no batch yet.",
        status="refused   1 call at 2026-01-18 18:00 (Asia/Bangkok): configuration: an index is "
        "missing",
        verify=(1, "there was no run for this day"),
        receipt=(1, "no run yet"),
        retry=DELIVERS,
        release=NO_BATCH,
        watchdog=("missing", "and the call failed"),
    ),
    "recorded by another application": Reported(
        made=elsewhere,
        stored=None,
        recorded={"filename": "old.csv", "fileId": "theirs", "webViewLink": None},
        history="There is no batch yet.",
        status="recorded  old.csv, by another application; the next run takes that over",
        verify=(1, ANOTHERS),
        receipt=(1, "no run yet"),
        retry=(0, "old.csv was delivered before; no second file was made."),
        release=NO_BATCH,
        watchdog=("done", f"{DATE} is done: another application recorded its file."),
    ),
    "recorded by another application, and run": Reported(
        made=adopted,
        stored="committed",
        history="committed   (recorded by another application)",
        status="recorded  by another application",
        verify=(1, ANOTHERS),
        receipt=(1, "was recorded by another application, which knows its figures"),
        retry=(0, "old.csv was delivered before; no second file was made."),
        release=(1, f"{DATE} is committed: nothing is to be closed"),
        watchdog=("done", f"{DATE} is done."),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_what_is_reported_of_a_day_is_what_is_stored(
    database: Db,
    mongo_uri: str,
    drive: DriveEmulator,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = STATES[name]
    with Scene(database, mongo_uri, drive, **told.settings) as scene:
        scene.entry = scene.office.add()
        told.made(scene)

        status = scene.document("status", DATE)
        assert status["queued"] == told.waiting
        assert (status["batch"] or {}).get("state") == told.stored
        assert status["recordedElsewhere"] == told.recorded
        assert told.status in scene.tell("status", DATE)[1]
        assert told.history in scene.tell("history")[1]
        for command, (code, words) in {"verify": told.verify, "receipt": told.receipt}.items():
            found = scene.tell(command, DATE)
            assert (found[0], words in found[1]) == (code, True), found
        code, words = scene.tell("lineage", str(scene.entry))
        assert (code, told.lineage in words) == (0, True), words
        code, words = scene.tell("requeue", str(scene.entry))
        assert (code, told.requeue in words) == (1, True), words

        measured = scene.measured()
        assert measured.get("daily_batch_export_queue_entries", 0) == told.waiting
        assert ("daily_batch_export_queue_oldest_age_seconds" in measured) == bool(told.waiting)
        counted = {key for key in measured if key.startswith("daily_batch_export_batches")}
        state = f'daily_batch_export_batches{{state="{told.stored}"}}'
        assert counted == (set() if told.stored is None else {state})
        assert {key: measured.get(key) for key in told.measured} == told.measured

        with caplog.at_level(logging.INFO):
            caplog.clear()
            app = scene.office.app
            later = EVENING + timedelta(hours=1)
            seen = watch(database, "daily", app.schedule, later, app.messenger)
        assert (seen.status.value, told.watchdog[1] in caplog.text) == (told.watchdog[0], True)

        # Last, as they change the state: `release` where it is refused, else `retry` or both.
        if told.release[0] != 0 or told.made is released:
            found = scene.tell("release", DATE)
            assert (found[0], told.release[1] in found[1]) == (told.release[0], True), found
        found = scene.tell("retry", DATE)
        assert (found[0], told.retry[1] in found[1]) == (told.retry[0], True), found


@pytest.mark.parametrize("name", [name for name in STATES if STATES[name].release == CLOSES])
def test_a_released_day_is_reported_as_closed(
    database: Db, mongo_uri: str, drive: DriveEmulator, name: str
) -> None:
    told = STATES[name]
    with Scene(database, mongo_uri, drive, **told.settings) as scene:
        scene.office.add()
        told.made(scene)

        code, words = scene.tell("release", DATE)

        assert (code, told.release[1] in words) == (0, True), words
        assert (
            f"queued    {number(told.waiting, 'entry', 'entries')}, for the next day's file"
            in words
        )
        assert "(released)" in scene.tell("history")[1]
        assert scene.tell("retry", DATE)[0] == 1
        later = replace(scene.office.app, clock=lambda: EVENING + timedelta(days=1))
        while (ended := commands.run_day(later, NEXT_DAY)).status == "continued":
            pass
        assert ended.facts["entryCount"] == told.waiting
