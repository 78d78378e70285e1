"""`verify` on real deliveries: what was changed afterwards is found and named."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database

from daybook.audit.difference import VerifyDifference, VerifyKind
from daybook.audit.verify import NotDelivered, Verification, verify
from daybook.errors import DestinationError
from daybook.export.context import Job
from daybook.export.model.part import FIRST_PART_SIZE
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.operations.requeue import requeue
from daybook.export.outcome import Status
from daybook.export.queue.plan import scan
from daybook.export.run import run
from daybook.local import sample
from tests import commands
from tests.integration.office import DAY, NEXT_DAY, Office, line

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def verified(office: Office, day: Any = DAY, profile: Profile | None = None) -> Verification:
    return verify(office.database, office.app.destination, profile or office.app.profile(), day)


def of_kind(found: Verification, kind: VerifyKind) -> list[VerifyDifference]:
    return [difference for difference in found.differences if difference.kind is kind]


def only(found: Verification, kind: VerifyKind) -> VerifyDifference:
    (difference,) = of_kind(found, kind)
    return difference


def test_an_untouched_delivery_is_verified(office: Office) -> None:
    office.add()
    office.add(description='line one\nline two, "quoted"')
    office.add(lines=[], amount=Decimal128("12.50"))
    office.export()
    found = verified(office)
    assert found.differences == ()
    assert found.to_doc()["status"] == "verified"
    assert found.to_doc()["entryCount"] == 3


def test_a_rejected_entry_does_not_matter_even_when_it_was_corrected(office: Office) -> None:
    office.add()
    wrong = office.add("10.00", credit="9.00")
    office.add()
    office.export()
    assert verified(office).differences == ()
    office.entries.update_one({"_id": wrong}, {"$set": {"lines.1.credit": Decimal128("10.00")}})
    assert verified(office).differences == ()
    requeue(office.database, office.app.profile(), str(wrong), now=office.app.clock())
    assert verified(office).differences == ()
    office.export(NEXT_DAY)
    assert verified(office).differences == ()
    assert verified(office, NEXT_DAY).differences == ()


def test_an_edited_entry_is_named_with_its_row_and_column(office: Office) -> None:
    office.add()
    edited = office.add(description="Rent")
    office.add()
    office.export()
    office.entries.update_one({"_id": edited}, {"$set": {"description": "Rent, March"}})
    found = verified(office)
    changed = of_kind(found, VerifyKind.ROW_CHANGED)
    assert [(each.entry_id, each.row) for each in changed] == [(edited, 3), (edited, 4)]
    assert "Description: the file says 'Rent', the entry gives 'Rent, March'" in changed[0].detail
    assert len(found.differences) == 2


def test_an_edited_amount_also_shows_in_the_control_totals(office: Office) -> None:
    edited = office.add("100.00")
    office.export()
    office.entries.update_one(
        {"_id": edited},
        {"$set": {"lines.0.debit": Decimal128("1"), "lines.1.credit": Decimal128("1")}},
    )
    figures = only(verified(office), VerifyKind.FIGURES)
    assert "totals" in figures.detail
    assert "'100.00'" in figures.detail
    assert "'1.00'" in figures.detail


def test_a_deleted_entry_is_named_with_its_rows(office: Office) -> None:
    office.add()
    deleted = office.add()
    office.add()
    office.export()
    office.entries.delete_one({"_id": deleted})
    found = verified(office)
    gone = only(found, VerifyKind.ENTRY_UNFIT)
    assert (gone.entry_id, gone.row) == (deleted, 3)
    assert "rows 3 to 4 of the data, 4 to 5 in a spreadsheet" in gone.detail
    assert "does not exist" in gone.detail
    assert {each.kind for each in found.differences} == {VerifyKind.ENTRY_UNFIT, VerifyKind.FIGURES}


def test_the_last_entry_deleted_is_named_too(office: Office) -> None:
    office.add()
    deleted = office.add()
    office.export()
    office.entries.delete_one({"_id": deleted})
    assert only(verified(office), VerifyKind.ENTRY_UNFIT).entry_id == deleted


def test_a_line_added_or_removed_since_is_a_row_missing_or_left_over(office: Office) -> None:
    longer, shorter = office.add(), office.add()
    office.add()
    office.export()
    office.entries.update_one({"_id": longer}, {"$push": {"lines": line("1120", "0", "0")}})
    office.entries.update_one({"_id": shorter}, {"$set": {"lines": [line("1110", "0", "0")]}})
    found = verified(office)
    assert only(found, VerifyKind.ROW_MISSING).entry_id == longer
    extra = only(found, VerifyKind.ROW_EXTRA)
    assert (extra.entry_id, extra.row) == (shorter, 4)


@pytest.mark.parametrize("seed", range(6))
def test_of_many_entries_exactly_those_that_were_changed_are_named(
    office: Office, seed: int
) -> None:
    chance = random.Random(seed)
    entries = [office.add(f"{chance.randrange(1, 5)}.00") for _ in range(60)]
    office.export()
    changed = set(chance.sample(entries, chance.randrange(1, 25)))
    for entry_id in changed:
        match chance.randrange(3):
            case 0:
                office.entries.delete_one({"_id": entry_id})
            case 1:
                office.entries.update_one({"_id": entry_id}, {"$set": {"reference": "RV-2"}})
            case _:
                office.entries.update_one(
                    {"_id": entry_id}, {"$push": {"lines": line("1120", "0", "0")}}
                )
    named = {
        each.entry_id
        for each in verified(office).differences
        if each.kind is not VerifyKind.FIGURES
    }
    assert named == changed


@pytest.mark.parametrize("seed", range(3))
def test_without_an_id_column_the_first_change_is_still_named(office: Office, seed: int) -> None:
    profile = office.app.profile()
    profile = replace(profile, columns=profile.columns[1:])
    entries = [office.add(f"{amount}.00") for amount in range(1, 30)]
    job = Job(
        key=BatchKey(profile=profile.name, batch_date=DAY.isoformat()),
        filename=office.file().name,
        scan=lambda: scan(office.database, profile),
    )
    assert run(office.app.exporter(profile), job).status is Status.EXPORTED
    assert verified(office, profile=profile).differences == ()
    edited = random.Random(seed).randrange(len(entries))
    office.entries.update_one({"_id": entries[edited]}, {"$set": {"description": "else"}})
    changed = of_kind(verified(office, profile=profile), VerifyKind.ROW_CHANGED)
    assert [(each.entry_id, each.row) for each in changed] == [
        (entries[edited], 2 * edited + 1),
        (entries[edited], 2 * edited + 2),
    ]


def test_changes_in_a_later_part_of_a_large_batch_are_found(office: Office) -> None:
    sample.seed(office.database, at=office.app.clock(), entries=FIRST_PART_SIZE + 10)
    office.export()
    assert office.batch()["manifest"]["partCount"] == 2
    assert verified(office).differences == ()
    ids = [item["entryId"] for item in office.queue.find().sort("_id", 1)]
    # The last of one part and the first of the next: only the one after is in step again.
    office.entries.delete_one({"_id": ids[FIRST_PART_SIZE - 1]})
    office.entries.update_one({"_id": ids[FIRST_PART_SIZE]}, {"$set": {"reference": "changed"}})
    found = verified(office)
    assert only(found, VerifyKind.ENTRY_UNFIT).entry_id == ids[FIRST_PART_SIZE - 1]
    assert {each.entry_id for each in of_kind(found, VerifyKind.ROW_CHANGED)} == {
        ids[FIRST_PART_SIZE]
    }


def test_a_row_removed_from_the_file_is_missing(office: Office) -> None:
    entry = office.add()
    office.add()
    office.export()
    office.rewrite(
        lambda text: "".join(
            text.splitlines(keepends=True)[:2] + text.splitlines(keepends=True)[3:]
        )
    )
    found = verified(office)
    assert {VerifyKind.SIZE, VerifyKind.MD5, VerifyKind.SHA256, VerifyKind.ROW_MISSING} <= {
        each.kind for each in found.differences
    }
    assert {each.entry_id for each in found.differences} == {None, entry}


def test_rows_added_to_the_file_are_found(office: Office) -> None:
    office.add()
    office.add()
    office.export()
    invented = "6" * 24 + ",1,2026-01-18,X,X,1,X,1.00,0.00,1.00,THB\r\n"
    office.rewrite(lambda text: text + invented)
    assert only(verified(office), VerifyKind.ROW_EXTRA).row == 5
    office.rewrite(lambda text: text.removesuffix(invented))
    assert verified(office).differences == ()
    lines = office.file().read_text("utf-8-sig").splitlines()
    office.rewrite(lambda text: text.replace(lines[3], invented.strip() + "\r\n" + lines[3]))
    extra = only(verified(office), VerifyKind.ROW_EXTRA)
    assert extra.row == 3
    assert "no entry of the manifest" in extra.detail


def test_one_changed_byte_is_found_by_every_digest_and_in_its_row(office: Office) -> None:
    entry = office.add(reference="RV-100")
    office.export()
    office.rewrite(lambda text: text.replace("RV-100", "RV-900", 1))
    found = verified(office)
    assert [each.kind for each in found.differences] == [
        VerifyKind.MD5,
        VerifyKind.SHA256,
        VerifyKind.ROW_CHANGED,
    ]
    assert (found.differences[2].entry_id, found.differences[2].row) == (entry, 1)


def test_a_changed_header_is_said_once_instead_of_for_every_row(office: Office) -> None:
    office.add()
    office.export()
    office.rewrite(lambda text: text.replace("Entry ID", "ID"))
    kinds = [each.kind for each in verified(office).differences]
    assert kinds == [VerifyKind.SIZE, VerifyKind.MD5, VerifyKind.SHA256, VerifyKind.HEADER]


def test_a_file_with_other_entries_altogether_is_out_of_step(office: Office) -> None:
    for _ in range(120):
        office.add()
    office.export()
    header = office.file().read_text("utf-8-sig").splitlines()[0]
    office.rewrite(lambda text: header + "\r\n" + "nothing\r\n")
    assert only(verified(office), VerifyKind.OUT_OF_STEP).row == 1


def test_a_file_that_is_gone_is_a_difference_and_the_rest_is_still_checked(office: Office) -> None:
    entry = office.add()
    office.export()
    office.file().unlink()
    office.queue.update_one({"entryId": entry}, {"$set": {"status": "queued"}})
    kinds = [each.kind for each in verified(office).differences]
    assert kinds == [VerifyKind.FILE_UNREADABLE, VerifyKind.ITEM]


def test_items_that_do_not_say_what_the_file_says_are_named(office: Office) -> None:
    queued, elsewhere, gone, wrong = (
        office.add(),
        office.add(),
        office.add(),
        office.add("1", credit="2"),
    )
    office.add()
    office.export()
    office.queue.update_one({"entryId": queued}, {"$set": {"status": "queued"}})
    office.queue.update_one({"entryId": elsewhere}, {"$set": {"metadata.fileId": "other"}})
    office.queue.delete_one({"entryId": gone})
    office.queue.update_one({"entryId": wrong}, {"$set": {"status": "completed"}})
    found = verified(office)
    assert {
        each.entry_id: each.detail.split(f" of entry RV-1 ({each.entry_id})")[1]
        for each in found.differences
    } == {
        queued: " is in the file, but its status is queued",
        elsewhere: " names file other instead",
        gone: " was deleted",
        wrong: " was rejected, but its status is completed",
    }
    assert {each.kind for each in found.differences} == {VerifyKind.ITEM}


def test_the_record_must_be_there_once_and_say_the_same(office: Office) -> None:
    office.add()
    office.export()
    office.logs.update_one({"action": "csv_generated"}, {"$set": {"metadata.entryCount": 7}})
    assert "entryCount is 7, the batch has 1" in only(verified(office), VerifyKind.RECORD).detail
    office.logs.delete_many({"action": "csv_generated"})
    assert "0 csv_generated records" in only(verified(office), VerifyKind.RECORD).detail


def test_two_records_of_one_day_are_a_difference(office: Office) -> None:
    office.add()
    office.export()
    office.logs.drop_index("idx_batch_daily_unique")
    record = office.logs.find_one({"action": "csv_generated"})
    assert record is not None
    office.logs.insert_one({**record, "_id": ObjectId()})
    assert "2 csv_generated records" in only(verified(office), VerifyKind.RECORD).detail


def test_a_missing_rejection_record_is_a_difference(office: Office) -> None:
    office.add()
    office.add("1", credit="2")
    office.export()
    office.logs.delete_many({"action": "entry_rejected"})
    assert "0 entry_rejected records" in only(verified(office), VerifyKind.RECORD).detail


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda parts: parts.delete_many({}), "is missing"),
        (lambda parts: parts.update_one({}, {"$pop": {"queueIds": 1, "entryIds": 1}}), "altered"),
    ],
    ids=["deleted", "altered"],
)
def test_a_damaged_manifest_is_a_difference_not_a_crash(
    office: Office, damage: Callable[[Any], object], said: str
) -> None:
    office.add()
    office.add()
    office.export()
    damage(office.database["exportmanifests"])
    assert said in only(verified(office), VerifyKind.MANIFEST).detail


def test_unfinished_marking_is_a_difference(office: Office) -> None:
    office.add()
    office.export()
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    assert "marking is unfinished" in only(verified(office), VerifyKind.ITEM).detail


def test_an_empty_day_is_verified_by_its_record(office: Office) -> None:
    office.export()
    assert verified(office).status == "empty"
    office.logs.delete_many({})
    assert "0 batch_empty records" in only(verified(office), VerifyKind.RECORD).detail


def test_a_day_without_a_file_of_ours_cannot_be_verified(office: Office) -> None:
    with pytest.raises(NotDelivered, match="no run"):
        verified(office)
    office.add()
    office.database.command("collMod", "exportlogs", validator={"tenant": "theirs"})
    assert commands.run_day(office.app, DAY).status is Status.FAILED
    with pytest.raises(NotDelivered, match="the batch is failed"):
        verified(office)
    office.database.command("collMod", "exportlogs", validator={})
    office.logs.insert_one(
        {
            "action": "csv_generated",
            "metadata": {"batchDate": NEXT_DAY.isoformat(), "fileId": "theirs"},
        }
    )
    assert commands.run_day(office.app, NEXT_DAY).status is Status.ALREADY_EXPORTED
    with pytest.raises(NotDelivered, match="another application recorded file theirs"):
        verified(office, NEXT_DAY)


def test_nothing_is_written(office: Office) -> None:
    office.add()
    office.export()
    office.add()

    def everything() -> dict[str, list[dict[str, Any]]]:
        return {
            name: office.database[name].find().sort("_id", 1).to_list()
            for name in sorted(office.database.list_collection_names())
        }

    before = everything()
    verified(office)
    assert everything() == before


def test_a_destination_that_cannot_be_asked_is_an_error(office: Office) -> None:
    class Silent:
        def read(self, file_id: str, name: str) -> Iterator[bytes]:
            raise DestinationError("no answer")

    office.add()
    office.export()
    with pytest.raises(DestinationError, match="no answer"):
        verify(office.database, Silent(), office.app.profile(), DAY)  # type: ignore[arg-type]


def as_the_earlier_version_made_it(office: Office, change: Callable[[str], str]) -> None:
    """Put the file, and all that is recorded of it, in the form in which it used to be."""
    office.rewrite(change)
    content = office.file().read_bytes()
    facts = {
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sizeBytes": len(content),
    }
    batches = office.database["exportbatches"]
    batches.update_one({}, {"$set": facts, "$unset": {"rejectedReasons": ""}})
    office.logs.update_one(
        {"action": "csv_generated"},
        {"$set": {f"metadata.{name}": value for name, value in facts.items()}},
    )


def test_a_file_that_an_earlier_version_quoted_and_spelt_its_way_is_verified(
    office: Office,
) -> None:
    for number in range(150):  # more than are looked ahead for a row that is as expected
        office.add(description=f"fee;{number}", reference=-number, currency="thb ")
    office.add(description='plain, "quoted"\nand broken; here', currency="THB")
    office.export()
    as_the_earlier_version_made_it(
        office,
        lambda text: re.sub(
            r"THB(?=\r\n)",
            "thb ",
            re.sub(r'"(fee;\d+)"', r"\1", re.sub(r",(-\d+),", r",'\1,", text)),
        ),
    )
    totals = office.batch()["totals"]["THB"]
    earlier = {"THB": dict.fromkeys(totals, "0.00"), "thb ": totals}
    office.database["exportbatches"].update_one({}, {"$set": {"totals": earlier}})
    office.logs.update_one({"action": "csv_generated"}, {"$set": {"metadata.totals": earlier}})
    found = verified(office)
    assert found.differences == ()
    assert found.status == "verified"
    assert found.notes == (
        "quoted or spelt as an earlier version did it: 151 entries; the cells say the same",
    )
    assert found.to_doc()["notes"] == list(found.notes)


def test_an_edit_of_such_a_file_is_still_found(office: Office) -> None:
    ids = [office.add(description=f"fee;{number}") for number in range(3)]
    office.export()
    as_the_earlier_version_made_it(
        office, lambda text: text.replace('"fee;0"', "fee;0").replace('"fee;1"', "fee;7")
    )
    found = verified(office)
    (changed, _) = of_kind(found, VerifyKind.ROW_CHANGED)
    assert changed.entry_id == ids[1]
    assert "the file says 'fee;7', the entry gives 'fee;1'" in changed.detail
    assert found.notes[0].startswith("quoted or spelt as an earlier version did it: 1 entry")


def test_an_entry_that_only_later_rules_reject_is_a_note_for_an_earlier_version(
    office: Office,
) -> None:
    office.add()
    odd = office.add(description="bell")
    office.add(currency="USD")
    office.export()
    office.entries.update_one({"_id": odd}, {"$set": {"description": "be\x07ll"}})
    as_the_earlier_version_made_it(office, lambda text: text.replace("bell", "be\x07ll"))
    found = verified(office)
    assert found.differences == ()
    (note,) = found.notes
    assert note.startswith("1 entry of an earlier version's file would be rejected today")
    assert f"entry RV-1 ({odd})" in note
    assert "U+0007" in note
    # A file of today's version cannot contain it: the entry was changed since.
    office.database["exportbatches"].update_one({}, {"$set": {"rejectedReasons": {}}})
    assert only(verified(office), VerifyKind.ENTRY_UNFIT).entry_id == odd


def test_what_an_entry_must_have_decides_what_is_exported_and_not_what_is_verified(
    office: Office,
) -> None:
    first, second = office.add("5"), office.add("6")
    office.export()
    lacking = {"$set": {"lines.0.accountCode": " ", "date": datetime(2569, 1, 17, tzinfo=UTC)}}
    office.entries.update_many({}, lacking)
    changed = of_kind(verified(office), VerifyKind.ROW_CHANGED)
    assert {difference.entry_id for difference in changed} == {first, second}
    assert "Account Code: the file says '1110', the entry gives ' '" in changed[0].detail
    date = office.file().read_bytes().decode("utf-8-sig").split("\r\n")[1].split(",")[2]
    as_the_earlier_version_made_it(
        office, lambda text: text.replace(",1110,", ", ,").replace(date, "2569-01-17")
    )
    figures = {difference.detail for difference in verified(office).differences}
    assert all("otherMonthCount" in detail for detail in figures)


def test_what_was_deleted_is_called_by_the_reference_in_the_file(office: Office) -> None:
    gone, changed = office.add(reference="RV-7"), office.add(reference="RV-8")
    office.export()
    office.entries.delete_one({"_id": gone})
    office.entries.update_one({"_id": changed}, {"$set": {"description": "other"}})
    found = verified(office).differences
    assert {each.entry_id: each.kind for each in found if each.entry_id is not None} == {
        gone: VerifyKind.ENTRY_UNFIT,
        changed: VerifyKind.ROW_CHANGED,
    }
    assert f"entry RV-7 ({gone}): the file has rows 1 to 2" in found[0].detail
    assert all(
        f", entry RV-8 ({changed}): Description" in each.detail
        for each in found
        if each.entry_id == changed
    )
