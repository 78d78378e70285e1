"""One measured day: a fresh database, Drive and function process, the requests, the figures."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from pymongo import MongoClient
from pymongo.database import Database

from bench.load.drive import Answered, PacedDrive, busy_seconds, by_operation, paced_drive
from bench.load.drive import uploaded_bytes as uploaded
from bench.load.figures import Case, Measured
from bench.load.mongod import Spent
from bench.load.process import FunctionProcess, cpu_seconds
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.profile import DAILY, BatchKey
from daybook.export.outcome import Status
from daybook.local.mongod import EmbeddedMongod
from daybook.local.sample import seed
from daybook.local.serve import FunctionServer
from daybook.mongo.migrate import migrate

KEY = BatchKey(profile=DAILY, batch_date="2026-01-18")
_QUEUED_AT = datetime(2026, 1, 18, 10, tzinfo=UTC)
_ANSWER_TIMEOUT_SECONDS = 3600.0
_LOG_TAIL_BYTES = 4000


class LoadError(Exception):
    """A day did not end as it must; the figures would be of something else."""


def measure(mongod: EmbeddedMongod, case: Case, *, say: Callable[[str], None]) -> Measured:
    """Run the case's day from the queue to the file; `say` receives each step as text.

    Raises `LoadError` when the day does not end with all entries in one file.
    """
    name = f"load_{case.entries}"
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        try:
            say("queueing the entries")
            migrate(client[name], now=datetime.now(UTC))
            seed(client[name], entries=case.entries, lines=case.lines, at=_QUEUED_AT)
            say("starting the function")
            return _serve(mongod, client[name], case, say)
        finally:
            client.drop_database(name)


def _serve(
    mongod: EmbeddedMongod,
    database: Database[dict[str, Any]],
    case: Case,
    say: Callable[[str], None],
) -> Measured:
    with paced_drive(slower=case.slower) as drive, tempfile.TemporaryFile() as log:
        env = _environment(mongod.uri, database.name, drive, case.settings)
        with FunctionServer(env, port=0, output=log.fileno()) as server:
            try:
                return _measure(server.port, mongod.pid, database, drive, case, say)
            except LoadError as error:
                raise LoadError(f"{error}\n{_tail(log)}") from error


def _tail(log: IO[bytes]) -> str:
    log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
    return log.read().decode(errors="replace")


def _environment(
    mongodb_uri: str, database: str, drive: PacedDrive, settings: Mapping[str, str]
) -> dict[str, str]:
    inherited = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DAYBOOK_", "DAILY_BATCH_"))
    }
    return {
        **inherited,
        **settings,
        "DAYBOOK_MONGODB_URI": mongodb_uri,
        "DAYBOOK_DATABASE": database,
        "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
        "DAYBOOK_DRIVE_ENDPOINT": drive.url,
    }


def _measure(
    port: int,
    mongod_pid: int,
    database: Database[dict[str, Any]],
    drive: PacedDrive,
    case: Case,
    say: Callable[[str], None],
) -> Measured:
    process = FunctionProcess()
    process.reset_peak()
    idle_mib, parent_mib = process.resident_mib(), process.parent_private_mib()
    cpu, mongod = cpu_seconds(process.worker), Spent.so_far(database.client, mongod_pid)
    began = time.monotonic()
    durations, answer = _run(port, database, say)
    ended = time.monotonic()
    cpu = cpu_seconds(process.worker) - cpu
    mongod = Spent.so_far(database.client, mongod_pid) - mongod
    requests = drive.answered()
    batch = _checked(answer, database, drive, case)
    return Measured(
        entries=answer["entryCount"],
        rows=answer["rowCount"],
        size_bytes=answer["sizeBytes"],
        seconds=sum(durations),
        drive_seconds=busy_seconds(requests),
        plan_seconds=requests[0].began - began,
        mark_seconds=_described_at(requests, ended) - _visible_at(requests),
        cpu_seconds=cpu,
        mongod=mongod,
        idle_mib=idle_mib,
        peak_mib=process.peak_mib(),
        parent_mib=parent_mib,
        requests=by_operation(requests),
        uploaded_bytes=uploaded(requests),
        invocations=len(durations),
        attempts=batch.doc["attemptCount"],
    )


def _run(
    port: int, database: Database[dict[str, Any]], say: Callable[[str], None]
) -> tuple[list[float], dict[str, Any]]:
    """As the scheduler and the queue would: one request, then one per continuation."""
    path, body = "/run", {"batchDate": KEY.batch_date}
    durations: list[float] = []
    while True:
        say(f"POST {path}, invocation {len(durations) + 1}")
        began = time.monotonic()
        answer = _post(port, path, body)
        durations.append(time.monotonic() - began)
        if answer["status"] != Status.CONTINUED:
            return durations, answer
        pending = _batch(database).pending
        if pending is None:
            raise LoadError("the run is to be continued, but its batch has no task for that")
        path, body = "/tasks/run", pending.body()


def _post(port: int, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _checked(
    answer: Mapping[str, Any], database: Database[dict[str, Any]], drive: PacedDrive, case: Case
) -> Batch:
    """The batch, once records, items and file are those of a successful day."""
    if answer["status"] != Status.EXPORTED:
        raise LoadError(f"the run of {case.entries} entries answered {json.dumps(answer)}")
    files = drive.emulator.files(drive.folder_id)
    completed = database["exportqueues"].count_documents({"status": "completed"})
    digests = [hashlib.md5(file.content, usedforsecurity=False).hexdigest() for file in files]
    if (answer["entryCount"], completed, digests) != (case.entries, case.entries, [answer["md5"]]):
        raise LoadError(
            f"of {case.entries} entries {answer['entryCount']} are in the file, {completed} "
            f"completed, and {len(files)} files are in Drive"
        )
    return _batch(database)


def _batch(database: Database[dict[str, Any]]) -> Batch:
    batch = batches.find(database[batches.COLLECTION], KEY)
    if batch is None:
        raise LoadError(f"there is no batch of {KEY.batch_date}")
    return batch


def _visible_at(requests: list[Answered]) -> float:
    """When Drive had made the file and confirmed it."""
    return max(r.ended for r in requests if r.operation not in ("generateIds", "update"))


def _described_at(requests: list[Answered], ended: float) -> float:
    """When the items were marked: only a file sent in chunks is described after that."""
    return next((r.began for r in requests if r.operation == "update"), ended)
