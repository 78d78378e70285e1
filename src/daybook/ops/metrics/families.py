"""Metric families: the names, types and help texts under which figures are exposed.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for
counters only. Label values that are known in advance are always present, so that a rate
sees the first increment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.utils import floatToGoString

from daybook.errors import (
    ConfigurationError,
    DatabaseError,
    DaybookError,
    QueueChanging,
    RunTimeout,
    TooManyRejected,
)
from daybook.export.queue.waiting import Unclaimed
from daybook.export.upload.breaker import BreakerState
from daybook.mongo.monitoring import COMMAND_BOUNDS_SECONDS, CommandUse, PoolUse
from daybook.ops.metrics.stored import (
    DURATION_BOUNDS_SECONDS,
    BatchFigures,
    OrphanFigures,
    QueueFigures,
)

_T = TypeVar("_T")
_BATCH = "daily_batch_export"
_MONGODB = "daybook_mongodb"
_ERRORS_ALWAYS_SHOWN = (
    *(RunTimeout.type, "google_drive", DatabaseError.type, DaybookError.type),
    *(ConfigurationError.type, QueueChanging.type, TooManyRejected.type),
)


@dataclass(frozen=True, kw_only=True)
class PerProfile(Generic[_T]):
    """The figures of each profile, by the values of `labels`."""

    labels: tuple[str, ...]
    """`profile`; empty in an installation of `daily` alone, whose samples have no label."""
    figures: Sequence[tuple[tuple[str, ...], _T]]

    def gauge(self, name: str, meaning: str, value: Callable[[_T], float]) -> Metric:
        return self._each(GaugeMetricFamily(name, meaning, labels=self.labels), value)

    def counter(self, name: str, meaning: str, value: Callable[[_T], float]) -> Metric:
        return self._each(CounterMetricFamily(name, meaning, labels=self.labels), value)

    def _each(
        self, family: GaugeMetricFamily | CounterMetricFamily, value: Callable[[_T], float]
    ) -> Metric:
        for label, figures in self.figures:
            family.add_metric(label, value(figures))
        return family


def of_batches(
    found: PerProfile[BatchFigures], destinations: Mapping[tuple[str, ...], str]
) -> Iterator[Metric]:
    """`destinations`: the kind of each profile's destination, by its labels."""
    durations = HistogramMetricFamily(
        f"{_BATCH}_duration_seconds",
        "Time from the start of a day's last attempt until its file was recorded.",
        labels=found.labels,
    )
    for label, figures in found.figures:
        durations.add_metric(
            label,
            _cumulative(DURATION_BOUNDS_SECONDS, figures.durations.buckets),
            figures.durations.total_seconds,
        )
    yield durations
    yield found.gauge(
        f"{_BATCH}_last_duration_seconds",
        "Time that the day which was delivered last took; 0 before the first.",
        lambda figures: figures.durations.last_seconds,
    )
    yield found.gauge(
        f"{_BATCH}_entries",
        "Entries in the file of the day that ended last; 0 when it was empty.",
        lambda figures: figures.last_entries,
    )
    for what, meaning, value in _TOTALS:
        yield found.counter(f"{_BATCH}_{what}", meaning, value)
    errors = CounterMetricFamily(
        f"{_BATCH}_errors", "Failed attempts.", labels=[*found.labels, "error_type"]
    )
    days = GaugeMetricFamily(
        f"{_BATCH}_batches",
        "Days by what has become of them.",
        labels=[*found.labels, "state"],
    )
    for label, figures in found.figures:
        shown = dict.fromkeys((*_ERRORS_ALWAYS_SHOWN, destinations[label]), 0)
        for error_type, attempts in sorted({**shown, **figures.errors}.items()):
            errors.add_metric([*label, error_type], attempts)
        for state, count in figures.batches.items():
            days.add_metric([*label, state.value], count)
    yield from (errors, days)
    yield found.gauge(
        f"{_BATCH}_last_success_timestamp_seconds",
        "Unix time when a day was last delivered or signed off as empty; 0 when never.",
        lambda figures: figures.last_success_timestamp_seconds,
    )


