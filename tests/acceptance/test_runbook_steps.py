"""Each step of the runbook that can be taken here is taken, and answers what the page shows."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests import books, pages
from tests.acceptance.runbook import DAYBOOK, Chapter, agrees, chapters, matches
from tests.acceptance.runbook_repairs import REPAIRS
from tests.acceptance.runbook_scenes import ALERTS
from tests.acceptance.runbook_stage import DAY, NEXT_DAY, Stage

SCENES = {**ALERTS, **REPAIRS}
GENERAL = {"first-five-minutes-at-3-am", "find-the-chapter", "ways-to-act"}
"""Chapters that are about no situation of their own."""


@pytest.fixture(scope="module")
def shared(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """One database for all scenes: building the indexes takes longer than most of them."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def stage(shared: Database[dict[str, Any]], mongo_uri: str) -> Iterator[Stage]:
    """With empty collections, and the indexes that `migrate` makes."""
    with Stage(database=shared, mongo_uri=mongo_uri) as stage:
        built = stage.indexes()
        yield stage
        if stage.indexes() != built:
            shared.client.drop_database(shared.name)
        stage.clear()


def test_every_chapter_has_its_scene() -> None:
    assert set(SCENES) == set(chapters()) - GENERAL


@pytest.mark.parametrize("anchor", SCENES)
def test_the_steps_of_a_chapter_answer_what_the_page_shows(
    stage: Stage, tmp_path: Path, anchor: str
) -> None:
    chapter: Chapter = chapters()[anchor]
    scene = SCENES[anchor](stage, tmp_path)
    awaited = next(scene, None)
    for transcript in chapter.transcripts:
        if awaited and transcript.command.startswith(DAYBOOK + awaited):
            awaited = next(scene, None)
        answered = stage.run(transcript.command).lines
        assert agrees(transcript.answer, answered), "\n".join([transcript.command, *answered])
    assert not awaited, f"no command {awaited} came"
    assert list(scene) == []
    for query in chapter.queries:
        assert any(matches(query, record) for record in stage.records), query


def test_a_run_does_to_a_day_what_the_table_says(stage: Stage) -> None:
    run, retry = f"{DAYBOOK}run --date {DAY}", f"{DAYBOOK}retry {DAY}"
    assert stage.run(run).lines[0].startswith("Nothing is queued")  # without a run yet
    stage.queue()
    assert stage.run(run).lines[0].endswith("is delivered.")  # empty
    assert stage.run(retry).lines[0].endswith("no second file was made.")  # delivered
    stage.clear()
    stage.queue()
    stage.drive.grant(stage.drive.drive_id, "reader")
    stage.fails()
    stage.drive.grant(stage.drive.drive_id, "writer")
    stage.fails()  # failed: it stays so
    (release,) = re.findall(r"^daybook release .+$", chapters()["batch-failed"].text, re.MULTILINE)
    assert stage.run(release).code == 0
    stage.fails()  # released
    assert "closed for good" in stage.run(retry).lines[0]
    stage.delivers(NEXT_DAY)
    assert stage.database["exportqueues"].count_documents({"status": "queued"}) == 0


@pytest.mark.parametrize(("path", "body"), [("/run", {"dryRun": True}), ("/admin/doctor", {})])
def test_a_forced_job_leaves_a_record_where_the_page_says(
    stage: Stage, path: str, body: dict[str, Any]
) -> None:
    stage.queue()
    stage.ask(path, body)
    for query in chapters()["ways-to-act"].queries:
        assert any(matches(query, record) for record in stage.records), query


def test_of_a_day_that_was_done_before_the_watchdog_tells_and_a_run_does_not(stage: Stage) -> None:
    stage.queue()
    stage.delivers()
    stage.records.clear()
    assert stage.ask("/run")["status"] == "already_exported"
    told = {one["event"] for one in stage.records if "event" in one}
    assert told <= {"mongodb_connected", "mongodb_disconnected"}
    assert stage.ask("/watchdog")["status"] == "done"
    assert "watchdog_quiet" in {one.get("event") for one in stage.records}


