"""The role of docs/security.md is enough for every operation, and cannot touch the journal."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure

from daybook.errors import ConfigurationError, DaybookError
from daybook.export.batch import batches, export_log
from daybook.export.model.source import Source
from daybook.export.outcome import Status
from daybook.export.queue import manifest
from daybook.export.slot import orphans, slot
from daybook.export.upload import breaker
from daybook.local.mongod import find_mongod
from daybook.mongo import indexes, objects, rights
from daybook.mongo.migrate import migrate
from daybook.ops.doctor import examine
from daybook.settings.settings import Settings
from tests import books, commands, pages
from tests.acceptance.evening import DAY, NEXT_DAY, SIX, Evening
from tests.acceptance.test_cli import all_at_once
from tests.in_memory import in_memory
from tests.integration.office import Office
from tests.ports import free_port
from tests.reusable import ReusableDatabase

Db = Database[dict[str, Any]]

NOT_AUTHORIZED = 13
DAILY = "daily"
START_SECONDS = 60.0
PASSWORD = "p@ss/word"
POSTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("/run", {"batchDate": DAY, "dryRun": True}),
    ("/run", {"batchDate": DAY}),
    ("/admin/verify", {"batchDate": DAY}),
    ("/run", {"batchDate": NEXT_DAY}),
    ("/exports", {"from": "2026-01-01", "to": "2026-01-31"}),
    ("/watchdog", {}),
    ("/sweep", {}),
    ("/admin/doctor", {}),
)


def role() -> dict[str, Any]:
    """The command that docs/security.md gives, `createRole` as JSON."""
    (text,) = re.findall(
        r"```json\n(\{\s*\"createRole\".+?)```", pages.text_of("security.md"), re.S
    )
    found: dict[str, Any] = json.loads(text)
    return found


def named(command: Mapping[str, Any], database: str) -> dict[str, Any]:
    """The same role for a database of another name."""
    text = json.dumps(command["privileges"])
    privileges = json.loads(text.replace('"db": "daybook"', f'"db": "{database}"'))
    return {**command, "privileges": privileges}


@contextmanager
def guarded_mongod(folder: Path) -> Iterator[int]:
    """A replica set that asks who is there; yields its port."""
    port = free_port()
    key = folder / "key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    data = folder / "data"
    data.mkdir()
    process = subprocess.Popen(
        [
            *(str(find_mongod()), "--replSet", "rs0", "--auth", "--keyFile", str(key)),
            *("--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port)),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def become_primary(client: MongoClient[dict[str, Any]], port: int) -> None:
    """Without a user yet, mongod lets every client on this machine begin."""
    until = time.monotonic() + START_SECONDS
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    begun = False
    while True:
        try:
            if not begun:
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
                begun = True
            if client.admin.command("hello")["isWritablePrimary"]:
                return
        except AutoReconnect:
            pass  # it does not listen yet
        assert time.monotonic() < until, f"mongod was not primary within {START_SECONDS:g} s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[dict[str, Any]]]:
    try:
        find_mongod()
    except ConfigurationError as error:
        pytest.skip(f"no MongoDB here: {error}")
    with (
        in_memory() as memory,
        guarded_mongod(memory or tmp_path_factory.mktemp("guarded")) as port,
    ):
        with MongoClient[dict[str, Any]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500
        ) as first:
            become_primary(first, port)
            first.admin.command("createUser", "admin", pwd=PASSWORD, roles=["root"])
        with MongoClient[dict[str, Any]](
            "127.0.0.1",
            port,
            replicaSet="rs0",
            username="admin",
            password=PASSWORD,
            w="majority",
            readConcernLevel="majority",
            tz_aware=True,
        ) as client:
            client.admin.command("createUser", "daybook", pwd=PASSWORD, roles=[])
            yield client


@pytest.fixture(scope="module")
def migrated(admin: MongoClient[dict[str, Any]]) -> Iterator[ReusableDatabase]:
    reusable = ReusableDatabase(admin)
    yield reusable
    reusable.drop()


@pytest.fixture
def books_database(admin: MongoClient[dict[str, Any]], migrated: ReusableDatabase) -> Iterator[Db]:
    """A migrated database on which the user `daybook` has the role and nothing else."""
    database = migrated.take()
    command = named(role(), database.name)
    name = command.pop("createRole")
    admin.admin.command("createRole", name, **command)
    admin.admin.command("updateUser", "daybook", roles=[name])
    yield database
    admin.admin.command("updateUser", "daybook", roles=[])
    admin.admin.command("dropRole", name)
    migrated.give_back()


@pytest.fixture
def uri(admin: MongoClient[dict[str, Any]]) -> str:
    (address,) = admin.nodes
    return (
        f"mongodb://daybook:{quote_plus(PASSWORD)}@127.0.0.1:{address[1]}/"
        "?replicaSet=rs0&authSource=admin"
    )


@pytest.fixture
def evening(books_database: Db, uri: str, caplog: pytest.LogCaptureFixture) -> Iterator[Evening]:
    with Evening(books_database, uri, caplog) as evening:
        yield evening


@pytest.fixture
def limited(books_database: Db, uri: str) -> Iterator[Db]:
    with MongoClient[dict[str, Any]](uri) as client:
        yield client[books_database.name]


@pytest.mark.parametrize("user", ["daybook", "nobody"])
def test_a_refused_login_is_one_line(
    uri: str, books_database: Db, tmp_path: Path, user: str
) -> None:
    """Of each command; all at the same time, since MongoDB delays its refusals."""
    wrong = uri.replace("daybook:", f"{user}:").replace(quote_plus(PASSWORD), "WrongOne")
    env = {
        "DAYBOOK_MONGODB_URI": wrong,
        "DAYBOOK_DATABASE": books_database.name,
        "DAYBOOK_DESTINATION": tmp_path.as_uri(),
    }
    names = ["status", "history", "run", "migrate", "reconcile", "doctor"]
    for name, process in zip(names, all_at_once(env, [[name] for name in names]), strict=True):
        whole = process.stdout + process.stderr
        assert process.returncode == 1, (name, whole)
        # The driver's own events are records of the log, which begin with their time.
        said = [line for line in whole.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", line)]
        if name == "doctor":
            said = [line for line in said if line.startswith("NOT OK  mongodb ")]
        assert len(said) == 1, (name, whole)
        assert said[0].endswith(
            "the login was refused; correct user, password and authSource in DAYBOOK_MONGODB_URI"
        ), (name, said)
        assert "WrongOne" not in whole, name
        assert "full error" not in whole, name


def test_the_role_is_enough_for_everything_that_a_day_may_need(evening: Evening) -> None:
    good, bad = books.entry("GOOD"), books.entry("BAD", lines=books.lines()[:1])
    books.put(evening.database, good, books.entry("GOOD-2"), bad)
    for path, body in POSTS:
        if (path, body.get("batchDate")) == ("/run", NEXT_DAY):
            evening.database["journalentries"].update_one(
                {"_id": bad["_id"]}, {"$set": {"lines": books.lines()}}
            )
            requeued = evening.function.post("/admin/requeue", {"entryId": str(bad["_id"])})
            assert requeued.status_code == 200, requeued.text
            evening.tasks.advance(timedelta(days=1))
        answer = evening.function.post(path, dict(body))
        assert answer.status_code == 200, f"{path} {body}: {answer.text}"
        assert "not authorized" not in answer.text, path
        if path == "/admin/verify":
            assert answer.json()["status"] == "verified"
    assert {name: len(refs) for name, refs in evening.delivered().items() if "batch" in name} == {
        f"batch_{DAY}.csv": 2,
        f"batch_{NEXT_DAY}.csv": 1,
    }
    for path in ("/health", "/health/cron", "/metrics"):
        assert requests.get(evening.function.url + path, timeout=30).status_code == 200, path


def test_the_role_is_enough_for_failures_retries_the_breaker_and_orphans(
    evening: Evening,
) -> None:
    books.put_many(evening.database, 3)
    evening.drive.fault("status", on="create_multipart", status=409, reason="fileIdInUse", times=3)
    evening.trigger()
    evening.tasks.run_until(SIX + timedelta(minutes=30))
    assert evening.database["exportorphans"].count_documents({}) == 1
    evening.drive.down = True
    books.put_many(evening.database, 2, "NEXT")
    evening.tasks.advance_to(SIX + timedelta(days=1))
    evening.trigger(1)
    evening.tasks.run_until(SIX + timedelta(days=1, minutes=30))
    assert evening.database["circuitbreakers"].find_one({})["openUntil"] is not None
    evening.tasks.run_until(SIX + timedelta(days=1, hours=2))
    released = evening.function.post("/admin/release", {"batchDate": NEXT_DAY})
    assert released.status_code == 200, released.text
    evening.drive.down = False
    evening.tasks.advance_to(SIX + timedelta(days=2))
    assert evening.trigger(2).json()["status"] == "exported"
    said = [str(one) for one in evening.stored()["exportbatches"]]
    assert not [text for text in said if "not authorized" in text]


@pytest.mark.parametrize("own", [True, False], ids=["its own", "another user's"])
def test_the_role_ends_only_its_own_open_transaction(
    books_database: Db, limited: Db, own: bool
) -> None:
    """Another user's is waited for, a few seconds at a time, until MongoDB ends it."""
    users = limited if own else books_database
    dead = slot.Slot.take(users[slot.COLLECTION], DAILY, owner="dead", lease_seconds=0.0)
    assert dead is not None
    session = dead._session
    with session.start_transaction():
        users[slot.COLLECTION].update_one({}, {"$inc": {"writes": 1}}, session=session)

        taken = slot.Slot.take(limited[slot.COLLECTION], DAILY, owner="next", lease_seconds=60.0)

        assert (taken is not None) is own
        session.abort_transaction()
    if taken is None:
        taken = slot.Slot.take(limited[slot.COLLECTION], DAILY, owner="next", lease_seconds=60.0)
    assert taken is not None
    assert taken.fence == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda entries, _: entries.insert_one({"reference": "FORGED"}),
        lambda entries, _id: entries.update_one({"_id": _id}, {"$set": {"lines": []}}),
        lambda entries, _id: entries.delete_one({"_id": _id}),
        lambda entries, _: entries.drop(),
        lambda entries, _: entries.create_index("reference"),
        lambda entries, _: entries.database["exportlogs"].delete_one({}),
        lambda entries, _: entries.database["exportbatches"].delete_one({}),
        lambda entries, _: entries.database["exportqueues"].delete_one({}),
        lambda entries, _: entries.database["exportqueues"].insert_one({}),
        lambda entries, _: entries.database["wallets"].find_one({}),
        lambda entries, _: entries.aggregate([{"$out": "copy"}]),
        lambda entries, _: entries.database.client["another"]["journalentries"].find_one({}),
    ],
    ids=[
        *("insert an entry", "change an entry", "delete an entry", "drop the journal"),
        *("index the journal", "delete a record", "delete a batch", "delete a queue item"),
        *("queue something", "read wallets", "copy the journal", "read another database"),
    ],
)
def test_a_holder_of_the_password_cannot(
    books_database: Db, limited: Db, write: Callable[[Any, Any], Any]
) -> None:
    entry = books.entry()
    books_database["journalentries"].insert_one(entry)
    with pytest.raises(OperationFailure) as refused:
        write(limited["journalentries"], entry["_id"])
    assert refused.value.code == NOT_AUTHORIZED
    assert books_database["journalentries"].find_one({"_id": entry["_id"]}) is not None


