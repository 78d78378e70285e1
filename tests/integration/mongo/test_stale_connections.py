"""Connections that were opened while the member was neither primary nor secondary.

PyMongo never uses a session on such a connection. What needs one has it closed, and
succeeds within the same call; what is stored is what one call stores.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import AutoReconnect, ConfigurationError, DuplicateKeyError

from daybook.export.model.profile import Profile
from daybook.export.operations.requeue import requeue
from daybook.local.mongod import REPLICA_SET, EmbeddedMongod
from daybook.mongo.client import connect
from daybook.mongo.sessions import renew_connections, snapshot, transaction
from daybook.ops.watchdog import WatchStatus, watch
from daybook.settings.settings import Settings
from daybook.wallets import move
from daybook.wallets.reconcile.reconcile import reconcile
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase, neither
from tests.installed import DAYBOOK
from tests.integration.ledgers import balance_of, make_app, movement, prepare, purses
from tests.integration.office import DAY, EVENING, Office

Db = Database[dict[str, Any]]
ROOT = Path(__file__).parents[3]
ADDRESSES = {"direct": "directConnection=true", "replica set": f"replicaSet={REPLICA_SET}"}


@pytest.fixture(scope="module")
def mongod() -> Iterator[EmbeddedMongod]:
    """One of its own, whose replica set consists of the proxy."""
    with EmbeddedMongod() as mongod:
        yield mongod


@pytest.fixture(scope="module")
def proxy(mongod: EmbeddedMongod) -> Iterator[MongoProxy]:
    host, _, port = mongod.host.partition(":")
    with (
        MongoProxy(host, int(port)) as proxy,
        MongoClient[dict[str, Any]](f"mongodb://{mongod.host}/?directConnection=true") as client,
    ):
        config = client.admin.command("replSetGetConfig")["config"]
        config["members"][0]["host"] = f"127.0.0.1:{proxy.port}"
        config["version"] += 1
        client.admin.command("replSetReconfig", config)
        yield proxy


@pytest.fixture
def outside(mongod: EmbeddedMongod) -> Iterator[Db]:
    """What is stored, seen past the proxy."""
    uri = f"mongodb://{mongod.host}/?directConnection=true"
    with MongoClient[dict[str, Any]](uri, tz_aware=True, w="majority") as client:
        database = client[f"sessions_{ObjectId()}"]
        yield database
        client.drop_database(database.name)


@pytest.fixture(params=ADDRESSES.values(), ids=ADDRESSES.keys())
def uri(proxy: MongoProxy, request: pytest.FixtureRequest) -> str:
    return f"mongodb://127.0.0.1:{proxy.port}/?{request.param}"


@pytest.fixture
def database(uri: str, outside: Db) -> Iterator[Db]:
    """Through a client as Daybook builds it."""
    settings = Settings.from_env({"DAYBOOK_MONGODB_URI": uri, "DAYBOOK_DESTINATION": "file:///tmp"})
    with connect(settings) as client:
        outside.create_collection("entries")
        yield client[outside.name]


def supports_sessions(database: Db) -> bool:
    """Whether the connection does that the pool hands out next."""
    try:
        with database.client.start_session() as session:
            database["entries"].find_one(session=session)
    except ConfigurationError:
        return False
    return True


def spoil(database: Db, proxy: MongoProxy) -> None:
    """Open a connection as during a step-down, and leave it where the pool takes it next."""
    earlier = proxy.hook
    database.client.admin.command("ping")
    while supports_sessions(database):
        _open_one(database, proxy)
    proxy.hook = earlier


def _open_one(database: Db, proxy: MongoProxy) -> None:
    reached = {"sound": threading.Event(), "spoilt": threading.Event()}
    released = {"sound": threading.Event(), "spoilt": threading.Event()}

    def hold(event: Event) -> Action | None:
        if event.collection in reached and event.phase is Phase.BEFORE:
            reached[event.collection].set()
            assert released[event.collection].wait(20)
        return None

    proxy.hook = hold
    with ThreadPoolExecutor(2) as pool:
        found = {}
        for name, handshake in (("sound", None), ("spoilt", neither)):
            proxy.handshake = handshake
            found[name] = pool.submit(database[name].find_one)
            assert reached[name].wait(20)
        proxy.handshake = None
        for name in ("sound", "spoilt"):  # the pool hands out the one that came back last
            released[name].set()
            found[name].result(20)


def test_the_driver_never_uses_a_session_on_such_a_connection(
    database: Db, proxy: MongoProxy
) -> None:
    """If this fails, PyMongo has changed, and `daybook.mongo.sessions` may be obsolete."""
    spoil(database, proxy)
    for _ in range(5):
        with (
            database.client.start_session() as session,
            pytest.raises(ConfigurationError, match=r"^Sessions are not supported by this MongoDB"),
        ):
            session.with_transaction(
                lambda session: database["entries"].insert_one({"_id": 1}, session=session)
            )
    assert database["entries"].insert_one({"_id": 1}).acknowledged  # which needs none


def test_renewing_closes_every_connection_of_the_pool(database: Db, proxy: MongoProxy) -> None:
    spoil(database, proxy)
    renew_connections(database.client)
    assert supports_sessions(database)
    assert database.client.admin.command("ping")["ok"] == 1


class Unwanted(Exception):
    pass


@pytest.mark.parametrize("point", ["first statement", "second statement", "commit"])
def test_a_transaction_succeeds_once_wherever_it_meets_such_a_connection(
    database: Db, outside: Db, proxy: MongoProxy, point: str
) -> None:
    met: list[str] = []

    def meet(here: str) -> None:
        if here == point and not met:
            met.append(here)
            spoil(database, proxy)

    def work(session: ClientSession) -> int:
        database["entries"].insert_one({"amount": 1}, session=session)
        meet("second statement")
        database["entries"].insert_one({"amount": 2}, session=session)
        meet("commit")
        return 7

    meet("first statement")
    with pymongo.timeout(20):
        assert transaction(database.client, work) == 7
    assert met == [point]
    assert sorted(doc["amount"] for doc in outside["entries"].find()) == [1, 2]
    assert supports_sessions(database)


@pytest.mark.parametrize("error", [Unwanted, KeyboardInterrupt])
def test_an_abort_that_meets_such_a_connection_leaves_no_lock(
    database: Db, outside: Db, proxy: MongoProxy, error: type[BaseException]
) -> None:
    outside["entries"].insert_one({"_id": 1, "amount": 5})

    def work(session: ClientSession) -> None:
        database["entries"].update_one({"_id": 1}, {"$inc": {"amount": 1}}, session=session)
        spoil(database, proxy)
        raise error

    with pytest.raises(error):
        transaction(database.client, work)
    with pymongo.timeout(5):  # MongoDB keeps an open transaction for a minute
        outside["entries"].update_one({"_id": 1}, {"$inc": {"amount": 10}})
    assert outside["entries"].find_one() == {"_id": 1, "amount": 15}


def test_a_transaction_is_repeated_when_the_abort_before_met_such_a_connection(
    database: Db, outside: Db, proxy: MongoProxy
) -> None:
    tries: list[int] = []

    def work(session: ClientSession) -> None:
        tries.append(1)
        database["entries"].insert_one({"amount": 1}, session=session)
        if len(tries) == 1:
            spoil(database, proxy)
            raise AutoReconnect("lost", {"errorLabels": ["TransientTransactionError"]})

    transaction(database.client, work)
    assert len(tries) == 2
    assert outside["entries"].count_documents({}) == 1


@pytest.mark.parametrize("use", [transaction, snapshot])
def test_other_errors_of_configuration_are_raised_at_once(
    database: Db, use: Callable[..., Any]
) -> None:
    tries: list[int] = []

    def work(_session: ClientSession) -> None:
        tries.append(1)
        raise ConfigurationError("Collation is unsupported for unacknowledged writes.")

    with pytest.raises(ConfigurationError, match=r"^Collation"):
        use(database.client, work)
    assert tries == [1]


def test_errors_of_the_work_are_raised_as_they_are(database: Db, outside: Db) -> None:
    outside["entries"].insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        transaction(
            database.client, lambda s: database["entries"].insert_one({"_id": 1}, session=s)
        )


def test_many_requests_at_once_succeed_once_each(
    database: Db, outside: Db, proxy: MongoProxy
) -> None:
    def insert(number: int) -> int:
        def work(session: ClientSession) -> int:
            database["entries"].insert_one({"_id": number}, session=session)
            return number

        return transaction(database.client, work)

    spoil(database, proxy)
    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(insert, range(60))) == list(range(60))
    assert outside["entries"].distinct("_id") == list(range(60))


def test_a_movement_of_money_succeeds_in_the_same_request(
    uri: str, outside: Db, proxy: MongoProxy
) -> None:
    prepare(outside)
    app = make_app(uri, outside.name)
    with app.client:
        payer, payee = purses(app.ledger, 1000, 0)
        spoil(app.database, proxy)
        answer = move.transfer(app.ledger, payer, payee, movement(400))
        assert not answer.replayed
        spoil(app.database, proxy)
        assert reconcile(app.database, Profile(name="daily")).differences == ()
    assert [balance_of(outside, owner) for owner in (payer, payee)] == [(600, 2), (400, 1)]


def test_a_run_delivers_in_its_first_attempt(
    uri: str, outside: Db, proxy: MongoProxy, tmp_path: Path
) -> None:
    with Office(outside, uri, tmp_path) as office:
        good, wrong = office.add(), office.add("10.00", credit="9.00")
        spoil(office.app.database, proxy)
        office.export()
        assert office.batch()["attempt"] == 1
        assert [item["status"] for item in office.items(good)] == ["completed"]

        spoil(office.app.database, proxy)
        app = office.app
        seen = watch(app.database, "daily", app.schedule, EVENING, app.messenger)
        assert seen.status is WatchStatus.DONE
        spoil(office.app.database, proxy)
        corrected = {"$set": {"lines.1.credit": Decimal128("10.00")}}
        office.entries.update_one({"_id": wrong}, corrected)
        requeue(app.database, app.profile(), str(wrong), now=EVENING)
        assert [item["status"] for item in office.items(wrong)] == ["queued"]


def test_a_command_succeeds_whose_first_connections_support_no_sessions(
    uri: str, outside: Db, proxy: MongoProxy, tmp_path: Path
) -> None:
    with Office(outside, uri, tmp_path) as office:
        entry = office.add()
    handshakes: list[bool] = []

    def during_a_step_down(answer: dict[str, Any]) -> dict[str, Any]:
        """Not for the first: with that one the driver looks at the member, and goes on looking."""
        handshakes.append(True)
        return neither(answer) if 1 < len(handshakes) <= 3 else answer

    proxy.handshake = during_a_step_down
    run = subprocess.run(
        [DAYBOOK, "run", "--date", DAY.isoformat(), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **office.env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    proxy.handshake = None
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["status"] == "exported"
    assert len(handshakes) > 3
    assert office.batch()["attempt"] == 1
    assert [item["status"] for item in office.items(entry)] == ["completed"]
