"""A refusal is answered only by a primary that a majority still follows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from daybook.errors import DatabaseError
from daybook.ledger_app import LedgerApp
from daybook.local.mongod import find_mongod
from daybook.wallets import move
from daybook.wallets.errors import ErrorCode, LedgerError
from tests.acceptance.processes import until
from tests.child_processes import freeze
from tests.integration.ledgers import check_books, check_whole, make_app, movement, prepare, purses
from tests.ports import free_port

MEMBERS = 3
START_SECONDS = 60.0
STEPS_DOWN_AFTER_MS = 600_000
"""Longer than the test takes, so that the primary goes on believing that it is one."""


class ReplicaSet:
    """A primary and two members that only follow it; these can be stopped for a while."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port() for _ in range(MEMBERS)]
        self.processes = [self._start(folder / str(port), port) for port in self.ports]
        self.uri = f"mongodb://127.0.0.1:{self.ports[0]}/?replicaSet=three"

    def initiate(self) -> None:
        for port in self.ports:  # it is refused while a member does not answer yet
            with self.direct(port) as client:
                client.admin.command("ping")
        with self.direct(self.ports[0]) as client:
            client.admin.command("replSetInitiate", self._config(1, 1000))
            until(lambda: self._is_complete(client), within_seconds=START_SECONDS)
            client.admin.command("replSetReconfig", self._config(2, STEPS_DOWN_AFTER_MS))

    def _start(self, folder: Path, port: int) -> Popen[bytes]:
        folder.mkdir()
        options = (
            "--replSet",
            "three",
            "--bind_ip",
            "127.0.0.1",
            "--wiredTigerCacheSizeGB",
            "0.25",
        )
        return Popen(
            [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), *options],
            stdout=DEVNULL,
        )

    def _config(self, version: int, election_timeout_ms: int) -> dict[str, Any]:
        return {
            "_id": "three",
            "version": version,
            "settings": {"electionTimeoutMillis": election_timeout_ms},
            "members": [
                {"_id": number, "host": f"127.0.0.1:{port}", "priority": int(number == 0)}
                for number, port in enumerate(self.ports)
            ],
        }

    @staticmethod
    def direct(port: int) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            f"mongodb://127.0.0.1:{port}/?directConnection=true",
            serverSelectionTimeoutMS=1000 * START_SECONDS,
        )

    @staticmethod
    def _is_complete(client: MongoClient[dict[str, Any]]) -> bool:
        try:
            status = client.admin.command("replSetGetStatus")
        except OperationFailure:
            return False
        states = [member["stateStr"] for member in status["members"]]
        return states == ["PRIMARY", "SECONDARY", "SECONDARY"]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The primary has no majority, and does not notice."""
        for process in self.processes[1:]:
            freeze(process.pid)
        try:
            yield
        finally:
            for process in self.processes[1:]:
                os.kill(process.pid, signal.SIGCONT)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(60)


@pytest.fixture
def replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    replica_set = ReplicaSet(tmp_path)
    try:
        replica_set.initiate()
        yield replica_set
    finally:
        replica_set.stop()


@pytest.fixture
def app(replica_set: ReplicaSet) -> Iterator[LedgerApp]:
    app = make_app(replica_set.uri, "refusals")
    prepare(app.database)
    yield app
    app.client.close()


def test_what_no_majority_has_neither_refuses_nor_repeats_a_movement(
    app: LedgerApp, replica_set: ReplicaSet
) -> None:
    """A primary without a majority may have been replaced by one that has booked the key."""
    rich, poor = purses(app.ledger, 100, 10)
    brief = replace(app.ledger, max_wait_seconds=1.0, operation_timeout_seconds=1.0)
    first, second, third, paid, received = (str(ObjectId()) for _ in range(5))
    assert rich < poor  # a transfer changes the lower one first
    with replica_set.alone():
        # The balance is too low, but another primary may have booked it under the key before.
        with pytest.raises(DatabaseError):
            move.debit(brief, poor, movement(20, key=first))
        # Likewise for a transfer whose first wallet refuses, and for one whose second does.
        with pytest.raises(DatabaseError):
            move.transfer(brief, rich, poor, movement(101, key=paid))
        with pytest.raises(DatabaseError):
            move.transfer(brief, poor, rich, movement(20, key=received))
        # Booked here, and no majority has it: neither done nor not done.
        with pytest.raises(DatabaseError):
            move.debit(brief, rich, movement(100, key=second))
        with pytest.raises(DatabaseError):
            move.debit(brief, rich, movement(100, key=second))
        # Refused for what may be undone again.
        with pytest.raises(DatabaseError):
            move.debit(brief, rich, movement(100, key=third))

    for owner, key, amount in ((poor, first, 20), (rich, third, 100)):
        with pytest.raises(LedgerError) as refused:
            move.debit(app.ledger, owner, movement(amount, key=key))
        assert refused.value.code is ErrorCode.INSUFFICIENT_FUNDS
    for payer, payee, key, amount in ((rich, poor, paid, 101), (poor, rich, received, 20)):
        with pytest.raises(LedgerError) as refused:
            move.transfer(app.ledger, payer, payee, movement(amount, key=key))
        assert refused.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert move.debit(app.ledger, rich, movement(100, key=second)).replayed
    assert check_books(app.database, [rich, poor]) == 10
    check_whole(app.database)