def test_migrating_needs_more_and_what_the_page_grants_for_it_is_enough(
    admin: MongoClient[dict[str, Any]], books_database: Db, limited: Db
) -> None:
    guard = indexes.ONE_FILE_A_DAY
    books_database[guard.collection].insert_one(
        {"action": "csv_generated", "metadata": {"batchDate": DAY}}
    )
    books_database[guard.collection].drop_index(guard.name)
    with pytest.raises(ConfigurationError, match=r"the user may not run .*security\.md"):
        migrate(limited, now=datetime.now(UTC))
    (more,) = re.findall(
        r'\.grantRolesToUser\("daybook", \[\{role: "(\w+)", db: "daybook"\}\]\)',
        pages.text_of("security.md"),
    )
    admin.admin.command(
        "grantRolesToUser", "daybook", roles=[{"role": more, "db": books_database.name}]
    )
    migrate(limited, now=datetime.now(UTC))
    assert indexes.missing(books_database) == []


PRIVILEGES = [
    ("", "listCollections"),  # the role of earlier versions lacks it
    *(
        (collection, action)
        for collection in objects.EXPORT_COLLECTIONS
        for action in sorted(rights.NEEDED[collection] - {"listIndexes"})
    ),
]


@contextmanager
def without(
    admin: MongoClient[dict[str, Any]], database: str, collection: str, action: str
) -> Iterator[None]:
    """The role, less one action on one collection."""
    resource = {"db": database, "collection": collection}
    change = {"privileges": [{"resource": resource, "actions": [action]}]}
    admin.admin.command("revokePrivilegesFromRole", role()["createRole"], **change)
    yield
    admin.admin.command("grantPrivilegesToRole", role()["createRole"], **change)


