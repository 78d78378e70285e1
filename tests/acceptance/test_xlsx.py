"""An xlsx profile from setting to file: what spreadsheets and importers read in its cells."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from bson import Decimal128
from openpyxl import load_workbook
from pymongo.database import Database
from python_calamine import CalamineWorkbook

from daybook.app import App
from daybook.audit.lineage import lineage
from daybook.audit.workbook import WorkbookUnreadable, text_of
from daybook.export.model.profile import FileFormat, Profile
from daybook.export.queue.manual import ManualRequest
from daybook.mongo.migrate import migrate
from tests import books, pdf
from tests.acceptance.test_cli import answer, daybook
from tests.acceptance.test_http import Function
from tests.acceptance.test_libreoffice import HOSTILE, THAI, FodsCell, rows_of_fods
from tests.emulators.drive import DriveEmulator
from tests.rendering import BATCH_DATE, entry, render, render_file
from tests.unit.profiles.test_printed import profiles

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]
DAY = "2026-01-18"
MIDNIGHT = datetime(2026, 1, 18)  # noqa: DTZ001  (a cell's date has no time zone)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

PROFILES = """
[thai]
format = "xlsx"
filename = "สมุดรายวัน {date}.xlsx"
calendar = "be"
date_format = "%d/%m/%Y"
[[thai.columns]]
title = "เลขที่"
value = "entry.reference"
[[thai.columns]]
title = "วันที่"
value = "entry.date"
[[thai.columns]]
title = "รหัสบัญชี"
value = "line.accountCode"
[[thai.columns]]
title = "เดบิต"
value = "line.debit"
[[thai.columns]]
title = "เครดิต"
value = "line.credit"
"""


@pytest.fixture
def migrated(database: Db) -> Db:
    migrate(database, now=datetime.now(UTC))
    return database


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


def test_a_function_delivers_what_was_planned_and_verify_reads_it_back(
    migrated: Db, mongo_uri: str, tmp_path: Path, drive: DriveEmulator
) -> None:
    lines = [
        {"accountCode": "0011", "debit": Decimal128("1234567.89"), "credit": Decimal128("0")},
        {"accountCode": "4000", "debit": Decimal128("0"), "credit": Decimal128("1234567.89")},
    ]
    stored = books.entry("=1+1", lines=lines)
    migrated["journalentries"].insert_one(stored)
    migrated["exportqueues"].insert_one(books.queue_item(stored["_id"], profile="thai"))
    settings = {
        "DAYBOOK_MONGODB_URI": mongo_uri,
        "DAYBOOK_DATABASE": migrated.name,
        "DAYBOOK_DESTINATION": f"drive://{drive.folder_id}",
        "DAYBOOK_DRIVE_ENDPOINT": drive.url,
        "DAYBOOK_PROFILES": PROFILES,
    }
    out = tmp_path / "planned.xlsx"
    planned = answer(
        settings, "plan", "--profile", "thai", "--date", DAY, "--head", "1", "--out", str(out)
    )
    function = Function(mongo_uri, migrated, drive, DAYBOOK_PROFILES=PROFILES)
    try:
        found = function.post("/run", json={"profile": "thai", "batchDate": DAY}).json()
    finally:
        function.stop()

    assert found["status"] == "exported"
    assert found["sha256"] == planned["sha256"]
    (file,) = drive.files()
    assert file.name == f"สมุดรายวัน {DAY}.xlsx"
    assert file.mime_type == XLSX
    assert file.content == out.read_bytes()
    assert planned["head"] == [
        ["เลขที่", "วันที่", "รหัสบัญชี", "เดบิต", "เครดิต"],
        ["=1+1", DAY, "0011", "1234567.89", "0.00"],
    ]
    book = load_workbook(io.BytesIO(file.content))
    rows = list(book["Journal"].iter_rows(min_row=2))
    assert [[cell.value for cell in row] for row in rows] == [
        ["=1+1", MIDNIGHT, "0011", 1234567.89, 0],
        ["=1+1", MIDNIGHT, "4000", 0, 1234567.89],
    ]
    assert rows[0][1].number_format == "[$-107041E]dd/mm/yyyy"
    assert answer(settings, "verify", "--profile", "thai", DAY)["status"] == "verified"
    audited = answer(settings, "audit", "--profile", "thai", DAY)
    assert [day["status"] for day in audited["days"]] == ["unchanged"]
    (followed,) = lineage(migrated, App.from_env(settings).profile("thai"), str(stored["_id"]))
    assert [(one.first_row, one.last_row, one.certain) for one in followed.files] == [(1, 2, True)]

    migrated["journalentries"].update_one(
        {"_id": stored["_id"]}, {"$set": {"lines.0.accountCode": "0012"}}
    )
    (checked,) = answer(settings, "profiles", "check", "thai")["profiles"]
    assert checked["rows"][1:] == [
        ["INV-1", DAY, "1100", "100.00", "0.00"],
        ["INV-1", DAY, "4000", "0.00", "100.00"],
    ]
    differing = daybook(settings, "verify", "--profile", "thai", DAY)
    assert "รหัสบัญชี: the file says '0011', the entry gives '0012'" in differing.stdout


JOURNAL = Profile(name="daily", format=FileFormat.XLSX)
ESCAPES = [
    *("_x0041_", "_x0041_x0042_", "_x0041_x0042_x0043_", "_x005F_", "_x000D_", "_x0041\r"),
    *("<r><t>x</t></r>", "<r>&</r>", "<r></r>", "<r>" + "<" * 32_000 + "</r>", "&amp;", "]]>"),
]
TEXTS = [
    *("0011", "696712345678e01234567890", "5-2000", "  blank  ", "\tTAB", "a\nb", "a\r\nb"),
    *("http://example.org", "mailto:a@example.org", "internal:Totals!A1", "TRUE", "1E5", "'0"),
    *("x" * 32_767, "😀" * 16_383, "“€” กำกับ", *THAI, *HOSTILE[::7]),
]
AMOUNTS = ["0.01", "-0.10", "0.30", "1234567.89", "9999999999999.99", "-9123456789012.34"]
MODES = {"texts shared": 1, "texts in cells": 1_000_000}
modes = pytest.mark.parametrize("item_count", MODES.values(), ids=MODES.keys())


def written(texts: list[str]) -> list[dict[str, Any]]:
    amounts = [Decimal128(AMOUNTS[at % len(AMOUNTS)]) for at in range(len(texts))]
    return [
        entry(
            *({"accountCode": text, "accountName": text, side: amount} for side in SIDES),
            reference=text,
            description=text,
            date=datetime(2026, 1, 17, 20, tzinfo=UTC),
        )
        for text, amount in zip(texts, amounts, strict=True)
    ]


SIDES = ("debit", "credit")


def expected(texts: list[str]) -> list[list[Any]]:
    """Reference, description, account, name, debit, credit and amount of each row."""
    rows: list[list[Any]] = []
    for at, text in enumerate(texts):
        amount = Decimal(AMOUNTS[at % len(AMOUNTS)])
        rows += [[text] * 4 + [amount, None, amount], [text] * 4 + [None, amount, -amount]]
    return rows


@modes
def test_openpyxl_reads_texts_numbers_and_dates(item_count: int) -> None:
    content, figures = render_file(written(TEXTS), JOURNAL, item_count=item_count)

    assert figures.rejected == ()
    book = load_workbook(io.BytesIO(content))
    sheet = book["Journal"]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", f"A1:K{2 * len(TEXTS) + 1}")
    header, *rows = sheet.iter_rows()
    assert [cell.value for cell in header] == [column.title for column in JOURNAL.columns]
    for cells, row in zip(rows, expected(TEXTS), strict=True):
        # openpyxl leaves the escape of CR as it is.
        found = [str(cell.value).replace("_x000D_", "\r") for cell in cells[3:7]]
        assert found == row[:4]
        assert [cell.data_type for cell in (*cells[:1], *cells[3:7], cells[10])] == ["s"] * 6
        numbers = [cell.value for cell in cells[7:10]]
        exact = [None if number is None else Decimal(repr(number)) for number in numbers]
        assert exact == row[4:]
        assert {cell.number_format for cell in cells[7:10] if cell.value is not None} == {
            "#,##0.00"
        }
        assert (cells[2].data_type, cells[2].value) == ("d", MIDNIGHT)
    with ZipFile(io.BytesIO(content)) as files:
        sheets = [files.read(name) for name in files.namelist() if "worksheets/" in name]
    assert not any(b"<f>" in one or b"<hyperlink" in one for one in sheets)


@modes
def test_calamine_reads_texts_numbers_and_dates(item_count: int) -> None:
    texts = TEXTS + ESCAPES
    content, _ = render_file(written(texts), JOURNAL, item_count=item_count)

    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_name("Journal")
    rows = sheet.to_python()[1:]
    for cells, row in zip(rows, expected(texts), strict=True):
        assert cells[3:7] == row[:4]
        exact = [None if cell == "" else Decimal(repr(cell)) for cell in cells[7:10]]
        assert exact == row[4:]
        assert cells[2] == date(2026, 1, 18)


@modes
def test_what_is_read_back_is_what_was_rendered(item_count: int) -> None:
    entries = written(TEXTS + ESCAPES)
    content, _ = render_file(entries, JOURNAL, item_count=item_count)

    assert b"".join(text_of(io.BytesIO(content), JOURNAL)) == render(entries, JOURNAL)[0]
    assert render_file(entries, JOURNAL, item_count=item_count)[0] == content


def test_the_totals_are_the_control_totals() -> None:
    entries = [*written(["a", "b", "c"]), entry(currency="JPY", amount=7, lines=[])]
    content, figures = render_file(entries, JOURNAL)

    rows = list(load_workbook(io.BytesIO(content))["Totals"].iter_rows(values_only=True))
    assert [row[:2] for row in rows[:4]] == [
        ("Profile", "daily"),
        ("Date", datetime.combine(BATCH_DATE, datetime.min.time())),
        ("Entries", 4),
        ("Rows", 7),
    ]
    assert rows[5] == ("Currency", "Debit", "Credit", "Amount")
    assert {code: [Decimal(repr(x)) for x in sums] for code, *sums in rows[6:]} == {
        code: [totals.debit, totals.credit, totals.amount]
        for code, totals in figures.totals.items()
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reference": "x" * 32_768}, "too_long"),
        ({"reference": "😀" * 16_384}, "too_long"),
        ({"reference": "\x01"}, "control_character"),
        ({"reference": "\ud800"}, "unencodable"),
        ({"lines": [], "amount": Decimal128("10000000000000.00")}, "too_large"),
        ({"lines": [], "amount": 10**15}, "too_large"),
        ({"lines": [], "amount": 0.1 + 0.2 + 1e15}, "too_large"),
    ],
)
def test_what_a_cell_cannot_hold_rejects_the_entry(fields: dict[str, Any], reason: str) -> None:
    content, figures = render_file([entry(**fields), entry(reference="kept")], JOURNAL)

    assert [one.reason.value for one in figures.rejected] == [reason]
    rows = list(load_workbook(io.BytesIO(content))["Journal"].iter_rows(values_only=True))
    assert [row[3] for row in rows] == ["Reference", "kept", "kept"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> list[list[FodsCell]]:
    """The rows of the journal as LibreOffice reads them."""
    path = tmp_path_factory.mktemp("xlsx") / "file.xlsx"
    path.write_bytes(render_file(written(SHOWN), JOURNAL)[0])
    (made,) = converted([path], "fods")
    return list(rows_of_fods(made))


def converted(paths: list[Path], to: str) -> list[Path]:
    """The files of one folder in another format, which one LibreOffice writes beside them."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        if os.environ.get("CI"):
            pytest.fail("no LibreOffice in CI: install libreoffice-calc-nogui")
        pytest.skip("no LibreOffice here")
    folder = paths[0].parent
    done = subprocess.run(
        [
            *(office, f"-env:UserInstallation={(folder / 'profile').as_uri()}"),
            *("--headless", "--convert-to", to, "--outdir", folder, *paths),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    made = [path.with_suffix(f".{to}") for path in paths]
    assert all(path.exists() for path in made), done.stdout + done.stderr
    return made


# The XML of a text with line ends or tabs is not read back exactly by `rows_of_fods`.
SHOWN = [text for text in TEXTS + ESCAPES if not set("\t\r\n") & set(text) and "  " not in text]


def test_libreoffice_reads_texts_numbers_and_dates(opened: list[list[FodsCell]]) -> None:
    rows = opened[1 : 2 * len(SHOWN) + 1]
    for cells, row in zip(rows, expected(SHOWN), strict=True):
        assert [cell.formula for cell in cells] == [None] * 11
        assert [(cell.type, cell.text) for cell in cells[3:7]] == [("string", x) for x in row[:4]]
        assert [cell.type for cell in cells[7:10]] == [
            None if x is None else "float" for x in row[4:]
        ]
        assert [cell.value and Decimal(cell.value) for cell in cells[7:10]] == row[4:]
        assert (cells[2].type, cells[2].value) == ("date", "2026-01-18")


def test_the_writer_is_loaded_only_for_a_profile_that_needs_it() -> None:
    code = "import sys, daybook.app, daybook.export.deliver; sys.exit('xlsxwriter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_manual_export_is_named_after_its_format(file_format: FileFormat) -> None:
    name = ManualRequest(key="k").file_name(Profile(name="daily", format=file_format))
    assert name.endswith(f".{file_format.value}")


@modes
def test_a_damaged_file_is_read_or_named_as_unreadable(item_count: int) -> None:
    content, _ = render_file(written(["a", "b"]), JOURNAL, item_count=item_count)
    unreadable = 0
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        try:
            list(text_of(io.BytesIO(damaged), JOURNAL))
        except WorkbookUnreadable:
            unreadable += 1
    assert unreadable > 100


PRESETS = """
[people]
preset = "readable"
format = "xlsx"
calendar = "be"
date_format = "%d %B %Y"
[wide]
preset = "readable"
format = "xlsx"
one_page_wide = false
"""


def test_a_readable_file_prints_all_columns_on_each_page(tmp_path: Path) -> None:
    """120 rows with the longest dates, amounts and texts; the same without the key for contrast."""
    lines = [
        {"accountCode": "1110-01", "accountName": THAI[0] * 3, "debit": Decimal128(LARGEST)},
        {"accountCode": "4000", "accountName": "Revenue", "credit": Decimal128(LARGEST)},
    ]
    entries = [
        entry(*lines, reference=f"RV-202611-{at:07d}", description="Sale of goods " * 9)
        for at in range(59)
    ]
    negative = ({"accountCode": "9", side: Decimal128(f"-{LARGEST}")} for side in SIDES)
    entries.append(entry(*negative, date=datetime(2026, 9, 30, tzinfo=UTC)))
    found = profiles(PRESETS)
    paths = []
    for mode, item_count in MODES.items():
        for name in ("people", "wide"):
            content, figures = render_file(entries, found[name].profile, item_count=item_count)
            assert (figures.row_count, figures.rejected) == (120, ())
            paths.append(tmp_path / f"{name}, {mode}.xlsx")
            paths[-1].write_bytes(content)
    pages = {made.stem: pdf.pages(made) for made in converted(paths, "pdf")}

    titles = [column.title for column in found["people"].profile.columns]
    for mode in MODES:
        *journal, totals = pages[f"people, {mode}"]
        *beside, _, _ = pages[f"wide, {mode}"]
        assert [page[:11] for page in journal] == [titles] * len(journal), mode
        assert len(journal) > 1, mode
        texts = [text for page in journal for text in page]
        assert sum(text.startswith("RV-202611-") for text in texts) == 118, mode
        assert texts.count(SHOWN_LARGEST) == 59 * 3 + 1, mode
        assert texts.count(f"-{SHOWN_LARGEST}") == 59 + 3, mode
        assert "##" not in "".join((*texts, *totals)), mode
        assert [page for page in beside if set(titles) <= set(page)] == [], mode


LARGEST, SHOWN_LARGEST = "8888888888888.88", "8,888,888,888,888.88"
