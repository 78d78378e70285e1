import re
import threading
from datetime import UTC, datetime
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from daybook.export.model.figures import RejectionReason
from daybook.export.model.part import Part
from daybook.export.model.profile import DEFAULT_COLUMNS, Profile
from daybook.export.model.source import Column, ColumnType, Source
from daybook.export.rendering.render import Renderer
from daybook.export.rendering.source import EntrySource
from tests.rendering import MISSING, MemoryRows, entry, render

pytestmark = pytest.mark.migrated

NESTED = Column(title="Nested", value="entry.meta.inner.text")
DUE = Column(title="Due", value="line.tax.due", type=ColumnType.DATE)
RATE = Column(title="Rate", value="line.rate", type=ColumnType.NUMBER)
PROFILE = Profile(name="daily", columns=(*DEFAULT_COLUMNS, NESTED, DUE, RATE))

VALUES = [
    *(None, MISSING, "", "text", "100.00", 0, 5, -5, Int64(2**62), 1.5, -0.0, float("inf")),
    *(True, False, {}, {"v": 1}, {"a": {"b": 1}}, [], [1], [[]], ["a.b"], ObjectId()),
    *(Decimal128("100.00"), Decimal128("-0"), Decimal128("NaN"), Decimal128("-Infinity")),
    *(Decimal128("1E+6144"), Decimal128("1E-6176"), Decimal128("123456789012345678.90")),
    *(datetime(2026, 1, 17, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), DatetimeMS(2**62)),
    *(DatetimeMS(-(2**63)), Binary(b"abc"), Binary(b"abc", 4), Binary(bytes(16), 3)),
    *(Regex("(", "i"), Code("1"), Code("1", {}), Timestamp(1, 1), MinKey(), MaxKey()),
    *(Binary.from_uuid(UUID(int=7)), "$date", "=1+1", "\0", "ก", "😀"),
    *({"$ref": "a", "$id": 1}, {"$ref": 1}),
]


def _ids(entries):
    return [item["_id"] for item in entries]


def _render(database, ids, profile=PROFILE):
    part = Part(number=0, queue_ids=list(ids), entry_ids=list(ids), duplicates={})
    renderer = Renderer(profile, None)
    content = renderer.header() + renderer.part(part, EntrySource(database, profile).read(ids))
    return content, renderer.figures()


@pytest.mark.parametrize(
    "place",
    ["date", "reference", "currency", "amount", "lines", "debit", "credit", "meta", "inner", "due"],
)
def test_any_value_anywhere_reads_like_rows_in_memory_and_aborts_nothing(database, place):
    def holding(value):
        line = {"debit": 1, "tax": {}}
        item = entry(line, {"credit": 1})
        if place in ("debit", "credit"):
            line[place] = value
        elif place == "due":
            line["tax"]["due"] = value
        elif place == "inner":
            item["meta"] = {"inner": value}
        else:
            item[place] = value
        for holder in (item, line, line["tax"], item.get("meta", {})):
            if isinstance(holder, dict):
                for name in [name for name, held in holder.items() if held is MISSING]:
                    del holder[name]
        return item

    entries = [holding(value) for value in VALUES]
    database.journalentries.insert_many(entries)
    content, figures = _render(database, _ids(entries))
    expected, in_memory = render(entries, PROFILE)
    assert content == expected
    assert [(r.entry_id, r.reason) for r in figures.rejected] == [
        (r.entry_id, r.reason) for r in in_memory.rejected
    ]
    assert figures.totals == in_memory.totals


def test_well_formed_entries_come_in_the_form_that_rows_in_memory_have(database):
    entries = [
        entry(amount=3.5, meta={"inner": {"text": "x"}}),
        entry({"debit": Int64(5), "tax": {"due": datetime(2026, 1, 1, tzinfo=UTC)}}, {}),
        entry(lines=MISSING, amount=Decimal128("1E+3")),
        entry(lines=[1, None, "x", [{"debit": 1}]]),
    ]
    database.journalentries.insert_many(entries)
    ids = [*reversed(_ids(entries)), ObjectId()]
    read = EntrySource(database, PROFILE).read(ids).find(ids)
    assert read == MemoryRows(entries, PROFILE).find(ids)
    assert read[-1] is None


def test_a_string_that_is_no_utf_8_keeps_only_its_own_entry_out(database):
    good, bad, bad_key = entry(), entry(reference="MARK"), entry(reference={"MARK": 1})
    for item in (good, bad, bad_key):
        raw = bson.encode(item).replace(b"MARK", b"\xff\xfe\xfd\xfc")
        database.command("insert", "journalentries", documents=[bson.raw_bson.RawBSONDocument(raw)])
    content, figures = _render(database, _ids([good, bad, bad_key]))
    assert content == render([good], PROFILE)[0]
    assert [(r.entry_id, r.reason) for r in figures.rejected] == [
        (bad["_id"], RejectionReason.UNENCODABLE),
        (bad_key["_id"], RejectionReason.INVALID_TEXT),
    ]


