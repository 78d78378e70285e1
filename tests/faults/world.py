"""What a fault test works with: a database, a Drive, and runs in processes of their own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from random import Random
from types import TracebackType
from typing import Any, Self

from bson import Decimal128, ObjectId
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from tests import options
from tests.emulators.drive import DriveEmulator
from tests.emulators.mongo_proxy import CUT, Action, MongoProxy
from tests.faults.invariants import Rest
from tests.faults.steps import Stage, Step, Steps, Trap
from tests.faults.workers import Worker, Zygote
from tests.reusable import empty

DAY, NEXT_DAY, THIRD_DAY = "2026-01-18", "2026-01-19", "2026-01-20"
CHUNK_BYTES = 256 * 1024
FILE_FORMAT = options.get("FAULTS_FORMAT") or "csv"
"""Of the profile, unless a test chooses it: `make faults-xlsx` runs all of them with xlsx."""

_MANY_DELAYS = ",".join(["1"] * 40)
_TRIES = 400


class World:
    """One database and one Drive with a profile's queue, and everything that runs on them.

    `small` chooses the way of an upload: one multipart request, or a session with several
    chunks. The lease is long, so that it ends when the test says so (`expire_lease`).
    `file_format` is that of the profile.
    `reach` gives the address by which a run finds MongoDB behind a proxy.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        mongo_uri: str,
        zygote: Zygote,
        *,
        small: bool = True,
        file_format: str = FILE_FORMAT,
        lease_seconds: float = 600.0,
        attempts: int | None = None,
        reach: Callable[[MongoProxy], str] = attrgetter("uri"),
    ) -> None:
        self.database = database
        self.mongo_uri = mongo_uri
        self.small = small
        self.file_format = file_format
        self._lease_seconds = lease_seconds
        self._delays = _MANY_DELAYS if attempts is None else ",".join(["1"] * (attempts - 1))
        self._reach = reach
        self._zygote = zygote
        self._workers: list[Worker] = []
        self._traps: list[Trap] = []

    def __enter__(self) -> Self:
        self._parts = ExitStack()
        self.reset()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_workers()
        self._parts.__exit__(kind, error, trace)

    # The queue

    def seed(self, count: int = 6, *, start: int = 0, padding: int = 100_000) -> list[str]:
        """Queue `count` balanced entries and return their ids, in the order of the queue.

        Large ones have that much `padding`: six entries make five chunks.
        """
        entries, items = [], []
        text = 'ค่าบริการ, "x"' if self.small else "y" * padding
        more: list[dict[str, Any]] = []
        for number in range(start, start + count):
            amount = Decimal128(f"{number + 1}00.25")
            if self.file_format == "xlsx" and not self.small:
                text, more = "", _incompressible_lines(number, padding)
            entries.append(
                {
                    "_id": ObjectId(),
                    "date": datetime(2026, 1, 18, 3, tzinfo=UTC),
                    "reference": f"JV-{number}",
                    "description": f"{number} {text}",
                    "currency": "THB",
                    "lines": [
                        {"accountCode": "5100", "accountName": "Cost", "debit": amount},
                        {"accountCode": "2100", "accountName": "Payable", "credit": amount},
                        *more,
                    ],
                }
            )
            items.append(item_for(entries[-1]["_id"]))
        self.database["journalentries"].insert_many(entries)
        self.database["exportqueues"].insert_many(items)
        return [str(entry["_id"]) for entry in entries]

    def set_debit(self, entry: str, amount: str) -> None:
        """Unbalance an entry, or repair it."""
        self.database["journalentries"].update_one(
            {"_id": ObjectId(entry)}, {"$set": {"lines.0.debit": Decimal128(amount)}}
        )

    def reset(self) -> None:
        """Empty every collection and take a new Drive; the indexes stay."""
        self.end_workers()
        self._end_transactions()
        empty(self.database)
        self._parts.close()
        self._parts = ExitStack()
        self.drive = self._parts.enter_context(DriveEmulator())

    # Runs

    def start(self, day: str = DAY, *, callers: int = 1, **settings: str) -> Worker:
        """A worker that waits for its `go()`; `settings` are further variables."""
        env = {
            "DAYBOOK_MONGODB_URI": self.mongo_uri,
            "DAYBOOK_DATABASE": self.database.name,
            "DAYBOOK_DESTINATION": f"drive://{self.drive.folder_id}",
            "DAYBOOK_DRIVE_ENDPOINT": self.drive.url,
            "DAYBOOK_LEASE_SECONDS": f"{self._lease_seconds:g}",
            "DAYBOOK_UPLOAD_CHUNK_BYTES": str(CHUNK_BYTES),
            "DAYBOOK_MULTIPART_LIMIT_BYTES": "5242880" if self.small else "0",
            "DAYBOOK_RETRY_DELAYS_SECONDS": self._delays,
            "DAYBOOK_PROFILES": profiles(self.file_format),
            **settings,
        }
        worker = self._zygote.start(env, day, callers=callers)
        self._workers.append(worker)
        return worker

    def run(self, day: str = DAY) -> Worker:
        """One undisturbed run, to its end."""
        return self.start(day).go().wait()

    def run_until(self, *statuses: str, day: str = DAY) -> Worker:
        """Run again, as schedulers and operators do, until the answer is one of `statuses`."""
        answers = []
        for _ in range(_TRIES):
            worker = self.run(day)
            answers += worker.statuses
            if worker.outcomes and worker.outcomes[0]["status"] in statuses:
                return worker
            if worker.raised:
                raise AssertionError(worker.raised[0]["trace"])
        raise AssertionError(f"never {' or '.join(statuses)}: {answers}")

    def run_until_done(self, day: str = DAY) -> Worker:
        return self.run_until("exported", "already_exported", day=day)

    def watched(self, steps: Steps, day: str = DAY) -> Worker:
        """A worker whose requests go past `steps`; it waits for its `go()`."""
        steps.before.update(request.operation for request in self.drive.requests)
        self.drive.on_request(steps.drive)
        host, port = parse_uri(self.mongo_uri)["nodelist"][0]
        proxy = self._parts.enter_context(MongoProxy(host, port, steps.mongo))
        return self.start(day, DAYBOOK_MONGODB_URI=self._reach(proxy))

    def trapped(
        self,
        step: Step,
        stage: Stage,
        act: Callable[[Worker], Action | None],
        *,
        day: str = DAY,
        hold: bool = False,
    ) -> tuple[Worker, Trap]:
        """A running worker for which `act` is done at a step."""
        trap = Trap(step, stage, lambda: act(worker), hold=hold)
        self._traps.append(trap)
        worker = self.watched(trap, day)
        if stage == "before" and step.drive_operation and act is kill:
            # The stand-in would carry out a request whose client has died.
            self.drive.fault("cut_before", on=step.drive_operation, nth=step.nth)
        worker.go()
        return worker, trap

    def killed(self, step: Step, stage: Stage, *, day: str = DAY) -> bool:
        """Kill a run at a step; False when it never came to it."""
        worker, trap = self.trapped(step, stage, kill, day=day)
        worker.wait()
        self.bury()
        return trap.sprung

    def frozen(self, step: Step, stage: Stage = "before", *, day: str = DAY) -> Frozen:
        """A run that has been frozen at a step, with its request held there."""
        frozen = self.frozen_or_ended(step, stage, day=day)
        assert frozen.trap.sprung, f"the run never came to {frozen.trap}"
        return frozen

    def frozen_or_ended(self, step: Step, stage: Stage = "before", *, day: str = DAY) -> Frozen:
        """As `frozen`, but the run may also end without coming to the step."""
        worker, trap = self.trapped(step, stage, freeze, day=day, hold=True)
        trap.wait(lambda: worker.ended)
        return Frozen(worker, trap)

    def bury(self) -> None:
        """Let the time pass that follows a killed or frozen run: lease and transactions end."""
        self._end_transactions()
        self.expire_lease()

    def _end_transactions(self) -> None:
        """As `transactionLifetimeLimitSeconds` does after a while."""
        self.database.client.admin.command("killAllSessions", [])

    def expire_lease(self) -> None:
        """Let the lease expire; the run that holds the slot may still renew it."""
        self.database["exportslots"].update_many(
            {"lease": {"$ne": None}},
            {"$set": {"lease.expiresAt": datetime.now(UTC) - timedelta(minutes=1)}},
        )

    def check(self, **unusual: Any) -> dict[str, list[str]]:
        """By committed day the entries in its file; see `Rest` for what may be unusual."""
        return Rest(database=self.database, drive=self.drive, **unusual).check()

    def end_workers(self) -> None:
        for trap in self._traps:
            trap.release()
        for worker in self._workers:
            worker.close()
        self._traps.clear()
        self._workers.clear()


