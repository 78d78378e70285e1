"""The Node application writes with mongoose and medici, Daybook exports, mongoose reads it back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database

from daybook.app import App
from daybook.audit.audit import audit, delivered_days
from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.cli.explain import queries
from daybook.export.operations.requeue import NotRequeued, requeue
from daybook.export.outcome import Status
from daybook.mongo.explain import explain
from tests import books, commands
from tests.node_application import NodeApplication, installed

Db = Database[dict[str, Any]]
DAY = date(2026, 1, 18)
NOON = books.NOON
MEDICI = '[daily]\nsource = {preset = "medici"}'
RENAMED = """[daily]
source = {preset = "medici", entries = "books.journals", lines = {collection = "books.lines"}}
"""


@pytest.fixture(scope="session")
def node() -> str:
    return installed()


@pytest.fixture
def application(node: str, mongo_uri: str, database: Db) -> NodeApplication:
    return NodeApplication(node, mongo_uri, database)


def make_app(uri: str, database: Db, folder: Path, profiles: str = "") -> App:
    more = {"DAYBOOK_PROFILES": profiles} if profiles else {}
    return books.make_app(uri, database.name, folder.as_uri(), **more)


def delivered(folder: Path) -> list[dict[str, str]]:
    return books.rows((folder / f"batch_{DAY}.csv").read_bytes())


def transfer(memo: str, *amounts: Any, **meta: Any) -> tuple[str, dict[str, Any]]:
    """A journal that moves the sum of the amounts from one account to another."""
    lines = [{"account": "Assets:Bank:Main", "debit": amount, **meta} for amount in amounts]
    total: Any = sum(amounts)
    lines.append({"account": "Income", "credit": total})
    return "journal", {"memo": memo, "date": NOON, "lines": lines}


def rejections(database: Db) -> Mapping[str, tuple[str | None, str]]:
    """Entry ID → its reference and why it was rejected, as the application can read it."""
    found = database["exportlogs"].find({"action": "entry_rejected"})
    facts = (record["metadata"] for record in found)
    return {str(one["entryId"]): (one.get("reference"), one["detail"]) for one in facts}


def test_mongoose_reads_back_and_saves_what_daybook_has_written(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path)
    sale = [
        {"accountCode": "1100", "accountName": "เงินสด", "debit": 0.1 + 0.2, "credit": 0},
        {"accountCode": "4000", "credit": 0.3, "description": "one"},
    ]
    first, bare, unfit = application.does(
        ("entry", {"date": NOON, "reference": "INV-1", "lines": sale}),
        ("entry", {"date": NOON, "reference": "INV-2", "amount": Decimal128("12.50")}),
        ("entry", {"date": NOON, "reference": "INV-3", "lines": sale[:1]}),
    )

    outcome = commands.run_day(app, DAY)

    assert outcome.status is Status.EXPORTED
    assert list(rejections(database)) == [str(unfit)]
    assert [
        (row["Entry ID"], row["Account Code"], row["Debit"], row["Credit"], row["Amount"])
        for row in delivered(tmp_path)
    ] == [
        (str(first), "1100", "0.30", "0.00", "0.30"),
        (str(first), "4000", "", "0.30", "-0.30"),
        (str(bare), "", "", "", "12.50"),
    ]
    before = [*database["exportqueues"].find(), *database["exportlogs"].find()]
    (counts,) = application.does(("resave", {}))
    assert counts == {"exportqueues": 3, "exportlogs": 2}
    after = [*database["exportqueues"].find(), *database["exportlogs"].find()]
    for doc in (*before, *after):
        del doc["updatedAt"]
    # Mongoose leaves out empty documents when it saves.
    assert after == [_without_empty(doc) for doc in before]
    assert not verify(database, app.destination, app.profile(), DAY).differences


def test_voided_journals_are_exported_like_their_reversals(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path, MEDICI)
    (voided, kept) = application.does(
        transfer("wrong", 0.1 + 0.2, ref="INV-1"), transfer("right", 0.1, 0.2, ref="INV-2")
    )
    (reversal,) = application.does(("void", {"id": voided, "reason": "a slip"}))

    outcome = commands.run_day(app, DAY)

    assert outcome.facts["entryCount"] == 3, outcome.facts
    assert outcome.facts["normalisedCount"] == 2 + 1 + 2  # 0.1 + 0.2 as a double
    # ObjectIds of one second that two processes made are in no order of their own.
    order = [str(voided), str(kept), str(reversal)]
    rows = sorted(delivered(tmp_path), key=lambda row: order.index(row["Entry ID"]))
    assert [
        (row["Entry ID"], row["Line"], row["Reference"], row["Description"], row["Amount"])
        for row in rows
    ] == [
        (str(voided), "1", "INV-1", "wrong", "0.30"),
        (str(voided), "2", "INV-1", "wrong", "-0.30"),
        (str(kept), "1", "INV-2", "right", "0.10"),
        (str(kept), "2", "INV-2", "right", "0.20"),
        (str(kept), "3", "INV-2", "right", "-0.30"),
        (str(reversal), "1", "INV-1", "a slip", "-0.30"),
        (str(reversal), "2", "INV-1", "a slip", "0.30"),
    ]
    assert (rows[0]["Account Code"], rows[0]["Account Name"]) == ("Assets:Bank:Main", "Main")
    assert (rows[1]["Account Code"], rows[1]["Account Name"]) == ("Income", "Income")
    assert {(row["Date"], row["Currency"]) for row in rows} == {("2026-01-18", "")}
    journal = database["medici_journals"].find_one({"_id": voided})
    assert journal is not None
    assert journal["voided"] is True


def test_both_collections_renamed_and_every_query_on_an_index(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path, RENAMED)
    names = {"journals": "books.journals", "transactions": "books.lines"}
    many = [transfer(f"no {number}", 1, 2, ref=f"INV-{number}") for number in range(300)]
    application.does(("rename", names), ("init", {}), *many)
    database["books.journals"].create_index([("datetime", 1), ("_id", 1)])
    database["books.lines"].create_index("meta.ref")

    assert commands.run_day(app, DAY).facts["entryCount"] == 300

    assert database["medici_journals"].estimated_document_count() == 0
    explained = explain(database, queries(app.profile()))
    asked = {each.name: each for each in explained.queries if each.plan is not None}
    assert not [each for each in asked.values() if each.failed]
    plan = asked["lines_of_entries"].plan
    assert plan is not None
    assert plan.indexes == ("_journal_1",)
    assert plan.documents == plan.returned
    database["books.lines"].drop_index("_journal_1")
    (found,) = [
        each
        for each in explain(database, queries(app.profile())).queries
        if each.name == "lines_of_entries"
    ]
    assert found.failed
    assert found.faults == ("scans the collection",)


def test_bad_lines_reject_their_own_entry_only(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path, MEDICI)
    names = ("good", "missing", "extra", "twice", "others", "turned", "no order", "last")
    made = dict(
        zip(
            names,
            application.does(*(transfer(name, 1, 2, ref=name) for name in names)),
            strict=True,
        )
    )
    journals, lines = database["medici_journals"], database["medici_transactions"]

    def own(name: str) -> list[Any]:
        found = journals.find_one({"_id": made[name]})
        assert found is not None
        listed: list[Any] = found["_transactions"]
        return listed

    def lists(name: str, *line_ids: Any) -> None:
        journals.update_one({"_id": made[name]}, {"$set": {"_transactions": list(line_ids)}})

    lost, extra = own("missing")[1], ObjectId()
    lines.delete_one({"_id": lost})
    lines.insert_one({"_id": extra, "_journal": made["extra"], "debit": 1.0, "credit": 1.0})
    lists("twice", *own("twice"), own("twice")[0])
    theirs = own("good")[0]
    lists("others", theirs, *own("others")[1:])
    lists("turned", *reversed(own("turned")))
    journals.update_one({"_id": made["no order"]}, {"$unset": {"_transactions": ""}})

    commands.run_day(app, DAY)

    found = rejections(database)
    assert {entry_id: detail for entry_id, (_, detail) in found.items()} == {
        str(made["missing"]): f"medici_transactions: _transactions names line {lost}, which "
        "medici_transactions does not have with this entry as _journal",
        str(made["extra"]): f"medici_transactions: _transactions does not name line {extra}",
        str(made["twice"]): f"medici_transactions: _transactions names line {own('twice')[0]} "
        "twice",
        str(made["others"]): f"medici_transactions: _transactions names line {theirs}, which "
        "medici_transactions does not have with this entry as _journal and _transactions does "
        f"not name line {_only_left_out(database, made['others'], own('others'))}",
        str(made["no order"]): "medici_transactions: _transactions is no array of the IDs of its "
        "lines",
    }
    rows = delivered(tmp_path)
    assert [(row["Description"], row["Amount"]) for row in rows] == [
        *(("good", "1.00"), ("good", "2.00"), ("good", "-3.00")),
        *(("turned", "-3.00"), ("turned", "2.00"), ("turned", "1.00")),
        *(("last", "1.00"), ("last", "2.00"), ("last", "-3.00")),
    ]
    assert {reference for reference, _ in found.values()} == {
        *("missing", "extra", "twice", "others", "no order")
    }
    # The accountant corrects one and requeues it by its reference.
    with pytest.raises(NotRequeued, match="would be rejected again"):
        requeue(database, app.profile(), "twice", now=datetime.now(UTC))
    lists("twice", *own("twice")[:3])
    done = requeue(database, app.profile(), "twice", now=datetime.now(UTC))
    assert (done.entry_id, done.reference) == (made["twice"], "twice")
    application.does(("resave", {}))


def _without_empty(doc: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in doc.items()
        if value != {}
    }


def _only_left_out(database: Db, entry_id: Any, listed: list[Any]) -> Any:
    (left,) = database["medici_transactions"].distinct(
        "_id", {"_journal": entry_id, "_id": {"$nin": listed}}
    )
    return left


META: list[tuple[dict[str, Any], str | None]] = [
    ({"ref": "=1+1"}, "'=1+1"),
    ({"ref": 7}, "7"),
    ({"ref": ""}, ""),
    ({"other": {"$x": 1, "a.b": [1]}}, ""),
    ({"ref": None}, ""),
    ({"meta": {"ref": "deep"}}, "deep"),
    ({"meta": 5}, ""),
    ({"ref": {"a": 1}}, None),
    ({"ref": ["a"]}, None),
    ({"ref": "a\0b"}, None),
]
"""Fields of a line, and the reference in the file; None where the entry is rejected."""


def test_hostile_meta_is_printed_as_text_or_rejects_its_entry(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path, MEDICI)
    hostile = [transfer(repr(meta), 1, **meta) for meta, _ in META]
    made = application.does(*hostile, transfer("good", 1))
    commands.run_day(app, DAY)
    found = {row["Description"]: row["Reference"] for row in delivered(tmp_path)}
    printed = {repr(meta): reference for meta, reference in META if reference is not None}
    assert found == {**printed, "good": ""}
    rejected = {
        str(entry_id)
        for entry_id, (_, reference) in zip(made, META, strict=False)
        if reference is None
    }
    assert set(rejections(database)) == rejected


def test_thousands_of_lines_and_a_day_that_is_verified_audited_and_followed(
    application: NodeApplication, mongo_uri: str, database: Db, tmp_path: Path
) -> None:
    app = make_app(mongo_uri, database, tmp_path, MEDICI)
    _, small = application.does(
        transfer("large", *([0.1] * 4_000), ref="LARGE"), transfer("small", 5, ref="SMALL")
    )
    outcome = commands.run_day(app, DAY)
    assert (outcome.facts["entryCount"], outcome.facts["rowCount"]) == (2, 4_003)
    rows = delivered(tmp_path)
    assert rows[4_000]["Amount"] == "-400.00"
    assert [row["Line"] for row in rows[:4_001]] == [str(n) for n in range(1, 4_002)]

    profile, destination = app.profile(), app.destination
    assert not verify(database, destination, profile, DAY).differences
    (followed,) = lineage(database, profile, "SMALL")
    assert (followed.entry_id, followed.reference) == (small, "SMALL")
    (file,) = followed.files
    assert (file.first_row, file.last_row) == (4_002, 4_003)

    database["medici_transactions"].update_one(
        {"_journal": small, "debit": 5}, {"$set": {"accounts": "Assets:Cash"}}
    )
    (difference,) = verify(database, destination, profile, DAY).differences
    assert difference.entry_id == small
    assert "Assets:Cash" in difference.detail
    days = delivered_days(database, profile.name, since=DAY)
    (audited,) = audit(database, destination, profile, days, now=lambda: datetime.now(UTC))
    assert audited.findings
