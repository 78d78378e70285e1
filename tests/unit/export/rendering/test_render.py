import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from daybook.errors import ConfigurationError
from daybook.export.model.figures import (
    CurrencyTotals,
    RejectionReason,
)
from daybook.export.model.part import Part
from daybook.export.model.profile import DEFAULT_COLUMNS, Calendar, Profile
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


def test_an_entry_without_lines_is_between_others():
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


def test_an_amount_that_is_not_printed_rejects_no_entry():
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