class Frozen:
    """A run that is frozen, until it is woken a day later."""

    def __init__(self, worker: Worker, trap: Trap) -> None:
        self.worker = worker
        self.trap = trap

    def wake(self) -> Worker:
        """Let it go on from where it stood, to its end."""
        self.worker.wake()
        self.trap.release()
        return self.worker.wait()


def profiles(file_format: str = FILE_FORMAT) -> str:
    """`DAYBOOK_PROFILES` with one profile, `daily`, of that format."""
    return f'[daily]\nformat = "{file_format}"'


def kill(worker: Worker) -> Action:
    """For `trapped`: the client dies, and what was under way at that moment is lost."""
    worker.kill()
    return CUT


def kill_in_flight(worker: Worker) -> None:
    """For `trapped`: the client dies, but the request that is under way still arrives."""
    worker.kill()


def freeze(worker: Worker) -> None:
    """For `trapped`: the client is frozen from here on."""
    worker.freeze()


def _incompressible_lines(number: int, padding: int) -> list[dict[str, Any]]:
    """Lines of nothing, whose texts take about twice `padding` bytes of an xlsx file."""
    source = Random(number)
    return [
        {
            "accountCode": "9999",
            "accountName": b64encode(source.randbytes(20_000)).decode(),
            "debit": Decimal128("0"),
        }
        for _ in range(2 * padding // 20_000)
    ]


def item_for(entry_id: Any, **fields: Any) -> dict[str, Any]:
    """A queue item as the other application writes it."""
    now = datetime(2026, 1, 18, 4, tzinfo=UTC)
    return {
        "_id": ObjectId(),
        "entryId": entry_id,
        "exportPath": "scheduled",
        "status": "queued",
        "createdAt": now,
        "updatedAt": now,
        **fields,
    }