def visible(office: Office) -> list[Path]:
    return [*office.folder.glob("batch_*"), *office.folder.glob(".daybook-*/content")]


def delivered(database: Db) -> int:
    return database["exportlogs"].count_documents({"action": "csv_generated"})


@pytest.mark.parametrize(("collection", "action"), PRIVILEGES)
def test_a_missing_privilege_is_named_and_costs_no_file(
    admin: MongoClient[dict[str, Any]],
    books_database: Db,
    uri: str,
    tmp_path: Path,
    collection: str,
    action: str,
) -> None:
    with Office(books_database, uri, tmp_path) as office:
        first, second = office.add(), office.add()
        office.add("1", credit="2")
        with without(admin, books_database.name, collection, action):
            try:
                outcome = commands.run_day(office.app, date.fromisoformat(DAY))
                told, exported = str(outcome.error), outcome.status is Status.EXPORTED
            except DaybookError as error:
                told, exported = str(error), False
            assert len(visible(office)) == delivered(books_database)
            if not exported:
                assert re.search(rf"may not run `\w+` on {books_database.name}\.{collection}", told)
            found = {
                finding.name: finding for finding in examine(office.app.installation(office.env))
            }
            place = collection or "the database"
            assert f"{action} on {place}" in found["privileges"].detail
        commands.run_day(office.app, date.fromisoformat(NEXT_DAY))
        commands.run_day(office.app, date.fromisoformat(NEXT_DAY))
        completed = books_database["exportqueues"].distinct("entryId", {"status": "completed"})
        assert set(completed) == {first, second}
        assert len(visible(office)) == delivered(books_database) == 1


