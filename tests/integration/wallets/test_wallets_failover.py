"""MongoDB changes its primary while money moves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from daybook.ledger_app import LedgerApp
from daybook.local.mongod import REPLICA_SET, EmbeddedMongod
from daybook.wallets import move
from tests.emulators.mongo_proxy import Action, Event, MongoProxy, Phase
from tests.integration.ledgers import (
    balance_of,
    check_books,
    check_whole,
    make_app,
    movement,
    prepare,
    purses,
)

DATABASE = "failover"


@pytest.fixture(scope="module")
def mongod() -> Iterator[EmbeddedMongod]:
    """One of its own, since no other test can do without a primary."""
    with EmbeddedMongod() as mongod:
        yield mongod


@pytest.fixture(scope="module")
def direct(mongod: EmbeddedMongod) -> Iterator[MongoClient[dict[str, Any]]]:
    uri = f"mongodb://{mongod.host}/?directConnection=true"
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        prepare(client[DATABASE])
        yield client


@pytest.fixture(scope="module")
def proxy(mongod: EmbeddedMongod, direct: MongoClient[dict[str, Any]]) -> Iterator[MongoProxy]:
    """All that the driver sees of the replica set; it looks for the primary as elsewhere."""
    host, _, port = mongod.host.partition(":")
    with MongoProxy(host, int(port)) as proxy:
        config = direct.admin.command("replSetGetConfig")["config"]
        config["members"][0]["host"] = f"127.0.0.1:{proxy.port}"
        config["version"] += 1
        direct.admin.command("replSetReconfig", config)
        yield proxy


@pytest.fixture(scope="module")
def app(proxy: MongoProxy) -> Iterator[LedgerApp]:
    app = make_app(f"mongodb://127.0.0.1:{proxy.port}/?replicaSet={REPLICA_SET}", DATABASE)
    yield app
    app.client.close()


class StepDown:
    """Has the primary step down when a command comes for the first time."""

    def __init__(
        self, direct: MongoClient[dict[str, Any]], name: str, collection: str | None, phase: Phase
    ) -> None:
        self._direct = direct
        self._at = (name, collection, phase)
        self.sprung = False

    def __call__(self, event: Event) -> Action | None:
        collection = event.collection if self._at[1] else None
        if self.sprung or (event.name, collection, event.phase) != self._at:
            return None
        self.sprung = True
        self._direct.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=0, force=True)
        return None


@pytest.mark.parametrize(
    ("name", "collection", "phase"),
    [
        ("findAndModify", "wallets", Phase.AFTER),
        ("insert", "journalentries", Phase.BEFORE),
        ("commitTransaction", None, Phase.BEFORE),
        ("commitTransaction", None, Phase.AFTER),
    ],
)
def test_a_primary_that_steps_down_neither_loses_nor_doubles_a_movement(
    app: LedgerApp,
    proxy: MongoProxy,
    direct: MongoClient[dict[str, Any]],
    name: str,
    collection: str | None,
    phase: Phase,
) -> None:
    payer, payee, other = purses(app.ledger, 1000, 0, 70)
    key = str(ObjectId())
    proxy.hook = step_down = StepDown(direct, name, collection, phase)

    with ThreadPoolExecutor(2) as pool:
        debit = pool.submit(move.debit, app.ledger, other, movement(30))
        transfer = pool.submit(move.transfer, app.ledger, payer, payee, movement(400, key=key))
    proxy.hook = None

    assert step_down.sprung
    assert debit.result().body["availablePaise"] == 40
    again = move.transfer(app.ledger, payer, payee, movement(400, key=key))
    assert (again.replayed, again.body) == (True, transfer.result().body)
    assert [balance_of(direct[DATABASE], owner) for owner in (payer, payee, other)] == [
        (600, 2),
        (400, 1),
        (40, 2),
    ]
    assert check_books(direct[DATABASE], [payer, payee, other]) == 1040
    check_whole(direct[DATABASE])
