"""Says that a run waits for MongoDB, and when MongoDB is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from typing import Any

from pymongo import MongoClient

from daybook import log
from daybook.text.display import duration

AFTER_SECONDS = 10.0
"""How long a primary must have been missing. An election takes a few seconds, or about twelve."""

_LOOK_SECONDS = 0.25


@contextmanager
def watched(
    client: MongoClient[dict[str, Any]], *, after_seconds: float = AFTER_SECONDS
) -> Iterator[None]:
    """Log `mongodb_waiting` when the block has had no primary for so long, and its end.

    The end is `mongodb_recovered`; if the block ends without MongoDB, what it reports says so.
    Goes by what the driver knows and asks no server. The records carry the block's log fields.
    """
    ended = Event()
    watcher = Thread(
        target=copy_context().run,
        args=(_watch, client, ended, after_seconds),
        name="mongodb-outage",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(client: MongoClient[dict[str, Any]], ended: Event, after_seconds: float) -> None:
    lost_at: float | None = None
    announced = False
    while not ended.wait(_LOOK_SECONDS):
        now = time.monotonic()
        if client.topology_description.has_writable_server():
            if lost_at is not None and announced:
                _recovered(now - lost_at)
            lost_at, announced = None, False
        elif lost_at is None:
            lost_at = now
        elif not announced and now - lost_at >= after_seconds:
            announced = True
            log.event(
                logging.WARNING,
                "mongodb_waiting",
                f"Still waiting for MongoDB: no primary for {duration(now - lost_at)}.",
            )


def _recovered(seconds: float) -> None:
    # As severe as what it clears, so that it is seen wherever that was.
    log.event(
        logging.WARNING,
        "mongodb_recovered",
        f"MongoDB's primary can be reached again, after {duration(seconds)}.",
        seconds=round(seconds, 1),
    )
