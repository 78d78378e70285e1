"""What the sample data look like, before anything reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import mongomock
import pytest
from bson import ObjectId
from bson.decimal128 import Decimal128

from daybook.errors import BadRequest
from daybook.export.model.figures import RejectionReason
from daybook.local.sample import BROKEN_BY, SeedResult, seed

AT = datetime(2026, 1, 18, 11, 0, tzinfo=UTC)


@pytest.fixture
def books() -> mongomock.Database:
    return mongomock.MongoClient(tz_aware=True).books


def exact(amount: Any) -> Decimal:
    if isinstance(amount, float):
        return Decimal(repr(amount))
    return amount.to_decimal() if isinstance(amount, Decimal128) else Decimal(amount)


def documents(books: mongomock.Database, collection: str) -> list[dict[str, Any]]:
    return list(books[collection].find().sort("_id"))


def without_ids(books: mongomock.Database) -> list[dict[str, Any]]:
    ids = ("_id", "entryId")
    return [
        {field: value for field, value in document.items() if field not in ids}
        for collection in ("journalentries", "exportqueues")
        for document in documents(books, collection)
    ]


def balances(entry: dict[str, Any]) -> bool:
    debit = sum(exact(line["debit"]) for line in entry["lines"])
    return debit == sum(exact(line["credit"]) for line in entry["lines"])


def test_each_queue_item_is_queued_and_points_to_its_entry(books: mongomock.Database) -> None:
    assert seed(books, at=AT) == SeedResult(entries=12, queued=12, broken={})
    entries = documents(books, "journalentries")
    items = documents(books, "exportqueues")
    assert [item["entryId"] for item in items] == [entry["_id"] for entry in entries]
    for item in items:
        assert item == {
            "_id": item["_id"],
            "entryId": item["entryId"],
            "exportPath": "scheduled",
            "status": "queued",
            "createdAt": AT,
            "updatedAt": AT,
        }
        assert isinstance(item["_id"], ObjectId)


def test_a_profile_is_named_where_one_is_given(books: mongomock.Database) -> None:
    seed(books, at=AT, entries=1, profile="weekly")
    assert documents(books, "exportqueues")[0]["profile"] == "weekly"


@pytest.mark.parametrize("lines", [2, 3, 7])
def test_entries_balance_to_the_satang(books: mongomock.Database, lines: int) -> None:
    seed(books, at=AT, entries=300, lines=lines)
    for entry in documents(books, "journalentries"):
        assert len(entry["lines"]) == lines
        assert balances(entry)
        for line in entry["lines"]:
            assert set(line) == {"accountCode", "accountName", "debit", "credit"}
            for side in ("debit", "credit"):
                assert exact(line[side]) >= 0
                assert exact(line[side]) * 100 % 1 == 0


def test_amounts_are_mostly_decimals_and_some_ints_and_doubles(books: mongomock.Database) -> None:
    seed(books, at=AT, entries=500)
    types = [type(entry["lines"][0]["debit"]) for entry in documents(books, "journalentries")]
    assert types.count(Decimal128) > 400
    assert types.count(int) > 5
    assert types.count(float) > 5


def test_entries_without_lines_have_an_amount(books: mongomock.Database) -> None:
    seed(books, at=AT, lines=0, entries=3)
    for entry in documents(books, "journalentries"):
        assert set(entry) == {"_id", "date", "reference", "description", "currency", "amount"}
        assert exact(entry["amount"]) > 0


def test_entries_are_thai_and_english_in_baht_each_under_its_own_reference(
    books: mongomock.Database,
) -> None:
    seed(books, at=AT, entries=200)
    entries = documents(books, "journalentries")
    assert {entry["currency"] for entry in entries} == {"THB"}
    assert len({entry["reference"] for entry in entries}) == 200
    ascii_only = {entry["description"].isascii() for entry in entries}
    assert ascii_only == {True, False}


def test_dates_lie_before_the_moment_given(books: mongomock.Database) -> None:
    seed(books, at=AT, entries=300)
    ages = [AT - entry["date"] for entry in documents(books, "journalentries")]
    assert min(ages) >= timedelta(0)
    recent = [age for age in ages if age <= timedelta(hours=8)]
    assert 280 <= len(recent) < 300
    assert max(ages) >= timedelta(days=31)


def test_the_same_seed_makes_the_same_documents(books: mongomock.Database) -> None:
    others = {}
    for name, number in (("again", 1), ("other", 2)):
        others[name] = mongomock.MongoClient(tz_aware=True).books
        seed(others[name], at=AT, entries=50, bad=9, seed=number, page_size=7)
    seed(books, at=AT, entries=50, bad=9, seed=1)
    assert without_ids(books) == without_ids(others["again"])
    assert without_ids(books) != without_ids(others["other"])


def test_broken_ones_are_broken_as_announced(books: mongomock.Database) -> None:
    result = seed(books, at=AT, entries=20, bad=10)
    assert result.broken == dict.fromkeys(BROKEN_BY, 2)
    assert (result.entries, result.queued) == (26, 30)
    entries = {entry["_id"]: entry for entry in documents(books, "journalentries")}
    met: set[ObjectId] = set()
    found: list[RejectionReason] = []
    for item in documents(books, "exportqueues"):
        entry = entries.get(item["entryId"])
        if entry is None:
            found.append(RejectionReason.MISSING)
            continue
        amounts = [exact(line[side]) for line in entry["lines"] for side in ("debit", "credit")]
        if item["entryId"] in met:
            found.append(RejectionReason.DUPLICATE)
        elif any(math.isnan(amount) for amount in amounts):
            found.append(RejectionReason.NOT_FINITE)
        elif any(amount * 100 % 1 for amount in amounts):
            found.append(RejectionReason.TOO_MANY_DECIMALS)
        elif not balances(entry):
            found.append(RejectionReason.UNBALANCED)
        met.add(item["entryId"])
    assert found == [*BROKEN_BY, *BROKEN_BY]


def test_a_broken_entry_leaves_the_good_ones_alone(books: mongomock.Database) -> None:
    result = seed(books, at=AT, entries=7000, bad=700)
    entries = documents(books, "journalentries")
    broken = sum(not balances(entry) for entry in entries)
    own = (
        RejectionReason.UNBALANCED,
        RejectionReason.NOT_FINITE,
        RejectionReason.TOO_MANY_DECIMALS,
    )
    assert broken == sum(result.broken[reason] for reason in own)


def test_broken_ones_without_lines_still_break(books: mongomock.Database) -> None:
    result = seed(books, at=AT, entries=0, bad=5, lines=0)
    assert result.broken == {
        RejectionReason.NOT_FINITE: 2,
        RejectionReason.TOO_MANY_DECIMALS: 1,
        RejectionReason.MISSING: 2,
    }


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"at": datetime(2026, 1, 18)}, "at"),  # noqa: DTZ001  # the point of the case
        ({"at": AT, "entries": -1}, "entries"),
        ({"at": AT, "bad": -1}, "bad"),
        ({"at": AT, "lines": 1}, "lines"),
        ({"at": AT, "lines": -2}, "lines"),
        ({"at": AT, "page_size": 0}, "page_size"),
    ],
)
def test_what_makes_no_sense_is_named(
    books: mongomock.Database, given: dict[str, Any], where: str
) -> None:
    with pytest.raises(BadRequest) as told:
        seed(books, **given)
    assert told.value.where == where
    assert documents(books, "exportqueues") == []
