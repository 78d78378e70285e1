"""What the process counts of its own MongoDB client, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, WaitQueueTimeoutError
from pymongo.monitoring import CommandListener
from pymongo.uri_parser import parse_uri

from daybook.mongo.client import connect
from daybook.mongo.monitoring import ClientMonitors, PoolMonitor, PoolUse
from daybook.settings.settings import Settings
from tests.emulators.gate import Gate


@pytest.fixture
def gate(mongo_uri: str) -> Iterator[Gate]:
    gate = Gate(parse_uri(mongo_uri)["nodelist"][0])
    yield gate
    gate.close()


class Started(CommandListener):
    """Tells that a command is under way."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def started(self, event: object) -> None:
        self.event.set()

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


def only_pool(pools: PoolMonitor) -> PoolUse:
    (pool,) = pools.snapshot().values()
    return pool


def test_a_clients_commands_are_counted_by_name_without_its_heartbeats(mongo_uri: str) -> None:
    settings = Settings.from_env(
        {
            "DAYBOOK_MONGODB_URI": mongo_uri,
            "DAYBOOK_DESTINATION": "file:///srv/books",
            "DAYBOOK_MONGO_MAX_POOL_SIZE": "3",
        }
    )
    with connect(settings) as client:
        monitors = ClientMonitors.of(client)
        assert monitors is not None
        things = client["daybook"]["things"]
        things.find_one({"_id": 1})
        things.find_one({"_id": 2})
        things.count_documents({})
        client.admin.command("buildInfo")
        with pytest.raises(OperationFailure):
            things.find_one({"$nonsense": 1})

        commands = monitors.commands.snapshot()
        counts = {name: sum(use.buckets) for name, use in commands.items() if any(use.buckets)}
        assert counts == {"find": 3, "aggregate": 1, "other": 1}
        assert {name: use.failures for name, use in commands.items() if use.failures} == {"find": 1}
        assert commands["find"].total_micros > 0
        pool = only_pool(monitors.pools)
        assert (pool.limit, pool.opened, pool.checked_out, pool.checkouts) == (3, 1, 0, 5)
        assert pool.wait_seconds > 0
    assert only_pool(monitors.pools).opened == 0


def test_an_exhausted_pool_shows_in_use_and_failed_checkouts(gate: Gate) -> None:
    started, pools = Started(), PoolMonitor()
    uri = f"mongodb://127.0.0.1:{gate.port}/?directConnection=true"
    with (
        MongoClient(uri, maxPoolSize=1, event_listeners=[started, pools]) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        client.admin.command("ping")
        assert (only_pool(pools).opened, only_pool(pools).checked_out) == (1, 0)
        gate.stall()
        started.event.clear()
        hanging = thread.submit(client.admin.command, "ping")
        assert started.event.wait(20)
        assert (only_pool(pools).opened, only_pool(pools).checked_out) == (1, 1)

        with pytest.raises(WaitQueueTimeoutError), pymongo.timeout(0.2):
            client.admin.command("ping")
        assert only_pool(pools).failures == {"timeout": 1, "poolClosed": 0, "connectionError": 0}

        gate.flow()
        assert hanging.result(20)["ok"] == 1
        assert only_pool(pools).checked_out == 0
