"""Health: whether the database answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from daybook import log


@dataclass(frozen=True, kw_only=True)
class DatabaseHealth:
    """The answer to `GET /health`."""

    at: datetime
    connected: bool

    @property
    def http_status(self) -> int:
        return 200 if self.connected else 503

    def to_doc(self) -> dict[str, Any]:
        """The JSON answer. `readyState` has Mongoose's values, as in the Node application's answer.

        https://mongoosejs.com/docs/api/connection.html#Connection.prototype.readyState
        """
        return {
            "status": "ok" if self.connected else "degraded",
            "timestamp": timestamp(self.at),
            "database": {
                "status": "connected" if self.connected else "disconnected",
                "readyState": 1 if self.connected else 0,
            },
        }


def database_health(client: MongoClient[dict[str, Any]], now: datetime) -> DatabaseHealth:
    """Ping the primary once, waiting no longer than the server selection timeout."""
    try:
        with pymongo.timeout(client.options.server_selection_timeout):
            client.admin.command("ping")
    except PyMongoError as error:
        log.event(logging.WARNING, "health_degraded", "MongoDB did not answer.", error=str(error))
        return DatabaseHealth(at=now, connected=False)
    return DatabaseHealth(at=now, connected=True)


def timestamp(moment: datetime) -> str:
    """In UTC with milliseconds and a Z, as the Node application writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
