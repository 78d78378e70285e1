"""The file as an accountant opens it: LibreOffice decides what each cell is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bson import Decimal128

from daybook.export.model.profile import FormulaGuard, Profile
from daybook.export.model.source import Column
from tests.rendering import entry, render

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
# Separators, double quotes, UTF-8 (which the import dialog proposes because of the byte order
# mark), from row 1, all columns as they are, special numbers recognised.
# https://help.libreoffice.org/latest/en-US/text/shared/guide/csv_params.html
_IMPORT = "Text - txt - csv (StarCalc):{separators},34,76,1,,0,false,true"
SEPARATORS = {"comma": "44", "comma, semicolon and tab": "44/59/9"}
"""What an accountant may have set: the file's own separator, or what LibreOffice ships with."""

_INVISIBLE = [
    *("", " ", "\t", "\n", "\r\n", "\u00a0", "\u00ad", "\u034f", "\u115f", "\u180e", "\u2000"),
    *("\u200b", "\u200e", "\u2028", "\u202e", "\u2060", "\u2800", "\u3000", "\u3164", "\ufe0f"),
    *("\ufeff", "\U000e0001", " \u200b\u00a0"),
    # What a separator splits off begins a cell of its own.
    *("fee;", "fee\t", "fee,", "fee;\u200b", 'fee";', "fee;'", ";;", "fee\t,;", "fee;\n"),
]
_FORMULAS = [
    *("=1+1", "+1+1", "-1+1", "@SUM(1;1)", "＝1+1", "＋1", "－1", "＠SUM(1)", "=", "\t=1", "\r=1"),
    *('=HYPERLINK("http://example.org","click")', "=cmd|' /C calc'!A0", '"=1+1"', "'=1+1"),
    *("=1+1,=2+2", '",=1+1,"', 'a"\r\n=1+1', "a\n=1+1", "{=1+1}", "==1+1", "=\u200b1+1"),
]
HOSTILE = [blank + formula for blank in _INVISIBLE for formula in _FORMULAS]
THAI = ["ค่าบริการ “พิเศษ” เดือน ๑", "น้ำตาลทราย, ข้าวสาร", "บรรทัดแรก\nบรรทัดสอง", "“€” กำกับ"]
NUMBERS = [-5, -0.25, Decimal128("-1.50"), 7]
TITLES = ["fee;=1+2", "=1+1", "a\t=1", "plain", '"=1",']
AMOUNTS = ["-100.00", "0.00", "1234567.89", "-0.01", "99999999999.99"]


@dataclass(frozen=True, kw_only=True)
class FodsCell:
    formula: str | None
    type: str | None
    value: str | None
    text: str


