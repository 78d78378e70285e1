"""Daybook's own collections with documents of others, and with its own altered by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import flask
import pytest
from bson import ObjectId
from click.testing import CliRunner
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from werkzeug.test import EnvironBuilder

from daybook.app import App
from daybook.audit.lineage import lineage
from daybook.cli.main import main
from daybook.destinations.base import Destination, NewFile
from daybook.destinations.drive.drive import DriveDestination
from daybook.destinations.local import LocalDestination
from daybook.destinations.s3.s3 import S3Destination
from daybook.errors import DaybookError, DestinationError
from daybook.export.context import daily_job
from daybook.export.operations.history import history, status
from daybook.export.outcome import Status
from daybook.export.run import run
from daybook.export.upload import breaker
from daybook.http.routes import answer
from daybook.mongo import migrate
from tests import books, commands
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

OWN = ("exportslots", "exportbatches", "exportmanifests", "exportorphans", "circuitbreakers")
GUARDING = {"seals", "state", "hiddenAt"}
ALWAYS_ANSWERED = {"/metrics", "/admin/doctor"}
CRASHES = {"request_crashed", "run_crashed", "command_crashed"}
COUNT = 3


class Killed(BaseException):
    """The process ends here."""


class Through:
    """A destination that passes everything on; each stage overrules one method."""

    def __init__(self, real: Destination) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Unreachable(Through):
    def send_whole(self, file: NewFile, content: bytes) -> None:
        raise DestinationError("no connection")


class DiesAfterSending(Through):
    def send_whole(self, file: NewFile, content: bytes) -> None:
        self.real.send_whole(file, content)
        raise Killed


class DiesBeforePublishing(Through):
    def publish(self, file_id: str, name: str) -> str:
        raise Killed


STAGES = {"failed once": Unreachable, "sealed": DiesAfterSending, "unmarked": DiesBeforePublishing}


class Evening:
    """A day that was broken off at a stage; `again` brings that moment back."""

    def __init__(self, office: Office, stage: str) -> None:
        self.office = office
        self.app: App = replace(office.app, clock=lambda: EVENING + timedelta(days=1))
        self.database = office.database
        for number in range(COUNT):
            office.add(reference=f"RV-{number}")
        exporter = office.app.exporter(office.app.profile())
        destination: Any = STAGES[stage](exporter.destination)
        with suppress(Killed):
            run(
                replace(exporter, destination=destination),
                daily_job(office.database, office.app.profile(), DAY),
            )
        if stage == "sealed":  # an id that an earlier day gave up
            self.database["exportorphans"].insert_one(
                {
                    "_id": "a-file",
                    "profile": "daily",
                    "identity": "another",
                    "reason": "unsealed",
                    "seals": [{"filename": "batch_2026-01-17.csv"}],
                    "seenAt": None,
                    "alertedAt": None,
                    "watchUntil": EVENING + timedelta(days=9),
                    "createdAt": EVENING,
                    "updatedAt": EVENING,
                }
            )
        names = (*OWN, "exportlogs", "exportqueues", "journalentries")
        self.stored = {name: self.database[name].find().to_list() for name in names}
        self.kept = office.folder.with_name("kept")
        shutil.copytree(office.folder, self.kept)

    def again(self) -> Self:
        for name, docs in self.stored.items():
            self.database[name].delete_many({})
            if docs:
                self.database[name].insert_many(docs)
        shutil.rmtree(self.office.folder)
        shutil.copytree(self.kept, self.office.folder)
        return self

    def again_before_marking(self) -> Self:
        """As a large day's later parts are then: delivered, and its items queued still."""
        self.again()
        self.database["exportmanifests"].update_many({}, {"$unset": {"markedAt": ""}})
        self.database["exportqueues"].update_many({}, {"$set": {"status": "queued"}})
        return self

    def call(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        builder = EnvironBuilder(path=path, method="GET" if body is None else "POST", json=body)
        response = answer(self.app, flask.Request(builder.get_environ()))
        return response.status_code, response.get_data(as_text=True)

    def find_file(self) -> None:
        """What only reads: an answer, or an error of Daybook's own."""
        app, entry = self.app, self.stored["journalentries"][0]["_id"]
        reads: list[Callable[[], Any]] = [
            lambda: status(app.database, app.profile(), DAY),
            lambda: history(app.database, app.profile(), limit=10),
            lambda: lineage(app.database, app.profile(), str(entry)),
            lambda: commands.receipt_of_day(app, DAY),
        ]
        for read in reads:
            with suppress(DaybookError):
                read()

    def calls(self) -> None:
        """Each route; an answer of 5xx names what is wrong."""
        day = {"batchDate": DAY.isoformat()}
        entry = str(self.stored["journalentries"][0]["_id"])
        for path, body in (
            ("/metrics", None),
            ("/health/cron", None),
            ("/admin/doctor", {}),
            ("/admin/verify", day),
            ("/watchdog", {}),
            ("/sweep", {}),
            ("/run", day),
            ("/run", {"batchDate": NEXT_DAY.isoformat()}),
            ("/exports", {"entryIds": [entry]}),
        ):
            code, text = self.call(path, body)
            if path in ALWAYS_ANSWERED:
                assert code == 200, (path, code, text)
            elif code >= 500 and path != "/health/cron":
                assert any(name in text for name in (*OWN, "exportlogs")), (path, code, text)
                assert '"unknown"' not in text, (path, text)

    def repair(self, name: str, doc_id: Any, path: str, value: Any) -> None:
        """Restore the field; a batch without its key has left its day to another."""
        found = self.database[name].find_one({"_id": doc_id})
        parent, _, field = path.rpartition(".")
        try:
            inside = at(found, parent) if parent else found
        except (LookupError, TypeError):
            return  # a run has emptied it since
        if not isinstance(inside, dict) or inside.get(field, "odd") not in ("odd", ["odd"]):
            return
        try:
            self.database[name].update_one({"_id": doc_id}, {"$set": {path: value}})
        except DuplicateKeyError:
            later = {"profile": "daily", "batchDate": DAY.isoformat(), "_id": {"$ne": doc_id}}
            made = self.database[name].find_one(later)
            assert made is not None
            delivered = made["state"] == "committed" and "recordedElsewhere" not in made
            self.database[name].delete_one({"_id": doc_id if delivered else made["_id"]})
            if not delivered:
                self.database[name].update_one({"_id": doc_id}, {"$set": {path: value}})

    def finish(self) -> None:
        """Deliver what is still open, after the repair."""
        with suppress(DaybookError):
            commands.reopen_day(self.app, DAY)
        for day in (DAY, NEXT_DAY):
            outcome = commands.run_day(self.app, day)
            if outcome.status is Status.FAILED:
                commands.reopen_day(self.app, day)
                outcome = commands.run_day(self.app, day)
            assert outcome.status in (Status.EXPORTED, Status.EMPTY, Status.ALREADY_EXPORTED)

    def check(self) -> None:
        files = sorted(self.office.folder.glob("batch_*.csv"))
        told = [name for file in files for name in books.references(file.read_bytes())]
        assert sorted(told) == [f"RV-{number}" for number in range(COUNT)], files
        statuses = [item["status"] for item in self.database["exportqueues"].find()]
        assert statuses == ["completed"] * COUNT
        assert self.office.logs.count_documents({"action": "csv_generated"}) == len(files)


@pytest.fixture
def office(database: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "books"
    folder.mkdir()
    with Office(database, mongo_uri, folder) as office:
        yield office


def fields(doc: Any, path: str = "") -> Iterator[str]:
    """The path of every field of a document, those inside it included."""
    named = doc.items() if isinstance(doc, dict) else enumerate(doc)
    for name, value in named:
        if path or name != "_id":
            if isinstance(doc, dict):
                yield f"{path}{name}"
            if isinstance(value, dict) or (isinstance(value, list) and path + str(name) == "seals"):
                yield from fields(value, f"{path}{name}.")


def at(doc: Any, path: str) -> Any:
    for name in path.split("."):
        doc = doc[int(name) if isinstance(doc, list) else name]
    return doc


def of_another_type(value: Any) -> Any:
    return ["odd"] if value is None or isinstance(value, str) else "odd"


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """A field of a stored document that is missing, or of another type."""

    collection: str
    doc_id: Any
    path: str
    value: Any
    """What the field held."""
    change: dict[str, Any]

    @property
    def guards(self) -> bool:
        """Whether one file a day rests on the field."""
        return self.path in GUARDING and "$unset" in self.change


def alterations(stored: dict[str, list[dict[str, Any]]]) -> Iterator[Alteration]:
    for name in OWN:
        for doc in stored[name]:
            for path in fields(doc):
                value = at(doc, path)
                for change in ({"$unset": {path: ""}}, {"$set": {path: of_another_type(value)}}):
                    yield Alteration(
                        collection=name, doc_id=doc["_id"], path=path, value=value, change=change
                    )


NO_TOTALS: list[Any] = [
    *("NaN", "sNaN", "Infinity", "-Infinity", "1E+999999999", "0E-999999999", "1e101"),
    *("", "1,200.00", "9" * 101, 100, 1.5, None, True, ["1.00"]),
]


@pytest.mark.parametrize("side", ["debit", "credit", "amount"])
@pytest.mark.parametrize(
    ("stage", "collection", "totals"),
    [
        ("sealed", "exportslots", "seals.0.totals"),
        ("unmarked", "exportbatches", "totals"),
    ],
)
def test_a_total_that_no_file_can_have_stops_the_day_by_name_until_it_is_repaired(
    office: Office,
    caplog: pytest.LogCaptureFixture,
    stage: str,
    collection: str,
    totals: str,
    side: str,
) -> None:
    evening = Evening(office, stage)
    (doc,) = evening.stored[collection]
    (currency,) = at(doc, totals)
    path = f"{totals}.{currency}.{side}"
    evening.again()
    for value in NO_TOTALS:
        caplog.clear()
        evening.database[collection].update_one({"_id": doc["_id"]}, {"$set": {path: value}})

        code, text = evening.call("/run", {"batchDate": DAY.isoformat()})

        assert code == 500, (value, text)
        error = json.loads(text)["error"]
        assert error["type"] == "document_damaged", (value, error)
        where = f"in {collection} was altered: {path} must be "
        assert where in error["message"], (value, error)
        assert str(doc["_id"]) in error["message"]
        code, page = evening.call("/")
        assert code == 200, (value, page)
        if collection == "exportbatches":
            assert f"{path} must be " in page, value
        with pytest.raises(DaybookError, match="was altered"):
            status(office.database, office.app.profile(), DAY)
        assert not [r for r in caplog.records if getattr(r, "event", "") in CRASHES], value

    evening.database[collection].update_one({"_id": doc["_id"]}, {"$set": {path: at(doc, path)}})
    evening.finish()
    evening.check()


WHOLE = pytest.param(1, marks=pytest.mark.storm, id="whole")
SAMPLE = pytest.param(100, id="sample")
"""In CI every 100th alteration, and those of fields on which one file a day rests."""


@pytest.mark.parametrize("step", [SAMPLE, WHOLE])
@pytest.mark.parametrize("stage", STAGES)
def test_an_altered_document_stops_the_day_by_name_until_it_is_repaired(
    office: Office, caplog: pytest.LogCaptureFixture, stage: str, step: int
) -> None:
    evening = Evening(office, stage)
    for number, one in enumerate(alterations(evening.stored)):
        if number % step and not one.guards:
            continue
        evening.again().database[one.collection].update_one({"_id": one.doc_id}, one.change)
        caplog.clear()

        evening.find_file()
        evening.calls()

        crashed = [r for r in caplog.records if getattr(r, "event", "") in CRASHES]
        assert not crashed, (one, crashed[0].getMessage())
        try:
            evening.repair(one.collection, one.doc_id, one.path, one.value)
            evening.finish()
            evening.check()
        except (AssertionError, DaybookError) as error:
            raise AssertionError(one) from error


FOREIGN_IDS: list[Any] = [
    ObjectId(),
    "a",
    "a:b",
    ":::",
    "daily:1:2:000000",
    f"{ObjectId()}:x:1:000000",
    f"{ObjectId()}:1:1:000000:more",
    7,
    2.5,
    None,
    {"a": 1},
    b"\x00",
    True,
]


def foreign_ids(name: str) -> list[Any]:
    if name == "exportbatches":
        return [one for one in FOREIGN_IDS if not isinstance(one, ObjectId)]
    if name == "exportorphans":  # a file's id may be any text
        return [one for one in FOREIGN_IDS if not isinstance(one, str)]
    return FOREIGN_IDS


@pytest.mark.parametrize("stage", STAGES)
def test_documents_of_others_stop_nothing_and_stay(
    office: Office, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    evening = Evening(office, stage).again()
    stranger = {
        "profile": "daily",
        "state": "odd",
        "alertedAt": None,
        "seenAt": None,
        "watchUntil": EVENING + timedelta(days=9),
    }
    for name in OWN:
        evening.database[name].insert_many(
            {"_id": foreign_id, "batchDate": f"2025-01-{number:02}", **stranger}
            for number, foreign_id in enumerate(foreign_ids(name), start=1)
        )

    code, swept = evening.call("/sweep", {})
    assert code == 200, swept
    evening.finish()
    evening.find_file()
    evening.calls()

    evening.check()
    assert not [r for r in caplog.records if getattr(r, "event", "") in CRASHES]
    assert not evening.database["exportbatches"].find_one({"error.type": "document_damaged"})
    _, found = evening.call("/admin/doctor", {})
    (finding,) = [f for f in json.loads(found)["findings"] if f["name"] == "documents"]
    assert not finding["ok"]
    for name in OWN:
        told = f"{name} has documents that are not Daybook's" in finding["detail"]
        assert told is (name != "exportslots")  # of which nobody reads another
        ids = foreign_ids(name)
        assert evening.database[name].count_documents({"_id": {"$in": ids}}) == len(ids)


def test_a_stranger_in_the_place_of_the_days_batch_is_named(office: Office) -> None:
    evening = Evening(office, "failed once").again()
    evening.database["exportbatches"].delete_many({})
    day = {"profile": "daily", "batchDate": DAY.isoformat(), "state": "open"}
    evening.database["exportbatches"].insert_one({"_id": "a", **day})

    code, text = evening.call("/run", {"batchDate": DAY.isoformat()})

    assert code == 500
    assert "document 'a' in exportbatches was altered: _id must be an ObjectId" in text
    assert json.loads(text)["error"]["type"] == "document_damaged"
    evening.database["exportbatches"].delete_one({"_id": "a"})
    evening.finish()
    evening.check()


def test_the_command_line_names_collection_id_and_field(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = Evening(office, "sealed").again()
    evening.database["exportslots"].update_one({"_id": "daily"}, {"$unset": {"fence": ""}})
    before = evening.database["exportslots"].find_one()
    for variable, value in office.env.items():
        monkeypatch.setenv(variable, value)

    result = CliRunner().invoke(main, ["run", "--date", DAY.isoformat()])

    assert result.exit_code == 3
    assert "document 'daily' in exportslots was altered: fence is missing" in result.output
    assert evening.database["exportslots"].find_one() == before


def test_metrics_leave_out_what_is_damaged_and_count_it(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    evening = Evening(office, "unmarked").again()
    assert "daybook_damaged_documents 0.0" in evening.call("/metrics")[1]
    evening.database["exportbatches"].update_one({}, {"$unset": {"manifest": ""}})
    evening.database["circuitbreakers"].replace_one({"_id": "local_folder"}, {}, upsert=True)

    code, page = evening.call("/metrics")

    assert code == 200
    assert "daybook_damaged_documents 2.0" in page
    assert 'daily_batch_export_batches{state="committed"} 1.0' in page
    assert "daybook_circuit_breaker_state{" not in page
    told = [r.getMessage() for r in caplog.records if getattr(r, "event", "") == "document_damaged"]
    assert any("in exportbatches was altered: manifest is missing" in text for text in told)
    assert any("in circuitbreakers was altered: failures is missing" in text for text in told)

    evening.database["exportbatches"].update_one({}, {"$set": {"state": "odd"}})
    _, page = evening.call("/metrics")
    assert "daybook_damaged_documents 2.0" in page  # the state, and the breaker


@pytest.mark.parametrize("path", ["state", "manifest", "hiddenAt", "profile"])
def test_a_damaged_batch_whose_items_are_not_marked_leads_to_no_second_file(
    office: Office, path: str
) -> None:
    """Of the next day, whose plan would take the items: they still say `queued`."""
    evening = Evening(office, "unmarked").again_before_marking()
    (batch,) = evening.stored["exportbatches"]
    evening.database["exportbatches"].update_one({}, {"$unset": {path: ""}})

    code, text = evening.call("/run", {"batchDate": NEXT_DAY.isoformat()})

    error = json.loads(text)["error"]
    assert (code, error["type"]) == (500, "document_damaged")
    assert f"in exportbatches was altered: {path} is missing" in error["message"]
    assert str(batch["_id"]) in error["message"]
    assert not list(office.folder.glob("batch_*.csv"))
    assert office.logs.count_documents({"action": "csv_generated"}) == 1
    evening.repair("exportbatches", batch["_id"], path, batch[path])
    evening.finish()
    evening.check()


def test_a_damaged_batch_that_was_delivered_may_be_removed(office: Office) -> None:
    """As the runbook says: the next run makes it again from the record and the manifest."""
    evening = Evening(office, "unmarked").again_before_marking()
    (batch,) = evening.stored["exportbatches"]
    record = office.logs.find_one({"action": "csv_generated"})
    assert record is not None
    assert record["metadata"]["batchId"] == str(batch["_id"])
    evening.database["exportbatches"].delete_one({"_id": batch["_id"]})

    evening.finish()

    evening.check()


def test_damage_in_what_migrate_stores_is_repaired_by_applying_it_again(office: Office) -> None:
    applied = office.database["schemamigrations"]
    applied.insert_one({"_id": ObjectId(), "appliedAt": "odd"})
    applied.update_one({"_id": 1}, {"$set": {"appliedAt": "odd"}})
    applied.update_one({"_id": 2}, {"$unset": {"appliedAt": ""}})

    migrate.migrate(office.database, now=EVENING)

    assert [one.applied_at for one in migrate.standings(office.database)][:2] == [EVENING] * 2


def test_the_kinds_of_destinations_have_breakers() -> None:
    assert {DriveDestination.kind, LocalDestination.kind, S3Destination.kind} == set(breaker.KINDS)
