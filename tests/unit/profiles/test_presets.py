"""Presets: their titles, the files they make, and the rules of those that read them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from daybook.export.model.figures import RejectionReason
from daybook.export.model.profile import FileFormat, Profile
from daybook.profiles import presets
from daybook.profiles.reading import read
from daybook.settings.settings import Settings
from tests import pages
from tests.rendering import entry, render

GOLDEN = Path(__file__).parent / "golden"
ERPNEXT = json.loads((Path(__file__).parent / "erpnext_fields.json").read_text("utf-8"))
NAMES = presets.names()
ELEVEN = (
    "Entry ID,Line,Date,Reference,Description,Account Code,Account Name,Debit,Credit,Amount,"
    "Currency"
)
TITLES = {
    "generic": ELEVEN,
    "readable": ELEVEN.removeprefix("Entry ID,") + ",Entry ID",
    "xero": "*Narration,*Date,Description,*AccountCode,*TaxRate,*Amount,TrackingName1,"
    "TrackingOption1,TrackingName2,TrackingOption2",
    "quickbooks": "Journal No.,Journal Date,Account Name,Description,Debits,Credits,Name",
    "zoho": "Journal Date,Reference Number,Journal Number Prefix,Journal Number Suffix,Notes,"
    "Journal Type,Currency,Account,Description,Contact Name,Debit,Credit",
    "odoo": "date,ref,journal_id,line_ids/account_id,line_ids/name,line_ids/debit,line_ids/credit",
    "erpnext": "Entry Type,Series,Company,Posting Date,Reference Number,Reference Date,"
    "User Remark,Account (Accounting Entries),Debit (Accounting Entries),"
    "Credit (Accounting Entries),Party Type (Accounting Entries),Party (Accounting Entries),"
    "Cost Center (Accounting Entries),User Remark (Accounting Entries)",
    "sage50-uk": "Type,Account,Nominal,Department,Date,Reference,Details,Net,T/C,Tax,Exchange Rate",
    "sage-intacct": "JOURNAL,DATE,DESCRIPTION,LINE_NO,ACCT_NO,DEBIT,CREDIT",
    "express": "JNLTYP,VOUCHER,VOUDAT,DESCRP,ACCNUM,DEPCOD,JOBCOD,TRNTYP,AMOUNT",
}


def profile(preset: str) -> Profile:
    settings = Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:27017/",
            "DAYBOOK_DESTINATION": "file:///srv/books",
            "DAYBOOK_PROFILES": f'[p]\npreset = "{preset}"\n',
        }
    )
    return read(settings, fetch_secret=str)["p"].profile


def _line(code: str, name: str, debit: str, credit: str) -> dict[str, Any]:
    return {
        "accountCode": code,
        "accountName": name,
        "debit": Decimal128(debit),
        "credit": Decimal128(credit),
    }


BOOKS = [
    entry(
        _line("1100", "เงินสด", "1234.50", "0"),
        _line("4000", "Sales, domestic", "0", "1000.00"),
        _line("2150", "Output VAT", "0", "234.50"),
        _id=ObjectId("6b02f41f45263142d9ff1aea"),
        reference="JV6901-001",
        description='ขายสินค้า "A"',
        company="Siam Trading Co",
        date=datetime(2026, 1, 17, 18, tzinfo=UTC),
    ),
    entry(
        # The same account on both sides, and a negative debit.
        _line("1100", "เงินสด", "-5.00", "0"),
        _line("1100", "เงินสด", "0", "-5.00"),
        _id=ObjectId("6b02f41f45263142d9ff1aeb"),
        reference="JV6901-002",
        description="=กลับรายการ " + "ย" * 80,
        company="Siam Trading Co",
        date=datetime(2026, 1, 18, 5, tzinfo=UTC),
    ),
]


def file_of(preset: str) -> bytes:
    content, figures = render(BOOKS, profile(preset))
    assert figures.rejected == ()
    return content


def rows_of(preset: str) -> list[dict[str, str]]:
    text = file_of(preset).decode(profile(preset).encoding)
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_presets_are_those_of_the_documentation() -> None:
    assert set(NAMES) == set(TITLES)
    assert sorted(pages.column(pages.table("presets.md", "preset"))) == sorted(NAMES)


@pytest.mark.parametrize("preset", NAMES)
def test_the_titles_are_exact(preset: str) -> None:
    assert ",".join(column.title for column in profile(preset).columns) == TITLES[preset]


@pytest.mark.parametrize("preset", NAMES)
def test_the_file_is_the_golden_one(preset: str) -> None:
    golden = GOLDEN / f"{preset}.csv"
    assert file_of(preset) == golden.read_bytes()


@pytest.mark.parametrize(
    ("preset", "digest"),
    [
        ("generic", "c17dfdbcc5961945b08a34b47f2f40bacced3844a501f8d6f1f722208c10f543"),
        ("readable", "708249403d55085b70c51c2952dec4001bfde3ef0ab4ac3a1ff9315a25448521"),
    ],
)
def test_a_profile_has_the_digest_under_which_earlier_versions_stored_it(
    preset: str, digest: str
) -> None:
    """With another one, a day that a new version finds half done would be planned again."""
    assert profile(preset).digest == digest
    sheet = replace(profile(preset), format=FileFormat.XLSX)
    assert ('"one_page_wide":true' in sheet.form) is (preset == "readable")


@pytest.mark.parametrize("preset", sorted(set(NAMES) - {"generic", "readable"}))
def test_an_importers_file_has_neither_mark_nor_guard_and_no_entry_without_lines(
    preset: str,
) -> None:
    content, figures = render([*BOOKS, entry(lines=[], amount=1)], profile(preset))
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"'=" not in content
    assert [item.reason for item in figures.rejected] == [RejectionReason.MISSING_VALUE]


@pytest.mark.parametrize("preset", ["xero", "quickbooks", "zoho", "express"])
def test_an_entry_without_the_reference_that_lines_are_grouped_by_is_rejected(
    preset: str,
) -> None:
    _, figures = render([entry(reference=" "), entry(reference=None)], profile(preset))
    assert [item.faults[0].field for item in figures.rejected] == ["reference"] * 2


def test_signed_amounts_of_xero_balance_within_each_narration_and_date() -> None:
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rows_of("xero"):
        key = row["*Narration"], row["*Date"]
        sums[key] = sums.get(key, Decimal()) + Decimal(row["*Amount"])
    assert sums == {("JV6901-001", "18/01/2026"): 0, ("JV6901-002", "18/01/2026"): 0}
    assert profile("xero").max_rows == 300


@pytest.mark.parametrize(
    ("preset", "side", "amount", "debit"),
    [("sage50-uk", "Type", "Net", "JD"), ("express", "TRNTYP", "AMOUNT", "0")],
)
def test_the_side_says_what_the_sign_would(preset: str, side: str, amount: str, debit: str) -> None:
    signed = [
        Decimal(row[amount]) if row[side] == debit else -Decimal(row[amount])
        for row in rows_of(preset)
    ]
    assert all(Decimal(row[amount]) >= 0 for row in rows_of(preset))
    assert signed == [Decimal(x) for x in ("1234.50", "-1000", "-234.50", "-5", "5")]


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("sage50-uk", {"reference": "R" * 31}),
        ("sage50-uk", {"lines": [_line("123456789", "", "1", "0"), _line("1", "", "0", "1")]}),
        ("express", {"reference": "V" * 13}),
        ("express", {"lines": [_line("1" * 16, "", "1", "0"), _line("1", "", "0", "1")]}),
    ],
)
def test_a_reference_or_account_that_is_too_long_is_rejected(
    preset: str, fields: dict[str, Any]
) -> None:
    _, figures = render([entry(**fields)], profile(preset))
    assert [item.reason for item in figures.rejected] == [RejectionReason.TOO_LONG]


def test_a_description_that_is_too_long_is_truncated() -> None:
    assert [len(row["Details"]) for row in rows_of("sage50-uk")[-2:]] == [60, 60]
    assert [len(row["DESCRP"]) for row in rows_of("express")[-2:]] == [50, 50]


@pytest.mark.parametrize(
    ("preset", "of_entry"),
    [
        ("odoo", ("date", "ref", "journal_id")),
        ("erpnext", ("Entry Type", "Series", "Company", "Posting Date", "User Remark")),
        ("sage-intacct", ("JOURNAL", "DATE", "DESCRIPTION")),
    ],
)
def test_what_belongs_to_the_entry_is_on_its_first_row_only(
    preset: str, of_entry: tuple[str, ...]
) -> None:
    for title in of_entry:
        assert [bool(row[title]) for row in rows_of(preset)] == [True, False, False, True, False]


def test_odoo_reads_two_balanced_entries_from_the_rows() -> None:
    """Its rule: a row with any column of the entry begins one, other rows continue it."""
    entries: list[list[Decimal]] = []
    for row in rows_of("odoo"):
        if row["date"] or row["ref"] or row["journal_id"]:
            entries.append([])
        entries[-1].append(Decimal(row["line_ids/debit"]) - Decimal(row["line_ids/credit"]))
        assert row["line_ids/account_id"].isalnum()
    assert [(len(lines), sum(lines)) for lines in entries] == [(3, 0), (2, 0)]


def test_every_column_of_erpnext_is_a_writable_field_of_its_doctype() -> None:
    known = {
        *ERPNEXT["Journal Entry"],
        *(f"{label} (Accounting Entries)" for label in ERPNEXT["Journal Entry Account"]),
    }
    titles = {column.title for column in profile("erpnext").columns}
    assert titles <= known
    required = {label for label, field in ERPNEXT["Journal Entry"].items() if field["reqd"]}
    required |= {
        f"{label} (Accounting Entries)"
        for label, field in ERPNEXT["Journal Entry Account"].items()
        if field["reqd"]
    }
    assert required <= titles
    for row in rows_of("erpnext"):
        assert row["Entry Type"] in ("", *ERPNEXT["Journal Entry"]["Entry Type"]["options"])
        assert row["Series"] in ("", *ERPNEXT["Journal Entry"]["Series"]["options"])


@pytest.mark.skipif(shutil.which("hledger") is None, reason="needs hledger")
def test_hledger_reads_the_generic_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.csv"
    path.write_bytes(file_of("generic").decode("utf-8-sig").encode())
    rules = tmp_path / "journal.rules"
    rules.write_text(
        "skip 1\nfields id, line, date, code, description, account1, name, debit, credit, "
        "amount_, currency_\naccount2 clearing\namount1 %amount_\ncurrency1\n",
        encoding="utf-8",
    )
    ended = subprocess.run(
        [
            "hledger",
            "-f",
            f"csv:{path}",
            "--rules-file",
            rules,
            "bal",
            "-O",
            "csv",
            "-N",
            "not:clearing",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    balances = {row[0]: row[1] for row in csv.reader(io.StringIO(ended.stdout)) if len(row) > 1}
    assert balances == {
        "account": "balance",
        "1100": "1234.50",
        "2150": "-234.50",
        "4000": "-1000.00",
    }
