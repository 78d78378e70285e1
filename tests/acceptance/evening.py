"""An evening: the function behind a real HTTP server, between MongoDB, Drive and Cloud Tasks.

Fixtures for test modules that say `pytest_plugins = ["tests.acceptance.evening"]`. They import
it before pytest can rewrite it, hence PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, cast
from zoneinfo import ZoneInfo

import flask
import pytest
import requests
from pymongo import MongoClient
from pymongo.database import Database
from werkzeug.serving import WSGIRequestHandler, make_server

from daybook.app import App
from daybook.http import routes
from daybook.mongo.migrate import migrate
from daybook.shutdown import Shutdown
from tests import books
from tests.emulators.drive import DriveEmulator
from tests.emulators.drive.log import Moment
from tests.emulators.tasks import TasksEmulator
from tests.emulators.tasks.target import Target
from tests.reusable import empty

Db = Database[dict[str, Any]]

SIX = datetime(2026, 1, 18, 11, tzinfo=UTC)
"""18:00 in Bangkok."""
DAY_BEFORE, DAY, NEXT_DAY = "2026-01-17", "2026-01-18", "2026-01-19"
BANGKOK = ZoneInfo("Asia/Bangkok")
ACCOUNT = "daybook-tasks@acme-books.iam.gserviceaccount.com"
MINUTE = timedelta(minutes=1)
WAIT_SECONDS = 30.0
"""How long a test waits for what must come."""


class Function:
    """`daybook.http.routes` on a port of its own: an instance, with an app and a MongoDB client.

    `env` gets the instance's own address as `DAYBOOK_SERVICE_URL`, unless it names one.
    """

    def __init__(self, env: Mapping[str, str], clock: Callable[[], datetime] | None) -> None:
        wsgi = flask.Flask("function")
        wsgi.before_request(lambda: routes.answer(self.app, cast(flask.Request, flask.request)))
        self._server = make_server(
            "127.0.0.1", 0, wsgi, threaded=True, request_handler=_QuietHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        app = App.from_env({"DAYBOOK_SERVICE_URL": self.url, **env})
        self.app = replace(app, clock=clock or app.clock, sleep=_no_sleep)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        # The driver's monitors take half a second to end, for which nobody needs to wait.
        threading.Thread(target=self.app.client.close, daemon=True).start()

    def restart(self) -> None:
        """Put a fresh app in the place of one that has been told to end."""
        old, self.app = self.app, replace(self.app, shutdown=Shutdown())
        old.client.close()

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        return requests.post(self.url + path, json=body, headers=headers, timeout=120)

    def trigger(self, slot: datetime) -> requests.Response:
        """`POST /run` as Cloud Scheduler sends it; the same slot again is a redelivery."""
        return self.post("/run", **{"X-CloudScheduler-ScheduleTime": slot.isoformat()})


class Held:
    """Holds the next request to Drive of one kind, from its arrival until `let_go`."""

    def __init__(self, drive: DriveEmulator, operation: str) -> None:
        self._operation = operation
        self._claimed = threading.Lock()
        self._arrived, self._free = threading.Event(), threading.Event()
        drive.on_request(self._hold)

    def wait(self) -> None:
        assert self._arrived.wait(WAIT_SECONDS), f"no {self._operation} arrived"

    def let_go(self) -> None:
        self._free.set()

    def _hold(self, moment: Moment) -> None:
        wanted = moment.stage == "before" and moment.operation == self._operation
        if wanted and self._claimed.acquire(blocking=False):
            self._arrived.set()
            self._free.wait(WAIT_SECONDS)


class Evening:
    """Everything around one database; `function` is its first instance.

    Its clock is that of Cloud Tasks' stand-in, which moves only when a test moves it;
    with `real_clock` the function's clock goes on by itself, from where the stand-in's
    began. `settings` are further variables; one that is "" takes a variable away.
    """

    def __init__(
        self,
        database: Db,
        mongo_uri: str,
        caplog: pytest.LogCaptureFixture,
        *,
        real_clock: bool = False,
        **settings: str,
    ) -> None:
        self.database = database
        self.starts_at = datetime.now(UTC).replace(microsecond=0) if real_clock else SIX
        self._mongo_uri = mongo_uri
        self._caplog = caplog
        self._real_clock = real_clock
        self._settings = settings
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        empty(self.database)
        self._caplog.set_level("INFO")
        self.tasks = self._parts.enter_context(TasksEmulator(starts_at=self.starts_at))
        self.drive = self._parts.enter_context(DriveEmulator())
        self.inbox = self._parts.enter_context(Target())
        self.function = self.instance()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parts.__exit__(kind, error, trace)

    @property
    def env(self) -> dict[str, str]:
        inbox = self.inbox.url.removeprefix("http://")
        env = {
            "DAYBOOK_MONGODB_URI": self._mongo_uri,
            "DAYBOOK_DATABASE": self.database.name,
            "DAYBOOK_DESTINATION": f"drive://{self.drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": self.drive.url,
            "DAYBOOK_TASKS_QUEUE": self.tasks.queue_name,
            "DAYBOOK_TASKS_ENDPOINT": self.tasks.url,
            "DAYBOOK_TASKS_SERVICE_ACCOUNT": ACCOUNT,
            "DAYBOOK_ALERT_URLS": f"json://{inbox}/alerts",
            "DAYBOOK_RECEIPT_URLS": f"json://{inbox}/receipts",
            **self._settings,
        }
        return {name: text for name, text in env.items() if text}

    def instance(self, **settings: str) -> Function:
        """One more instance of the function; tasks go on calling the first."""
        env = {**self.env, **settings}
        if hasattr(self, "function"):
            env["DAYBOOK_SERVICE_URL"] = self.function.url
        clock = None if self._real_clock else self.tasks.now
        return self._parts.enter_context(Function(env, clock))

    # Time

    def at(self, minutes: float) -> datetime:
        """So many minutes after the evening began."""
        return self.starts_at + timedelta(minutes=minutes)

    def trigger(self, day: int = 0) -> requests.Response:
        """Cloud Scheduler's call, `day` days after the first; repeating it is a redelivery."""
        return self.function.trigger(self.starts_at + timedelta(days=day))

    # What is stored

    @property
    def day(self) -> str:
        """That of the last slot, 18:00, when the evening began."""
        return (self.starts_at.astimezone(BANGKOK) - timedelta(hours=18)).date().isoformat()

    def batch(self, day: str | None = None) -> dict[str, Any]:
        found = self.database["exportbatches"].find_one({"batchDate": day or self.day})
        assert found is not None, f"there is no batch of {day or self.day}"
        return found

    def breaker(self) -> dict[str, Any]:
        """Of Drive; empty before the first failure."""
        return self.database["circuitbreakers"].find_one({"_id": "google_drive"}) or {}

    def stored(self, *, but: tuple[str, ...] = ()) -> dict[str, list[dict[str, Any]]]:
        """Every document of every collection."""
        names = set(self.database.list_collection_names()) - set(but)
        return {
            name: sorted(self.database[name].find(), key=lambda doc: str(doc["_id"]))
            for name in sorted(names)
        }

    def attempts(self) -> int:
        """How many attempts ever began, over all batches."""
        return sum(doc["attemptCount"] for doc in self.database["exportbatches"].find())

    def bury(self) -> None:
        """Let the time pass that follows a dead run: its transactions and leases end."""
        self.database.client.admin.command("killAllSessions", [])
        self.database["exportslots"].update_many(
            {"lease": {"$ne": None}},
            {"$set": {"lease.expiresAt": datetime.now(UTC) - timedelta(minutes=1)}},
        )

    def delivered(self) -> dict[str, list[str]]:
        """By file name the references that stand in it."""
        return {file.name: books.references(file.content) for file in self.drive.files()}

    # What people are told

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The fields, and the severity, of each record of that event in this process."""
        return [
            {**record.__dict__["fields"], "severity": record.levelname}
            for record in self._caplog.records
            if record.__dict__.get("event") == event
        ]

    def alarms(self) -> list[tuple[str, str]]:
        """Severity and event of every alert that was logged in this process, in order."""
        return [
            (record.levelname, record.__dict__["event"])
            for record in self._caplog.records
            if record.__dict__.get("event") in ALARMS
        ]

    def mail(self, kind: str) -> list[str]:
        """Title and text of what arrived under `alerts` or `receipts`."""
        return [
            f"{one.body['title']}\n{one.body['message']}"
            for one in self.inbox.received
            if one.path == f"/{kind}"
        ]

    def noise(self) -> tuple[Any, ...]:
        """What a delivery that changes nothing must leave alike; slots count their takers."""
        return (
            self.stored(but=("exportslots",)),
            [task.id for task in self.tasks.created],
            self.alarms(),
            len(self.inbox.received),
            len(self.drive.requests),
        )


ALARMS = {
    *("attempt_failed", "batch_failed", "batch_recovered", "breaker_opened", "run_refused"),
    *("entries_rejected", "orphan_left_behind", "unsealed_file", "day_missing", "day_late"),
    *("file_changed", "entries_changed_after_export"),
}


class _QuietHandler(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Nothing: the function logs what matters."""


def _no_sleep(_seconds: float) -> None:
    """Waits between repeats are counted by what was asked for."""


MakeEvening = Callable[..., Evening]


@pytest.fixture(scope="session")
def evening_database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Db]:
    """One migrated database for all evenings; each empties it."""
    database = mongo_client[f"evening_{uuid.uuid4().hex}"]
    migrate(database, now=SIX)
    yield database
    mongo_client.drop_database(database)


@pytest.fixture
def make_evening(
    evening_database: Db, mongo_uri: str, caplog: pytest.LogCaptureFixture
) -> Iterator[MakeEvening]:
    """Builds an evening; see `Evening` for its settings."""
    with ExitStack() as stack:

        def make(*, database: Db = evening_database, **settings: Any) -> Evening:
            return stack.enter_context(Evening(database, mongo_uri, caplog, **settings))

        yield make


@pytest.fixture
def evening(make_evening: MakeEvening) -> Evening:
    return make_evening()
