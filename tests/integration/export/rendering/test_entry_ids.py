"""Entries whose `_id` is of any type: each can be addressed by what its file shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.binary import Binary, UuidRepresentation
from click.testing import CliRunner
from pymongo.database import Database

from daybook.audit.difference import VerifyKind
from daybook.audit.lineage import EntryUnknown, lineage
from daybook.audit.verify import verify
from daybook.cli.main import main
from daybook.export.model.ids import hashable
from daybook.export.model.part import PART_SIZE
from daybook.export.operations.requeue import requeue
from daybook.export.outcome import Status
from daybook.export.queue import manual
from daybook.export.rendering.entry_id import candidates, displayed
from tests import books, commands
from tests.fuzz.documents import SYMBOL, encode
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

_UUID = UUID("12345678-9abc-def0-1234-56789abcdef0")

PRINTED = [
    "SO-7",
    "",
    "1001",
    ObjectId("6b0326e4796afecb35d29315"),
    "6B0326E4796AFECB35D29315",
    1001,
    Int64(2**40),
    -5,
    1000.0,
    1.5,
    0.1,
    1e300,
    Decimal128("7"),
    Decimal128("0.10"),
    True,
    float("inf"),
    float("-inf"),
    Decimal128("-Infinity"),
    Binary.from_uuid(_UUID),
]
"""Ids that a file can show."""

UNPRINTED = [
    *(
        Binary.from_uuid(_UUID, order)
        for order in (
            UuidRepresentation.PYTHON_LEGACY,
            UuidRepresentation.JAVA_LEGACY,
            UuidRepresentation.CSHARP_LEGACY,
        )
    ),
    b"\x00\x01\xff",
    datetime(2026, 1, 18, 11, 30, tzinfo=UTC),
    {"company": 7, "no": Int64(12)},
    {
        "at": datetime(2026, 1, 18, 11, 30, tzinfo=UTC),
        "ค่า": Decimal128("0.10"),
        "_id": ObjectId("6b0326e4796afecb35d29315"),
    },
    {"$ref": "companies", "$id": 7},
    Binary(b"ab", 5),
    Binary(b"ab", 128),
    Timestamp(5, 1),
    Code("x"),
    MinKey(),
    MaxKey(),
]
"""Ids of entries that are rejected, since no file can show them."""


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.mark.parametrize("entry_id", [one for one in PRINTED if one != ""], ids=repr)
def test_an_entry_is_addressed_by_what_its_file_shows(office: Office, entry_id: Any) -> None:
    pair = books.lines()
    pair[1]["credit"] = Decimal128("1.00")
    books.put(office.database, books.entry("A", _id=entry_id, lines=pair), books.entry("B"))
    office.export()
    office.entries.update_one({"_id": entry_id}, {"$set": {"lines": books.lines()}})

    profile = office.app.profile()
    text = displayed(entry_id)
    assert requeue(office.app.database, profile, text, now=EVENING).to_doc()["entryId"] == text
    office.export(NEXT_DAY)

    rows = books.rows(office.file(NEXT_DAY).read_bytes())
    assert text in {row["Entry ID"].removeprefix("'") for row in rows}
    (found,) = lineage(office.app.database, profile, text)
    assert found.exists
    assert found.to_doc()["entryId"] == text
    assert [file.batch_date for file in found.files] == [NEXT_DAY.isoformat()]
    copied = commands.run_manual(office.app, manual.parse({"entryIds": [text]}, key=None))
    assert (copied.status, copied.facts["entryCount"]) == (Status.EXPORTED, 1)


def test_an_id_that_is_a_symbol_is_text(office: Office) -> None:
    """Drivers no longer write the type, and read it as text; MongoDB finds it as text too."""
    office.entries.insert_one(encode({**books.entry("A"), "_id": SYMBOL}))
    office.queue.insert_one(encode({**books.queue_item(ObjectId()), "entryId": SYMBOL}))
    office.export()
    (row, _) = books.rows(office.file(DAY).read_bytes())
    assert row["Entry ID"] == "THB"
    (found,) = lineage(office.app.database, office.app.profile(), "THB")
    assert [file.batch_date for file in found.files] == [DAY.isoformat()]
    assert [item.status for item in found.items] == ["completed"]
    copied = commands.run_manual(office.app, manual.parse({"entryIds": ["THB"]}, key=None))
    assert (copied.status, copied.facts["entryCount"]) == (Status.EXPORTED, 1)
    checked = verify(office.app.database, office.app.destination, office.app.profile(), DAY)
    assert checked.status == "verified"


@pytest.mark.parametrize("entry_id", UNPRINTED, ids=repr)
def test_an_entry_that_no_file_can_show_is_found_all_the_same(
    office: Office, entry_id: Any
) -> None:
    books.put(office.database, books.entry("A", _id=entry_id), books.entry("B"))
    office.export()
    (found,) = lineage(office.app.database, office.app.profile(), displayed(entry_id))
    assert found.exists
    assert [(item.status, item.reason) for item in found.items] == [("failed", "invalid_text")]


@pytest.mark.parametrize(
    "text",
    [
        '{"$ne": null}',
        '{"$regularExpression": {"pattern": ".*", "options": ""}}',
        '{"$gt": ""}',
        '{"$date": 1e99}',
        '{"$oid": 5}',
        '{"$binary": {"base64": "x"}}',
        '{"$numberDecimal": "1e99999999"}',
        '{"$uuid": "12345678-9abc-def0-1234-56789abcdef0"}',
        "{" * 200,
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}x",
    ],
)
def test_text_that_looks_like_json_is_an_id_or_nothing(office: Office, text: str) -> None:
    office.add()
    with pytest.raises(EntryUnknown):
        lineage(office.app.database, office.app.profile(), text)


@pytest.mark.parametrize("entry_id", [one for one in PRINTED if one != ""], ids=repr)
def test_what_verify_names_is_what_the_commands_take(office: Office, entry_id: Any) -> None:
    books.put(office.database, books.entry("A", _id=entry_id), books.entry("B"))
    office.export()
    office.queue.delete_one({"entryId": entry_id})
    office.entries.update_one({"_id": entry_id}, {"$set": {"reference": "C"}})
    found = verify(office.database, office.app.destination, office.app.profile(), DAY).differences
    text = displayed(entry_id)
    (item,) = (each.detail for each in found if each.kind is VerifyKind.ITEM)
    rows = [each.detail for each in found if each.kind is VerifyKind.ROW_CHANGED]
    assert len(found) == 1 + len(rows) == 3
    assert item.endswith(f"of entry C ({text}) was deleted")
    assert all(f", entry C ({text}): " in row for row in rows)


def test_what_the_commands_print_is_what_they_take(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.put(office.database, books.entry("A", _id=Binary.from_uuid(_UUID)), books.entry("B"))
    office.export()
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    told = CliRunner().invoke(main, ["lineage", str(_UUID), "--json"])
    assert json.loads(told.stdout)["entryId"] == str(_UUID)
    told = CliRunner().invoke(main, ["lineage", str(_UUID)])
    assert told.stdout.startswith(f"Entry {_UUID} (A):\n")


def test_both_entries_of_one_text_are_copied_each_once(office: Office) -> None:
    oid = ObjectId()
    entries = [books.entry(f"E-{n}", _id=one) for n, one in enumerate([7, "7", oid, str(oid)])]
    office.entries.insert_many(entries)
    asked = manual.parse({"entryIds": ["7", str(oid), str(oid).upper()]}, key=None)
    copied = commands.run_manual(office.app, asked)
    assert (copied.facts["entryCount"], copied.facts["rejectedCount"]) == (4, 0)
    assert commands.run_manual(office.app, asked).status is Status.ALREADY_EXPORTED


def test_two_spellings_of_one_id_make_one_copy_however_far_apart(office: Office) -> None:
    oid = ObjectId()
    office.entries.insert_many([books.entry("E-1", _id=7), books.entry("E-2", _id=oid)])
    between = [f"E-{n}" for n in range(PART_SIZE)]
    office.entries.insert_many(books.entry(each, _id=each) for each in between)
    asked = ["7", str(oid), *between, "7.0", str(oid).upper()]
    copied = commands.run_manual(office.app, manual.parse({"entryIds": asked}, key=None))
    assert (copied.facts["entryCount"], copied.facts["rejectedCount"]) == (2 + PART_SIZE, 0)


@pytest.mark.parametrize(
    ("entry_id", "stored", "reason"),
    [
        (
            "6b0326e4796afecb35d29315",
            ObjectId("6b0326e4796afecb35d29315"),
            "an ObjectId",
        ),
        (ObjectId("6b0326e4796afecb35d29315"), "6b0326e4796afecb35d29315", "text"),
        ("1001", 1001, "a number"),
        (1001, "1001", "text"),
        (str(_UUID), Binary.from_uuid(_UUID), "binary"),
    ],
    ids=repr,
)
def test_a_missing_entry_that_exists_under_another_type_is_named(
    office: Office, entry_id: Any, stored: Any, reason: str
) -> None:
    office.entries.insert_one(books.entry("A", _id=stored))
    office.enqueue(entry_id)
    office.enqueue("nowhere")
    office.add()
    office.export()
    details = [item["detail"] for item in office.batch()["rejected"]]
    assert f"but an entry whose _id is {reason} does: entryId is " in details[0]
    assert details[1] == "entry 'nowhere' does not exist"


def test_an_item_whose_entry_id_is_an_array_is_of_none_of_its_elements(office: Office) -> None:
    entry_id = office.add()
    office.enqueue([entry_id, 7])
    office.export()
    assert len(lineage(office.app.database, office.app.profile(), str(entry_id))[0].items) == 1


@pytest.mark.parametrize("value", [one for one in (*PRINTED, *UNPRINTED) if one != ""], ids=repr)
def test_an_id_is_among_what_its_text_may_be(value: Any) -> None:
    assert hashable(value) in set(map(hashable, candidates(displayed(value))))


@pytest.mark.parametrize(
    "text",
    [
        *("\udcff", "1e400", "1_000", " 7 ", "٧", "9" * 5000, "2026-13-01", "a\0b", "-", "{}"),
        *("1e" + "9" * 19, "-1e-" + "9" * 5000),
    ],
)
def test_any_text_has_candidates_that_a_query_can_name(office: Office, text: str) -> None:
    assert office.entries.find_one({"_id": {"$in": candidates(text)}}) is None


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Bangkok", "Pacific/Kiritimati"])
def test_a_copy_by_date_may_end_with_the_last_day_there_is(
    database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path, zone: str
) -> None:
    with Office(database, mongo_uri, tmp_path, DAILY_BATCH_TIMEZONE=zone) as office:
        office.add()
        asked = manual.parse({"from": "2026-01-01", "to": "9999-12-31"}, key=None)
        copied = commands.run_manual(office.app, asked)
    assert (copied.status, copied.facts["entryCount"]) == (Status.EXPORTED, 1)
