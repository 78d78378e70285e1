"""`doctor`: each thing that can be wrong is found, and said with what to do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from daybook.destinations.base import Destination, Finding
from daybook.errors import ConfigurationError
from daybook.export import source_indexes
from daybook.export.model.source import MEDICI
from daybook.local.mongod import find_mongod
from daybook.ops.doctor import Installation, examine, to_doc
from tests import books, commands
from tests.integration.office import DAY, EVENING, Office
from tests.ports import free_port

pytestmark = pytest.mark.migrated


@pytest.fixture
def office(database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path) -> Iterator[Office]:
    with Office(database, mongo_uri, tmp_path) as office:
        yield office


@pytest.fixture
def installation(office: Office) -> Installation:
    app = office.app
    return Installation(
        env=office.env,
        client=app.client,
        database=app.database,
        mongodb_uri=office.env["DAYBOOK_MONGODB_URI"],
        destination=lambda: app.destination,
        tasks=app.cloud_tasks,
        messages={},
        profile=app.profile(),
        schedule=app.schedule,
        clock=lambda: datetime.now(UTC),
    )


def findings(installation: Installation) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(installation)}


def wrong(installation: Installation) -> dict[str, str]:
    return {finding.name: finding.detail for finding in examine(installation) if not finding.ok}


def test_a_sound_set_up_is_ok_throughout(installation: Installation) -> None:
    found = findings(installation)
    assert list(found) == [
        *(
            "variables",
            "mongodb",
            "encryption",
            "transactions",
            "indexes",
            "collections",
            "privileges",
        ),
        *("clock", "queue", "unclaimed items", "documents", "last batch"),
        "folder",
    ]
    assert wrong(installation) == {}
    assert found["last batch"].detail == "none yet"
    assert found["variables"].detail == "3 set, none misspelt"


def test_a_misspelt_variable_is_named_with_the_one_that_is_meant(
    installation: Installation,
) -> None:
    env = {**installation.env, "DAYBOOK_DESTINATON": "x", "DAILY_BATCH_CORN": "x", "PATH": "x"}
    detail = wrong(replace(installation, env=env))["variables"]
    assert "DAYBOOK_DESTINATON (is DAYBOOK_DESTINATION meant?)" in detail
    assert "DAILY_BATCH_CORN (is DAILY_BATCH_CRON meant?)" in detail
    assert "PATH" not in detail


def test_the_values_of_variables_are_never_shown(installation: Installation) -> None:
    env = {**installation.env, "DAYBOOK_SECRET": "hunter2"}
    assert "hunter2" not in str(list(examine(replace(installation, env=env))))


def test_without_mongodb_the_rest_is_still_examined(
    installation: Installation, tmp_path: Path
) -> None:
    with MongoClient[dict[str, Any]](
        "mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=50
    ) as client:
        found = findings(replace(installation, client=client, database=client["daybook"]))
    assert list(found) == ["variables", "mongodb", "encryption", "folder"]
    assert not found["mongodb"].ok
    assert "DAYBOOK_MONGODB_URI" in found["mongodb"].detail
    assert found["folder"].ok


def test_without_a_destination_the_rest_is_still_examined(
    office: Office, installation: Installation
) -> None:
    office.folder.rmdir()
    assert list(wrong(installation)) == ["folder"]


def test_the_destination_of_each_profile_is_examined_once(
    database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.mkdir()
    profiles = f"""
        [daily]
        [alike]
        [sales]
        destination = "{gone.as_uri()}"
        [returns]
        destination = "{gone.as_uri()}"
        filename = "returns_{{date}}.csv"
        [off]
        enabled = false
        destination = "{(tmp_path / "off").as_uri()}"
    """
    with Office(database, mongo_uri, there, DAYBOOK_PROFILES=profiles) as office:
        found = findings(office.app.installation(office.env))
    folders = {name: one.ok for name, one in found.items() if name.startswith("folder")}
    assert folders == {"folder": True, "folder of sales, returns": False}
    assert str(gone) in found["folder of sales, returns"].detail


def test_a_destination_that_cannot_even_be_built_is_a_finding(installation: Installation) -> None:
    def without_credentials() -> Destination:
        raise ConfigurationError("no Google credentials for drive://")

    found = wrong(replace(installation, destination=without_credentials))
    assert found == {"destination": "no Google credentials for drive://"}


@pytest.fixture
def single_server(tmp_path: Path) -> Iterator[MongoClient[dict[str, Any]]]:
    """A mongod that belongs to no replica set."""
    port = free_port()
    command = [str(find_mongod()), "--dbpath", str(tmp_path), "--bind_ip", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--nounixsocket"], stdout=subprocess.DEVNULL
    )
    try:
        with MongoClient[dict[str, Any]]("127.0.0.1", port, tz_aware=True) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def test_a_single_server_has_no_transactions(
    installation: Installation, single_server: MongoClient[dict[str, Any]]
) -> None:
    found = replace(installation, client=single_server, database=single_server["daybook"])
    assert "start mongod with --replSet" in wrong(found)["transactions"]


def test_missing_indexes_are_named_with_the_command_that_builds_them(
    office: Office, installation: Installation
) -> None:
    office.queue.drop_index("idx_queue_plan")
    detail = wrong(installation)["indexes"]
    assert "idx_queue_plan on exportqueues" in detail
    assert "runs are slow without them" in detail
    office.logs.drop_index("idx_batch_daily_unique")
    detail = wrong(installation)["indexes"]
    assert "idx_batch_daily_unique on exportlogs" in detail
    assert "nothing is exported without them: run `daybook migrate`" in detail


def test_indexes_of_the_applications_collections_are_named_with_what_builds_them(
    office: Office, installation: Installation
) -> None:
    source = replace(MEDICI, queue="outbox")
    medici = replace(installation, profile=replace(installation.profile, source=source))
    database = installation.database
    office.logs.database["medici_transactions"].create_index([("_journal", 1), ("book", 1)])
    detail = wrong(medici)["indexes"]
    commands_to_run = detail.partition("in mongosh: ")[2].split("; ")
    assert [command.partition(".createIndex(")[2] for command in commands_to_run[-2:]] == [
        '{"datetime": 1, "_id": 1}, {"name": "idx_entry_date"})',
        '{"meta.ref": 1}, {"name": "idx_line_reference"})',
    ]
    assert "on outbox for the plan's scan, in order" in detail
    assert "on medici_transactions for the lines of an entry" not in detail
    for index in source_indexes.missing(database, source):
        database[index.collection].create_indexes([index.model()])
    assert "indexes" not in wrong(medici)
    database["medici_transactions"].drop_index("_journal_1_book_1")
    assert "for the lines of an entry" in wrong(medici)["indexes"]


@pytest.mark.parametrize(("hours", "said"), [(1, "ahead of MongoDB"), (-1, "behind MongoDB")])
def test_a_clock_that_goes_wrong_is_measured(
    installation: Installation, hours: int, said: str
) -> None:
    off = timedelta(hours=hours)
    detail = wrong(replace(installation, clock=lambda: datetime.now(UTC) + off))["clock"]
    assert detail.startswith((f"this machine is 1 h {said}", f"this machine is 59 min 59 s {said}"))


def test_items_without_an_entry_are_counted_and_named(
    office: Office, installation: Installation
) -> None:
    office.add()
    office.enqueue("nobody")
    office.queue.insert_one({"_id": "no-entry-id", "exportPath": "scheduled", "status": "queued"})
    office.enqueue("done", status="completed")
    detail = wrong(installation)["queue"]
    assert detail.startswith("2 queued items without a journal entry")
    assert "no-entry-id" in detail
    office.queue.delete_many({"entryId": "nobody"})
    office.queue.delete_one({"_id": "no-entry-id"})
    assert findings(installation)["queue"].detail == "1 item waiting"


def at_evening(installation: Installation, **later: float) -> Installation:
    """Some time after the batch of the day; the clock is then off, which does not matter here."""
    return replace(installation, clock=lambda: EVENING + timedelta(**later))


def test_the_last_batch_is_ok_once_it_is_committed(
    office: Office, installation: Installation
) -> None:
    office.add()
    office.export()
    last = findings(at_evening(installation, hours=4))["last batch"]
    assert (last.ok, last.detail) == (True, f"{DAY} committed")


def test_a_failed_batch_is_said_with_its_error(office: Office, installation: Installation) -> None:
    office.add()
    office.database.command("collMod", "exportlogs", validator={"tenant": "theirs"})
    commands.run_day(office.app, DAY)
    found = wrong(at_evening(installation))
    assert "2026-01-18 failed: rehearsal of the commit" in found["last batch"]
    assert "exportlogs has a validator" in found["collections"]


def test_a_batch_that_did_not_come_is_missed_after_two_hours(
    office: Office, installation: Installation
) -> None:
    office.export()
    assert "last batch" not in wrong(at_evening(installation, days=1, hours=1))
    detail = wrong(at_evening(installation, days=1, hours=3))["last batch"]
    assert "although 2026-01-19 was due at 2026-01-19T18:00:00+07:00" in detail


def test_unmarked_items_of_the_last_batch_are_said(
    office: Office, installation: Installation
) -> None:
    office.add()
    office.export()
    office.database["exportbatches"].update_one({}, {"$set": {"markedAt": None}})
    assert "run `sweep`" in wrong(at_evening(installation))["last batch"]


def test_examining_changes_nothing(office: Office, installation: Installation) -> None:
    books.put(office.database, books.entry())
    names = office.database.list_collection_names()
    list(examine(installation))
    assert sorted(office.database.list_collection_names()) == sorted(names)
    assert list(office.folder.iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://localhost/",
        "mongodb://127.0.0.1:27017,[::1]:27018/?tls=false",
        "mongodb://127.1.2.3/",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/",
        "mongodb://db.example.com/?tls=true",
        "mongodb://db.example.com/?ssl=true",
        "mongodb://db1.example.com,db2.example.com/?tlsCAFile=/etc/ca.pem",
        "mongodb://u:p%40ss@db.example.com/daybook?TLS=true&authSource=admin",
        "mongodb+srv://cluster0.example.net/",
        "mongodb+srv://u:p@cluster0.example.net/daybook?retryWrites=true",
        "MONGODB+SRV://cluster0.example.net/?tls=true",
    ],
)
def test_a_protected_connection_is_ok(installation: Installation, uri: str) -> None:
    assert not findings(replace(installation, mongodb_uri=uri))["encryption"].warning


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mongodb://db.example.com/", "not encrypted"),
        ("mongodb://10.0.0.5:27017/?replicaSet=rs0", "not encrypted"),
        ("mongodb://[2001:db8::1]/", "not encrypted"),
        ("mongodb://localhost,db.example.com/", "not encrypted"),
        ("mongodb://127.0.0.1.example.com/", "not encrypted"),
        ("mongodb://localhost.example.com/", "not encrypted"),
        ("mongodb://db.example.com/?tls=false", "not encrypted"),
        ("mongodb://db.example.com/?ssl=false", "not encrypted"),
        ("mongodb://db.example.com/?tls=yes", "not encrypted"),
        ("mongodb+srv://cluster0.example.net/?tls=false", "not encrypted"),
        ("mongodb+srv://u:p@cluster0.example.net/daybook?ssl=false", "not encrypted"),
        ("mongodb://db.example.com/?tls=true&tlsInsecure=true", "nobody checks"),
        ("mongodb://db.example.com/?tlsAllowInvalidCertificates=true", "nobody checks"),
        ("mongodb+srv://cluster0.example.net/?tlsAllowInvalidHostnames=true", "nobody checks"),
    ],
)
def test_an_unprotected_connection_to_another_host_is_named(
    installation: Installation, uri: str, why: str
) -> None:
    found = findings(replace(installation, mongodb_uri=uri))["encryption"]
    assert (found.ok, found.warning) == (True, True)
    assert why in found.detail
    doc = to_doc([found])
    assert (doc["status"], doc["findings"][0]["warning"]) == ("ok", True)