@pytest.fixture(scope="module", params=SEPARATORS.values(), ids=SEPARATORS)
def sheets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[list[FodsCell]]]:
    """Every file, opened by one LibreOffice with all its guessing turned on."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        if os.environ.get("CI"):
            pytest.fail("no LibreOffice in CI: install libreoffice-calc-nogui")
        pytest.skip("no LibreOffice here")
    folder = tmp_path_factory.mktemp("sheets")
    unguarded = Profile(name="daily", formula_guard=FormulaGuard.NONE)
    files = {
        "hostile": _file(HOSTILE, Profile(name="daily")),
        "unguarded": _file(HOSTILE, unguarded),
        "thai": _file(THAI, Profile(name="daily")),
        "amounts": render([_bare(amount) for amount in AMOUNTS])[0],
        "numbers": render([entry(reference=number) for number in NUMBERS])[0],
        "semicolons": _file(HOSTILE, Profile(name="daily", delimiter=";")),
        "titles": render([], Profile(name="daily", columns=_titled()))[0],
    }
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content)
    done = subprocess.run(
        [
            office,
            f"-env:UserInstallation={(folder / 'profile').as_uri()}",
            *(
                "--headless",
                f"--infilter={_IMPORT.format(separators=request.param)}",
                "--convert-to",
                "fods",
            ),
            *("--outdir", str(folder)),
            *(str(folder / f"{name}.csv") for name in files),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    made = [name for name in files if (folder / f"{name}.fods").exists()]
    assert made == list(files), done.stdout + done.stderr
    return {name: list(rows_of_fods(folder / f"{name}.fods")) for name in files}


def test_no_hostile_text_becomes_a_formula(sheets):
    assert [cell for row in sheets["hostile"] for cell in row if cell.formula is not None] == []


@pytest.mark.parametrize("sheets", [SEPARATORS["comma, semicolon and tab"]], indirect=True)
def test_a_file_of_another_delimiter_is_as_safe_with_the_default_separators(sheets):
    assert [cell for row in sheets["semicolons"] for cell in row if cell.formula is not None] == []
    assert {len(row) for row in sheets["semicolons"]} == {11}


def test_without_the_guard_libreoffice_would_compute_them(sheets):
    # Or the test above could not fail.
    computed = [cell for row in sheets["unguarded"] for cell in row if cell.formula is not None]
    assert len(computed) > len(_FORMULAS)


def test_numbers_in_text_columns_are_numbers_and_move_nothing(sheets):
    rows = sheets["numbers"][1:]
    assert [row[3].type for row in rows[::2]] == ["float"] * len(NUMBERS)
    assert [float(row[3].value) for row in rows[::2]] == [float(str(x)) for x in NUMBERS]
    assert {len(row) for row in rows} == {11}


def test_titles_are_no_formulas_and_move_nothing(sheets):
    (row,) = sheets["titles"]
    assert [cell.formula for cell in row] == [None] * len(TITLES)
    # LibreOffice writes a tab as an element of its own, which `_plain` leaves out.
    assert [cell.text.removeprefix("'") for cell in row] == [
        title.replace("\t", "") for title in TITLES
    ]


def test_hostile_text_moves_nothing_to_another_cell(sheets):
    rows = sheets["hostile"][1:]
    assert len(rows) == 2 * len(HOSTILE)
    for row, amount in zip(rows, ["100", "-100"] * len(HOSTILE), strict=True):
        assert (row[9].type, row[9].value) == ("float", amount)
        assert (row[10].type, row[10].text) == ("string", "THB")
        assert len(row) == 11


def test_amounts_are_numbers_and_negative_ones_too(sheets):
    cells = [row[9] for row in sheets["amounts"][1:]]
    assert [cell.type for cell in cells] == ["float"] * len(AMOUNTS)
    assert [float(cell.value) for cell in cells] == [float(amount) for amount in AMOUNTS]


def test_debits_and_credits_are_numbers_and_missing_ones_are_empty(sheets):
    first, second = sheets["thai"][1:3]
    assert [cell.type for cell in first[7:10]] == ["float", None, "float"]
    assert [cell.value for cell in second[7:10]] == [None, "100", "-100"]


def test_dates_are_dates(sheets):
    assert (sheets["thai"][1][2].type, sheets["thai"][1][2].value) == ("date", "2026-01-17")


def test_thai_is_intact(sheets):
    assert [cell.text for cell in sheets["thai"][0]][:2] == ["Entry ID", "Line"]
    assert [row[4].text for row in sheets["thai"][1::2]] == THAI
    assert [row[6].text for row in sheets["thai"][1::2]] == THAI


def _file(texts: list[str], profile: Profile) -> bytes:
    lines = [{"debit": Decimal128("100.00")}, {"credit": Decimal128("100.00")}]
    content, figures = render(
        [
            entry(
                *({"accountCode": text, "accountName": text, **line} for line in lines),
                reference=text,
                description=text,
            )
            for text in texts
        ],
        profile,
    )
    assert figures.entry_count == len(texts)
    return content


def _titled() -> tuple[Column, ...]:
    return tuple(Column(title=title, value="entry.reference") for title in TITLES)


def _bare(amount: str) -> dict[str, object]:
    when = datetime(2026, 1, 17, tzinfo=UTC)
    return entry(lines=[], amount=Decimal128(amount), date=when)


def rows_of_fods(path: Path) -> Iterator[list[FodsCell]]:
    root = ElementTree.parse(path).getroot()  # noqa: S314 -- LibreOffice has just written it
    for row in root.iter(f"{_TABLE}table-row"):
        cells: list[FodsCell] = []
        for element in row:
            kind = element.get(f"{_OFFICE}value-type")
            cell = FodsCell(
                formula=element.get(f"{_TABLE}formula"),
                type=kind,
                value=element.get(f"{_OFFICE}{'date-value' if kind == 'date' else 'value'}"),
                text="\n".join(map(_plain, element.iter(f"{_TEXT}p"))),
            )
            cells += [cell] * int(element.get(f"{_TABLE}number-columns-repeated", "1"))
        repeated = int(row.get(f"{_TABLE}number-rows-repeated", "1"))
        # What follows the last filled cell is one empty cell, repeated to the edge of the sheet.
        while cells and cells[-1].type is None:
            cells.pop()
        if cells:
            yield from [cells] * repeated


def _plain(paragraph: ElementTree.Element) -> str:
    text = paragraph.text or ""
    for element in paragraph:
        if element.tag == f"{_TEXT}s":
            text += " " * int(element.get(f"{_TEXT}c", "1"))
        text += "".join(element.itertext()) + (element.tail or "")
    return text
