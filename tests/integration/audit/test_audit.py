"""`audit` on real deliveries: each change of a file or an entry is found, in which fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from pymongo.database import Database

from daybook.audit.audit import AuditedDay, AuditKind, audit, delivered_days
from daybook.audit.daily import Audit, audit_daily, not_since
from daybook.destinations.local import LocalDestination
from daybook.errors import DestinationError, Interrupted
from daybook.export.model.notice import Alert, Receipt
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


class Told:
    """A messenger that keeps what it was told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def receipt(self, receipt: Receipt) -> int:
        raise AssertionError(receipt)


def audited(office: Office, since: date = DAY) -> list[AuditedDay]:
    profile = office.app.profile()
    days = delivered_days(office.database, profile.name, since=since)
    return list(
        audit(
            office.database,
            office.app.destination,
            profile,
            days,
            now=office.app.now,
        )
    )


def daily(
    office: Office, told: Told, check: Callable[[], None] = lambda: None, **span: Any
) -> Audit:
    profile = office.app.profile()
    days = delivered_days(office.database, profile.name, since=DAY)
    if "since" in span:
        days = not_since(days, span["since"])
    return audit_daily(
        office.database,
        office.app.destination,
        profile,
        days,
        messenger=told,
        now=office.app.now,
        check=check,
    )


def kinds(days: list[AuditedDay]) -> list[list[AuditKind]]:
    return [[finding.kind for finding in day.findings] for day in days]


def test_untouched_files_of_the_days_are_unchanged_and_nothing_is_written(office: Office) -> None:
    office.add()
    office.export()
    office.add(lines=[], amount=Decimal128("12.50"))
    office.export(NEXT_DAY)
    before = {
        name: list(office.database[name].find()) for name in office.database.list_collection_names()
    }
    assert [day.batch.key.batch_date for day in audited(office)] == ["2026-01-19", "2026-01-18"]
    assert kinds(audited(office)) == [[], []]
    assert kinds(audited(office, NEXT_DAY)) == [[]]
    after = {
        name: list(office.database[name].find()) for name in office.database.list_collection_names()
    }
    assert after == before


def _remove(file: Path) -> None:
    file.unlink()


def _shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def _edit(file: Path) -> None:
    content = file.read_bytes()
    assert b"100.00" in content
    file.write_bytes(content.replace(b"100.00", b"100.01", 1))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_remove, AuditKind.FILE_MISSING),
        (_shorten, AuditKind.FILE_CONTENT),
        (_edit, AuditKind.FILE_CONTENT),
    ],
)
def test_a_changed_file_is_found_and_its_entries_are_still_checked(
    office: Office, change: Callable[[Path], None], kind: AuditKind
) -> None:
    entry = office.add()
    office.export()
    change(office.file())
    assert kinds(audited(office)) == [[kind]]
    office.entries.update_one({"_id": entry}, {"$set": {"description": "Another"}})
    (day,) = audited(office)
    assert kinds([day]) == [[kind, AuditKind.ENTRY_CHANGED]]
    assert day.findings[1].entry_id is None
    assert "without the file as it was delivered" in day.findings[1].detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"$set": {"description": "Rent, March"}}, "Description: the file says"),
        (
            {"$set": {"lines.0.debit": Decimal128("7"), "lines.1.credit": Decimal128("7")}},
            "Debit: the file says '100.00', the entry gives '7.00'",
        ),
        ({"$set": {"lines.0.credit": Decimal128("7")}}, "but now:"),
        ({"$unset": {"reference": ""}}, "Reference: the file says 'RV-1', the entry gives ''"),
        ({"$pop": {"lines": 1}}, "but now:"),
    ],
)
def test_a_changed_entry_is_named_once_with_its_fields(
    office: Office, change: dict[str, Any], said: str
) -> None:
    office.add()
    entry = office.add(description="Rent")
    office.add()
    office.export()
    office.entries.update_one({"_id": entry}, change)
    (day,) = audited(office)
    (finding,) = day.findings
    assert (finding.kind, finding.entry_id, finding.row) == (
        AuditKind.ENTRY_CHANGED,
        str(entry),
        3,
    )
    assert said in finding.detail


