"""Whatever others made of the collections: no visible file without a record, and it is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from daybook.mongo.objects import READ
from tests import books
from tests.acceptance.runbook_stage import DAY, NEXT_DAY, Stage
from tests.fuzz.budget import rounds
from tests.fuzz.objects import ALL, KINDS, Object

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
BLOCKING = {"capped", "collation", "view", "time series"}
"""Kinds with which nothing runs, whatever is queued; a capped journal can be read."""


def stops_a_run(one: Object) -> bool:
    if one.collection in READ:
        return one.kind in BLOCKING - {"capped"}
    return one.kind in BLOCKING


def stops_a_commit(one: Object) -> bool:
    """Whether even a first day's commit is refused."""
    if one.kind == "validator":
        return one.collection in {*RECORDS, "exportqueues", "exportslots"}
    # Of the manifest two documents are stored: a part, and what it rejects.
    return one.kind == "unique" and one.collection in {"exportqueues", "exportmanifests"}


RECORDS = ("exportlogs", "exportbatches", "exportmanifests")


@pytest.fixture
def stage(database: Db, mongo_uri: str) -> Iterator[Stage]:
    with Stage(database=database, mongo_uri=mongo_uri) as stage:
        yield stage


def check(stage: Stage) -> None:
    """Every visible file has its record, and no entry is in two of a day's files."""
    recorded = set()
    for name in ("exportlogs", "exportlogs_behind"):
        recorded |= {
            doc["metadata"]["fileId"]
            for doc in stage.database[name].find({"metadata.fileId": {"$exists": True}})
        }
    files = stage.drive.files()
    assert {file.id for file in files} <= recorded
    daily = [file for file in files if file.name.startswith("batch_")]
    counts = Counter(ref for file in daily for ref in books.references(file.content))
    assert not [ref for ref, count in counts.items() if count > 1]


def answers(stage: Stage) -> list[str]:
    """What each request says, in an order that an operator could send them in."""
    entry = stage.database["journalentries"].find_one({}) or {}
    said = []
    for path, body in (
        ("/run", {"batchDate": DAY}),
        ("/run", {"batchDate": DAY}),
        ("/admin/doctor", {}),
        ("/admin/migrate", {}),
        ("/sweep", {}),
        ("/exports", {"entryIds": [str(entry.get("_id", "none"))]}),
        ("/run", {"batchDate": NEXT_DAY}),
    ):
        if body.get("batchDate") == NEXT_DAY:
            later = books.entry("LATER")
            for name in ("journalentries", "exportqueues"):
                behind = f"{name}_behind"
                there = behind in stage.database.list_collection_names()
                doc = later if name == "journalentries" else books.queue_item(later["_id"])
                stage.database[behind if there else name].insert_one(
                    doc, bypass_document_validation=True
                )
        said.append(str(stage.ask(path, body, at=None)))
        check(stage)
    return said


def seeded(stage: Stage) -> list[str]:
    """Three entries and one that is rejected."""
    stage.queue(
        *(books.entry(f"GOOD-{number}") for number in range(3)),
        books.entry("BAD", lines=books.lines()[:1]),
    )
    return [f"GOOD-{number}" for number in range(3)]


def repaired(stage: Stage, objects: Sequence[Object], good: Sequence[str]) -> None:
    """Without the objects the next runs deliver everything that is left, once."""
    for one in reversed(objects):
        one.take_away(stage.database)
    stage.ask("/admin/migrate", {}, at=None)
    for day in (DAY, NEXT_DAY, "2026-01-20"):
        told = stage.ask("/run", {"batchDate": day}, at=None)
        assert "error" not in told or told["status"] == "failed", told
        check(stage)
    daily = [file for file in stage.drive.files() if file.name.startswith("batch_")]
    assert sorted(ref for file in daily for ref in books.references(file.content)) == list(good)


def in_ci(one: Object) -> bool:
    """Half of the table: every kind, every collection, and all that a commit could discover."""
    return one.collection in {"exportlogs", "exportqueues"} or one.kind in {"validator", "unique"}


TABLE = [pytest.param(one, marks=() if in_ci(one) else pytest.mark.storm) for one in ALL]


@pytest.mark.parametrize("one", TABLE, ids=str)
def test_an_object_of_another_application_is_named_and_costs_no_file(
    stage: Stage, one: Object
) -> None:
    good = seeded(stage)
    one.make(stage.database)
    first, _again, doctor, migrate, *_rest = answers(stage)
    refused = stops_a_run(one) or stops_a_commit(one)
    delivered = any(DAY in file.name for file in stage.drive.files())
    assert delivered is not refused
    if refused:
        assert one.collection in first
    if not (one.kind in {"validator", "unique"} and one.collection in READ):
        assert f"{one.collection} " in doctor
    if stops_a_run(one):
        assert one.collection in migrate
    repaired(stage, [one], [*good, "LATER"])


pairs = st.lists(st.sampled_from(ALL), min_size=1, max_size=2, unique_by=lambda one: one.collection)


def test_two_objects_at_once_cost_no_file_either(
    mongo_client: MongoClient[dict[str, Any]], mongo_uri: str
) -> None:
    @hypothesis.settings(
        max_examples=5,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(objects=pairs, second_day=st.booleans())
    def never_a_file_without_a_record(objects: list[Object], second_day: bool) -> None:
        database = mongo_client["fuzz_objects"]
        mongo_client.drop_database(database.name)
        with Stage(database=database, mongo_uri=mongo_uri) as stage:
            good = [*seeded(stage), "LATER"]
            if second_day:
                stage.ask("/run", {"batchDate": "2026-01-17"}, at=None)
                stage.queue(books.entry("GOOD-3"))
                good.insert(3, "GOOD-3")
            for one in objects:
                one.make(database)
            answers(stage)
            repaired(stage, objects, good)

    for number in rounds():
        hypothesis.seed(number)(never_a_file_without_a_record)()
    mongo_client.drop_database("fuzz_objects")


def test_every_kind_is_in_the_table() -> None:
    assert {one.kind for one in ALL} == set(KINDS)
