"""Rejected entries: what is wrong with them, in which order, and that the others go on."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import bson
import pytest
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from daybook.export.model.figures import (
    REJECTED_BYTES,
    EntryFault,
    Rejected,
    RejectionReason,
)
from daybook.export.model.profile import Profile, Required
from daybook.export.model.source import Column
from tests.rendering import MISSING, entry, render

HEADER = (
    "Entry ID,Line,Date,Reference,Description,"
    "Account Code,Account Name,Debit,Credit,Amount,Currency"
)
ID = ObjectId("65a8c0ffee65a8c0ffee65a8")
ANY = Profile(name="daily", require=frozenset(), years=(1, 9999))
"""Requires nothing, so that an entry can be as short as what a test is about."""


def _rows(content: bytes, encoding: str = "utf-8-sig"):
    return list(csv.DictReader(io.StringIO(content.decode(encoding), newline="")))


def _reasons(figures):
    return [(rejected.entry_id, rejected.reason) for rejected in figures.rejected]


def _lines(debit, credit):
    return [{"accountCode": "1", "debit": debit}, {"accountCode": "2", "credit": credit}]


@pytest.mark.parametrize(
    ("fields", "reason", "named"),
    [
        (
            {"lines": _lines(100, 99)},
            RejectionReason.UNBALANCED,
            "lines: debit 100.00 is not credit 99.00",
        ),
        ({"lines": _lines(float("nan"), 1)}, RejectionReason.NOT_FINITE, "line 1, debit: nan"),
        (
            {"lines": _lines(1, Decimal128("Infinity"))},
            RejectionReason.NOT_FINITE,
            "line 2, credit: Inf",
        ),
        (
            {"lines": _lines(Decimal128("100.005"), 100)},
            RejectionReason.TOO_MANY_DECIMALS,
            "line 1, debit: 100.005 has more than the 2 decimals",
        ),
        (
            {"lines": _lines("100.00", 100)},
            RejectionReason.STORED_AS_TEXT,
            "line 1, debit: '100.00' is stored as text, not as a number",
        ),
        (
            {"lines": _lines(True, 1)},
            RejectionReason.INVALID_AMOUNT,
            "line 1, debit: True is not a number",
        ),
        (
            {"lines": _lines(1, {"a": 1})},
            RejectionReason.INVALID_AMOUNT,
            "line 2, credit: a document",
        ),
        (
            {"lines": _lines(10**18, 0)},
            RejectionReason.TOO_LARGE,
            "line 1, debit: 1000000000000000000 has",
        ),
        (
            {"lines": MISSING},
            RejectionReason.MISSING_VALUE,
            "amount: missing, and there are no lines",
        ),
        (
            {"lines": [], "amount": "5"},
            RejectionReason.STORED_AS_TEXT,
            "amount: '5' is stored as text",
        ),
        (
            {"date": "2026-01-17"},
            RejectionReason.STORED_AS_TEXT,
            "date: '2026-01-17' is stored as text, not as a date",
        ),
        ({"date": None}, RejectionReason.MISSING_VALUE, "date: missing"),
        ({"date": MISSING}, RejectionReason.MISSING_VALUE, "date: missing"),
        (
            {"date": datetime(2569, 1, 17, tzinfo=UTC)},
            RejectionReason.BUDDHIST_YEAR,
            "date: 2569-01-17 is a year of the Buddhist Era in a date of the Common Era, "
            "where it is 2026",
        ),
        (
            {"date": datetime(1999, 12, 31, tzinfo=UTC)},
            RejectionReason.IMPLAUSIBLE_YEAR,
            "date: 1999-12-31 is outside the years 2000 to 2100",
        ),
        (
            {"date": datetime(1, 1, 1, tzinfo=UTC)},
            RejectionReason.IMPLAUSIBLE_YEAR,
            "date: 0001-01-01 is",
        ),
        ({"date": 0}, RejectionReason.INVALID_DATE, "date: 0 is not a date"),
        ({"date": DatetimeMS(2**62)}, RejectionReason.INVALID_DATE, "date: 4611686018427387904 ms"),
        (
            {"date": DatetimeMS(-(2**62))},
            RejectionReason.INVALID_DATE,
            "date: -4611686018427387904 ms",
        ),
        (
            {"reference": {"a": 1}},
            RejectionReason.INVALID_TEXT,
            "reference: a document is not text",
        ),
        ({"description": ["a"]}, RejectionReason.INVALID_TEXT, "description: an array is not text"),
        (
            {"reference": DatetimeMS(1_768_712_400_000)},
            RejectionReason.INVALID_TEXT,
            "reference: 2026-01-18T05:00:00+00:00 is not text",
        ),
        (
            {"reference": DatetimeMS(2**60)},
            RejectionReason.INVALID_TEXT,
            "reference: 1152921504606846976 ms since 1970 is not text",
        ),
        ({"reference": b"\x00\xff"}, RejectionReason.INVALID_TEXT, "reference: 00ff is not text"),
        (
            {"lines": [{"accountCode": [], "debit": 0}]},
            RejectionReason.INVALID_TEXT,
            "line 1, accountCode: an array is not text",
        ),
        (
            {"currency": "a.b"},
            RejectionReason.UNKNOWN_CURRENCY,
            "currency: 'a.b' is not an ISO 4217 currency",
        ),
        ({"currency": ["THB"]}, RejectionReason.INVALID_TEXT, "currency: an array is not text"),
        (
            {"description": "a\x1bb"},
            RejectionReason.CONTROL_CHARACTER,
            "description: character 2 is the",
        ),
        ({"lines": "none"}, RejectionReason.INVALID_LINES, "lines: 'none' is not an array"),
        ({"lines": {"0": {}}}, RejectionReason.INVALID_LINES, "lines: a document is not an array"),
        (
            {"lines": [*_lines(1, 1), "x"]},
            RejectionReason.INVALID_LINES,
            "line 3: is not a document",
        ),
        (
            {"reference": "a\udc80b"},
            RejectionReason.UNENCODABLE,
            "reference: character 2 is U+DC80",
        ),
    ],
)
def test_a_faulty_entry_is_rejected_and_the_others_go_on(fields, reason, named):
    before, faulty, after = entry(), entry(**fields), entry()
    content, figures = render([before, faulty, after])
    assert content == render([before, after])[0]
    assert figures.entry_count == 2
    assert figures.totals == render([before, after])[1].totals
    (rejected,) = figures.rejected
    assert (rejected.entry_id, rejected.queue_id) == (faulty["_id"], f"queue of {faulty['_id']}")
    assert rejected.reason is reason
    assert rejected.detail.startswith(named)
    assert rejected.fault_count == 1
    assert rejected.detail.encode()


def test_all_faults_of_an_entry_are_reported_at_once_by_line():
    faulty = entry(
        {"accountCode": " ", "debit": "100"},
        {"accountCode": "4000", "Credit": 100},
        {"accountCode": "4\x00", "credit": Decimal128("NaN")},
        None,
        currency="baht",
        date=MISSING,
        reference="\udc80",
    )
    figures = render([entry(), faulty])[1]
    (rejected,) = figures.rejected
    assert figures.entry_count == 1
    assert rejected.fault_count == 9
    assert [(fault.line, fault.field, fault.reason) for fault in rejected.faults] == [
        (None, "currency", RejectionReason.UNKNOWN_CURRENCY),
        (None, "date", RejectionReason.MISSING_VALUE),
        (None, "reference", RejectionReason.UNENCODABLE),
        (1, "debit", RejectionReason.STORED_AS_TEXT),
        (1, "accountCode", RejectionReason.MISSING_VALUE),
        (2, "debit", RejectionReason.MISSING_VALUE),
        (3, "credit", RejectionReason.NOT_FINITE),
        (3, "accountCode", RejectionReason.CONTROL_CHARACTER),
        (4, None, RejectionReason.INVALID_LINES),
    ]
    assert rejected.detail == (
        "currency: 'baht' is not an ISO 4217 currency code; date: missing; "
        "reference: character 1 is U+DC80, half of a character or no UTF-8; "
        "line 1, debit: '100' is stored as text, not as a number; "
        "line 1, accountCode: missing or blank; line 2, debit: missing, and so is credit; "
        "line 3, credit: NaN is not finite; "
        "line 3, accountCode: character 2 is the control character U+0000; "
        "line 4: is not a document"
    )


def test_a_fault_is_not_repeated_as_its_consequences():
    # Unbalanced, too many decimals or missing would follow from what is reported already.
    for fields in (
        {"lines": _lines("100", 100)},
        {"lines": _lines(Decimal128("1.005"), Decimal128("1.005")), "currency": "???"},
        {"lines": "x"},
        {"lines": [*_lines(1, 2), None]},
        {"lines": [*_lines(1, 2), {"accountCode": "3"}]},
    ):
        (rejected,) = render([entry(**fields)])[1].rejected
        assert rejected.fault_count == 1, rejected


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        ([{}], [(1, "accountCode"), (1, "debit")]),
        ([{"accountCode": "1"}], [(1, "debit")]),
        ([{"accountCode": "1", "debit": None, "credit": None}], [(1, "debit")]),
        ([{"debit": 1}, {"credit": 1}], [(1, "accountCode"), (2, "accountCode")]),
        (
            [{"accountCode": "1", "Debit": 1}, {"accountCode": "2", "Credit": 1}],
            [(1, "debit"), (2, "debit")],
        ),
        ([{"accountCode": "1", "debitAmount": 250}], [(1, "debit")]),
        (
            [{"accountCode": code, "debit": 0} for code in ("\u200b", "\t", "", None, 0, "0")],
            [(1, "accountCode"), (2, "accountCode"), (3, "accountCode"), (4, "accountCode")],
        ),
    ],
)
def test_an_entry_with_lines_needs_accounts_and_amounts(lines, faults):
    between = [entry(), entry(lines=[], amount=5), entry(lines=lines), entry(lines=[], amount=5)]
    (rejected,) = render(between)[1].rejected
    assert {fault.reason for fault in rejected.faults} == {RejectionReason.MISSING_VALUE}
    assert [(fault.line, fault.field) for fault in rejected.faults] == faults
    amounts = [{"debit": 0, **line} for line in lines]
    assert render([entry(lines=amounts)], ANY)[1].rejected == ()


@pytest.mark.parametrize("required", sorted({*Required} - {Required.LINES}))
def test_a_profile_may_require_only_some_of_it(required):
    short = entry({"memo": "x"}, date=None, reference=None)
    profile = replace(ANY, require=frozenset({required}))
    (rejected,) = render([short], profile)[1].rejected
    field = "debit" if required is Required.AMOUNT else required.value
    assert [fault.field for fault in rejected.faults] == [field]
    assert render([short], ANY)[1].rejected == ()


def test_an_entry_with_only_an_amount_needs_neither_date_nor_account():
    bare = [entry(lines=lines, amount=5, date=None) for lines in (MISSING, None, [])]
    assert render(bare)[1].rejected == ()
    for amount in (None, MISSING):
        (rejected,) = render([entry(lines=[], amount=amount)])[1].rejected
        assert rejected.detail == "amount: missing, and there are no lines"


def test_what_is_required_need_not_be_printed():
    columns = (Column(title="Reference", value="entry.reference"),)
    profile = Profile(name="daily", columns=columns)
    entries = [entry(), entry(date=None), entry({"debit": 0}), entry({"accountCode": "1"})]
    content, figures = render(entries, profile)
    assert [rejected.entry_id for rejected in figures.rejected] == [x["_id"] for x in entries[1:]]
    assert content.decode("utf-8-sig") == "Reference\r\nINV-1\r\nINV-1\r\n"


def test_the_file_and_the_totals_have_the_normalised_currency():
    entries = [entry(currency=value) for value in ("THB ", "thb", "ＴＨＢ", "jpy\t", " ", MISSING)]
    content, figures = render(entries)
    assert [row["Currency"] for row in _rows(content)[::2]] == ["THB", "THB", "THB", "JPY", "", ""]
    assert [row["Debit"] for row in _rows(content)[6::2]] == ["100", "100.00", "100.00"]
    assert {code: total.to_doc()["debit"] for code, total in figures.totals.items()} == {
        "JPY": "100",
        "THB": "500.00",
    }


def test_positions_do_not_count_what_was_added_to_the_cell():
    profile = Profile(name="daily", encoding="cp874")
    cases = {"😀": 1, "a;😀": 3, '"";😀': 4, "=1+😀": 4, "'=😀": 3, '=","😀': 5}
    figures = render([entry(reference=text) for text in cases], profile)[1]
    assert [rejected.detail for rejected in figures.rejected] == [
        f"reference: character {at} is 😀 (U+1F600), not in cp874" for at in cases.values()
    ]


def test_bidirectional_characters_are_visible_in_reasons():
    profile = Profile(name="daily", encoding="cp874")
    hidden = entry(reference="INV\u202e1", lines=_lines(1, "1\u202e2"), currency="TH\u2066B")
    (rejected,) = render([hidden], profile)[1].rejected
    assert rejected.detail.isprintable()
    assert rejected.detail == (
        "currency: 'TH[U+2066]B' is not an ISO 4217 currency code; "
        "reference: character 4 is U+202E, not in cp874; "
        "line 2, credit: '1[U+202E]2' is stored as text, not as a number"
    )


def test_an_entry_with_ten_thousand_bad_lines_is_stored_in_little_space():
    long = "ก" * 5000
    faulty = entry(*[{"accountCode": "", "debit": long, "credit": long}] * 10_000, currency=long)
    (rejected,) = render([faulty])[1].rejected
    assert rejected.fault_count == 30_001
    assert (
        len(bson.encode({"": {**rejected.to_doc(), "queueId": 1, "entryId": 1}})) <= REJECTED_BYTES
    )
    assert Rejected.from_doc(rejected.to_doc()) == rejected


@settings(max_examples=300)
@given(
    st.lists(
        st.builds(
            EntryFault,
            reason=st.sampled_from(RejectionReason),
            detail=st.text(st.characters(), max_size=400),
            field=st.none() | st.text(max_size=200),
            line=st.none() | st.integers(1, 2**31 - 1),
            value=st.text(st.characters(), max_size=200),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_rejected_entry_takes_more_than_its_share_of_the_batch_document(faults):
    rejected = Rejected.of(None, None, faults)
    assert len(bson.encode(rejected.to_doc())) <= REJECTED_BYTES
    assert rejected.fault_count == len(faults)
    assert Rejected.from_doc(bson.decode(bson.encode(rejected.to_doc()))) == rejected


def test_what_the_previous_version_stored_can_be_read():
    stored = {"queueId": 1, "entryId": 2, "reason": "not_finite", "detail": "lines.0.debit: nan"}
    rejected = Rejected.from_doc(stored)
    assert (rejected.reason, rejected.detail) == (RejectionReason.NOT_FINITE, "lines.0.debit: nan")
    assert (rejected.fault_count, rejected.faults[0].place) == (1, "")


def test_a_missing_entry_is_rejected():
    there, gone = entry(), {"_id": ObjectId()}
    content, figures = render([gone, there])
    assert content == render([there])[0]
    assert _reasons(figures) == [(gone["_id"], RejectionReason.MISSING)]
    assert str(gone["_id"]) in figures.rejected[0].detail


def test_a_duplicate_is_rejected_with_the_file_that_has_it():
    entries = [entry(), entry(), entry()]
    content, figures = render(entries, duplicates={1: "batch 2026-01-17"})
    assert content == render([entries[0], entries[2]])[0]
    assert _reasons(figures) == [(entries[1]["_id"], RejectionReason.DUPLICATE)]
    assert figures.rejected[0].detail == "the entry is already in batch 2026-01-17"
    assert "batch 2026-01-17" in figures.rejected[0].detail


def test_rejected_entries_stand_in_the_manifests_order():
    entries = [
        entry(reference="\udc80"),
        {"_id": ObjectId()},
        entry(date="x"),
        entry(),
        entry(lines=_lines(1, 2)),
        entry(),
    ]
    figures = render(entries, duplicates={5: "elsewhere"})[1]
    assert [rejected.entry_id for rejected in figures.rejected] == [
        entries[at]["_id"] for at in (0, 1, 2, 4, 5)
    ]


def test_a_page_of_nothing_but_rejected_entries_has_no_bytes():
    content, figures = render([entry(date="x"), entry(lines=7)])
    assert content.decode() == f"\ufeff{HEADER}\r\n"
    assert (figures.entry_count, figures.row_count, figures.totals) == (0, 0, {})


def test_details_are_short_even_for_long_values():
    entries = [
        entry(date="x" * 5000),
        entry(date="\udc80" * 5000),
        entry(currency="\udc80"),
        entry(lines=_lines(Decimal128("1E+6144"), 0)),
        entry(),
        {"_id": "\udc80" * 5000},
    ]
    figures = render(entries, duplicates={4: "x" * 5000})[1]
    assert len(figures.rejected) == len(entries)
    assert all(len(rejected.detail.encode()) <= 800 for rejected in figures.rejected)
    assert all(rejected.detail.isprintable() for rejected in figures.rejected)