def test_the_metrics_of_the_log_read_fields_that_its_records_have(stage: Stage) -> None:
    text = (pages.ROOT / "terraform/modules/observability/metrics.tf").read_text(encoding="utf-8")
    figures = set(re.findall(r'field += "jsonPayload\.(\w+)"', text))
    labels = [
        (set(re.findall(r'\\"(\w+)\\"', asked)), field)
        for asked, field in re.findall(
            r'filter += "\$\{local\.records\}(.+)"\n.+"EXTRACT\(jsonPayload\.(\w+)\)"', text
        )
    ]
    assert len(figures) > 2
    assert len(labels) > 2
    stage.queue(books.entry("INV-1"), books.entry("INV-2"))
    stage.queue(books.entry("UNFIT", lines=books.lines()[:1]))
    stage.delivers()
    stage.queue()
    stage.drive.down = True
    for _ in range(3):
        stage.fails(NEXT_DAY)
    (committed,) = [one for one in stage.records if one.get("event") == "batch_committed"]
    assert {type(committed[name]) for name in figures} <= {int, float}
    for events, field in labels:
        found = [record[field] for record in stage.records if record.get("event") in events]
        assert found, events
        assert all(isinstance(value, str) for value in found), field


@pytest.mark.parametrize("page", ["runbook.md", "deploy.md"])
def test_every_request_of_a_page_is_one_that_the_function_takes(stage: Stage, page: str) -> None:
    calls = re.findall(
        r"""^curl (?:-X (\w+) )?.*?(?:-d '(.+)' )?"\$DAYBOOK(/\S*)"$""",
        pages.text_of(page),
        re.MULTILINE,
    )
    assert len(calls) == len(re.findall("^curl ", pages.text_of(page), re.MULTILINE)) > 0
    stage.queue()
    for method, body, path in calls:
        answered = stage.ask(path, json.loads(body or "{}"), method=method or "GET")
        assert not isinstance(answered.get("status"), int) or answered["status"] == 409, answered


@pytest.mark.parametrize(
    ("shown", "answered", "same"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a"], [], False),
        ([], ["a"], False),
        (["a", "…"], ["a"], True),
        (["…", "c"], ["a", "b", "c"], True),
        (["…", "c"], ["a", "b"], False),
        (["a …"], ["a b c"], True),
        (["a …"], ["b c"], False),
        (["done 2026-01-18T11:00:18+00:00"], ["done 2026-11-22T17:31:18+00:00"], True),
        (["done 2026-01-18T11:00:18+00:00"], ["done never"], False),
    ],
)
def test_what_is_here_tells_answers_apart(
    shown: list[str], answered: list[str], same: bool
) -> None:
    assert agrees(shown, answered) is same


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ('jsonPayload.event="day_late" AND labels.batchDate="2026-01-18"', True),
        ('jsonPayload.event="day_late" AND labels.batchDate="2026-01-19"', False),
        ('jsonPayload.event="day_missing"', False),
        ("severity>=WARNING", True),
        ("severity>=ERROR", False),
        ("jsonPayload.entryCount>3", True),
        ("jsonPayload.entryCount>4", False),
        ("jsonPayload.event:*", True),
        ("jsonPayload.attempt:*", False),
        ('jsonPayload.event=("day_missing" OR "day_late")', True),
        ('jsonPayload.event=("day_missing" OR "batch_failed")', False),
    ],
)
def test_what_is_here_reads_queries_as_cloud_logging_does(query: str, same: bool) -> None:
    record = {
        "event": "day_late",
        "severity": "WARNING",
        "entryCount": 4,
        "logging.googleapis.com/labels": {"batchDate": "2026-01-18"},
    }
    assert matches(query, record) is same
