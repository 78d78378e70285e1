"""Where the runbook's steps are taken: a database, a Drive, a queue, and the command line."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import flask
from click.testing import CliRunner
from pymongo.database import Database

from daybook import log
from daybook.app import App
from daybook.cli.main import main
from daybook.http import routes
from daybook.settings.settings import VARIABLES
from tests import books, pages
from tests.acceptance.runbook import DAYBOOK
from tests.emulators.drive import DriveEmulator
from tests.emulators.tasks import TasksEmulator
from tests.reusable import empty, migrate_once

DAY, NEXT_DAY = "2026-01-18", "2026-01-19"
AT_EIGHT = datetime(2026, 1, 18, 13, tzinfo=UTC)
"""20:00 in Bangkok."""
Db = Database[dict[str, Any]]
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What a command printed, and how it ended."""

    lines: tuple[str, ...]
    """Of stdout, then of stderr without the log."""
    code: int


@dataclass(kw_only=True)
class Stage:
    """A database, a Drive and a queue that delivers nothing; commands run in this process."""

    database: Db
    mongo_uri: str
    env: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    """What all commands and calls have logged."""
    ids: dict[str, str] = field(default_factory=dict)
    """What the page's examples call by another name: text on the page → here."""
    _parts: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        migrate_once(self.database, now=datetime.now(UTC))
        self.drive = self._parts.enter_context(DriveEmulator())
        self.tasks = self._parts.enter_context(TasksEmulator(starts_at=datetime.now(UTC)))
        self.env = {
            "DAYBOOK_MONGODB_URI": self.mongo_uri,
            "DAYBOOK_DATABASE": self.database.name,
            "DAYBOOK_DESTINATION": f"drive://{self.drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": self.drive.url,
            "DAYBOOK_TASKS_QUEUE": self.tasks.queue_name,
            "DAYBOOK_TASKS_ENDPOINT": self.tasks.url,
            "DAYBOOK_SERVICE_URL": "http://127.0.0.1:1",
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parts.__exit__(kind, error, trace)

    def run(self, command: str) -> Printed:
        """A command of the page, `daybook …`, with its records kept."""
        assert command.startswith(DAYBOOK), command
        for shown, here in self.ids.items():
            command = command.replace(shown, here)
        arguments = shlex.split(command.removeprefix(DAYBOOK))
        with own_logging():
            result = CliRunner(env={**_UNSET, **self.env}).invoke(main, [*arguments, "--verbose"])
        self.records += _records(result.stderr)
        said = result.stderr.replace(self.database.name, "daybook")
        plain = [line for line in said.splitlines() if not line.startswith("{")]
        # What --verbose adds is not on the page.
        shown = _DETAILS.sub("", result.stdout).replace(self.database.name, "daybook")
        return Printed(lines=(*shown.splitlines(), *plain), code=result.exit_code)

    def ask(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        at: datetime | None = AT_EIGHT,
    ) -> dict[str, Any]:
        """The function's answer to a request at a time of the page's day, or now.

        It repeats requests to Drive as ever, but does not wait in between.
        """
        app = replace(App.from_env(self.env), sleep=lambda _seconds: None)
        if at is not None:
            app = replace(app, clock=lambda: at)
        output = io.StringIO()
        with (
            own_logging(),
            app.client,
            flask.Flask("function").test_request_context(path, method=method, json=body or {}),
        ):
            log.setup(output)
            answered: dict[str, Any] = json.loads(routes.answer(app, flask.request).get_data())
        self.records += _records(output.getvalue())
        return answered

    def fails(self, day: str = DAY) -> None:
        """One attempt that does not deliver."""
        answered = self.ask("/run", {"batchDate": day}, at=None)
        assert answered["status"] in {"failed", "retry_scheduled"}, answered

    def delivers(self, day: str = DAY) -> str:
        """A delivered day; returns its file's id."""
        answered = self.ask("/run", {"batchDate": day}, at=None)
        assert answered["status"] in {"exported", "already_exported"}, answered
        batch = self.database["exportbatches"].find_one({"batchDate": day})
        assert batch is not None
        file_id: str = batch["fileId"]
        return file_id

    def queue(self, *entries: Mapping[str, Any]) -> list[Any]:
        """Entries that wait: two that are sound, unless others are given."""
        return books.put(self.database, *(entries or (books.entry("INV-1"), books.entry("INV-2"))))

    def indexes(self) -> set[tuple[str, str]]:
        """Collection and name of each, but for those that come with a collection."""
        return {
            (name, index)
            for name in self.database.list_collection_names()
            for index in self.database[name].index_information()
            if index != "_id_"
        }

    def names(self) -> list[str]:
        """The collections whose content makes up a day."""
        return sorted(set(self.database.list_collection_names()) - {"schemamigrations"})

    def clear(self) -> None:
        """Everything as at the start, but for the indexes."""
        empty(self.database)
        for file in self.drive.files(include_trashed=True):
            self.drive.remove(file.id)

    def script(self, source: str, *arguments: str, folder: Path) -> str:
        """What a program of the page prints."""
        path = folder / "program.py"
        path.write_text(source, encoding="utf-8")
        process = subprocess.run(
            [sys.executable, str(path), *arguments],
            env={**os.environ, "PYTHONPATH": str(pages.ROOT / "src"), **self.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout


_DETAILS = re.compile(
    r" Fence \d+\.( File ID \S+, \d+ seals?\.)?|^  attempt \d+ .*\n", re.MULTILINE
)
_UNSET = dict.fromkeys(variable.name for variable in VARIABLES)


@contextmanager
def own_logging() -> Iterator[None]:
    """Leave this process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _records(output: str) -> Iterator[Record]:
    for line in output.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
