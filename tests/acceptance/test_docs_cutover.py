"""The way of docs/cutover.md, gone on this machine: the Node application is played by this test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from daybook.export.batch.export_log import LogAction
from tests import books, pages
from tests.acceptance.runbook import DAYBOOK, Transcript, agrees, chapters
from tests.acceptance.runbook_stage import DAY, NEXT_DAY, Stage

SPARSE = "metadata.batchDate_1_action_1"


@pytest.fixture
def stage(database: Database[dict[str, Any]], mongo_uri: str) -> Iterator[Stage]:
    with Stage(database=database, mongo_uri=mongo_uri) as stage:
        yield stage


def node_record(day: str) -> dict[str, Any]:
    """What the Node application writes about a file of its own."""
    now = datetime.now(UTC)
    facts = {"batchDate": day, "filename": f"batch_{day}.csv", "fileId": "node", "entryCount": 3}
    return {
        "_id": ObjectId(),
        "queueId": None,
        "action": "csv_generated",
        "message": "CSV generated",
        "performedBy": "system",
        "metadata": {**facts, "webViewLink": "https://drive.google.com/file/d/node/view"},
        "createdAt": now,
        "updatedAt": now,
    }


def node_delivers(stage: Stage, day: str) -> None:
    stage.database["exportlogs"].insert_one(node_record(day))
    stage.database["exportqueues"].update_many(
        {"status": "queued"}, {"$set": {"status": "completed", "metadata": {"batchDate": day}}}
    )


def node_file(stage: Stage, folder: Path) -> None:
    """Node's own file of the day, with columns of its own, where the page's name leads."""
    path = folder / f"node_batch_{DAY}.csv"
    lines = ["Entry ID;Line;Debit;Credit"]
    for entry in stage.database["journalentries"].find({"reference": {"$in": ["INV-1", "INV-2"]}}):
        lines += [
            f"{entry['_id']};{number};{line['debit']};{line['credit']}"
            for number, line in enumerate(entry["lines"], start=1)
        ]
    path.write_text("\n".join(lines), encoding="utf-8")
    stage.ids[path.name] = str(path)


def scene(stage: Stage, folder: Path) -> Iterator[str]:
    """Yields the command before which it goes on, as the runbook's scenes do."""
    logs = stage.database["exportlogs"]
    logs.drop_indexes()
    logs.create_index([("metadata.batchDate", 1), ("action", 1)], sparse=True, name=SPARSE)
    first, second = node_record("2026-01-16"), node_record("2026-01-16")
    logs.insert_many([first, second])
    yield "migrate"
    yield "migrate"
    logs.update_one({"_id": second["_id"]}, {"$set": {"action": "csv_superseded"}})
    yield "plan"
    assert SPARSE not in logs.index_information()
    stage.queue(
        books.entry("INV-1"), books.entry("INV-2"), books.entry("UNFIT", lines=books.lines()[:1])
    )
    yield "plan"
    node_delivers(stage, DAY)
    node_file(stage, folder)
    yield "status"
    stage.queue()
    stage.delivers(NEXT_DAY)


def test_the_way_of_the_page_leads_from_one_to_the_other_and_back(
    stage: Stage, tmp_path: Path
) -> None:
    transcripts = [
        transcript
        for chapter in chapters("cutover.md").values()
        for transcript in chapter.transcripts
    ]
    steps = scene(stage, tmp_path)
    awaited = next(steps)
    for transcript in transcripts:
        if transcript.command.startswith(DAYBOOK + awaited):
            awaited = next(steps, "nothing more")
        play(stage, transcript)
    assert awaited == "nothing more"
    (file,) = stage.drive.files()
    assert books.references(file.content) == ["INV-1", "INV-2"]
    assert stage.database["exportqueues"].count_documents({"status": "queued"}) == 0
    with pytest.raises(DuplicateKeyError):  # going back: the day is delivered
        stage.database["exportlogs"].insert_one(node_record(NEXT_DAY))
    stage.queue(books.entry("LATER"))
    node_delivers(stage, "2026-01-20")
    assert (
        stage.run(f"{DAYBOOK}run --date 2026-01-20").lines[0].endswith("no second file was made.")
    )


def play(stage: Stage, transcript: Transcript) -> None:
    answered = stage.run(transcript.command).lines
    assert agrees(transcript.answer, answered), "\n".join([transcript.command, *answered])


def test_the_page_names_every_action_that_node_does_not_know() -> None:
    cells = {row[0]: row[1] for row in pages.table("cutover.md", "where")}
    new = [action.value for action in LogAction if action is not LogAction.CSV_GENERATED]
    assert pages.words(cells["`exportlogs.action`"]) == new
