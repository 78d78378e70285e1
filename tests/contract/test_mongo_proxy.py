"""The proxy changes nothing, counts what it should, and cuts where a test says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from pymongo import MongoClient, UpdateOne
from pymongo.database import Database
from pymongo.errors import AutoReconnect, ConfigurationError, DuplicateKeyError
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from tests.emulators.mongo_proxy import CUT, Action, Event, MongoProxy, Phase, neither


@pytest.fixture
def proxy(database: Database[dict[str, Any]]) -> Iterator[MongoProxy]:
    address = database.client.address
    assert address is not None
    with MongoProxy(*address) as proxy:
        yield proxy


@pytest.fixture
def proxied(
    proxy: MongoProxy, database: Database[dict[str, Any]]
) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](
        proxy.uri, w="majority", readConcernLevel="majority", serverSelectionTimeoutMS=5000
    ) as client:
        yield client[database.name]


def seen(proxy: MongoProxy) -> list[tuple[str, str | None]]:
    return [(command.name, command.collection) for command in proxy.commands]


def cut_at(name: str, phase: Phase, times: int = 1) -> tuple[list[Event], Any]:
    """A hook that cuts the first `times` of a command in a phase, and what it cut."""
    events: list[Event] = []

    def hook(event: Event) -> Action | None:
        if event.name == name and event.phase is phase and len(events) < times:
            events.append(event)
            return CUT
        return None

    return events, hook


def test_the_client_stays_on_the_proxy(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    proxied.command("ping")
    assert proxied.client.address == ("127.0.0.1", proxy.port)
    assert parse_uri(proxy.uri)["options"] == {"directConnection": True}


def test_documents_pass_unchanged(
    proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    document = {
        "_id": bson.ObjectId(),
        "amount": Decimal128("1234.50"),
        "text": "ค่าเช่า",
        "at": datetime(2026, 1, 18, 11, tzinfo=UTC),
        "large": b"\xff" * 4_000_000,
    }
    proxied.entries.insert_one(document)
    assert database.entries.find_one() == document
    raw = proxied.entries.find_one()
    assert raw is not None
    assert raw["large"] == document["large"]


def test_handshake_and_monitoring_are_not_counted(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    proxied.command("ping")
    proxied.entries.insert_one({})
    assert seen(proxy) == [("insert", "entries")]


def test_commands_are_numbered_named_and_shown_twice(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    events: list[Event] = []
    proxy.hook = events.append
    proxied.entries.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 3}])
    assert len(list(proxied.entries.find({}, batch_size=2))) == 3
    proxied.entries.bulk_write([UpdateOne({"_id": 1}, {"$set": {"a": 1}})])
    proxied.client.admin.command("listDatabases")
    assert [(e.number, e.name, e.collection, e.phase.value) for e in events] == [
        (number, name, collection, phase)
        for number, (name, collection) in enumerate(
            [
                ("insert", "entries"),
                ("find", "entries"),
                ("getMore", "entries"),
                ("update", "entries"),
                ("listDatabases", None),
            ],
            start=1,
        )
        for phase in ("before", "after")
    ]
    assert [event.command.database for event in events][-3:] == [proxied.name, "admin", "admin"]
    insert, inserted, *_ = events
    assert insert.document["documents"] == [{"_id": 1}, {"_id": 2}, {"_id": 3}]
    assert insert.reply is None
    assert inserted.reply is not None
    assert inserted.reply["n"] == 3
    update = events[6].document["updates"]
    assert update[0]["q"] == {"_id": 1}


def test_a_transaction_commits_through_it(
    proxy: MongoProxy, proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    with proxied.client.start_session() as session, session.start_transaction():
        proxied.entries.insert_one({"_id": 1}, session=session)
        proxied.slots.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True, session=session)
        assert database.entries.find_one() is None
    assert database.entries.find_one() == {"_id": 1}
    assert [name for name, _ in seen(proxy)] == ["insert", "update", "commitTransaction"]


def test_a_transaction_aborts_through_it(
    proxy: MongoProxy, proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    proxied.create_collection("entries")
    with proxied.client.start_session() as session:
        session.start_transaction()
        proxied.entries.insert_one({"_id": 1}, session=session)
        session.abort_transaction()
    assert database.entries.find_one() is None
    assert seen(proxy)[-1] == ("abortTransaction", None)


def test_a_cut_before_leaves_the_command_undone_and_is_retried(
    proxy: MongoProxy, proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    cut, proxy.hook = cut_at("insert", Phase.BEFORE)
    proxied.entries.insert_one({"_id": 1})
    assert len(cut) == 1
    assert seen(proxy) == [("insert", "entries")] * 2
    assert database.entries.count_documents({}) == 1


def test_a_cut_after_leaves_the_command_done_and_its_retry_is_the_same_write(
    proxy: MongoProxy, proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    cut, proxy.hook = cut_at("update", Phase.AFTER)
    result = proxied.entries.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)
    assert cut[0].reply is not None
    assert result.upserted_id == 1
    assert database.entries.find_one() == {"_id": 1, "n": 1}


@pytest.mark.parametrize(("phase", "done"), [(Phase.BEFORE, False), (Phase.AFTER, True)])
def test_cutting_the_retry_too_reaches_the_caller(
    proxy: MongoProxy,
    proxied: Database[dict[str, Any]],
    database: Database[dict[str, Any]],
    phase: Phase,
    done: bool,
) -> None:
    cut, proxy.hook = cut_at("insert", phase, times=2)
    with pytest.raises(AutoReconnect):
        proxied.entries.insert_one({"_id": 1})
    assert len(cut) == 2
    assert bool(database.entries.find_one()) is done


def test_a_lost_answer_to_a_commit_is_settled_by_the_retry(
    proxy: MongoProxy, proxied: Database[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    cut, proxy.hook = cut_at("commitTransaction", Phase.AFTER)
    with proxied.client.start_session() as session, session.start_transaction():
        proxied.entries.insert_one({"_id": 1}, session=session)
    assert len(cut) == 1
    assert database.entries.find_one() == {"_id": 1}


def test_a_client_killed_before_a_command_never_sent_it(
    proxy: MongoProxy, database: Database[dict[str, Any]]
) -> None:
    script = (
        "import sys, pymongo\n"
        "entries = pymongo.MongoClient(sys.argv[1])[sys.argv[2]].entries\n"
        "for n in range(10): entries.insert_one({'_id': n})\n"
    )
    started = threading.Event()

    def kill_at_the_fourth(event: Event) -> Action | None:
        if event.number == 4 and event.phase is Phase.BEFORE:
            assert started.wait(20)
            os.kill(process.pid, signal.SIGKILL)
            return CUT
        return None

    proxy.hook = kill_at_the_fourth
    with subprocess.Popen([sys.executable, "-c", script, proxy.uri, database.name]) as process:
        started.set()
    assert process.returncode == -signal.SIGKILL
    assert [d["_id"] for d in database.entries.find().sort("_id")] == [0, 1, 2]


def test_a_blocked_hook_delays_its_own_connection_only(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(event: Event) -> None:
        if event.collection == "held" and event.phase is Phase.AFTER:
            reached.set()
            assert go_on.wait(20)

    proxy.hook = hold
    with ThreadPoolExecutor() as pool:
        held = pool.submit(proxied.held.insert_one, {"_id": 1})
        assert reached.wait(20)
        proxied.entries.insert_one({"_id": 1})
        assert not held.done()
        go_on.set()
        assert held.result(20).inserted_id == 1


def test_many_connections_at_once(proxy: MongoProxy, proxied: Database[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: proxied.entries.insert_one({"_id": n}), range(200)))
    assert proxied.entries.count_documents({}) == 200
    assert [command.number for command in proxy.commands] == list(range(1, 202))


def test_errors_of_the_server_pass(proxied: Database[dict[str, Any]]) -> None:
    proxied.entries.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        proxied.entries.insert_one({"_id": 1})


def test_an_unacknowledged_write_needs_no_answer(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    unacknowledged = proxied.entries.with_options(write_concern=WriteConcern(w=0))
    unacknowledged.insert_one({"_id": 1})
    proxied.entries.insert_one({"_id": 2})
    assert seen(proxy) == [("insert", "entries")] * 2


def test_while_down_nothing_passes_and_afterwards_the_client_comes_back(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    proxied.entries.insert_one({"_id": 1})
    with (
        proxy.down(),
        MongoClient[dict[str, Any]](proxy.uri, serverSelectionTimeoutMS=300) as impatient,
        pytest.raises(AutoReconnect),
    ):
        impatient[proxied.name].entries.insert_one({"_id": 2})
    proxied.entries.insert_one({"_id": 3})
    assert [d["_id"] for d in proxied.entries.find().sort("_id")] == [1, 3]


def test_a_hook_that_raises_fails_the_test(database: Database[dict[str, Any]]) -> None:
    def broken(event: Event) -> None:
        raise ValueError("broken hook")

    address = database.client.address
    assert address is not None
    with (
        pytest.raises(ExceptionGroup) as told,
        MongoProxy(*address, hook=broken) as proxy,
        MongoClient[dict[str, Any]](proxy.uri, retryWrites=False) as client,
        pytest.raises(AutoReconnect),
    ):
        client[database.name].entries.insert_one({})
    assert str(told.value.exceptions[0]) == "broken hook"


def test_leaving_the_block_leaves_no_thread(database: Database[dict[str, Any]]) -> None:
    address = database.client.address
    assert address is not None
    with MongoProxy(*address) as proxy, MongoClient[dict[str, Any]](proxy.uri) as client:
        client[database.name].entries.insert_one({})
    assert [t.name for t in threading.enumerate() if t.name.startswith("mongo-proxy")] == []


def test_a_handshake_can_be_altered_and_nothing_else_is(
    proxy: MongoProxy, database: Database[dict[str, Any]]
) -> None:
    answers: list[dict[str, Any]] = []

    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        answers.append(answer)
        return {**answer, "maxWriteBatchSize": 2}

    proxy.handshake = alter
    with MongoClient[dict[str, Any]](proxy.uri) as client:
        client[database.name].entries.insert_many([{"_id": n} for n in range(5)])
        asked = client.admin.command("hello")
    assert [name for name, _ in seen(proxy)].count("insert") == 3  # by two, as announced
    assert asked["maxWriteBatchSize"] == answers[0]["maxWriteBatchSize"] == 100_000
    assert database.entries.count_documents({}) == 5


def test_a_member_that_is_neither_primary_nor_secondary_supports_no_sessions(
    proxy: MongoProxy, proxied: Database[dict[str, Any]]
) -> None:
    """What PyMongo concludes, and keeps for as long as the connection is open."""
    proxied.command("ping")
    with proxied.client.start_session() as session:
        proxy.handshake = neither
        with MongoClient[dict[str, Any]](proxy.uri) as late, late.start_session() as unsupported:
            late.admin.command("ping")
            proxy.handshake = None
            for _ in range(3):
                late[proxied.name].entries.find_one()
                with pytest.raises(ConfigurationError, match=r"^Sessions are not supported by"):
                    late[proxied.name].entries.find_one(session=unsupported)
        assert proxied.entries.find_one(session=session) is None
