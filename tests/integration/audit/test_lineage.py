"""`lineage`: where an entry went, by files that were really delivered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from click.testing import CliRunner
from pymongo.database import Database

from daybook.audit.lineage import EntryUnknown, Lineage, lineage
from daybook.cli.main import main
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.operations.requeue import requeue
from daybook.export.queue import manual
from daybook.local import sample
from tests import books, commands
from tests.integration.office import DAY, NEXT_DAY, Office, line

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def of(office: Office, entry_id: Any) -> Lineage:
    (found,) = lineage(office.database, office.app.profile(), str(entry_id))
    return found


def rows_of(office: Office, entry_id: Any) -> list[int]:
    """The rows of the delivered file that carry the entry's id, counted below the header."""
    delivered = books.rows(office.file().read_bytes())
    return [at for at, row in enumerate(delivered, start=1) if row["Entry ID"] == str(entry_id)]


def test_the_rows_are_those_of_the_delivered_file(office: Office) -> None:
    first = office.add(description="two\nlines")
    office.add("1", credit="2")
    bare = office.add(lines=[], amount=Decimal128("5"))
    last = office.add(lines=[line("1", "0", "0") for _ in range(4)])
    office.export()
    for entry_id in (first, bare, last):
        (file,) = of(office, entry_id).files
        expected = rows_of(office, entry_id)
        assert list(range(file.first_row, file.last_row + 1)) == expected
        assert file.certain
    assert (file.batch_date, file.filename) == (DAY.isoformat(), office.file().name)
    assert file.link == office.file().as_uri()
    assert file.file_id == office.batch()["fileId"]


def test_the_rows_are_also_given_as_a_spreadsheet_counts_them(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in office.env.items():
        monkeypatch.setenv(name, value)
    office.add()
    pair, bare = office.add(), office.add(lines=[], amount=Decimal128("5"))
    office.export()
    lines = office.file().read_text(encoding="utf-8-sig").splitlines()
    for entry_id, told in (
        (pair, "rows 3 to 4 of the data, 4 to 5 in a spreadsheet, whose row 1 is the header"),
        (bare, "row 5 of the data, 6 in a spreadsheet, whose row 1 is the header"),
    ):
        answer = CliRunner().invoke(main, ["lineage", str(entry_id)])
        assert told in answer.stdout
        (file,) = of(office, entry_id).files
        # The header is the sheet's row 1, and the list's item 0.
        in_sheet = [at for at, text in enumerate(lines, start=1) if str(entry_id) in text]
        assert in_sheet == list(range(file.first_row + 1, file.last_row + 2))


def test_rows_go_on_counting_from_part_to_part(office: Office) -> None:
    sample.seed(office.database, at=office.app.clock(), entries=FIRST_PART_SIZE)
    entry_id = office.add()
    office.export()
    assert office.batch()["manifest"]["partCount"] == 2
    (file,) = of(office, entry_id).files
    assert (
        [file.first_row, file.last_row]
        == rows_of(office, entry_id)
        == [2 * FIRST_PART_SIZE + 1, 2 * FIRST_PART_SIZE + 2]
    )


def test_a_rejected_entry_is_in_no_file_and_has_its_reason(office: Office) -> None:
    office.add()
    wrong = office.add("10.00", credit="9.00")
    office.add()
    office.export()
    found = of(office, wrong)
    assert found.files == ()
    assert [(item.status, item.reason) for item in found.items] == [("failed", "unbalanced")]
    (event,) = found.events
    assert event.batch_date == DAY.isoformat()
    assert "debit 10.00 is not credit 9.00" in event.detail


def test_a_requeued_entry_shows_both_days(office: Office) -> None:
    office.add()
    wrong = office.add("10.00", credit="9.00")
    office.add()
    office.export()
    office.entries.update_one({"_id": wrong}, {"$set": {"lines.1.credit": Decimal128("10.00")}})
    requeue(office.database, office.app.profile(), str(wrong), now=office.app.clock())
    waiting = of(office, wrong)
    assert (waiting.files, [item.status for item in waiting.items]) == ((), ["queued"])
    office.export(NEXT_DAY)
    found = of(office, wrong)
    assert [file.batch_date for file in found.files] == [NEXT_DAY.isoformat()]
    assert {event.action.value for event in found.events} == {"entry_rejected", "entry_requeued"}


def test_a_queued_entry_is_in_no_file(office: Office) -> None:
    found = of(office, office.add())
    assert found.files == ()
    assert [item.status for item in found.items] == ["queued"]


def test_an_entry_being_delivered_is_in_no_file_before_the_commit(office: Office) -> None:
    entry_id = office.add()
    office.export()
    office.database["exportmanifests"].update_many({}, {"$unset": {"markedAt": ""}})
    assert of(office, entry_id).files == ()


def test_manual_exports_are_listed_beside_the_day(office: Office) -> None:
    entry_id = office.add()
    office.export()
    commands.run_manual(office.app, manual.parse({"entryIds": [str(entry_id)]}, key="copy"))
    files = of(office, entry_id).files
    assert sorted((file.batch_date or "", file.first_row, file.last_row) for file in files) == [
        ("", 1, 2),
        (DAY.isoformat(), 1, 2),
    ]


def test_a_change_in_front_makes_the_rows_uncertain(office: Office) -> None:
    before = office.add()
    entry_id = office.add()
    office.export()
    office.entries.delete_one({"_id": before})
    (file,) = of(office, entry_id).files
    assert (file.first_row, file.certain) == (1, False)


def test_a_deleted_entry_is_still_found(office: Office) -> None:
    entry_id = office.add()
    office.export()
    office.entries.delete_one({"_id": entry_id})
    found = of(office, entry_id)
    assert not found.exists
    assert [file.filename for file in found.files] == [office.file().name]


def test_ids_that_are_text_are_found_as_text(office: Office) -> None:
    hex_text = "5f" * 12
    office.add(_id=hex_text, reference="TEXT")
    office.add(_id="SO-7")
    office.export()
    assert of(office, hex_text).reference == "TEXT"
    assert of(office, "SO-7").files[0].first_row == 3


def test_an_unknown_id_is_an_error_that_names_it(office: Office) -> None:
    with pytest.raises(EntryUnknown, match="nobody"):
        of(office, "nobody")
