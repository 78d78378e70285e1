"""Verifying and auditing xlsx files: by their digest as delivered, and by their cells."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from bson import Decimal128
from openpyxl import load_workbook
from pymongo.database import Database

from daybook.audit.audit import audit
from daybook.audit.difference import VerifyKind
from daybook.audit.verify import Verification, verify
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.profile import BatchKey
from tests.integration.office import DAY, EVENING, Office

pytestmark = pytest.mark.migrated

DIGESTS = [VerifyKind.SIZE, VerifyKind.MD5, VerifyKind.SHA256]


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    profiles = '[daily]\nformat = "xlsx"'
    with Office(database, mongo_uri, tmp_path, DAYBOOK_PROFILES=profiles) as office:
        for number in range(40):
            office.add(f"{number + 1}.25", reference=f"=RV-{number}", description="ค่า; 'บริการ'\n")
        office.add("1.00", credit="2.00")
        office.export()
        yield office


def verified(office: Office) -> Verification:
    return verify(office.database, office.app.destination, office.app.profile("daily"), DAY)


def batch(office: Office) -> Batch:
    key = BatchKey(profile="daily", batch_date=DAY.isoformat())
    found = batches.find(office.database["exportbatches"], key)
    assert found is not None
    return found


def audited(office: Office) -> list[tuple[str, str]]:
    (day,) = audit(
        office.database,
        office.app.destination,
        office.app.profile("daily"),
        [batch(office)],
        now=lambda: EVENING,
    )
    return [(finding.kind.value, finding.detail) for finding in day.findings]


def rewrite(office: Office, change: Callable[[bytes], bytes]) -> bytes:
    path = office.folder / f"batch_{DAY}.xlsx"
    content = change(path.read_bytes())
    path.write_bytes(content)
    return content


def packed(compression: int, level: int | None) -> Callable[[bytes], bytes]:
    """The same content compressed in another way, as by another build of zlib."""

    def change(content: bytes) -> bytes:
        out = io.BytesIO()
        with ZipFile(io.BytesIO(content)) as old, ZipFile(out, "w", compression) as new:
            for info in old.infolist():
                new.writestr(
                    info.filename, old.read(info), compress_type=compression, compresslevel=level
                )
        return out.getvalue()

    return change


def saved_again(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """Opened, changed and saved by an office program."""

    def rewritten(content: bytes) -> bytes:
        book = load_workbook(io.BytesIO(content))
        change(book["Journal"])
        out = io.BytesIO()
        book.save(out)
        return out.getvalue()

    return rewritten


def test_an_untouched_file_is_verified_and_unchanged(office: Office) -> None:
    found = verified(office)
    assert (found.status, found.differences, found.notes) == ("verified", (), ())
    assert audited(office) == []


@pytest.mark.parametrize(("compression", "level"), [(ZIP_DEFLATED, 1), (ZIP_STORED, None)])
def test_bytes_that_another_build_compressed_are_no_difference(
    office: Office, compression: int, level: int | None
) -> None:
    content = rewrite(office, packed(compression, level))
    facts = {
        "sizeBytes": len(content),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    office.database["exportbatches"].update_one({}, {"$set": facts})
    office.logs.update_one(
        {"action": "csv_generated"},
        {"$set": {f"metadata.{name}": value for name, value in facts.items()}},
    )

    assert verified(office).differences == ()
    assert audited(office) == []


def test_a_file_that_was_only_saved_again_has_other_digests_and_the_same_rows(
    office: Office,
) -> None:
    rewrite(office, saved_again(lambda _: None))
    assert [one.kind for one in verified(office).differences] == DIGESTS


@pytest.mark.parametrize(
    ("cell", "value", "detail"),
    [
        ("H4", 3, "Debit: the file says '3.00', the entry gives '2.25'"),
        ("H4", "2.25x", "Debit: the file says '2.25x', the entry gives '2.25'"),
        ("F4", 1110.5, "Account Code: the file says '1110.5', the entry gives '1110'"),
        ("D4", "=1+1", "Reference: the file says '=1+1', the entry gives '=RV-1'"),
    ],
)
def test_a_changed_cell_is_named(office: Office, cell: str, value: Any, detail: str) -> None:
    def change(sheet: Any) -> None:
        sheet[cell] = value

    rewrite(office, saved_again(change))

    *digests, row = verified(office).differences
    assert [one.kind for one in digests] == DIGESTS
    assert (row.kind, row.row) == (VerifyKind.ROW_CHANGED, 3)
    assert row.detail.endswith(detail)


def test_a_changed_entry_is_named_with_its_row(office: Office) -> None:
    office.entries.update_one(
        {"reference": "=RV-7"}, {"$set": {"lines.0.accountCode": "0042", "currency": "THB"}}
    )
    (row,) = verified(office).differences
    assert (row.kind, row.row) == (VerifyKind.ROW_CHANGED, 15)
    assert "Account Code: the file says '1110', the entry gives '0042'" in row.detail
    assert [kind for kind, _ in audited(office)] == ["entry_changed"]


def test_a_changed_amount_shows_in_the_totals(office: Office) -> None:
    office.entries.update_one(
        {"reference": "=RV-7"},
        {"$set": {"lines.0.debit": Decimal128("9.00"), "lines.1.credit": Decimal128("9.00")}},
    )
    kinds = [one.kind for one in verified(office).differences]
    assert kinds == [VerifyKind.ROW_CHANGED, VerifyKind.ROW_CHANGED, VerifyKind.FIGURES]


def _without_its_sheet(content: bytes) -> bytes:
    book = load_workbook(io.BytesIO(content))
    del book["Journal"]
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"not a workbook",
        lambda content: content[: len(content) // 2],
        _without_its_sheet,
    ],
)
def test_a_file_that_is_no_workbook_is_a_difference_not_a_crash(
    office: Office, change: Callable[[bytes], bytes]
) -> None:
    rewrite(office, change)
    kinds = [one.kind for one in verified(office).differences]
    assert VerifyKind.SHA256 in kinds
    assert VerifyKind.FILE_UNREADABLE in kinds
