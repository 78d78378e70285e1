"""The check before the seal: every item of the manifest must still be queued."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Self

from daybook import log
from daybook.export.context import Context
from daybook.export.model.budgets import wait_for
from daybook.export.model.seal import ManifestRef
from daybook.export.queue import manifest as manifests
from daybook.export.queue import plan

AHEAD = 20_000
"""The check begins when this many items are left to render, so that both end at about one time."""
FRESH_SECONDS = 5.0
"""A check that began longer than this before the seal is repeated."""


class QueueCheck:
    """Checks the items part by part, in the background while the last ones are rendered.

    Use it as a block. What leaves the queue after its part was checked counts as changed after
    the seal: it is marked all the same, listed in the record, and alerted. `FRESH_SECONDS` limits
    that time where the upload or the formatting is slow.
    """

    def __init__(
        self, ctx: Context, manifest: ManifestRef, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ctx = ctx
        self._manifest = manifest
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")
        self._running: Future[list[Any]] | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # A query that hangs must not hold up a run that has to end.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def rendered(self, count: int) -> None:
        """Begin the check once few enough items are left; `count` of them are rendered."""
        if self._running is None and self._manifest.item_count - count <= AHEAD:
            self._running = self._begin()

    def changed(self) -> bool:
        """Whether items have left the queue. Call it before the seal is stored."""
        if self._running is None or self._clock() - self._began > FRESH_SECONDS:
            self._running = self._begin()
        wait_for(self._running, check=self._ctx.stop_token.check_process)
        return _log_changed(self._running.result())

    def _begin(self) -> Future[list[Any]]:
        self._began = self._clock()
        return self._pool.submit(copy_context().run, _changed, self._ctx, self._manifest)


def queue_changed(ctx: Context, manifest: ManifestRef) -> bool:
    """Whether items of the manifest have left the queue."""
    return _log_changed(_changed(ctx, manifest))


def _changed(ctx: Context, manifest: ManifestRef) -> list[Any]:
    """The items of the first part of which any has left the queue."""
    return next(filter(None, _changed_by_part(ctx, manifest)), [])


def _changed_by_part(ctx: Context, manifest: ManifestRef) -> Iterator[list[Any]]:
    if ctx.job.key.batch_date is None:
        return  # a manual export copies its entries regardless
    for part in manifests.read(ctx.manifests, manifest):
        ctx.stop_token.check_process()
        yield plan.no_longer_queued(ctx.database, ctx.exporter.profile, part)


def _log_changed(changed: list[Any]) -> bool:
    if changed:
        log.event(
            logging.WARNING,
            "queue_changed",
            "Items left the queue while the file was being made; planning again.",
            first_queue_id=str(changed[0]),
            count=len(changed),
        )
    return bool(changed)
