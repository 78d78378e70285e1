"""`sweep`: what crashes leave behind is finished, removed or reported, and nothing else touched."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.destinations.base import Destination, NewFile
from daybook.errors import DestinationError
from daybook.export.context import daily_job
from daybook.export.operations.sweep import Sweep, SweptSlot, sweep
from daybook.export.outcome import Status
from daybook.export.run import run
from daybook.export.slot import orphans
from daybook.export.slot.slot import Slot
from tests import commands
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


class Killed(BaseException):
    """The process ends here."""


class Through:
    """A destination that passes everything on; tests overrule one method."""

    def __init__(self, real: Destination) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class DiesAfterSending(Through):
    def send_whole(self, file: NewFile, content: bytes) -> None:
        self.real.send_whole(file, content)
        raise Killed


class Unreachable(Through):
    def send_whole(self, file: NewFile, content: bytes) -> None:
        raise DestinationError("no connection")


def attempt(office: Office, destination: Any) -> Status:
    exporter = replace(office.app.exporter(office.app.profile()), destination=destination)
    return run(exporter, daily_job(office.database, office.app.profile(), DAY)).status


def swept(office: Office) -> Sweep:
    return sweep(office.app.exporter(office.app.profile()))


def daily(found: Sweep) -> SweptSlot:
    return found.slots[0]


def alerts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        getattr(record, "event", "") for record in caplog.records if record.levelno >= logging.ERROR
    ]


def test_with_nothing_left_behind_it_does_nothing(office: Office) -> None:
    office.add()
    office.export()
    assert swept(office).to_doc() == {
        "status": "swept",
        "slots": [
            {
                "slot": slot,
                "inProgress": False,
                "circuitOpen": False,
                "settled": 0,
                "marked": 0,
                "partsDeleted": 0,
            }
            for slot in ("daily", "daily/manual")
        ],
        "orphans": {"watched": 0, "unreachable": 0, "seen": []},
    }
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED


def test_a_file_whose_run_died_before_the_commit_is_recorded(office: Office) -> None:
    entry_id = office.add()
    with pytest.raises(Killed):
        attempt(office, DiesAfterSending(office.app.destination))
    assert office.logs.count_documents({"action": "csv_generated"}) == 0
    assert daily(swept(office)).settled == 1
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert [item["status"] for item in office.items(entry_id)] == ["completed"]
    assert str(entry_id) in office.file().read_text("utf-8-sig")
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED


def test_marking_that_a_crash_interrupted_is_finished(office: Office) -> None:
    entry_id = office.add()
    office.export()
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    office.database["exportmanifests"].update_one({}, {"$unset": {"markedAt": ""}})
    office.queue.update_one({}, {"$set": {"status": "queued"}, "$unset": {"metadata": ""}})
    assert daily(swept(office)).marked == 1
    (item,) = office.items(entry_id)
    assert (item["status"], item["metadata"]["fileId"]) == ("completed", office.batch()["fileId"])
    assert office.batch()["markedAt"] == EVENING
    assert daily(swept(office)).marked == 0


def test_stray_parts_go_and_the_plan_of_a_failed_attempt_stays(office: Office) -> None:
    office.add()
    assert attempt(office, Unreachable(office.app.destination)) is Status.RETRY_SCHEDULED
    parts = office.database["exportmanifests"]
    (planned,) = parts.find()
    batch_id = planned["_id"].partition(":")[0]
    parts.insert_one({**planned, "_id": f"{batch_id}:1:0:000000"})
    assert daily(swept(office)).parts_deleted == 1
    assert parts.find().to_list() == [planned]
    office.export()
    (used,) = parts.find()
    assert used["_id"] == planned["_id"]


def test_parts_of_a_committed_file_stay(office: Office) -> None:
    office.add()
    office.export()
    assert daily(swept(office)).parts_deleted == 0
    assert office.database["exportmanifests"].count_documents({}) == 1


@pytest.mark.parametrize("day", [DAY, NEXT_DAY], ids=["swept only", "another day runs too"])
def test_parts_of_a_committed_file_stay_until_they_are_marked(office: Office, day: date) -> None:
    """A folder's file is published before its items are marked; an open breaker delays both."""
    entry_id = office.add()
    office.export()
    parts = office.database["exportmanifests"]
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    parts.update_one({}, {"$unset": {"markedAt": ""}})
    office.queue.update_one({}, {"$set": {"status": "queued"}, "$unset": {"metadata": ""}})
    planned = parts.find().to_list()
    office.database["circuitbreakers"].insert_one(
        {
            "_id": "local_folder",
            "failures": 3,
            "openUntil": EVENING + timedelta(minutes=15),
            "trial": None,
        }
    )

    found = daily(swept(office))
    status = commands.run_day(office.app, day).status
    assert status is Status.CIRCUIT_OPEN

    assert (found.circuit_open, found.marked, found.parts_deleted) == (True, 0, 0)
    assert parts.find().to_list() == planned
    office.database["circuitbreakers"].delete_many({})
    assert daily(swept(office)).marked == 1
    assert [item["status"] for item in office.items(entry_id)] == ["completed"]
    assert office.export(NEXT_DAY).status is Status.EMPTY


