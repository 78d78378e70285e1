"""`requeue`: a corrected entry goes back into the queue, and nothing else does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from pymongo.database import Database

from daybook.export.operations.requeue import NotRequeued, Requeued, requeue
from tests import books
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.fixture
def rejected(office: Office) -> Any:
    """An entry that the batch of the day has rejected."""
    office.add()
    entry_id = office.add("10.00", credit="9.00")
    office.add()
    office.export()
    return entry_id


def back(office: Office, entry_id: Any) -> Requeued:
    return requeue(office.database, office.app.profile(), str(entry_id), now=EVENING)


def test_a_corrected_entry_goes_out_with_the_next_batch(office: Office, rejected: Any) -> None:
    correct(office, rejected)
    requeued = back(office, rejected)
    assert (requeued.entry_id, requeued.reason) == (rejected, "unbalanced")
    (item,) = office.items(rejected)
    assert item["status"] == "queued"
    assert "error" not in item
    record = office.logs.find_one({"action": "entry_requeued"})
    assert record is not None
    assert record["queueId"] == item["_id"]
    assert record["performedBy"] == "operator"
    assert record["metadata"] == {"entryId": rejected}
    office.export(NEXT_DAY)
    assert [item["status"] for item in office.items(rejected)] == ["completed"]
    assert str(rejected) in office.file(NEXT_DAY).read_text("utf-8-sig")


def correct(office: Office, entry_id: Any) -> None:
    office.entries.update_one({"_id": entry_id}, {"$set": {"lines.1.credit": Decimal128("10.00")}})


def test_an_entry_that_is_still_wrong_is_refused_with_its_fault(
    office: Office, rejected: Any
) -> None:
    with pytest.raises(NotRequeued, match=r"rejected again.*10\.00.*9\.00"):
        back(office, rejected)
    (item,) = office.items(rejected)
    assert (item["status"], item["error"]["batchDate"]) == ("failed", DAY.isoformat())
    assert office.logs.count_documents({"action": "entry_requeued"}) == 0


@pytest.mark.parametrize("typed", ["_id", "reference"])
@pytest.mark.parametrize("state", ["wrong", "queued", "exported"])
def test_a_refusal_names_reference_and_id_whichever_was_typed(
    office: Office, rejected: Any, state: str, typed: str
) -> None:
    if state != "wrong":
        correct(office, rejected)
        back(office, rejected)
    if state == "exported":
        office.export(NEXT_DAY)
    office.entries.update_one({"_id": rejected}, {"$set": {"reference": "RV-7"}})
    entry = office.entries.find_one({"_id": rejected})
    assert entry is not None
    said = {"wrong": "would be rejected", "queued": "is queued", "exported": "was exported"}
    with pytest.raises(NotRequeued) as refused:
        back(office, entry[typed])
    assert str(refused.value).startswith(f"entry RV-7 ({rejected}) {said[state]}")


def test_an_entry_that_is_gone_is_refused(office: Office, rejected: Any) -> None:
    office.entries.delete_one({"_id": rejected})
    with pytest.raises(NotRequeued, match="does not exist"):
        back(office, rejected)


def test_a_duplicate_of_a_delivered_entry_is_refused_with_its_file(office: Office) -> None:
    entry_id = office.add()
    office.export()
    office.queue.update_many({}, {"$set": {"status": "queued"}})
    office.export(NEXT_DAY)
    with pytest.raises(NotRequeued, match=r"already with batch_2026-01-18\.csv.*final"):
        back(office, entry_id)


def test_a_second_time_is_refused_and_records_nothing(office: Office, rejected: Any) -> None:
    correct(office, rejected)
    back(office, rejected)
    with pytest.raises(NotRequeued, match="queued already"):
        back(office, rejected)
    assert office.logs.count_documents({"action": "entry_requeued"}) == 1


def test_an_exported_entry_is_refused_with_its_file(office: Office) -> None:
    entry_id = office.add()
    office.export()
    before = office.items(entry_id)
    (item,) = before
    batch = office.batch()
    with pytest.raises(NotRequeued) as refused:
        back(office, entry_id)
    assert str(refused.value) == (
        f"entry RV-1 ({entry_id}) was exported already with {batch['filename']} (file ID "
        f"{batch['fileId']}), says queue item {item['_id']}; exporting it again would make a "
        "duplicate"
    )
    assert office.items(entry_id) == before


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"batchDate": "2026-01-18", "fileId": "theirs"}, "file theirs, says"),
        ({"batchDate": {"$gt": ""}, "fileId": "theirs"}, "file theirs, says"),
        ({"fileId": 7}, "an unknown file, says"),
        (None, "an unknown file, says"),
    ],
)
def test_a_file_that_no_record_names_is_called_by_its_id(
    office: Office, metadata: Any, said: str
) -> None:
    entry_id = office.add()
    office.export()
    office.queue.update_one({"entryId": entry_id}, {"$set": {"metadata": metadata}})
    with pytest.raises(NotRequeued, match=f"was exported already with {said} queue item"):
        back(office, entry_id)


def test_the_duplicate_item_of_an_exported_entry_is_refused(office: Office) -> None:
    entry_id = office.add()
    office.enqueue(entry_id)
    office.add()
    office.export()
    assert [item["status"] for item in office.items(entry_id)] == ["completed", "failed"]
    with pytest.raises(NotRequeued, match="exported already"):
        back(office, entry_id)


def test_of_two_rejected_items_one_comes_back(office: Office) -> None:
    entry_id = office.add("10.00", credit="9.00")
    office.enqueue(entry_id)
    for _ in range(3):
        office.add()
    office.export()
    assert [item["status"] for item in office.items(entry_id)] == ["failed", "failed"]
    correct(office, entry_id)
    back(office, entry_id)
    assert [item["status"] for item in office.items(entry_id)] == ["queued", "failed"]


@pytest.mark.parametrize("entry_id", ["nobody", "6" * 24])
def test_an_unknown_entry_is_refused(office: Office, entry_id: str) -> None:
    with pytest.raises(NotRequeued, match=f"{entry_id} has no scheduled queue item"):
        back(office, entry_id)


def test_a_manual_item_is_not_a_scheduled_one(office: Office) -> None:
    entry = books.entry()
    office.entries.insert_one(entry)
    office.enqueue(entry["_id"], exportPath="manual", status="failed")
    with pytest.raises(NotRequeued, match="no scheduled queue item"):
        back(office, entry["_id"])


def test_a_status_that_no_run_has_set_is_refused_by_its_name(office: Office) -> None:
    entry_id = office.add()
    office.queue.update_one({"entryId": entry_id}, {"$set": {"status": "draft"}})
    with pytest.raises(NotRequeued, match="its status is 'draft'"):
        back(office, entry_id)


def test_an_id_that_is_text_is_found(office: Office) -> None:
    office.add("10.00", credit="9.00", _id="SO-7")
    office.add()
    office.export()
    correct(office, "SO-7")
    assert back(office, "SO-7").entry_id == "SO-7"


def test_of_several_operators_at_once_one_succeeds(office: Office, rejected: Any) -> None:
    correct(office, rejected)
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def operator() -> None:
        start.wait()
        try:
            back(office, rejected)
            outcomes.append("requeued")
        except NotRequeued:
            outcomes.append("refused")

    operators = [threading.Thread(target=operator) for _ in range(4)]
    for thread in operators:
        thread.start()
    for thread in operators:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 3 + ["requeued"]
    assert office.logs.count_documents({"action": "entry_requeued"}) == 1


def test_the_day_of_the_rejection_is_left_as_it_was(office: Office, rejected: Any) -> None:
    correct(office, rejected)
    before = office.batch(DAY)
    back(office, rejected)
    assert office.batch(DAY) == before