def test_a_deleted_entry_is_named(office: Office) -> None:
    office.add()
    entry = office.add()
    office.export()
    office.entries.delete_one({"_id": entry})
    (day,) = audited(office)
    assert [(f.kind, f.entry_id) for f in day.findings] == [(AuditKind.ENTRY_CHANGED, str(entry))]


def test_a_damaged_manifest_is_a_finding(office: Office) -> None:
    office.add()
    office.export()
    office.database["exportmanifests"].delete_many({})
    assert kinds(audited(office)) == [[AuditKind.MANIFEST_DAMAGED]]


def test_days_without_a_file_of_ours_are_left_out(office: Office) -> None:
    office.export()  # nothing is queued
    assert audited(office) == []
    office.database["exportbatches"].insert_one(
        {
            "profile": "daily",
            "batchDate": "2026-01-20",
            "state": "committed",
            "generation": 1,
            "attempt": 0,
            "recordedElsewhere": True,
            "markedAt": EVENING,
            "fileId": "x",
            "filename": "batch_2026-01-20.csv",
            "createdAt": EVENING,
            "updatedAt": EVENING,
        }
    )
    assert audited(office) == []


def test_an_unreachable_folder_is_an_error_and_not_a_missing_file(office: Office) -> None:
    office.add()
    office.export()
    office.folder.rename(office.folder.with_name("elsewhere"))
    with pytest.raises(DestinationError):
        audited(office)


def test_what_was_found_is_stored_and_told_once_until_it_changes(office: Office) -> None:
    entry = office.add()
    office.export()
    told = Told()
    assert daily(office, told).status == "unchanged"
    assert office.batch()["audit"]["findings"] == []
    office.entries.update_one({"_id": entry}, {"$set": {"description": "Another"}})
    for _ in range(2):
        found = daily(office, told)
        assert found.status == "differs"
        (alert,) = told.alerts
        assert (alert.event.value, alert.batch_date) == (
            "entries_changed_after_export",
            "2026-01-18",
        )
        assert "Another" in alert.facts["findings"]
    assert [f["entryId"] for f in office.batch()["audit"]["findings"]] == [str(entry)]
    office.file().unlink()
    daily(office, told)
    assert [alert.event.value for alert in told.alerts[1:]] == [
        "file_changed",
        "entries_changed_after_export",
    ]


def test_an_audit_stops_between_days_and_goes_on_where_it_stopped(office: Office) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day in days:
        office.add()
        office.export(day)
    clock = iter(EVENING + timedelta(minutes=n) for n in range(100))
    started = next(clock)
    office.app = replace(office.app, clock=lambda: next(clock))

    def stop() -> None:
        raise Interrupted("the time is used up")

    seen: list[str | None] = []
    for remaining in (2, 1, 0):
        found = daily(office, Told(), stop, since=started)
        assert found.remaining == remaining
        assert found.status == ("continued" if remaining else "unchanged")
        seen += [day.batch.key.batch_date for day in found.days]
    assert sorted(map(str, seen)) == [day.isoformat() for day in days]
    assert daily(office, Told(), since=started).days == ()


class Killed(BaseException):
    """The end of the process while a day is audited."""


class Deadly(Told):
    def alert(self, alert: Alert) -> None:
        raise Killed(alert)


def test_a_day_at_which_every_invocation_dies_holds_up_no_other(office: Office) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    entries = []
    for day in days:
        entries.append(office.add())
        office.export(day)
    clock = iter(EVENING + timedelta(minutes=n) for n in range(100))
    started = next(clock)
    office.app = replace(office.app, clock=lambda: next(clock))
    # The last day comes first as long as none has been audited: it is the one that is deadly.
    office.entries.update_one({"_id": entries[-1]}, {"$set": {"description": "Another"}})
    with pytest.raises(Killed):
        daily(office, Deadly(), since=started)
    assert "audit" not in office.batch(days[-1])
    for _ in range(2):  # what the queue delivers again, and what it delivers after that
        with pytest.raises(Killed):
            daily(office, Deadly(), since=started)
        assert "audit" not in office.batch(days[-1])
        assert [office.batch(day)["audit"]["findings"] for day in days[:-1]] == [[], []]
    told = Told()
    (last,) = daily(office, told, since=started).days
    assert last.batch.key.batch_date == days[-1].isoformat()
    assert [alert.event.value for alert in told.alerts] == ["entries_changed_after_export"]


