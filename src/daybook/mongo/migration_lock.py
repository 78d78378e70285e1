"""The lock that lets one process migrate at a time; it runs out by MongoDB's clock.

It spares two processes the same work and confusing messages. Nothing rests on it: each
step may be repeated, and by two at once.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from threading import Event, Thread
from typing import Any

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError

from daybook.errors import DatabaseError

LOCK = "lock"
LEASE = timedelta(seconds=60)
"""After a crash the lock stands this long."""

_TRIES = 3


class MigrationRunning(DatabaseError):
    """Another process is migrating; try again when it is done."""

    type = "migration_running"


@contextmanager
def held(collection: Collection[dict[str, Any]], *, lease: timedelta = LEASE) -> Iterator[Lock]:
    """Hold the lock, renewing it meanwhile. Raises `MigrationRunning`, which says who has it."""
    lock = Lock.take(collection, lease=lease)
    done = Event()
    keeper = Thread(target=_keep, args=(lock, done, lease), daemon=True, name="migration-lock")
    keeper.start()
    try:
        yield lock
    finally:
        done.set()
        keeper.join()
        lock.release()


def _keep(lock: Lock, done: Event, lease: timedelta) -> None:
    while not done.wait(lease.total_seconds() / 3):
        try:
            lock.renew()
        except MigrationRunning:
            return  # the next step renews it too, and tells
        except PyMongoError:
            continue  # a failover, say: the next time may be in time yet


class Lock:
    """The lock as its owner has it."""

    def __init__(
        self, collection: Collection[dict[str, Any]], owner: str, lease: timedelta
    ) -> None:
        self._collection = collection
        self._milliseconds = lease // timedelta(milliseconds=1)
        self.owner = owner

    @classmethod
    def take(cls, collection: Collection[dict[str, Any]], *, lease: timedelta = LEASE) -> Lock:
        """Raises `MigrationRunning` while another owner's lock has not run out."""
        owner = f"process {os.getpid()} on {socket.gethostname()} ({secrets.token_hex(4)})"
        lock = cls(collection, owner, lease)
        doc = lock._claim()
        if doc["owner"] != owner:
            raise MigrationRunning(
                f"{doc['owner']} is migrating this database; try again when it is done. Should "
                f"it have died, its lock runs out at {doc['expiresAt'].astimezone(UTC):%H:%M:%S} "
                "UTC, by MongoDB's clock"
            )
        return lock

    def _claim(self) -> dict[str, Any]:
        """The lock as it is then, ours if it was free; a damaged one binds nobody."""
        free = {
            "$or": [
                {"$ne": [{"$type": "$owner"}, "string"]},
                {"$ne": [{"$type": "$expiresAt"}, "date"]},
                {"$lte": ["$expiresAt", "$$NOW"]},
            ]
        }
        claim = {
            "owner": {"$cond": [free, {"$literal": self.owner}, "$owner"]},
            "expiresAt": {"$cond": [free, self._until(), "$expiresAt"]},
        }
        for left in reversed(range(_TRIES)):
            try:
                doc = self._collection.find_one_and_update(
                    {"_id": LOCK},
                    [{"$set": claim}],
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                if not left:
                    raise
            else:
                assert doc is not None  # noqa: S101  (upserted)
                return doc
        raise AssertionError("unreachable")

    def renew(self) -> None:
        """Raises `MigrationRunning` when it ran out and somebody else took it."""
        renewed = self._collection.update_one(
            {"_id": LOCK, "owner": self.owner}, [{"$set": {"expiresAt": self._until()}}]
        )
        if not renewed.matched_count:
            raise MigrationRunning(
                "this process was away for so long that another one took over migrating; see "
                "`daybook migrate --status`"
            )

    def release(self) -> None:
        self._collection.delete_one({"_id": LOCK, "owner": self.owner})

    def _until(self) -> dict[str, Any]:
        return {"$add": ["$$NOW", self._milliseconds]}
