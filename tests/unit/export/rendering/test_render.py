import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from daybook.errors import ConfigurationError
from daybook.export.model.figures import (
    REJECTED_BYTES,
    CurrencyTotals,
    EntryFault,
    Rejected,
    RejectionReason,
)
from daybook.export.model.part import Part
from daybook.export.model.profile import DEFAULT_COLUMNS, Calendar, Profile, Required
from daybook.export.model.source import Column, ColumnType, Source
from daybook.export.rendering.cells.values import Cache
from daybook.export.rendering.render import Renderer
from tests.rendering import MISSING, MemoryRows, entry, render

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


def test_the_file_is_as_the_design_says_byte_for_byte():
    content, figures = render([entry(_id=ID)])
    assert content.decode() == (
        f"\ufeff{HEADER}\r\n"
        f"{ID},1,2026-01-17,INV-1,ขายสินค้า,1000,เงินสด,100.00,,100.00,THB\r\n"
        f"{ID},2,2026-01-17,INV-1,ขายสินค้า,4000,รายได้,,100.00,-100.00,THB\r\n"
    )
    assert (figures.entry_count, figures.row_count) == (1, 2)
    assert figures.totals == {
        "THB": CurrencyTotals(
            debit=Decimal("100.00"), credit=Decimal("100.00"), amount=Decimal("0.00")
        )
    }


def test_an_entry_without_lines_is_one_row_with_only_its_amount():
    entries = [entry(_id=ID, lines=lines, amount=Int64(-7)) for lines in (MISSING, None, [])]
    for item in entries:
        content, figures = render([item])
        assert content.decode().splitlines()[1] == (f"{ID},,2026-01-17,INV-1,ขายสินค้า,,,,,-7.00,THB")
        assert figures.totals["THB"] == CurrencyTotals(
            debit=Decimal("0.00"), credit=Decimal("0.00"), amount=Decimal("-7.00")
        )


def test_an_entry_without_lines_stands_between_others():
    entries = [entry(), entry(lines=[], amount=Decimal128("5.00")), entry()]
    rows = _rows(render(entries)[0])
    assert [(row["Line"], row["Amount"]) for row in rows] == [
        *(("1", "100.00"), ("2", "-100.00")),
        ("", "5.00"),
        *(("1", "100.00"), ("2", "-100.00")),
    ]


def test_a_missing_debit_or_credit_is_blank_and_counts_as_nothing():
    rows = _rows(render([entry({"debit": 0}, {"credit": None}, {})], ANY)[0])
    assert [(row["Debit"], row["Credit"], row["Amount"]) for row in rows] == [
        ("0.00", "", "0.00"),
        ("", "", "0.00"),
        ("", "", "0.00"),
    ]


def test_a_line_with_debit_and_credit_prints_their_difference():
    lines = [{"debit": 3, "credit": Decimal128("1.50")}, {"debit": -1.5, "credit": 0}]
    rows = _rows(render([entry(*lines)], ANY)[0])
    assert [row["Amount"] for row in rows] == ["1.50", "-1.50"]


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
def test_a_faulty_entry_is_set_aside_and_the_others_go_on(fields, reason, named):
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


def test_a_missing_entry_is_set_aside():
    there, gone = entry(), {"_id": ObjectId()}
    content, figures = render([gone, there])
    assert content == render([there])[0]
    assert _reasons(figures) == [(gone["_id"], RejectionReason.MISSING)]
    assert str(gone["_id"]) in figures.rejected[0].detail


def test_a_duplicate_is_set_aside_with_the_place_where_it_stands():
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


def test_the_largest_amounts_print_and_add_up_in_full():
    largest = 10**18 - 1
    content, figures = render([entry(lines=_lines(largest, largest))] * 12)
    assert _rows(content)[0]["Debit"] == "9" * 18 + ".00"
    assert figures.totals["THB"].to_doc() == {
        "debit": f"{12 * largest}.00",
        "credit": f"{12 * largest}.00",
        "amount": "0.00",
    }