def test_ids_of_any_type_find_their_own_entry(database):
    ids = [
        *("65a8c0ffee65a8c0ffee65a8", ObjectId("65a8c0ffee65a8c0ffee65a8"), "", 1, True, False),
        *(0.5, Int64(2**60), Decimal128("2.5"), float("nan"), b"x", UUID_BINARY),
        *({"a": 1, "b": [2]}, {"b": [2], "a": 1}, {}, datetime(2026, 1, 1, tzinfo=UTC)),
        *(Timestamp(1, 1), MinKey(), MaxKey(), "$x", {"a": {"$ref": "c", "$id": 1}}),
    ]
    database.journalentries.insert_many(
        [entry(_id=i, reference=f"R{n}") for n, i in enumerate(ids)]
    )
    ids.reverse()
    found = EntrySource(database, PROFILE).read(ids).find(ids)
    reference = next(
        key for key in (f"f{n}" for n in range(20)) if str(found[0].get(key)).startswith("R")
    )
    assert [item[reference] for item in found] == [f"R{n}" for n in reversed(range(len(ids)))]


UUID_BINARY = Binary.from_uuid(UUID(int=9))


@pytest.mark.parametrize(
    ("stored", "asked"),
    [(1, 1.0), (1.0, Int64(1)), (2, Decimal128("2.0")), ({"a": 1}, {"a": 1.0}), (0, -0.0)],
)
def test_equal_numbers_are_the_same_id_as_in_mongodb(database, stored, asked):
    database.journalentries.insert_one(entry(_id=stored))
    assert EntrySource(database, PROFILE).read([asked]).find([asked])[0] is not None


@pytest.mark.parametrize(
    "asked",
    [
        *(Regex("."), re.compile("."), [], ["a"], {"$gt": ""}, {"$ne": None}, {"$regex": "."}),
        *(True, 1.5, "A", None, {"a": {"$gt": ""}}, bson.DBRef("c", 1), MinKey()),
    ],
)
def test_what_is_no_id_of_an_entry_is_missing_and_never_a_condition(database, asked):
    there = entry(_id="a")
    database.journalentries.insert_many([there, entry(_id=1), entry(_id={"a": "b"})])
    found = EntrySource(database, PROFILE).read([asked, "a"]).find([asked, "a"])
    assert found[0] is None
    assert found[1] is not None


def test_no_ids_are_no_entries(database):
    assert EntrySource(database, PROFILE).read([]).find([]) == []


def test_the_collection_and_the_paths_are_the_profiles(database):
    source = Source(
        entries="ledger",
        date="when",
        currency="money.code",
        lines="doc.items",
        account_code="a.code",
        debit="d.value",
    )
    profile = Profile(name="daily", source=source)
    item = entry(
        lines=MISSING,
        when=datetime(2026, 1, 17, tzinfo=UTC),
        money={"code": "JPY"},
        doc={"items": [{"d": {"value": 5}, "a": {"code": 1}}, {"credit": 5, "a": {"code": "2"}}]},
    )
    database.ledger.insert_one(item)
    content, figures = _render(database, [item["_id"]], profile)
    assert content == render([item], profile)[0]
    assert figures.totals["JPY"].to_doc() == {"debit": "5", "credit": "5", "amount": "0"}


class _Commands(CommandListener):
    def __init__(self):
        self.started_names = []

    def started(self, event):
        self.started_names.append(event.command_name)

    def succeeded(self, event): ...

    def failed(self, event): ...


def test_a_full_page_is_one_round_trip_and_may_be_read_by_another_thread(mongo_uri, database):
    entries = [entry(reference=f"R{number}") for number in range(5000)]
    database.journalentries.insert_many(entries)
    commands = _Commands()
    with MongoClient(mongo_uri, event_listeners=[commands]) as client:
        source = EntrySource(client[database.name], PROFILE)
        pages = []
        thread = threading.Thread(target=lambda: pages.append(source.read(_ids(entries))))
        thread.start()
        thread.join()
    assert [name for name in commands.started_names if name != "endSessions"] == ["find"]
    # The page needs no connection any more: it is decoded where it is rendered.
    assert None not in pages[0].find(_ids(entries))


def test_a_page_larger_than_one_answer_is_read_whole(database):
    entries = [entry(description="ก" * 1_000_000) for _ in range(8)]
    for item in entries:
        database.journalentries.insert_one(item)
    content, figures = _render(database, _ids(entries))
    assert figures.entry_count == 8
    assert content == render(entries, PROFILE)[0]