@pytest.mark.parametrize(
    "damage", [{"rejected": "none"}, {"rejected": [{"reason": 1}]}, {"profiles": "none"}]
)
def test_a_damaged_batch_is_a_finding_and_holds_up_no_other(
    office: Office, damage: dict[str, Any]
) -> None:
    for day in (DAY, NEXT_DAY):
        office.add()
        office.export(day)
    office.database["exportbatches"].update_one({"batchDate": DAY.isoformat()}, {"$set": damage})
    newer, older = audited(office)
    assert newer.findings == ()
    (finding,) = older.findings
    assert finding.kind is AuditKind.MANIFEST_DAMAGED
    assert next(iter(damage)) in finding.detail


def test_days_are_listed_without_what_each_has_rejected_and_audited_with_it(
    office: Office,
) -> None:
    office.add()
    office.add(credit="1.00")
    office.export()
    (listed,) = delivered_days(office.database, "daily", since=DAY)
    assert not {"rejected", "profiles"} & listed.doc.keys()
    assert len(office.batch()["rejected"]) == 1
    # As an earlier version stored it: the only list of what the file leaves out.
    office.database["exportbatches"].update_one({}, {"$unset": {"rejectedId": ""}})
    assert kinds(audited(office)) == [[]]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, "file:///"),
        ({"$unset": {"deliveredTo": ""}}, "file:///"),  # as an earlier version stored it
        ({"$unset": {"deliveredTo": ""}, "$set": {"hiddenAt": None}}, "Google Drive"),
        ({"$set": {"deliveredTo": "drive:books@acme.example@https://x/"}}, "books@acme.example"),
        ({"$set": {"deliveredTo": "s3://acme/books/"}}, "s3://acme/books/"),
    ],
)
def test_a_file_delivered_to_another_destination_is_noted_once_and_never_missing(
    office: Office,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    place: str,
) -> None:
    entry = office.add()
    office.export()
    stored = office.batch()
    record = office.database["exportlogs"].find_one({"action": "csv_generated"})
    assert record is not None
    assert stored["deliveredTo"] == record["metadata"]["deliveredTo"] == office.folder.as_uri()
    if changes:
        office.database["exportbatches"].update_one({}, changes)
    other = tmp_path / "other"
    other.mkdir()
    told = Told()
    profile = office.app.profile()

    def again() -> Audit:
        days = delivered_days(office.database, profile.name, since=DAY)
        return audit_daily(
            *(office.database, LocalDestination(other), profile, days),
            messenger=told,
            now=office.app.now,
            check=lambda: None,
        )

    for _ in range(2):
        found = again()
        (day,) = found.days
        assert (found.status, day.to_doc()["status"], day.findings) == (
            "unchanged",
            "not_checked",
            (),
        )
        assert place in str(day.note)
    assert told.alerts == []
    events = [record.__dict__.get("event") for record in caplog.records]
    assert events.count("file_not_checked") == 1
    assert office.batch()["audit"]["note"] == day.note

    before = office.entries.find_one({"_id": entry})
    assert before is not None
    office.entries.update_one({"_id": entry}, {"$set": {"description": "Another"}})
    assert again().status == "differs"
    assert [alert.event.value for alert in told.alerts] == ["entries_changed_after_export"]

    # Once the file is there as it was delivered, it is checked like any other.
    office.entries.replace_one({"_id": entry}, before)
    (other / office.file().name).write_bytes(office.file().read_bytes())
    assert again().days[0].note is None
