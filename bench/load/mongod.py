"""What a run costs MongoDB: the commands it sends there, and the server's processor time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pymongo import MongoClient

from bench.load.process import cpu_seconds

_COMMANDS = (
    *("find", "getMore", "aggregate", "distinct", "count", "listIndexes"),
    *("insert", "update", "delete", "findAndModify", "bulkWrite"),
    *("commitTransaction", "abortTransaction", "ping"),
)
"""Each is a round trip. Left out is what drivers send to watch the server, such as hello."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Since mongod started, or between two looks."""

    commands: int
    cpu_seconds: float

    @classmethod
    def so_far(cls, client: MongoClient[dict[str, Any]], pid: int) -> Self:
        """The counters of the server that `client` reaches, whose process is `pid`."""
        counters = client.admin.command("serverStatus")["metrics"]["commands"]
        return cls(
            commands=sum(int(counters.get(name, {}).get("total", 0)) for name in _COMMANDS),
            cpu_seconds=cpu_seconds(pid),
        )

    def __sub__(self, earlier: Spent) -> Spent:
        return Spent(
            commands=self.commands - earlier.commands,
            cpu_seconds=self.cpu_seconds - earlier.cpu_seconds,
        )
