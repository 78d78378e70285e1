"""Statistics of this process's MongoDB client: durations of commands, use of its pools.

The driver calls the listeners in the thread that uses the client. Counts start with the client
and end with the process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock, local
from typing import Any, Final, Self

from pymongo import MongoClient, monitoring
from pymongo.common import MAX_POOL_SIZE
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ConnectionCheckOutFailedReason,
    ConnectionPoolListener,
)

from daybook import write_errors

COMMAND_BOUNDS_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
SLOW_SECONDS: Final = 1.0
"""A command that takes longer counts as slow."""

OTHER: Final = "other"
COMMANDS: Final = (
    *("find", "getMore", "aggregate", "insert", "update", "delete", "findAndModify"),
    *("commitTransaction", "abortTransaction", "listIndexes", "createIndexes", "ping"),
    OTHER,
)
"""Commands that are counted by name; the others are counted together, to keep labels few."""

CHECKOUT_FAILURES: Final = (
    ConnectionCheckOutFailedReason.TIMEOUT,
    ConnectionCheckOutFailedReason.POOL_CLOSED,
    ConnectionCheckOutFailedReason.CONN_ERROR,
)
"""Why no connection was available, in the driver's words."""


@dataclass(frozen=True, kw_only=True)
class CommandUse:
    """Finished commands of one name, failed ones included."""

    buckets: tuple[int, ...] = (0,) * (len(COMMAND_BOUNDS_SECONDS) + 1)
    """Commands per interval of `COMMAND_BOUNDS_SECONDS`; the last is for longer ones."""
    total_micros: int = 0
    failures: int = 0
    slow: int = 0


@dataclass(frozen=True, kw_only=True)
class PoolUse:
    """The pool of connections to one server."""

    limit: float = MAX_POOL_SIZE
    """Connections that the pool may open; infinite without a limit."""
    opened: int = 0
    """Connections that are open now, in use or not."""
    checked_out: int = 0
    """Connections in use now."""
    checkouts: int = 0
    wait_seconds: float = 0.0
    """Total time of all checkouts: waiting for a free connection, or for a new one to be ready."""
    failures: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKOUT_FAILURES, 0))


# The driver calls the monitors several times per command, so they count in place; a frozen copy is
# made only when it is asked for.


@dataclass(slots=True)
class _Commands:
    """The counts behind a `CommandUse`."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMAND_BOUNDS_SECONDS) + 1))
    total_micros: int = 0
    failures: int = 0
    slow: int = 0

    def use(self) -> CommandUse:
        return CommandUse(
            buckets=tuple(self.buckets),
            total_micros=self.total_micros,
            failures=self.failures,
            slow=self.slow,
        )


@dataclass(slots=True)
class _Pool:
    """The counts behind a `PoolUse`."""

    limit: float = MAX_POOL_SIZE
    opened: int = 0
    checked_out: int = 0
    checkouts: int = 0
    wait_seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKOUT_FAILURES, 0))

    def use(self) -> PoolUse:
        return PoolUse(
            limit=self.limit,
            opened=self.opened,
            checked_out=self.checked_out,
            checkouts=self.checkouts,
            wait_seconds=self.wait_seconds,
            failures=dict(self.failures),
        )


class CommandMonitor(CommandListener):
    """Counts finished commands by name, except heartbeats and logins.

    Notes in which collection a write was refused, for the error's description.
    """

    def __init__(self) -> None:
        # Not prometheus_client's own classes: each of its values is guarded by a `Lock`, so a
        # signal handler that used the client while this thread is inside a callback would wait
        # for itself for ever; and one observation changes several values, so a scrape could
        # return a count and a sum of different moments.
        self._lock = RLock()
        self._use = {name: _Commands() for name in COMMANDS}
        self._current = local()

    def started(self, event: CommandStartedEvent) -> None:
        named = event.command.get(event.command_name)
        self._current.collection = named if isinstance(named, str) else None

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._add(event, failed=False)
        for error in event.reply.get("writeErrors", ())[:1]:
            self._note(error)

    def failed(self, event: CommandFailedEvent) -> None:
        self._add(event, failed=True)
        self._note(event.failure)

    def _note(self, refused: Mapping[str, Any]) -> None:
        collection = getattr(self._current, "collection", None)
        if collection is not None:
            write_errors.note(refused.get("code"), collection)

    def snapshot(self) -> dict[str, CommandUse]:
        """The counts for each name of `COMMANDS`, in that order."""
        with self._lock:
            return {name: commands.use() for name, commands in self._use.items()}

    def _add(self, event: CommandSucceededEvent | CommandFailedEvent, *, failed: bool) -> None:
        micros = event.duration_micros
        seconds = micros / 1e6
        commands = self._use.get(event.command_name) or self._use[OTHER]
        with self._lock:
            commands.buckets[bisect_left(COMMAND_BOUNDS_SECONDS, seconds)] += 1
            commands.total_micros += micros
            commands.failures += failed
            commands.slow += seconds > SLOW_SECONDS


class PoolMonitor(ConnectionPoolListener):
    """Follows the pools, one per server.

    A server that left the replica set keeps its counts: connections that were in use
    then still come back.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._pools: defaultdict[tuple[str, int | None], _Pool] = defaultdict(_Pool)

    def snapshot(self) -> dict[str, PoolUse]:
        """The pools by `host:port`, in alphabetical order."""
        with self._lock:
            named = {
                host if port is None else f"{host}:{port}": pool.use()
                for (host, port), pool in self._pools.items()
            }
        return dict(sorted(named.items()))

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        with self._lock:  # the limit is reported only if it is not the default
            self._pools[event.address].limit = event.options.get("maxPoolSize", MAX_POOL_SIZE)

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        with self._lock:
            self._pools[event.address].opened += 1

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        with self._lock:
            self._pools[event.address].opened -= 1

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        with self._lock:
            pool = self._pools[event.address]
            pool.checked_out += 1
            pool.checkouts += 1
            pool.wait_seconds += event.duration or 0.0

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        with self._lock:
            self._pools[event.address].checked_out -= 1

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        with self._lock:
            self._pools[event.address].failures[event.reason] += 1

    # The methods below change no count, but the driver's interface requires them.

    def connection_check_out_started(
        self, event: monitoring.ConnectionCheckOutStartedEvent
    ) -> None: ...

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None: ...

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None: ...

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None: ...

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ClientMonitors:
    """The monitors of one client."""

    commands: CommandMonitor
    pools: PoolMonitor

    @classmethod
    def of(cls, client: MongoClient[dict[str, Any]]) -> Self | None:
        """The monitors that the client was built with, or None."""
        # Typed wrongly by the driver: these are the listeners themselves.
        listeners: Sequence[object] = client.options.event_listeners
        commands = [one for one in listeners if isinstance(one, CommandMonitor)]
        pools = [one for one in listeners if isinstance(one, PoolMonitor)]
        return cls(commands=commands[0], pools=pools[0]) if commands and pools else None