def test_sums_of_javascript_are_counted_once_per_amount():
    lines = [{"debit": 0.1 + 0.2}, {"credit": 0.1}, {"credit": Decimal128("0.20")}]
    figures = render([entry(*lines), entry(*lines), entry(lines=[], amount=0.1 + 0.2)], ANY)[1]
    assert figures.normalised_count == 3
    assert figures.totals["THB"].debit == Decimal("0.60")
    assert render([entry(*lines, date="x")])[1].normalised_count == 0


def test_each_currency_has_its_decimals_and_totals():
    entries = [
        entry(lines=_lines(100, 100), currency="JPY"),
        entry(lines=_lines(Decimal128("1.005"), Decimal128("1.005")), currency="KWD"),
        entry(lines=_lines(2, 2), currency=MISSING),
        entry(lines=_lines(Decimal128("0.5"), 0.5), currency="JPY"),
        entry(lines=_lines(3, 3)),
    ]
    content, figures = render(entries)
    rows = _rows(content)
    assert [(row["Debit"], row["Currency"]) for row in rows[::2]] == [
        ("100", "JPY"),
        ("1.005", "KWD"),
        ("2.00", ""),
        ("3.00", "THB"),
    ]
    assert list(figures.totals) == ["JPY", "KWD", "THB"]
    assert [total.to_doc()["debit"] for total in figures.totals.values()] == [
        *("100", "1.005"),
        "5.00",
    ]
    assert _reasons(figures) == [(entries[3]["_id"], RejectionReason.TOO_MANY_DECIMALS)]


def test_a_profile_may_change_the_decimals_of_a_currency():
    profile = Profile(name="daily", decimals={"THB": 4})
    amount = Decimal128("1.0005")
    assert _rows(render([entry(lines=_lines(amount, amount))], profile)[0])[0]["Debit"] == "1.0005"


def test_ids_of_any_type_print_as_their_text():
    ids = ["=1", 7, Int64(-7), 1.5, Decimal128("2.50"), True]
    content, figures = render([entry(_id=entry_id) for entry_id in ids])
    assert [row["Entry ID"] for row in _rows(content)[::2]] == [
        *("'=1", "7", "-7", "1.5", "2.50", "True")
    ]
    assert figures.rejected == ()


def test_entries_of_another_month_are_counted_and_undated_ones_are_not():
    bangkok = ZoneInfo("Asia/Bangkok")
    dates = [
        datetime(2026, 1, 1, tzinfo=bangkok),
        datetime(2025, 12, 31, 23, 59, tzinfo=bangkok),
        datetime(2026, 1, 31, 23, 59, tzinfo=bangkok),
        datetime(2026, 2, 1, tzinfo=bangkok),
        datetime(2025, 1, 18, tzinfo=bangkok),
        None,
        MISSING,
    ]
    entries = [entry(date=date) for date in dates]
    assert render(entries, ANY)[1].other_month_count == 3
    assert render(entries, ANY, batch_date=None)[1].other_month_count == 0
    unprinted = tuple(column for column in DEFAULT_COLUMNS if column.title != "Date")
    profile = replace(ANY, columns=unprinted)
    content, figures = render([*entries, entry(date="no date")], profile)
    assert figures.other_month_count == 3
    assert len(_rows(content)) == 2 * 8


def test_dates_print_in_the_profiles_zone_format_and_calendar():
    evening = datetime(2024, 2, 28, 17, 30, tzinfo=UTC)
    columns = (Column(title="Date", value="entry.date", type=ColumnType.DATE),)

    def printed(date=evening, **settings):
        profile = replace(ANY, columns=columns, **settings)
        return _rows(render([entry({}, date=date)], profile)[0])[0]["Date"]

    assert printed() == "2024-02-29"
    assert printed(time_zone=ZoneInfo("UTC")) == "2024-02-28"
    assert printed(calendar=Calendar.BUDDHIST_ERA) == "2567-02-29"
    assert printed(calendar=Calendar.BUDDHIST_ERA, date_format="%d/%m/%y") == "29/02/67"
    assert printed(date_format="%d,%m,%Y %H:%M:%S") == "29,02,2024 00:30:00"
    assert printed(date_format="%F %T %%Y") == "2024-02-29 00:30:00 %Y"
    assert printed(date=datetime(1, 1, 2, tzinfo=UTC)) == "0001-01-02"
    assert printed(date=None) == ""


