"""Daybook's own collections with documents of others, and with its own altered by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
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
from daybook.destinations.drive import DriveDestination
from daybook.destinations.local import LocalDestination
from daybook.destinations.s3 import S3Destination
from daybook.errors import DaybookError, DestinationError
from daybook.export import breaker, jobs
from daybook.export.history import history, status
from daybook.export.outcome import Status
from daybook.export.run import run
from daybook.http import answer
from tests import books
from tests.integration.office import DAY, EVENING, NEXT_DAY, Office

pytestmark = pytest.mark.migrated

Db = Database[dict[str, Any]]

OWN = ("exportslots", "exportbatches", "exportmanifests", "exportorphans", "circuitbreakers")
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
                jobs.daily(office.database, office.app.profile(), DAY),
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

    def call(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        builder = EnvironBuilder(path=path, method="GET" if body is None else "POST", json=body)
        response = answer(self.app, flask.Request(builder.get_environ()))
        return response.status_code, response.get_data(as_text=True)

    def look(self) -> None:
        """What only reads: an answer, or an error of Daybook's own."""
        app, entry = self.app, self.stored["journalentries"][0]["_id"]
        reads: list[Callable[[], Any]] = [
            lambda: status(app.database, app.profile(), DAY),
            lambda: history(app.database, app.profile(), limit=10),
            lambda: lineage(app.database, app.profile(), str(entry)),
            lambda: app.receipt(DAY),
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
            if code >= 500 and path != "/health/cron":
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
            self.app.reopen_day(DAY)
        for day in (DAY, NEXT_DAY):
            outcome = self.app.run_batch(batch_date=day)
            if outcome.status is Status.FAILED:
                self.app.reopen_day(day)
                outcome = self.app.run_batch(batch_date=day)
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


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", OWN)
def test_an_altered_document_stops_the_day_by_name_until_it_is_repaired(
    office: Office, caplog: pytest.LogCaptureFixture, stage: str, name: str
) -> None:
    evening = Evening(office, stage)
    cases = 0
    for doc in evening.stored[name]:
        of_doc = {"_id": doc["_id"]}
        for path in fields(doc):
            value = at(doc, path)
            for change in ({"$unset": {path: ""}}, {"$set": {path: of_another_type(value)}}):
                evening.again().database[name].update_one(of_doc, change)
                caplog.clear()

                evening.look()
                evening.calls()

                crashed = [r for r in caplog.records if getattr(r, "event", "") in CRASHES]
                assert not crashed, (path, change, crashed[0].getMessage())
                try:
                    evening.repair(name, doc["_id"], path, value)
                    evening.finish()
                    evening.check()
                except (AssertionError, DaybookError) as error:
                    raise AssertionError((name, path, change)) from error
                cases += 1
    assert bool(cases) == bool(evening.stored[name])


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


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", OWN)
def test_documents_of_others_are_ignored_and_stay(
    office: Office, caplog: pytest.LogCaptureFixture, stage: str, name: str
) -> None:
    evening = Evening(office, stage).again()
    stranger = {"profile": "daily", "state": "odd", "alertedAt": None, "seenAt": None}
    ids = [i for i in FOREIGN_IDS if not (name == "exportbatches" and isinstance(i, ObjectId))]
    if name == "exportorphans":  # a file's id may be any text
        ids = [i for i in ids if not isinstance(i, str)]
    watched = {"watchUntil": EVENING + timedelta(days=9)}
    evening.database[name].insert_many({"_id": i, **stranger, **watched} for i in ids)

    evening.look()
    evening.calls()

    assert not [r for r in caplog.records if getattr(r, "event", "") in CRASHES]
    _, found = evening.call("/admin/doctor", {})
    (finding,) = [f for f in json.loads(found)["findings"] if f["name"] == "documents"]
    assert not finding["ok"]
    assert f"{name} has documents that are not Daybook's" in finding["detail"]
    evening.finish()
    evening.check()
    kept = evening.database[name].count_documents({"_id": {"$in": ids}})
    assert kept == len(ids)


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


def test_the_kinds_of_destinations_have_breakers() -> None:
    assert {DriveDestination.kind, LocalDestination.kind, S3Destination.kind} == breaker.KINDS
