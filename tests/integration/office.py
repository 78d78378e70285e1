"""An office on a test's own database: journal, queue, and the folder that files go to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bson import Decimal128
from pymongo.database import Database

from daybook.app import App
from daybook.export.outcome import Outcome, Status
from tests import books, commands
from tests.reusable import migrate_once

DAY = date(2026, 1, 18)
NEXT_DAY = date(2026, 1, 19)
EVENING = datetime(2026, 1, 18, 11, 0, 5, tzinfo=UTC)
"""Just after the batch of `DAY` is due."""


def line(account: str, debit: str, credit: str) -> dict[str, Any]:
    return {
        "accountCode": account,
        "accountName": "เงินสด",
        "debit": Decimal128(debit),
        "credit": Decimal128(credit),
    }


class Office:
    """Entries go in with `add`, files come out with `export`."""

    def __init__(
        self, database: Database[dict[str, Any]], uri: str, folder: Path, **settings: str
    ) -> None:
        self.database = database
        self.folder = folder
        self.env = {
            "DAYBOOK_MONGODB_URI": uri,
            "DAYBOOK_DATABASE": database.name,
            "DAYBOOK_DESTINATION": folder.as_uri(),
            **settings,
        }
        self.app = replace(App.from_env(self.env), clock=lambda: EVENING)
        self.app = replace(self.app, sleep=lambda _seconds: None)
        self.queue = database["exportqueues"]
        self.entries = database["journalentries"]
        self.logs = database["exportlogs"]

    def __enter__(self) -> Self:
        migrate_once(self.database, now=EVENING)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.app.client.close()

    def add(self, value: str = "100.00", /, *, credit: str | None = None, **fields: Any) -> Any:
        """A queued entry of two lines; with another `credit` it does not balance."""
        pair = [line("1110", value, "0"), line("4100", "0", credit or value)]
        entry = books.entry(**{"reference": "RV-1", "lines": pair, **fields})
        books.put(self.database, entry)
        return entry["_id"]

    def enqueue(self, entry_id: Any, **fields: Any) -> None:
        self.queue.insert_one(books.queue_item(entry_id, **fields))

    def export(self, day: date = DAY) -> Outcome:
        outcome = commands.run_day(self.app, day)
        assert outcome.status in (Status.EXPORTED, Status.EMPTY), outcome
        return outcome

    def file(self, day: date = DAY) -> Path:
        return self.folder / f"batch_{day.isoformat()}.csv"

    def rewrite(self, change: Callable[[str], str], day: date = DAY) -> None:
        """Edit the delivered file, as a person with access to the folder could."""
        before = self.file(day).read_bytes().decode("utf-8-sig")
        after = change(before)
        assert after != before
        self.file(day).write_bytes(after.encode("utf-8-sig"))

    def items(self, entry_id: Any) -> list[dict[str, Any]]:
        return self.queue.find({"entryId": entry_id}).sort("_id", 1).to_list()

    def batch(self, day: date = DAY) -> dict[str, Any]:
        found = self.database["exportbatches"].find_one({"batchDate": day.isoformat()})
        assert found is not None
        return found