def test_every_collection_of_ours_is_in_the_role_and_no_other() -> None:
    privileges = {
        privilege["resource"]["collection"]: set(privilege["actions"])
        for privilege in role()["privileges"]
    }
    own = {kind.COLLECTION for kind in (export_log, slot, batches, manifest, orphans, breaker)}
    source = Source()
    ours = own | {source.entries, source.queue}
    looked_at = {index.collection for index in indexes.INDEXES} - ours
    assert set(privileges) == ours | looked_at | {""}
    assert privileges == rights.NEEDED
    only_looked_at = {name for name in privileges if privileges[name] == {"listIndexes"}}
    assert only_looked_at == looked_at - {"invites"}
    assert privileges["invites"] == {"find", "update", "listIndexes"}  # the sweep marks them
    assert privileges[source.entries] == {"find", "listIndexes"}


def test_an_address_without_a_password_is_one_that_the_driver_takes() -> None:
    (address,) = re.findall(r"mongodb\+srv://(\S+MONGODB-OIDC\S+)", pages.text_of("security.md"))
    settings = Settings.from_env(
        {
            # Without +srv, which asks the network for the servers' names.
            "DAYBOOK_MONGODB_URI": f"mongodb://{address}&tls=true",
            "DAYBOOK_DESTINATION": "file:///srv/daybook",
        }
    )
    from daybook.mongo.client import connect

    with connect(settings) as client:
        properties = client.options._options["authmechanismproperties"]
    assert properties["ENVIRONMENT"] == "gcp"
