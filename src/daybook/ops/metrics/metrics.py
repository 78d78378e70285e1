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
from daybook.errors import DocumentDamaged
from daybook.export.model.profile import Profile
from daybook.mongo.monitoring import ClientMonitors
from daybook.ops.metrics import families, stored

TIMEOUT_SECONDS: Final = 5.0
"""Time limit for all operations in MongoDB that one answer needs."""


def render(
    database: Database[dict[str, Any]], *, profile: Profile, destination: str, now: datetime
) -> tuple[str, bytes]:
    """The content type and the body of an answer.

    `destination` is the kind of place that the profile's files go to, as in
    `Destination.kind`. The figures of the process are left out when
    `daybook.mongo.client` did not build the database's client. Raises `PyMongoError`
    when MongoDB does not answer within `TIMEOUT_SECONDS`. Figures of a damaged document are
    left out; the document is counted and logged.
    """
    with pymongo.timeout(TIMEOUT_SECONDS):
        days = stored.batch_figures(database, profile)
        queue = stored.queue_figures(database, profile, now)
        damaged = list(queue.damaged)
        found = [
            *families.of_batches(days, destination),
            *families.of_queue(queue),
            families.of_orphans(stored.orphan_figures(database, profile, now)),
        ]
        try:
            position = stored.breaker_position(database, destination, now)
        except DocumentDamaged as error:
            damaged.append(error)
        else:
            found.append(families.of_breaker(position, destination))
    for one in damaged:
        log.event(logging.WARNING, "document_damaged", str(one))
    found.append(families.of_damaged(days.damaged + len(damaged)))
    return _answer([*found, *_of_client(database.client)])


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
