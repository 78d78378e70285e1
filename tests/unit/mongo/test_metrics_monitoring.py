"""What the client's monitors make of the driver's events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandSucceededEvent,
    ConnectionCheckedOutEvent,
    ConnectionCheckOutFailedEvent,
    ConnectionCheckOutFailedReason,
    ConnectionCreatedEvent,
    PoolCreatedEvent,
)

from daybook.mongo.client import connect
from daybook.mongo.monitoring import (
    CHECKOUT_FAILURES,
    COMMAND_BOUNDS_SECONDS,
    COMMANDS,
    ClientMonitors,
    CommandMonitor,
    CommandUse,
    PoolMonitor,
)
from daybook.ops.metrics.families import of_commands
from daybook.settings.settings import Settings

SERVER = ("db.example.com", 27017)


def succeeded(name: str, seconds: float) -> CommandSucceededEvent:
    duration = timedelta(seconds=seconds)
    return CommandSucceededEvent(duration, {}, name, 1, SERVER, None, database_name="daybook")


def failed(name: str, seconds: float) -> CommandFailedEvent:
    duration = timedelta(seconds=seconds)
    return CommandFailedEvent(duration, {}, name, 1, SERVER, None, database_name="daybook")


@pytest.mark.parametrize(
    ("seconds", "bucket", "slow"),
    [
        *((0.0, 0, 0), (0.001, 0, 0), (0.0015, 1, 0), (0.025, 2, 0), (0.5, 4, 0)),
        *((1.0, 5, 0), (1.5, 6, 1), (30.0, 7, 1), (31.0, 8, 1)),
    ],
)
def test_a_command_counts_in_the_bucket_whose_bound_it_does_not_exceed(
    seconds: float, bucket: int, slow: int
) -> None:
    monitor = CommandMonitor()
    monitor.succeeded(succeeded("find", seconds))
    expected = [0] * (len(COMMAND_BOUNDS_SECONDS) + 1)
    expected[bucket] = 1
    assert monitor.snapshot()["find"] == CommandUse(
        buckets=tuple(expected), total_micros=round(seconds * 1_000_000), slow=slow
    )


def test_failed_commands_count_as_finished_and_as_failed() -> None:
    monitor = CommandMonitor()
    monitor.succeeded(succeeded("update", 0.25))
    monitor.failed(failed("update", 2.5))
    use = monitor.snapshot()["update"]
    assert (sum(use.buckets), use.failures, use.slow) == (2, 1, 1)
    assert use.total_micros == 2_750_000


def test_commands_that_are_not_listed_count_together() -> None:
    monitor = CommandMonitor()
    for name in ("buildInfo", "collStats", str(ObjectId())):
        monitor.succeeded(succeeded(name, 0.1))
    use = monitor.snapshot()
    assert tuple(use) == COMMANDS
    assert sum(use["other"].buckets) == 3


def test_commands_are_exposed_in_seconds_and_cumulative_buckets() -> None:
    monitor = CommandMonitor()
    for seconds in (0.25, 0.75, 2.0):
        monitor.succeeded(succeeded("update", seconds))
    duration, *_ = of_commands(monitor.snapshot())
    found = {
        (sample.name.removeprefix(duration.name), sample.labels.get("le")): sample.value
        for sample in duration.samples
        if sample.labels["command"] == "update"
    }
    assert found == {
        **{("_bucket", le): 0 for le in ("0.001", "0.005", "0.025", "0.1")},
        ("_bucket", "0.5"): 1,
        ("_bucket", "1.0"): 2,
        **{("_bucket", le): 3 for le in ("5.0", "30.0", "+Inf")},
        ("_count", None): 3,
        ("_sum", None): 3.0,
    }


def test_a_pool_has_the_drivers_limit_unless_another_is_set() -> None:
    monitor = PoolMonitor()
    monitor.pool_created(PoolCreatedEvent(SERVER, {}))
    monitor.pool_created(PoolCreatedEvent(("[::1]", 27018), {"maxPoolSize": 7}))
    assert {server: pool.limit for server, pool in monitor.snapshot().items()} == {
        "[::1]:27018": 7,
        "db.example.com:27017": MongoClient(connect=False).options.pool_options.max_pool_size,
    }


def test_waits_add_up_and_failures_are_counted_apart() -> None:
    monitor = PoolMonitor()
    monitor.connection_created(ConnectionCreatedEvent(SERVER, 1))
    for seconds in (0.25, 0.5):
        monitor.connection_checked_out(ConnectionCheckedOutEvent(SERVER, 1, seconds))
    reason = ConnectionCheckOutFailedReason.CONN_ERROR
    monitor.connection_check_out_failed(ConnectionCheckOutFailedEvent(SERVER, reason, 9.0))
    pool = monitor.snapshot()["db.example.com:27017"]
    assert (pool.opened, pool.checked_out, pool.checkouts) == (1, 2, 2)
    assert pool.wait_seconds == 0.75
    assert pool.failures == {**dict.fromkeys(CHECKOUT_FAILURES, 0), reason: 1}


def test_each_client_of_the_factory_has_monitors_of_its_own() -> None:
    settings = Settings.from_env(
        {"DAYBOOK_MONGODB_URI": "mongodb://127.0.0.1:1/", "DAYBOOK_DESTINATION": "file:///srv/x"}
    )
    one, other = connect(settings), connect(settings)
    first, again, second = (ClientMonitors.of(client) for client in (one, one, other))
    assert first is not None
    assert second is not None
    assert first == again
    assert first.commands is not second.commands
    assert first.pools is not second.pools


def test_a_client_of_another_application_has_none() -> None:
    assert ClientMonitors.of(MongoClient(connect=False)) is None