@pytest.mark.parametrize("date_format", ["%x", "%c", "%G", "%Q", "%", "%Y-%"])
def test_a_directive_that_cannot_be_kept_is_refused(date_format):
    with pytest.raises(ConfigurationError, match="date_format"):
        Renderer(Profile(name="daily", date_format=date_format), None)


@settings(max_examples=200)
@given(
    st.lists(st.integers(-62_135_596_800_000, 253_402_300_799_999), min_size=1, max_size=20),
    # St. John's changed its clocks at one minute past midnight; Bangkok kept its own
    # mean time until 1920.
    st.sampled_from(["Asia/Bangkok", "America/St_Johns", "UTC", "Asia/Kathmandu"]),
    st.sampled_from(["%Y-%m-%d", "%d/%m/%Y %H", "%H:%M:%S"]),
)
def test_any_date_prints_as_its_zone_says(milliseconds, zone_name, date_format):
    zone = ZoneInfo(zone_name)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    changes = datetime(2006, 10, 29, 2, 30, tzinfo=UTC)
    near = [changes + timedelta(milliseconds=value % 900_000) for value in milliseconds]
    moments = [epoch + timedelta(milliseconds=value) for value in milliseconds] + near
    columns = (Column(title="Date", value="entry.date", type=ColumnType.DATE),)
    profile = replace(ANY, columns=columns, time_zone=zone, date_format=date_format)
    content, figures = render([entry({}, date=moment) for moment in moments], profile)
    printed = [row["Date"] for row in _rows(content)]
    expected = []
    for moment in moments:
        try:
            local = moment.astimezone(zone)
        except OverflowError:
            continue
        expected.append(local.strftime(date_format.replace("%Y", f"{local.year:04d}")))
    assert printed == expected
    assert len(figures.rejected) == len(moments) - len(expected)


def test_a_file_for_old_thai_programs():
    profile = Profile(name="daily", encoding="cp874", delimiter=";", line_end="\n")
    good, bad = entry(_id=ID, reference="ก;ข", description="“€”"), entry(description="เงิน 😀")
    content, figures = render([good, bad], profile)
    lines = content.decode("cp874").split("\n")
    assert lines[0] == HEADER.replace(",", ";")
    assert lines[1] == f'{ID};1;2026-01-17;"ก;ข";“€”;1000;เงินสด;100.00;;100.00;THB'
    assert figures.rejected[0].reason is RejectionReason.UNENCODABLE
    assert figures.rejected[0].detail.startswith("description: character 6 is 😀 (U+1F600)")


def test_a_title_that_the_encoding_lacks_is_an_error_of_the_profile():
    columns = (Column(title="😀", value="entry.reference"),)
    with pytest.raises(ConfigurationError, match="column title"):
        Renderer(Profile(name="daily", columns=columns, encoding="cp874"), None).header()


def test_utf_8_without_a_byte_order_mark():
    content, _ = render([], Profile(name="daily", encoding="utf-8"))
    assert content == f"{HEADER}\r\n".encode()


def test_columns_may_come_from_anywhere_in_the_entry_or_its_lines():
    columns = (
        Column(title="Project", value="entry.meta.project.code"),
        Column(title="Due", value="line.tax.due", type=ColumnType.DATE),
        Column(title="VAT", value="line.tax.vat", type=ColumnType.AMOUNT),
        Column(title="Gross", value="entry.gross", type=ColumnType.AMOUNT),
        Column(title="Rate", value="line.tax.rate", type=ColumnType.NUMBER),
        Column(title="Debit", value="line.dr", type=ColumnType.AMOUNT),
    )
    source = Source(lines="items", debit="dr", credit="cr", currency="meta.currency")
    profile = replace(ANY, columns=columns, source=source)
    due = datetime(2026, 3, 1, tzinfo=UTC)
    item = entry(
        lines=MISSING,
        items=[
            {"dr": Decimal128("10.0"), "tax": {"due": due, "vat": 0.7, "rate": 7.0}},
            {"cr": 10, "tax": {"vat": Decimal128("-0.70")}},
        ],
        gross=Decimal128("10.7"),
        meta={"project": {"code": "P-1"}, "currency": "USD"},
    )
    content, figures = render([item], profile)
    assert content.decode("utf-8-sig").splitlines()[1:] == [
        "P-1,2026-03-01,0.70,10.70,7,10.00",
        "P-1,,-0.70,10.70,,",
    ]
    assert figures.totals["USD"].debit == Decimal("10.00")