_TOTALS: Sequence[tuple[str, str, Callable[[BatchFigures], float]]] = (
    ("entries", "Entries in delivered files.", lambda figures: figures.entries),
    ("rows", "Rows in delivered files, without headers.", lambda figures: figures.rows),
    ("bytes", "Size of delivered files in bytes.", lambda figures: figures.size_bytes),
    ("rejected_entries", "Entries rejected with a reason.", lambda figures: figures.rejected),
    ("attempts", "Attempts begun.", lambda figures: figures.attempts),
    (
        "conflicts",
        "Refusals of an ID under which our own file was found.",
        lambda figures: figures.conflicts,
    ),
)


def of_queue(
    found: PerProfile[QueueFigures], unclaimed: Mapping[Unclaimed, int]
) -> Iterator[Metric]:
    yield found.gauge(
        f"{_BATCH}_queue_entries",
        "Queued entries that the next run would take.",
        lambda figures: figures.entries,
    )
    yield found.gauge(
        f"{_BATCH}_queue_oldest_age_seconds",
        "Age of the first queued entry; 0 when none is queued.",
        lambda figures: figures.oldest_age_seconds,
    )
    family = GaugeMetricFamily(
        f"{_BATCH}_queue_unclaimed_entries",
        "Queue items that no run ever takes, by reason.",
        labels=["reason"],
    )
    for reason, count in unclaimed.items():
        family.add_metric([reason.value], count)
    yield family


def of_damaged(count: int) -> Metric:
    return GaugeMetricFamily(
        "daybook_damaged_documents",
        "Documents of Daybook's own that these figures leave out, since they cannot be read.",
        count,
    )


def of_breakers(positions: Mapping[str, BreakerState]) -> Metric:
    """By the breaker's name."""
    family = GaugeMetricFamily(
        "daybook_circuit_breaker_state",
        "1 for the state that the destination's circuit breaker is in, 0 for the others.",
        labels=["destination", "state"],
    )
    for destination, position in positions.items():
        for one in BreakerState:
            family.add_metric([destination, one.value], int(one is position))
    return family


def of_orphans(found: PerProfile[OrphanFigures]) -> Metric:
    family = GaugeMetricFamily(
        "daybook_orphans",
        "Ids given up in the past 8 days, by whether a file was seen there.",
        labels=[*found.labels, "state"],
    )
    for label, figures in found.figures:
        family.add_metric([*label, "watched"], figures.watched)
        family.add_metric([*label, "seen"], figures.seen)
    return family


def of_commands(use: Mapping[str, CommandUse]) -> Iterator[Metric]:
    labels = ["command"]
    durations = HistogramMetricFamily(
        f"{_MONGODB}_command_duration_seconds",
        "Time that commands of this process took, failed ones included.",
        labels=labels,
    )
    failures = CounterMetricFamily(
        f"{_MONGODB}_command_failures", "Commands that failed.", labels=labels
    )
    slow = CounterMetricFamily(
        f"{_MONGODB}_slow_commands", "Commands that took longer than a second.", labels=labels
    )
    for name, commands in use.items():
        buckets = _cumulative(COMMAND_BOUNDS_SECONDS, commands.buckets)
        durations.add_metric([name], buckets, commands.total_micros / 1e6)
        failures.add_metric([name], commands.failures)
        slow.add_metric([name], commands.slow)
    yield from (durations, failures, slow)


def of_pools(use: Mapping[str, PoolUse]) -> Iterator[Metric]:
    labels = ["server"]
    opened = GaugeMetricFamily(
        f"{_MONGODB}_pool_open_connections", "Open connections, in use or not.", labels=labels
    )
    checked_out = GaugeMetricFamily(
        f"{_MONGODB}_pool_checked_out_connections", "Connections in use.", labels=labels
    )
    limit = GaugeMetricFamily(
        f"{_MONGODB}_pool_max_connections", "Connections that may be open.", labels=labels
    )
    wait = SummaryMetricFamily(
        f"{_MONGODB}_pool_checkout_wait_seconds",
        "Time that operations waited for a connection, free or new.",
        labels=labels,
    )
    failures = CounterMetricFamily(
        f"{_MONGODB}_pool_checkout_failures",
        "Operations that got no connection.",
        labels=[*labels, "reason"],
    )
    for server, pool in use.items():
        opened.add_metric([server], pool.opened)
        checked_out.add_metric([server], pool.checked_out)
        limit.add_metric([server], pool.limit)
        wait.add_metric([server], pool.checkouts, pool.wait_seconds)
        for reason, count in pool.failures.items():
            failures.add_metric([server, reason], count)
    yield from (opened, checked_out, limit, wait, failures)


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative buckets: each counts all values up to its bound."""
    names = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))
