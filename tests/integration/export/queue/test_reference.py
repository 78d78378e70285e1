"""An entry is named by its reference as well as by its ID, wherever a person names one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId, Regex
from pymongo.database import Database

from daybook.audit.lineage import EntryUnknown, lineage
from daybook.errors import BadRequest
from daybook.export.model.ids import Altered, hashable
from daybook.export.operations.requeue import NotRequeued, requeue
from daybook.export.outcome import Status
from daybook.export.queue import manual, named_entries
from tests import books, commands
from tests.integration.office import EVENING, Office

pytestmark = pytest.mark.migrated

REFERENCE = "RV-202601-0000001"
IDS = [ObjectId("6b0326e4796afecb35d29315"), "SO-7", 7, 7.5]


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


def rejected(office: Office, **fields: Any) -> Any:
    """An entry that the batch of the day rejected, and that is right by now."""
    wrong = office.add("10.00", credit="9.00", **fields)
    office.add(reference="OTHER")
    office.export()
    office.entries.update_one({"_id": wrong}, {"$set": {"lines.1.credit": Decimal128("10.00")}})
    return wrong


def copied(office: Office, *names: str) -> list[str]:
    """The references in the file of a manual export, in its order, each once."""
    outcome = commands.run_manual(office.app, manual.parse({"entryIds": list(names)}, key=None))
    assert outcome.status is Status.EXPORTED
    rows = books.rows((office.folder / outcome.facts["filename"]).read_bytes())
    return list(dict.fromkeys(row["Reference"] for row in rows))


@pytest.mark.parametrize("entry_id", IDS, ids=repr)
def test_an_entry_of_any_id_type_is_followed_requeued_and_copied_by_its_reference(
    office: Office, entry_id: Any
) -> None:
    rejected(office, _id=entry_id, reference=REFERENCE)
    profile = office.app.profile()
    (found,) = lineage(office.database, profile, REFERENCE)
    assert found.entry_id == entry_id
    assert [item.reason for item in found.items] == ["unbalanced"]
    requeued = requeue(office.database, profile, REFERENCE, now=EVENING)
    assert (requeued.entry_id, requeued.reference) == (entry_id, REFERENCE)
    assert [item["status"] for item in office.items(entry_id)] == ["queued"]
    assert copied(office, REFERENCE) == [REFERENCE]


def test_an_id_comes_before_the_same_text_as_a_reference(office: Office) -> None:
    wrong = rejected(office, _id="1001", reference="A")
    office.add(_id="other", reference="1001")
    profile = office.app.profile()
    assert [found.entry_id for found in lineage(office.database, profile, "1001")] == [wrong]
    assert requeue(office.database, profile, "1001", now=EVENING).entry_id == wrong
    assert copied(office, "1001") == ["A"]


def test_the_item_of_a_deleted_entry_comes_before_a_reference(office: Office) -> None:
    office.enqueue("1001", status="failed")
    office.add(_id="other", reference="1001")
    with pytest.raises(NotRequeued, match="does not exist"):
        requeue(office.database, office.app.profile(), "1001", now=EVENING)


def test_a_reference_of_several_entries_is_refused_with_their_ids(office: Office) -> None:
    first = rejected(office, reference=REFERENCE)
    second = office.add(_id="SO-7", reference=REFERENCE)
    before = office.queue.find().sort("_id", 1).to_list()
    words = rf"2 entries have the reference '{REFERENCE}': SO-7, {first}; give the ID"
    with pytest.raises(NotRequeued, match=words):
        requeue(office.database, office.app.profile(), REFERENCE, now=EVENING)
    with pytest.raises(BadRequest, match=words):
        copied(office, "OTHER", REFERENCE)
    assert office.queue.find().sort("_id", 1).to_list() == before
    assert office.database["exportbatches"].count_documents({"manualKey": {"$exists": True}}) == 0
    found = lineage(office.database, office.app.profile(), REFERENCE)
    assert {one.entry_id for one in found} == {first, second}


def test_of_many_entries_the_first_are_named(office: Office) -> None:
    books.put(office.database, *(books.entry(REFERENCE) for _ in range(25)))
    with pytest.raises(NotRequeued, match=r"25 entries have .* and 5 more; give"):
        requeue(office.database, office.app.profile(), REFERENCE, now=EVENING)


def test_a_copy_mixes_ids_and_references_and_has_each_entry_once(office: Office) -> None:
    first = office.add(reference="A")
    office.add(reference="B")
    office.add(reference="C")
    assert copied(office, "C", str(first), "A", "nobody", "B") == ["C", "A", "B"]


@pytest.mark.parametrize("stored", [1001, 1001.0, Decimal128("1001"), "1001", ["x", "1001"]])
def test_a_reference_is_found_by_what_the_file_shows(office: Office, stored: Any) -> None:
    entry_id = office.add(reference=stored)
    (found,) = lineage(office.database, office.app.profile(), "1001")
    assert found.entry_id == entry_id


@pytest.mark.parametrize("text", ["", "nobody", "null", '{"$ne": null}', ".*", "RV"])
def test_what_is_no_reference_finds_nothing(office: Office, text: str) -> None:
    office.add(reference=REFERENCE)
    office.add(reference=None)
    office.entries.update_one({"reference": None}, {"$unset": {"reference": ""}})
    with pytest.raises(EntryUnknown):
        lineage(office.database, office.app.profile(), text)
    with pytest.raises(NotRequeued, match="ID or reference"):
        requeue(office.database, office.app.profile(), text, now=EVENING)


def test_an_entry_whose_id_no_query_can_match_is_named_as_such(office: Office) -> None:
    office.entries.insert_one({**books.entry(REFERENCE), "_id": "x" * 2000})
    office.add(reference="OTHER")
    with pytest.raises(EntryUnknown, match="cannot be followed"):
        lineage(office.database, office.app.profile(), REFERENCE)
    with pytest.raises(NotRequeued, match="no scheduled queue item"):
        requeue(office.database, office.app.profile(), REFERENCE, now=EVENING)
    assert copied(office, REFERENCE, "OTHER") == ["OTHER"]


def test_a_delivered_entry_shows_its_file_by_its_reference(office: Office) -> None:
    office.add(reference=REFERENCE)
    office.export()
    (found,) = lineage(office.database, office.app.profile(), REFERENCE)
    assert [file.filename for file in found.files] == [office.file().name]


def test_an_id_that_no_query_can_match_has_no_reference_and_finds_no_other_entry(
    office: Office,
) -> None:
    entry_id = office.add(_id="aa", reference=REFERENCE)
    odd = [Regex("a+"), ["aa"], {"$gt": ""}, "\udcff", Altered({"a": 1}), None]
    found = named_entries.references_of(office.database, office.app.profile(), [*odd, entry_id])
    assert found == {hashable(entry_id): REFERENCE}
