"""The demonstration: one day from the queue to the file, with real parts."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daybook.app import App
from daybook.audit.verify import verify
from daybook.cli.command import CommandResult
from daybook.cli.outcome import figures, row
from daybook.cli.verify import describe
from daybook.errors import DaybookError
from daybook.export.batch.export_log import COLLECTION
from daybook.local import sample
from daybook.local.serve import FunctionServer, complete_environment, make_folder
from daybook.mongo.migrate import migrate

ENTRIES = 12
_ROWS_SHOWN = 4
_WIDTH = 100
_ANSWER_TIMEOUT_SECONDS = 120

Say = Callable[[str], object]


class NotAsShown(DaybookError):
    """A step of the demonstration did not end as it must."""

    type = "demonstration"


def show(data_dir: Path, *, say: Say) -> CommandResult:
    """Queue sample entries, run twice over HTTP, verify; `say` gets the story line by line.

    Each call has a database and a folder of its own. Raises `NotAsShown`.
    """
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    folder = (data_dir / "exports" / stamp).absolute()
    make_folder(folder)
    own = {
        **{name: text for name, text in os.environ.items() if not _is_setting(name)},
        "DAYBOOK_DATABASE": f"daybook_demo_{stamp}",
        "DAYBOOK_DESTINATION": folder.as_uri(),
    }
    say("Starting a MongoDB and the function on this machine.")
    with (
        complete_environment(own, data_dir) as (env, _mongod),
        (data_dir / "function.log").open("ab") as log,
        FunctionServer(env, port=0, output=log.fileno()) as server,
    ):
        app = App.from_env(env)
        with app.client:  # closed before its MongoDB stops, which it would log as an error
            migrate(app.database, now=app.clock())
            return _tell(app, server.url, folder, say)


def _tell(app: App, url: str, folder: Path, say: Say) -> CommandResult:
    now = app.clock()
    day = now.astimezone(app.settings.time_zone).date()
    sample.seed(app.database, at=now, entries=ENTRIES, bad=1)
    say(f"Queued {ENTRIES} sample journal entries of today and one that does not balance.")
    say(row("queue", _queue(app)))

    body = {"batchDate": day.isoformat()}
    say("")
    say(f"POST {url}/run {json.dumps(body)}")
    first = _post(url, body)
    _expect(first, "exported")
    say(row("answer", f"{first['status']}, {first['filename']}"))
    for line in figures(first):
        say(line)
    for record in app.database[COLLECTION].find({"action": "entry_rejected"}):
        say(row("", record["message"]))
    say(row("queue", _queue(app)))

    say("")
    say("The same request again")
    second = _post(url, body)
    _expect(second, "already_exported")
    same = "the same file" if second["fileId"] == first["fileId"] else "another file"
    say(row("answer", f"{second['status']}, {same}"))

    say("")
    say("verify")
    found = verify(app.database, app.destination, app.profile(), day)
    if found.differences:
        raise NotAsShown("; ".join(describe(found)))
    say(row("result", describe(found)[0]))

    file = folder / first["filename"]
    say("")
    say(f"{file}")
    for line in file.read_text(encoding="utf-8-sig").splitlines()[: 1 + _ROWS_SHOWN]:
        say(f"  {line if len(line) <= _WIDTH else line[: _WIDTH - 1] + '…'}")
    record = app.database[COLLECTION].find_one({"action": "csv_generated"}) or {}
    say(f"Its record: database {app.settings.database}, {COLLECTION}, _id {record.get('_id')}")
    doc = {
        "file": str(file),
        "database": app.settings.database,
        "recordId": record.get("_id"),
        "first": first,
        "second": second,
        "verification": found.to_doc(),
    }
    return CommandResult(doc=doc)


def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(
        address.hostname or "", address.port, timeout=_ANSWER_TIMEOUT_SECONDS
    )
    try:
        connection.request(
            "POST", "/run", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _expect(answer: Mapping[str, Any], status: str) -> None:
    if answer.get("status") != status:
        raise NotAsShown(f"the run answered {json.dumps(answer)} instead of {status}")


def _queue(app: App) -> str:
    queue = app.database[app.profile().source.queue]
    counts = {name: queue.count_documents({"status": name}) for name in _STATUSES}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


_STATUSES = ("queued", "completed", "failed")


def _is_setting(name: str) -> bool:
    """True for a variable that could lead the demonstration to other data than its samples."""
    return name.startswith(("DAYBOOK_", "DAILY_BATCH_")) and name != "DAYBOOK_MONGODB_URI"