def test_while_a_run_holds_the_slot_only_the_other_one_is_swept(office: Office) -> None:
    office.add()
    held = Slot.take(office.database["exportslots"], "daily", owner="a run", lease_seconds=60)
    assert held is not None
    found = swept(office)
    assert found.in_progress
    assert [slot.in_progress for slot in found.slots] == [True, False]
    held.renew()  # raises when the sweep has taken the slot
    held.release()
    assert not swept(office).in_progress


def test_the_slot_is_free_afterwards(office: Office) -> None:
    swept(office)
    office.add()
    assert office.export().status is Status.EXPORTED


def test_an_upload_that_was_handed_back_still_is(office: Office) -> None:
    office.export()
    upload = {
        "sessionUri": "s",
        "manifestDigest": "d",
        "openedFence": 1,
        "filename": "f",
        "prefixes": [],
        "handedBack": True,
    }
    office.database["exportslots"].update_one({"_id": "daily"}, {"$set": {"upload": upload}})
    swept(office)
    slot = office.database["exportslots"].find_one({"_id": "daily"})
    assert slot is not None
    assert (slot["upload"], slot["lease"]) == (upload, None)


def orphan(office: Office, file_id: str, **fields: Any) -> None:
    office.database["exportorphans"].insert_one(
        {
            "_id": file_id,
            "profile": "daily",
            "identity": office.app.destination.identity,
            "reason": orphans.OrphanReason.REFUSED_UNSEEN.value,
            "seals": [],
            "seenAt": None,
            "alertedAt": EVENING,
            "watchUntil": EVENING + timedelta(days=8),
            **fields,
        }
    )


def appear(office: Office, file_id: str) -> None:
    office.app.destination.send_whole(NewFile(id=file_id, name="late.csv", properties={}), b"late")


def test_a_file_that_appears_at_a_given_up_id_is_alerted_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    orphan(office, "given-up")
    assert (swept(office).orphans.watched, swept(office).orphans.seen) == (1, ())
    assert alerts(caplog) == []
    appear(office, "given-up")
    assert swept(office).orphans.seen == ("given-up",)
    assert alerts(caplog) == ["orphan_left_behind"]
    assert [record.levelno for record in caplog.records if record.levelno >= logging.ERROR] == [
        logging.CRITICAL
    ]
    stored = office.database["exportorphans"].find_one({"_id": "given-up"})
    assert stored is not None
    assert stored["seenAt"] == EVENING
    assert swept(office).orphans.watched == 0
    assert alerts(caplog) == ["orphan_left_behind"]


def test_after_its_time_an_id_is_watched_no_longer(office: Office) -> None:
    orphan(office, "old", watchUntil=EVENING)
    appear(office, "old")
    assert swept(office).orphans.to_doc() == {"watched": 0, "unreachable": 0, "seen": []}


def test_an_id_of_another_identity_is_counted_as_out_of_reach(office: Office) -> None:
    orphan(office, "theirs", identity="another account")
    appear(office, "theirs")
    assert swept(office).orphans.to_doc() == {"watched": 1, "unreachable": 1, "seen": []}


def test_a_manual_export_that_died_is_settled_too(office: Office) -> None:
    from daybook.export.context import Job
    from daybook.export.model.profile import BatchKey
    from daybook.export.queue import manual

    entry_id = office.add()
    profile = office.app.profile()
    request = manual.parse({"entryIds": [str(entry_id)]}, key="copy")
    job = Job(
        key=BatchKey(profile=profile.name, manual_key="copy"),
        filename=request.file_name(profile),
        scan=lambda: manual.scan(office.database, profile, request),
        request=request.to_doc(),
    )
    exporter = office.app.exporter(profile)
    with pytest.raises(Killed):
        run(replace(exporter, destination=DiesAfterSending(exporter.destination)), job)
    assert [slot.settled for slot in swept(office).slots] == [0, 1]
    assert office.logs.count_documents({"action": "manual_export"}) == 1
    assert [item["status"] for item in office.items(entry_id)] == ["queued"]


def test_a_destination_that_cannot_be_asked_stops_the_sweep_and_frees_the_slot(
    office: Office,
) -> None:
    class Silent(Through):
        def find_file(self, file_id: str) -> None:
            raise DestinationError("no answer")

    office.add()
    with pytest.raises(Killed):
        attempt(office, DiesAfterSending(office.app.destination))
    exporter = office.app.exporter(office.app.profile())
    with pytest.raises(DestinationError, match="no answer"):
        sweep(replace(exporter, destination=Silent(exporter.destination)))  # type: ignore[arg-type]
    assert daily(swept(office)).settled == 1
    assert office.export(NEXT_DAY).status is Status.EMPTY