def test_an_amount_that_nobody_looks_at_keeps_no_entry_out():
    entries = [entry(amount="unused"), entry(lines=[], amount=1)]
    assert render(entries)[1].rejected == ()
    shown = (*DEFAULT_COLUMNS, Column(title="Total", value="entry.amount", type=ColumnType.AMOUNT))
    profile = Profile(name="daily", columns=shown)
    assert _reasons(render(entries, profile)[1]) == [
        (entries[0]["_id"], RejectionReason.STORED_AS_TEXT)
    ]


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (Column(title="N", value="line.amount", type=ColumnType.TEXT), "is always amount"),
        (Column(title="N", value="entry.date", type=ColumnType.TEXT), "is always date"),
        *(
            (Column(title="N", value=value), "must be entry.PATH, line.PATH, line.number")
            for value in (
                "entry.$where",
                "entry.a..b",
                "entry.",
                "line.$x",
                "amount",
                "",
                "lines.a",
            )
        ),
    ],
)
def test_a_column_that_cannot_be_read_is_an_error_of_the_profile(column, what):
    with pytest.raises(ConfigurationError, match=what):
        Renderer(Profile(name="daily", columns=(column,)), None)


amounts = st.one_of(
    st.none(),
    st.integers(-1000, 1000),
    st.integers(-(10**6), 10**6).map(lambda minor: minor / 100),
    st.decimals(-1000, 1000, places=2).map(Decimal128),
    st.sampled_from([0.1 + 0.2, 0.005, "5", True, Decimal128("NaN"), Decimal128("-0.00"), {}]),
)
texts = st.one_of(st.none(), st.text(max_size=6), st.integers(), st.lists(st.none(), max_size=1))
balanced = st.builds(
    lambda amount, text: [*_lines(amount, amount), {"accountName": text}], amounts, texts
)
lines = st.one_of(
    balanced,
    st.lists(st.fixed_dictionaries({"debit": amounts, "credit": amounts}), max_size=3),
    st.sampled_from([None, "x", [None], {}]),
)
entries_of_any_kind = st.lists(
    st.builds(
        entry,
        lines=lines,
        amount=amounts,
        reference=texts,
        currency=st.sampled_from(["THB", "jpy ", "KWD", None, "$", "  "]),
        date=st.sampled_from([datetime(2026, 1, 17, tzinfo=UTC), None, "x", DatetimeMS(2**60)]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150)
@given(entries_of_any_kind, st.integers(1, 12), st.sampled_from(["utf-8-sig", "cp874"]))
def test_the_bytes_do_not_depend_on_how_the_manifest_is_cut(entries, part_size, encoding):
    profile = Profile(name="daily", encoding=encoding)
    whole = render(entries, profile)
    assert render(entries, profile, part_size=part_size) == whole
    content, figures = whole
    assert figures.entry_count + len(figures.rejected) == len(entries)
    assert len(_rows(content, encoding)) == figures.row_count


def test_what_is_remembered_makes_no_difference_and_stays_small():
    cache = Cache(str.upper, keep=(str,))
    for number in range(30_000):
        assert cache[f"r{number}"] == f"R{number}"
        if number % 1000 == 0:
            cache.trim()
    assert len(cache) < 22_000
    assert cache["r1" * 100] == "R1" * 100
    assert "r1" * 100 not in cache


def test_a_renderer_renders_the_same_again_after_others():
    profile = Profile(name="daily")
    renderer = Renderer(profile, None)
    odd = [entry(lines=_lines(value, value), _id=n) for n, value in enumerate([1, 1.0, 2.5, -0.0])]
    part = Part(number=0, queue_ids=[0, 1, 2, 3], entry_ids=[0, 1, 2, 3], duplicates={})
    first = renderer.part(part, MemoryRows(odd, profile))
    render([entry(), entry(date="x")])
    assert renderer.part(part, MemoryRows(odd, profile)) == first
