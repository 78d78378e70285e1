"""The ledger's composition root: from settings to a client of its own, and what works with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from threading import RLock
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook.errors import DatabaseError
from daybook.mongo import client, objects
from daybook.mongo.ledger_indexes import check_ledger_guards
from daybook.settings.settings import Settings
from daybook.wallets.atomic import MAX_WAIT_SECONDS
from daybook.wallets.context import Ledger
from daybook.wallets.striped_locks import StripedLocks

APP_NAME = "daybook-ledger"
MIN_POOL_SIZE = 10
"""Unlike the daily batch, requests come all day and should find a connection that is open."""


def server_threads(env: Mapping[str, str]) -> int:
    """How many requests at once functions-framework has gunicorn work on in this process.

    As it reads it itself:
    https://github.com/GoogleCloudPlatform/functions-framework-python#configure-the-functions-framework
    """
    given = env.get("THREADS")
    return int(given) if given else 4 * (os.cpu_count() or 1)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LedgerApp:
    """The ledger, put together. Building it does no I/O; the client connects when first used."""

    settings: Settings
    clock: Callable[[], datetime] = _now
    max_wait_seconds: float = MAX_WAIT_SECONDS
    """How long a movement may try."""
    threads: int | None = None
    """How many requests the process works on at once; None: no limit is known."""
    _building: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """One per process, whichever of the first requests asks first."""
        with self._building:
            return self._client

    @cached_property
    def _client(self) -> MongoClient[dict[str, Any]]:
        return client.connect(self.settings, app_name=APP_NAME, default_min_pool_size=MIN_POOL_SIZE)

    @property
    def look_seconds(self) -> float:
        """How long a request that moves nothing may wait for MongoDB: as long as for a primary.

        The driver's own limit for an answer, the socket's, is meant for a batch.
        """
        return self.settings.mongo_server_selection_timeout_ms / 1000

    @property
    def database(self) -> Database[dict[str, Any]]:
        return client.database(self.client, self.settings)

    @property
    def ledger(self) -> Ledger:
        """Raises `ConfigurationError` while an index that forbids doubles is missing.

        They are asked for until they are there. Raises `DatabaseError` when MongoDB cannot
        be asked.
        """
        if "_ledger" not in vars(self):
            # Not under the lock: while MongoDB is away, requests would wait for one another,
            # each of them the whole selection timeout.
            self._check_guards()
        with self._building:
            return self._ledger

    def _check_guards(self) -> None:
        try:
            with pymongo.timeout(self.look_seconds):
                objects.check(self.database, objects.LEDGER_WRITES)
                check_ledger_guards(self.database)
        except PyMongoError as error:
            raise DatabaseError.of("looking at the indexes", error) from error

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(
            database=self.database,
            clock=self.clock,
            profile=self.settings.ledger_profile,
            chart=self.settings.ledger_chart,
            max_wait_seconds=self.max_wait_seconds,
            look_seconds=self.look_seconds,
            striped_locks=StripedLocks(self.threads),
        )
