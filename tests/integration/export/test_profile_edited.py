"""A profile that is edited between two attempts, after a seal, or after a delivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from daybook.audit.lineage import lineage
from daybook.audit.verify import verify
from daybook.errors import DocumentDamaged
from daybook.export.context import daily_job
from daybook.export.model.profile import Profile
from daybook.export.outcome import Status
from daybook.export.run import run
from tests import commands
from tests.integration.export.operations.test_sweep import DiesAfterSending, Killed, Unreachable
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Edited = Callable[[str], Office]

BEFORE = """
[daily]
match = {company = "A"}
[[daily.columns]]
title = "Reference"
value = "entry.reference"
[[daily.columns]]
title = "Amount"
value = "line.amount"
"""
AFTER = """
[daily]
match = {company = "B"}
delimiter = ";"
source = {queue = "outbox"}
[[daily.columns]]
title = "Betrag"
value = "line.amount"
[[daily.columns]]
title = "Referenz"
value = "entry.reference"
"""


@pytest.fixture
def office_of(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Edited:
    """An office with that `DAYBOOK_PROFILES`, always over the same database and folder."""

    def build(profiles: str) -> Office:
        office = Office(database, mongo_uri, tmp_path, DAYBOOK_PROFILES=profiles)
        return office.__enter__()

    return build


def attempt(office: Office, destination: Any) -> Status:
    profile = office.app.profile()
    exporter = replace(office.app.exporter(profile), destination=destination)
    return run(exporter, daily_job(office.database, profile, DAY)).status


def put(office: Office, reference: str, collection: str, **fields: Any) -> Any:
    entry_id = office.add(reference=reference)
    office.queue.delete_many({"entryId": entry_id})
    office.database[collection].insert_one(
        {
            "entryId": entry_id,
            "exportPath": "scheduled",
            "status": "queued",
            "createdAt": EVENING,
            "updatedAt": EVENING,
            **fields,
        }
    )
    return entry_id


def status(office: Office, collection: str, entry_id: Any) -> str:
    found = office.database[collection].find_one({"entryId": entry_id})
    assert found is not None
    return str(found["status"])


def checked(office: Office) -> str:
    app = office.app
    return verify(app.database, app.destination, app.profile(), DAY).status


def test_the_next_attempt_plans_again_with_the_edited_profile(office_of: Edited) -> None:
    office = office_of(BEFORE)
    of_a = put(office, "A-1", "exportqueues", company="A")
    of_b = put(office, "B-1", "outbox", company="B")
    assert attempt(office, Unreachable(office.app.destination)) is Status.RETRY_SCHEDULED
    planned = office.database["exportslots"].find_one({"_id": "daily"})
    assert planned is not None
    first = planned["manifest"]
    assert first["profileDigest"] == office.app.profile().digest

    office = office_of(AFTER)
    assert commands.plan_day(office.app, DAY).facts["entryCount"] == 1
    # The retry: an attempt of its own.
    assert attempt(office, office.app.destination) is Status.EXPORTED

    assert office.file().read_bytes().decode("utf-8-sig").splitlines() == [
        "Betrag;Referenz",
        "100.00;B-1",
        "-100.00;B-1",
    ]
    assert status(office, "outbox", of_b) == "completed"
    assert status(office, "exportqueues", of_a) == "queued"
    batch = office.batch()
    assert batch["manifest"]["profileDigest"] == office.app.profile().digest
    assert batch["manifest"]["fence"] > first["fence"]
    assert set(batch["profiles"]) == {first["profileDigest"], office.app.profile().digest}
    assert checked(office) == "verified"


def test_a_plan_is_kept_while_the_profile_is_the_same(office_of: Edited) -> None:
    office = office_of(BEFORE)
    put(office, "A-1", "exportqueues", company="A")
    assert attempt(office, Unreachable(office.app.destination)) is Status.RETRY_SCHEDULED
    put(office, "A-2", "exportqueues", company="A")
    office = office_of(BEFORE + '\n[other]\nmatch = {company = "Z"}\n')
    assert attempt(office, office.app.destination) is Status.EXPORTED
    assert office.batch()["entryCount"] == 1


def test_a_file_sealed_before_the_edit_is_recorded_and_marked_as_it_was_planned(
    office_of: Edited,
) -> None:
    office = office_of(BEFORE)
    of_a = put(office, "A-1", "exportqueues", company="A")
    of_b = put(office, "B-1", "outbox", company="B")
    with pytest.raises(Killed):
        attempt(office, DiesAfterSending(office.app.destination))

    office = office_of(AFTER)
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED
    assert office.file().read_bytes().decode("utf-8-sig").splitlines() == [
        "Reference,Amount",
        "A-1,100.00",
        "A-1,-100.00",
    ]
    assert status(office, "exportqueues", of_a) == "completed"
    assert status(office, "outbox", of_b) == "queued"
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    assert checked(office) == "verified"
    assert commands.run_day(office.app, NEXT_DAY).status is Status.EXPORTED
    assert status(office, "outbox", of_b) == "completed"


def test_marking_that_a_crash_interrupted_goes_on_in_the_queue_of_the_plan(
    office_of: Edited,
) -> None:
    office = office_of(BEFORE)
    of_a = put(office, "A-1", "exportqueues", company="A")
    office.export()
    # As a kill between the commit and the marks of a part leaves it.
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    office.database["exportmanifests"].update_many({}, {"$unset": {"markedAt": 1}})
    office.queue.update_many({}, {"$set": {"status": "queued"}})

    office = office_of(AFTER)
    assert commands.run_day(office.app, DAY).status is Status.ALREADY_EXPORTED
    assert status(office, "exportqueues", of_a) == "completed"
    assert office.batch()["markedAt"] is not None
    assert "outbox" not in office.database.list_collection_names()


def test_an_older_day_is_verified_and_followed_with_the_profile_it_was_made_for(
    office_of: Edited,
) -> None:
    office = office_of(BEFORE)
    entry_id = put(office, "A-1", "exportqueues", company="A")
    office.export()
    office = office_of(AFTER)
    assert checked(office) == "verified"
    (found,) = lineage(office.database, office.app.profile(), str(entry_id))
    assert [(file.first_row, file.last_row, file.certain) for file in found.files] == [(1, 2, True)]


def test_a_batch_of_the_previous_version_means_the_daily_file_as_it_was(office_of: Edited) -> None:
    office = office_of("")
    office.add(reference="D-1")
    office.export()
    for collection in ("exportbatches", "exportslots"):
        office.database[collection].update_many(
            {}, {"$unset": {"profiles": 1, "manifest.profileDigest": 1}}
        )
    office.logs.update_many({}, {"$unset": {"metadata.profileDigest": 1}})
    office = office_of(AFTER)
    assert checked(office) == "verified"


def test_a_plan_of_the_previous_version_is_resumed_by_an_unchanged_daily_only(
    office_of: Edited,
) -> None:
    office = office_of("")
    office.add(reference="D-1")
    assert attempt(office, Unreachable(office.app.destination)) is Status.RETRY_SCHEDULED
    slots = office.database["exportslots"]
    slots.update_one({}, {"$unset": {"manifest.profileDigest": 1}})
    office.add(reference="D-2")
    assert attempt(office, Unreachable(office.app.destination)) is Status.RETRY_SCHEDULED
    assert slots.find_one({})["manifest"]["itemCount"] == 1  # type: ignore[index]
    office = office_of('[daily]\ndelimiter = ";"')
    assert attempt(office, office.app.destination) is Status.EXPORTED
    assert office.batch()["entryCount"] == 2


def test_an_altered_stored_profile_is_reported_and_not_guessed(office_of: Edited) -> None:
    office = office_of(BEFORE)
    put(office, "A-1", "exportqueues", company="A")
    office.export()
    (digest,) = office.batch()["profiles"]
    forged = replace(Profile.from_form(office.batch()["profiles"][digest]), delimiter="|").form
    office.database["exportbatches"].update_one({}, {"$set": {f"profiles.{digest}": forged}})
    office = office_of(AFTER)
    with pytest.raises(DocumentDamaged, match=rf"profiles\.{digest} is not the profile"):
        checked(office)
