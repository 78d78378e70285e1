"""What a profile's columns print: each kind of value, once, sides, lengths, mapped accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64

from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import Calendar, Profile, Required
from daybook.export.model.source import Column, ColumnType, Source
from tests.rendering import entry, render


def line(code: Any, debit: str | None, credit: str | None, **more: Any) -> dict[str, Any]:
    amounts = {"debit": debit, "credit": credit}
    return {
        "accountCode": code,
        **{name: Decimal128(text) for name, text in amounts.items() if text is not None},
        **more,
    }


def rows(
    column: Column | tuple[Column, ...], *entries: dict[str, Any], **settings: Any
) -> list[str]:
    columns = column if isinstance(column, tuple) else (column,)
    profile = Profile(name="p", columns=columns, encoding="utf-8", **settings)
    content, figures = render(entries, profile)
    assert figures.rejected == ()
    return content.decode().splitlines()[1:]


def faults(column: Column, *entries: dict[str, Any], **settings: Any) -> list[tuple[str, ...]]:
    profile = Profile(name="p", columns=(column,), **settings)
    _, figures = render(entries, profile)
    return [
        (fault.reason.value, fault.field or "", str(fault.line))
        for item in figures.rejected
        for fault in item.faults
    ]


MIXED = (
    line("1", "10.00", "0"),
    line("2", None, "7.50"),
    line("3", "-2.50", None),
    line("4", "0.00", None),
    line("5", None, "0.00"),
)
BARE = {"lines": [], "amount": Decimal128("-3.20")}


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("line.number", ["1", "2", "3", "4", "5", '""']),
        ("line.amount", ["10.00", "-7.50", "-2.50", "0.00", "0.00", "-3.20"]),
        ("line.absolute", ["10.00", "7.50", "2.50", "0.00", "0.00", "3.20"]),
        ("line.side", ["D", "C", "C", "D", "C", "C"]),
        ("batch.date", ["18/01/2569"] * 6),
        ("text:a,b", ['"a,b"'] * 6),
        ("entry.date", ["17/01/2569"] * 6),
    ],
)
def test_each_computed_value(value: str, printed: list[str]) -> None:
    column = Column(
        title="X", value=value, sides=("D", "C") if value == "line.side" else ("debit", "credit")
    )
    date = datetime(2026, 1, 17, 5, tzinfo=UTC)
    shown = rows(
        column,
        entry(*MIXED, date=date),
        entry(**BARE, date=date),
        date_format="%d/%m/%Y",
        calendar=Calendar.BUDDHIST_ERA,
    )
    assert shown == printed


def test_a_manual_export_has_no_batch_date() -> None:
    profile = Profile(name="p", columns=(Column(title="X", value="batch.date"),))
    content, _ = render([entry()], profile, batch_date=None)
    assert content.decode("utf-8-sig").splitlines() == ["X", '""', '""']


def test_once_fills_the_first_row_of_each_entry() -> None:
    columns = (
        Column(title="R", value="entry.reference", once=True),
        Column(title="A", value="line.accountCode", once=True),
        Column(title="T", value="text:x", once=True),
        Column(title="N", value="line.number"),
    )
    shown = rows(columns, entry(reference="a"), entry(reference="b"), entry(**BARE, reference="c"))
    assert shown == ["a,1000,x,1", ",,,2", "b,1000,x,1", ",,,2", "c,,x,"]


def test_numbers_are_printed_as_stored_and_texts_are_not_numbers() -> None:
    column = Column(title="N", value="entry.n", type=ColumnType.NUMBER)
    values = (5, -2, Int64(7), 7.0, 0.25, Decimal128("1.50"), None)
    shown = rows(column, *(entry(**BARE, n=value) for value in values))
    assert shown == ["5", "-2", "7", "7", "0.25", "1.50", '""']
    for value, reason in (
        ("5", "stored_as_text"),
        (True, "invalid_amount"),
        ({}, "invalid_amount"),
    ):
        assert faults(column, entry(**BARE, n=value)) == [(reason, "n", "None")]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("abcd", "abcd"),
        ("abcdefgh", "abcde"),
        ("abcdก็x", "abcd"),  # the mark belongs to the fifth character
        ("กำ้้้้้", "ก"),
        ("ab,defg", '"ab,de"'),
    ],
)
def test_a_text_is_truncated_between_characters_with_their_marks(text: str, cut: str) -> None:
    column = Column(title="X", value="entry.description", max_length=5, cut=True)
    shown = rows(column, entry(**BARE, description=text))
    assert shown == [cut]


@pytest.mark.parametrize(
    ("column", "field", "at"),
    [
        (Column(title="X", value="entry.description", max_length=5), "description", "None"),
        (Column(title="X", value="line.accountCode", max_length=5), "accountCode", "2"),
        (Column(title="X", value="line.debit", max_length=5), "debit", "1"),
        (Column(title="X", value="line.absolute", max_length=5), "line.absolute", "1"),
        (Column(title="X", value="entry._id", max_length=5), "_id", "None"),
        (Column(title="X", value="entry.date", max_length=5), "date", "None"),
    ],
)
def test_a_value_that_is_too_long_rejects_the_entry(column: Column, field: str, at: str) -> None:
    long = entry(line("1", "123.45", "0"), line("123456", "0", "123.45"), description="abcdef")
    assert ("too_long", field, at) in faults(column, long)
    assert faults(column, long) == [fault for fault in faults(column, long) if fault[1] == field]


ACCOUNTS = {"1000": "Cash, on hand", "4000": "Sales"}


def test_accounts_replace_the_code_or_the_name_where_no_code_is_printed() -> None:
    code = Column(title="C", value="line.accountCode")
    name = Column(title="N", value="line.accountName")
    assert rows(code, entry(), accounts=ACCOUNTS) == ['"Cash, on hand"', "Sales"]
    assert rows(name, entry(), accounts=ACCOUNTS) == ['"Cash, on hand"', "Sales"]
    assert rows((code, name), entry(), accounts=ACCOUNTS) == [
        '"Cash, on hand",เงินสด',
        "Sales,รายได้",
    ]


def test_an_account_that_is_not_mapped_rejects_the_entry() -> None:
    column = Column(title="C", value="line.accountCode")
    other = entry(line("1000", "1", "0"), line(4000, "0", "1"), line("5000", "0", "0"))
    assert faults(column, entry(), other, accounts=ACCOUNTS) == [
        ("unmapped_account", "accountCode", "3")
    ]
    number = entry(line(1000, "1", "0"), line(4000.0, "0", "1"))
    assert rows(column, number, accounts=ACCOUNTS) == ['"Cash, on hand"', "Sales"]


def test_a_blank_account_stays_blank_where_none_is_required() -> None:
    column = Column(title="C", value="line.accountCode")
    bare = entry(line(" ", "1", "0"), line(None, "0", "1"))
    assert rows(column, bare, accounts=ACCOUNTS, require=frozenset()) == [" ", '""']
    assert {fault[0] for fault in faults(column, bare, accounts=ACCOUNTS)} == {"missing_value"}


def test_a_preset_prints_what_the_source_names() -> None:
    source = Source(
        date="datetime", reference="meta.ref", description="memo", account_code="accounts"
    )
    columns = tuple(
        Column(title=value, value=value)
        for value in ("entry.date", "entry.reference", "entry.description", "line.accountCode")
    )
    stored = entry(
        {"accounts": "A:B", "debit": 1},
        {"accounts": "C", "credit": 1},
        datetime=datetime(2026, 1, 17, 5, tzinfo=UTC),
        meta={"ref": "R-7"},
        memo="m",
    )
    assert rows(columns, stored, source=source) == ["2026-01-17,R-7,m,A:B", "2026-01-17,R-7,m,C"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reference": None}, "reference"),
        ({"reference": "\u200b "}, "reference"),
        ({"lines": []}, "lines"),
        ({"lines": None}, "lines"),
    ],
)
def test_a_reference_and_lines_can_be_required(fields: dict[str, Any], field: str) -> None:
    column = Column(title="C", value="line.amount")
    require = frozenset({*Profile(name="p").require, Required.REFERENCE, Required.LINES})
    assert faults(column, entry(**fields), require=require) == [
        (RejectionReason.MISSING_VALUE.value, field, "None")
    ]
