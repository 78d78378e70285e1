"""`GET /metrics`: all metrics in Prometheus' text format.

docs/metrics.md explains each metric. This module keeps no state between requests: the figures
of the batches are read from MongoDB, and those of the process from the client's monitors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pymongo
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from pymongo import MongoClient
from pymongo.database import Database

from daybook import log
from daybook.errors import DaybookError, DocumentDamaged
from daybook.export.model.profile import DAILY, Profile
from daybook.export.upload.breaker import BreakerState
from daybook.mongo.monitoring import ClientMonitors
from daybook.ops.metrics import families, stored

TIMEOUT_SECONDS: Final = 5.0
"""Time limit for all operations in MongoDB that one answer needs."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A profile and its destination, as its figures need them."""

    profile: Profile
    destination: str
    """The kind, as in `Destination.kind`; a failed attempt may be counted under it."""
    breaker: str
    """Name of the destination's circuit breaker."""


def render(
    database: Database[dict[str, Any]], profiles: Sequence[Measured], *, now: datetime
) -> tuple[str, bytes]:
    """The content type and the body of an answer.

    With several profiles, or another one than `daily`, the figures of each have its name as
    their label `profile`. The figures of the process are left out when `daybook.mongo.client`
    did not build the database's client. Raises `PyMongoError` when MongoDB does not answer
    within `TIMEOUT_SECONDS`. Figures of a damaged document are left out; the document is counted
    and logged.
    """
    names = tuple(one.profile.name for one in profiles)
    labelled = names != (DAILY,)
    labels: tuple[str, ...] = ("profile",) if labelled else ()
    each = {(one.profile.name,) if labelled else (): one for one in profiles}
    with pymongo.timeout(TIMEOUT_SECONDS):
        days = [(label, stored.batch_figures(database, one.profile)) for label, one in each.items()]
        queues = [
            (label, stored.queue_figures(database, one.profile, now)) for label, one in each.items()
        ]
        orphans = [
            (label, stored.orphan_figures(database, one.profile, now))
            for label, one in each.items()
        ]
        unclaimed = stored.unclaimed(database, [one.profile for one in profiles])
        positions, damaged = _breakers(database, profiles, now)
    damaged += [one for _, queue in queues for one in queue.damaged]
    for one in damaged:
        log.event(logging.WARNING, "document_damaged", str(one))
    found = [
        *families.of_batches(
            families.PerProfile(labels=labels, figures=days),
            {label: one.destination for label, one in each.items()},
        ),
        *families.of_queue(families.PerProfile(labels=labels, figures=queues), unclaimed),
        families.of_orphans(families.PerProfile(labels=labels, figures=orphans)),
        *([families.of_breakers(positions)] if positions else []),
        families.of_damaged(sum(figures.damaged for _, figures in days) + len(damaged)),
    ]
    return _answer([*found, *_of_client(database.client)])


def _breakers(
    database: Database[dict[str, Any]], profiles: Sequence[Measured], now: datetime
) -> tuple[dict[str, BreakerState], list[DaybookError]]:
    """The state of each breaker in use by its name, and the documents that cannot be read."""
    positions: dict[str, BreakerState] = {}
    damaged: list[DaybookError] = []
    for name in dict.fromkeys(one.breaker for one in profiles):
        try:
            positions[name] = stored.breaker_position(database, name, now)
        except DocumentDamaged as error:
            damaged.append(error)
    return positions, damaged


def render_client(client: MongoClient[dict[str, Any]]) -> tuple[str, bytes]:
    """Only commands and connections, for a process that makes no batches. Asks no server."""
    return _answer(_of_client(client))


def _of_client(client: MongoClient[dict[str, Any]]) -> list[Metric]:
    monitors = ClientMonitors.of(client)
    if monitors is None:
        return []
    return [
        *families.of_commands(monitors.commands.snapshot()),
        *families.of_pools(monitors.pools.snapshot()),
    ]


def _answer(found: Sequence[Metric]) -> tuple[str, bytes]:
    # Not OpenMetrics, which takes the gauge `…_entries` and the counter `…_entries_total`
    # for one metric.
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(_Page(families=found))


@dataclass(frozen=True, kw_only=True)
class _Page:
    """The families in the form of a registry of the library."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families
