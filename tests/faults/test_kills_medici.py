"""Exactly once over medici's collections: journals in one, their lines in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from tests import books
from tests.faults.steps import COMMIT, SEAL, WHOLE, Stage, Step
from tests.faults.workers import Worker, Zygote
from tests.faults.world import DAY, FILE_FORMAT, World, item_for

WHEN = datetime(2026, 1, 18, 3, tzinfo=UTC)
MakeMedici = Callable[[str], "MediciWorld"]


class MediciWorld(World):
    """As `World`, with the entries as medici writes them."""

    def seed(self, count: int = 6, *, start: int = 0, padding: int = 0) -> list[str]:
        journals: list[dict[str, Any]] = []
        transactions: list[dict[str, Any]] = []
        for number in range(start, start + count):
            journal, lines = ObjectId(), [ObjectId(), ObjectId()]
            common = {"book": "B", "memo": f"{number}", "_journal": journal, "datetime": WHEN}
            sides = (("Assets:Cash", 100.25 + number, 0.0), ("Income", 0.0, 100.25 + number))
            for line, (account, debit, credit) in zip(lines, sides, strict=True):
                transactions.append(
                    {
                        "_id": line,
                        "accounts": account,
                        "account_path": account.split(":"),
                        "debit": debit,
                        "credit": credit,
                        "timestamp": WHEN,
                        **common,
                    }
                )
            journals.append(
                {
                    "_id": journal,
                    "datetime": WHEN,
                    "memo": f"{number}",
                    "book": "B",
                    "_transactions": lines,
                }
            )
        self.database["medici_journals"].insert_many(journals)
        self.database["medici_transactions"].insert_many(transactions)
        items = [item_for(journal["_id"]) for journal in journals]
        self.database["exportqueues"].insert_many(items)
        return [str(journal["_id"]) for journal in journals]

    def lose_line(self, entry: str) -> None:
        """The entry is rejected then: its list names a line that is missing."""
        self.database["medici_transactions"].delete_one({"_journal": ObjectId(entry)})

    def start(self, day: str = DAY, *, callers: int = 1, **settings: str) -> Worker:
        profile = f'[daily]\nformat = "{self.file_format}"\nsource = {{preset = "medici"}}'
        return super().start(day, callers=callers, **{"DAYBOOK_PROFILES": profile, **settings})

    def delivered(self) -> list[str]:
        """The entries of the one file, once everything agrees with it."""
        (file,) = self.drive.files()
        (batch,) = self.database["exportbatches"].find({"state": "committed"})
        (record,) = self.database["exportlogs"].find({"action": "csv_generated"})
        assert batch["fileId"] == record["metadata"]["fileId"] == file.id
        assert batch["markedAt"] is not None
        entries = [row["Entry ID"] for row in books.rows(file.content)]
        assert record["metadata"]["rowCount"] == len(entries)
        unique = list(dict.fromkeys(entries))
        completed = self.database["exportqueues"].find({"status": "completed"}).sort("_id", 1)
        assert [str(item["entryId"]) for item in completed] == unique
        return unique


@pytest.fixture
def make_medici(
    migrated: Database[dict[str, Any]], mongo_uri: str, zygote: Zygote
) -> Iterator[MakeMedici]:
    worlds: list[MediciWorld] = []

    def make(file_format: str) -> MediciWorld:
        world = MediciWorld(migrated, mongo_uri, zygote, file_format=file_format)
        worlds.append(world.__enter__())
        return world

    yield make
    for world in worlds:
        world.__exit__(None, None, None)


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "file_format"),
    [(SEAL, "csv"), (WHOLE, "csv"), (COMMIT, "csv"), (WHOLE, "xlsx"), (COMMIT, "xlsx")],
)
def test_killed_and_run_again_there_is_one_file(
    make_medici: MakeMedici, kind: str, file_format: str, stage: Stage
) -> None:
    world = make_medici(file_format)
    entries = world.seed()
    world.lose_line(entries[2])

    assert world.killed(Step(kind=kind), stage)
    world.run_until_done()

    assert world.delivered() == entries[:2] + entries[3:]
    assert world.drive.files()[0].name == f"batch_{DAY}.{file_format}"
    rejected = world.database["exportqueues"].find_one({"status": "failed"})
    assert rejected is not None
    assert str(rejected["entryId"]) == entries[2]


def test_a_run_that_is_woken_after_another_makes_no_second_file(make_medici: MakeMedici) -> None:
    world = make_medici(FILE_FORMAT)
    entries = world.seed()
    frozen = world.frozen(Step(kind=WHOLE))
    world.expire_lease()
    world.run_until_done()

    assert frozen.wake().statuses[0] in {"in_progress", "already_exported"}

    assert world.delivered() == entries
