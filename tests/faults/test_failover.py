"""MongoDB changes its primary in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from daybook.local.mongod import REPLICA_SET, EmbeddedMongod
from daybook.mongo.migrate import migrate
from tests.emulators.mongo_proxy import Action, MongoProxy
from tests.faults.steps import COMMIT, SEAL, STORE_MANIFEST, TAKE, WRITE_PART, Stage, Step
from tests.faults.workers import Worker, Zygote
from tests.faults.world import DAY, World


@pytest.fixture(scope="module")
def mongod() -> Iterator[EmbeddedMongod]:
    """One of its own, since no other test can do without a primary."""
    with EmbeddedMongod() as mongod:
        yield mongod


@pytest.fixture
def world(mongod: EmbeddedMongod, zygote: Zygote) -> Iterator[World]:
    """A world whose replica set consists of the proxy, as far as the driver can see.

    So the driver finds the primary, loses it and finds it again as it would elsewhere.
    """
    with ExitStack() as stack:
        client = stack.enter_context(MongoClient[dict[str, Any]](_direct(mongod), tz_aware=True))
        database = client["failover"]
        stack.callback(client.drop_database, database.name)
        migrate(database, now=datetime.now(UTC))

        def reach(proxy: MongoProxy) -> str:
            address = f"127.0.0.1:{proxy.port}"
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"][0]["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config)
            return f"mongodb://{address}/?replicaSet={REPLICA_SET}"

        yield stack.enter_context(World(database, _direct(mongod), zygote, reach=reach))


def _direct(mongod: EmbeddedMongod) -> str:
    return f"mongodb://{mongod.host}/?directConnection=true"


STEPS = {
    "slot taken": (Step(kind=TAKE), "after"),
    "attempt counted": (Step(kind="commitTransaction"), "before"),
    "manifest part": (Step(kind=WRITE_PART), "before"),
    "manifest stored": (Step(kind=STORE_MANIFEST), "after"),
    "entries read": (Step(kind="find journalentries"), "before"),
    "seal": (Step(kind=SEAL), "before"),
    "sealed": (Step(kind=SEAL), "after"),
    "commit begun": (Step(kind=COMMIT), "after"),
    "record written": (Step(kind="insert exportlogs"), "after"),
    "commit": (Step(kind="commitTransaction", nth=2), "before"),
    "committed": (Step(kind="commitTransaction", nth=2), "after"),
    "marking": (Step(kind="update exportbatches marked"), "before"),
}


@pytest.mark.parametrize(("step", "stage"), STEPS.values(), ids=STEPS.keys())
def test_a_primary_that_steps_down_costs_at_most_an_attempt(
    world: World, mongod: EmbeddedMongod, step: Step, stage: Stage
) -> None:
    entries = world.seed()

    def step_down(_worker: Worker) -> Action | None:
        with MongoClient[dict[str, Any]](_direct(mongod)) as client:
            client.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=0, force=True)
        return None

    worker, trap = world.trapped(step, stage, step_down)
    worker.wait()

    assert trap.sprung
    assert set(worker.statuses) <= {"exported", "retry_scheduled", "DatabaseError"}
    _await_primary(mongod)
    world.expire_lease()
    world.run_until_done()
    assert world.check() == {DAY: entries}


def _await_primary(mongod: EmbeddedMongod) -> None:
    with MongoClient[dict[str, Any]](_direct(mongod)) as client:
        while not client.admin.command("hello")["isWritablePrimary"]:
            pass
