"""`compare`: a day against files that other systems, and people with spreadsheets, make."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from bson import Decimal128
from click.testing import CliRunner
from pymongo.database import Database

from daybook.cli.main import main
from tests.acceptance.runbook_stage import own_logging
from tests.integration.office import DAY, EVENING, Office

pytestmark = pytest.mark.migrated
DATE = DAY.isoformat()


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "files"
    folder.mkdir()
    with Office(database, mongo_uri, folder) as office:
        yield office


def compared(office: Office, file: Path, *arguments: str, code: int) -> dict[str, Any]:
    with own_logging():
        result = CliRunner(env=office.env).invoke(
            main, ["compare", DATE, str(file), "--json", *arguments]
        )
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(office: Office, file: Path, *arguments: str) -> str:
    with own_logging():
        result = CliRunner(env=office.env).invoke(main, ["compare", DATE, str(file), *arguments])
    assert result.exit_code == 2, result.output
    return result.stderr


def written(
    path: Path, rows: Sequence[Sequence[str]], encoding: str = "utf-8", **form: Any
) -> Path:
    out = io.StringIO()
    csv.writer(out, **form).writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def rows_of(office: Office) -> list[list[str]]:
    return list(csv.reader(io.StringIO(office.file().read_text("utf-8-sig"), newline="")))


def test_the_delivered_file_is_the_same_as_itself(office: Office) -> None:
    office.add(description='=1+1, "quoted"\nsecond line')
    office.add(lines=[], amount=Decimal128("-12.50"))
    office.export()
    found = compared(office, office.file(), code=0)
    assert (found["status"], found["origin"]) == ("same", "delivered")
    assert found["key"] == "Entry ID"
    assert found["entryCounts"] == {"ours": 2, "theirs": 2}
    assert len(found["columns"]) == 11


def as_semicolons(path: Path, rows: list[list[str]]) -> Path:
    return written(path, rows, delimiter=";")


def as_thai_tabs(path: Path, rows: list[list[str]]) -> Path:
    return written(path, rows, "cp874", delimiter="\t")


def as_utf_16(path: Path, rows: list[list[str]]) -> Path:
    return written(path, rows, "utf-16")


def as_xlsx(path: Path, rows: list[list[str]]) -> Path:
    book = xlsxwriter.Workbook(path, {"in_memory": True})
    sheet = book.add_worksheet()
    dates = book.add_format({"num_format": "yyyy-mm-dd"})
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            title = rows[0][column]
            if at and title in ("Debit", "Credit", "Amount") and cell:
                sheet.write_number(at, column, float(cell))
            elif at and title == "Date":
                sheet.write_datetime(at, column, datetime.fromisoformat(cell), dates)
            else:
                sheet.write_string(at, column, cell)
    book.close()
    return path


def other_spellings(path: Path, rows: list[list[str]]) -> Path:
    """Amounts with separators, days first, unused sides as zero, titles in capitals."""
    titles = [title.upper() + " " for title in rows[0]]
    body = [
        [
            f"{float(cell):,.2f}"
            if title in ("Debit", "Credit", "Amount") and cell
            else "/".join(reversed(cell.split("-")))
            if title == "Date"
            else cell
            for title, cell in zip(rows[0], row, strict=True)
        ]
        for row in rows[1:]
    ]
    return written(path, [titles, *reversed(body)])


@pytest.mark.parametrize("form", [as_semicolons, as_thai_tabs, as_utf_16, as_xlsx, other_spellings])
def test_the_same_content_in_another_form_is_the_same(
    office: Office, tmp_path: Path, form: Callable[[Path, list[list[str]]], Path]
) -> None:
    office.add("1234567.50", description="ค่าเช่าสำนักงาน")
    office.add("0.10", reference="0012")
    office.export()
    path = form(tmp_path / "theirs", rows_of(office))
    assert compared(office, path, code=0)["status"] == "same"


@pytest.mark.parametrize(
    ("ours", "file_format"),
    [
        *((form, "csv") for form in ("%d/%m/%Y", "%F", "%d/%m/%y", "%y%m%d", "%d %b %Y")),
        ("%Y-%m-%d", "xlsx"),
    ],
)
def test_a_leap_day_of_the_buddhist_era_is_the_same_day_in_any_form(
    office: Office, tmp_path: Path, ours: str, file_format: str
) -> None:
    office.env["DAYBOOK_PROFILES"] = (
        f"[daily]\ncalendar = 'be'\ndate_format = '{ours}'\nformat = '{file_format}'\n"
        "[[daily.columns]]\ntitle = 'Ref'\nvalue = 'entry.reference'\n"
        "[[daily.columns]]\ntitle = 'Date'\nvalue = 'entry.date'\n"
    )
    leap_day = datetime(2024, 2, 29, 5, tzinfo=UTC)
    office.add(reference="LEAP", date=leap_day)
    office.add(reference="NEXT", date=leap_day + timedelta(days=1))
    for day in ("29/02/2567", "2567-02-29", "29/02/2024", "2024-02-29"):
        rows = [["Ref", "Date"], *[["LEAP", day]] * 2, *[["NEXT", day]] * 2]
        path = written(tmp_path / "theirs.csv", rows)
        found = compared(office, path, "--key", "Ref", code=1)
        assert [one["entry"] for one in found["differing"]] == ["NEXT"], day


def test_each_difference_is_named(office: Office, tmp_path: Path) -> None:
    kept, edited, ours_only = office.add(), office.add(description="Rent"), office.add()
    unbalanced = office.add("10.00", credit="9.00")
    office.export()
    header, *rows = rows_of(office)
    theirs = [row for row in rows if row[0] != str(ours_only)]
    for row in theirs:
        if row[0] == str(edited) and row[1] == "1":
            row[header.index("Debit")] = "99.00"
            row[header.index("Description")] = "Rent, March"
    theirs = [row for row in theirs if not (row[0] == str(kept) and row[1] == "2")]
    theirs.append([str(unbalanced), "1", *rows[0][2:]])
    path = written(tmp_path / "theirs.csv", [header, *theirs])
    found = compared(office, path, code=1)
    assert found["status"] == "differs"
    assert found["onlyOurs"] == [str(ours_only)]
    (left_out,) = found["onlyTheirs"]
    assert left_out["entry"] == str(unbalanced)
    assert "debit 10.00 is not credit 9.00" in left_out["reason"]
    by_entry = {one["entry"]: one for one in found["differing"]}
    assert set(by_entry) == {str(kept), str(edited)}
    assert (by_entry[str(kept)]["ourRows"], by_entry[str(kept)]["theirRows"]) == (2, 1)
    assert by_entry[str(edited)]["cells"] == [
        {"row": 1, "column": "Description", "ours": "Rent", "theirs": "Rent, March"},
        {"row": 1, "column": "Debit", "ours": "100.00", "theirs": "99.00"},
    ]


def test_columns_are_named_by_hand_and_entries_by_their_reference(
    office: Office, tmp_path: Path
) -> None:
    office.add(reference="RV-1")
    office.add(reference="RV-2")
    rows = [
        ["Voucher", "Soll", "Haben", "Memo"],
        ["RV-1", "100", "", "a"],
        ["RV-1", "", "100", "b"],
        ["RV-2", "100", "0", "c"],
        ["", "0", "100.01", "d"],
    ]
    path = written(tmp_path / "theirs.csv", rows)
    found = compared(
        office, path, "--columns", "Voucher=Reference, Soll=Debit,Haben=Credit", code=1
    )
    assert (found["origin"], found["key"]) == ("planned", "Reference")
    assert found["otherColumns"]["theirs"] == ["Memo"]
    (differing,) = found["differing"]
    assert differing["entry"] == "RV-2"
    assert differing["cells"] == [
        {"row": 2, "column": "Credit", "ours": "100.00", "theirs": "100.01"}
    ]
    assert office.queue.count_documents({"status": "queued"}) == 2  # nothing was done


@pytest.mark.parametrize("key", ["Entry ID", "Reference"])
def test_after_another_application_has_delivered_its_entries_are_compared(
    office: Office, tmp_path: Path, key: str
) -> None:
    taken, left, later = (office.add(reference=name) for name in ("RV-1", "RV-2", "RV-3"))
    rejected = office.add("10.00", credit="9.00", reference="RV-4")
    compared_before = compared(office, _their_file(office, tmp_path, key, [taken]), code=1)
    assert compared_before["origin"] == "planned"
    done = {"status": "completed", "metadata": {"batchDate": DATE, "fileId": "theirs"}}
    office.queue.update_many({"entryId": {"$in": [taken, rejected]}}, {"$set": done})
    office.queue.update_one({"entryId": left}, {"$set": {"createdAt": EVENING}})
    office.queue.update_one(
        {"entryId": later}, {"$set": {"createdAt": EVENING + timedelta(hours=2)}}
    )
    office.logs.insert_one(
        {
            "action": "csv_generated",
            "queueId": None,
            "metadata": {"batchDate": DATE, "fileId": "theirs", "filename": "x.csv"},
            "createdAt": EVENING + timedelta(hours=1),
        }
    )
    path = _their_file(office, tmp_path, key, [taken, rejected])
    found = compared(office, path, code=1)
    names = {taken: "RV-1", left: "RV-2", rejected: "RV-4"}
    called = {one: str(one) if key == "Entry ID" else names[one] for one in names}
    assert found["origin"] == "recorded_elsewhere"
    assert found["onlyOurs"] == [called[left]]
    (only,) = found["onlyTheirs"]
    assert only["entry"] == called[rejected]
    assert "debit 10.00 is not credit 9.00" in only["reason"]
    assert found["differing"] == []


def _their_file(office: Office, folder: Path, key: str, entry_ids: Sequence[Any]) -> Path:
    rows = [[key, "Line", "Debit", "Credit"]]
    for entry in office.entries.find({"_id": {"$in": list(entry_ids)}}):
        name = str(entry["_id"]) if key == "Entry ID" else entry["reference"]
        rows += [
            [name, str(number), str(line["debit"]), str(line["credit"])]
            for number, line in enumerate(entry["lines"], start=1)
        ]
    return written(folder / "theirs.csv", rows)


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"", (), "is empty"),
        (b"\n\n", (), "is empty"),
        (b"Foo,Bar\n1,2\n", (), "no column in common"),
        (b"Debit,Credit\n1,2\n", (), "names the entries"),
        (b"Entry ID,Debit\n1,2,3\n", (), "row 2 has 3 cells"),
        (b'Entry ID,Debit\n"1,2\n', (), "is no CSV"),
        (b"PK\x03\x04rubbish", (), "is no xlsx file"),
        (b"Entry ID\n1\n", ("--columns", "Foo=Debit"), "does not have a column"),
        (b"Entry ID\n1\n", ("--columns", "Entry ID=Foo"), "does not have a column"),
        (b"Entry ID\n1\n", ("--columns", "Foo"), "Theirs=Ours"),
        (b"Entry ID\n1\n", ("--key", "Foo"), "no such column"),
        (b"Entry ID\n1\n", ("--delimiter", "x"), "--delimiter"),
        (b"Entry ID\n\xff\n", ("--encoding", "utf-8"), "cannot be read as utf-8"),
        (b"Entry ID\n1\n", ("--encoding", "nonsense"), "cannot be read as nonsense"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused_with_the_reason(
    office: Office, tmp_path: Path, content: bytes, arguments: tuple[str, ...], said: str
) -> None:
    office.add()
    path = tmp_path / "theirs"
    path.write_bytes(content)
    assert said in refused(office, path, *arguments)


def test_hostile_cells_stay_text_on_the_terminal(office: Office, tmp_path: Path) -> None:
    office.add()
    rows = [["Entry ID", "Description"], ["\x1b[31mred\u202e", "=HYPERLINK(1)"]]
    path = written(tmp_path / "theirs.csv", rows)
    with own_logging():
        result = CliRunner(env=office.env).invoke(main, ["compare", DATE, str(path)])
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "UTF16", "utf-8", "cp874"])
def test_a_file_is_read_in_the_named_encoding_with_or_without_its_mark(
    office: Office, tmp_path: Path, encoding: str
) -> None:
    office.add(description="ค่าเช่า")
    office.export()
    path = written(tmp_path / "theirs.csv", rows_of(office), encoding)
    named = "utf-16" if encoding == "utf-16-le" else encoding
    assert compared(office, path, "--encoding", named, code=0)["status"] == "same"


@pytest.mark.parametrize(
    ("content", "arguments", "why"),
    [
        (
            b"Entry ID,Debit\n" + b"x" * 3_000_000 + b"\xff,1\n",
            ("--encoding", "utf-8"),
            "3,000,015",
        ),
        (
            b"Entry ID\n" + b"x" * (2**20 - 10) + "ก".encode()[:2],
            ("--encoding", "utf-8"),
            "1,048,575",
        ),
        (b"Entry ID\n1\n", ("--encoding", "hex"), "hex"),
        (b"Entry ID\n1\n", ("--encoding", "no-such"), "no-such"),
    ],
    ids=["in a later block", "cut off at the end of a block", "of bytes", "unknown"],
)
def test_an_encoding_that_does_not_fit_is_refused_with_the_place(
    office: Office, tmp_path: Path, content: bytes, arguments: tuple[str, ...], why: str
) -> None:
    office.add()
    path = tmp_path / "theirs.csv"
    path.write_bytes(content)
    assert why in refused(office, path, *arguments)
