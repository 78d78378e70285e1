"""The ledger's composition root: builds its own client and the ledger from the settings."""

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
from daybook.mongo.indexes import check_ledger_guards
from daybook.settings.settings import Settings
from daybook.wallets.atomic import MAX_WAIT_SECONDS
from daybook.wallets.context import Ledger
from daybook.wallets.striped_locks import StripedLocks

APP_NAME = "daybook-ledger"
MIN_POOL_SIZE = 10
"""Unlike the daily batch, requests come all day and should find an open connection."""


def server_threads(env: Mapping[str, str]) -> int:
    """How many requests gunicorn handles at once in this process, as functions-framework sets it.

    It reads the same variable:
    https://github.com/GoogleCloudPlatform/functions-framework-python#configure-the-functions-framework
    """
    given = env.get("THREADS")
    return int(given) if given else 4 * (os.cpu_count() or 1)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LedgerApp:
    """The ledger, assembled. Building it does no I/O; the client connects when first used."""

    settings: Settings
    clock: Callable[[], datetime] = _now
    max_wait_seconds: float = MAX_WAIT_SECONDS
    """How long a movement may be retried."""
    threads: int | None = None
    """How many requests the process handles at once; None: unknown."""
    _building: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """One per process, also when the first requests come at the same time."""
        with self._building:
            return self._client

    @cached_property
    def _client(self) -> MongoClient[dict[str, Any]]:
        return client.connect(self.settings, app_name=APP_NAME, default_min_pool_size=MIN_POOL_SIZE)

    @property
    def operation_timeout_seconds(self) -> float:
        """How long a request that moves no money may wait for MongoDB: as long as for a primary.

        The driver's socket timeout is meant for a batch.
        """
        return self.settings.mongo_server_selection_timeout_ms / 1000

    @property
    def database(self) -> Database[dict[str, Any]]:
        return client.database(self.client, self.settings)

    @property
    def ledger(self) -> Ledger:
        """Raises `ConfigurationError` while an index that forbids duplicates is missing.

        The indexes are checked until all are there. Raises `DatabaseError`.
        """
        if "_ledger" not in vars(self):
            # Not under the lock: while MongoDB is away, requests would wait for one another,
            # each of them the whole selection timeout.
            self._check_guards()
        with self._building:
            return self._ledger

    def _check_guards(self) -> None:
        try:
            with pymongo.timeout(self.operation_timeout_seconds):
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
            operation_timeout_seconds=self.operation_timeout_seconds,
            striped_locks=StripedLocks(self.threads),
        )
