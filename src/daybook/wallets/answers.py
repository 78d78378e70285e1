"""The first answers to keys: removed from what they tell of once they are no longer kept.

What was made stays, and so do key and digest: a repeated request is refused, not carried
out a second time.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from daybook import log
from daybook.mongo.query import Query
from daybook.mongo.rights import permitted
from daybook.wallets import queries
from daybook.wallets.context import Document, stamp

_BATCH = 1000
_BATCHES = 50
"""Of each collection in one call, so that the first does not take hours; the next goes on."""


def remove_before(database: Database[Document], before: datetime, *, now: datetime) -> int:
    """Remove the answers that were given before; how many. Safe to repeat, and for two at once.

    Raises `ConfigurationError` when the user of the database may not.
    """
    with permitted("removing stored answers"):
        removed = sum(_remove(database, query, before, now) for query in queries.ANSWERED)
    if removed:
        log.event(
            logging.INFO,
            "answers_removed",
            f"{removed} stored answers from before {stamp(before)} were removed.",
            count=removed,
        )
    return removed


def _remove(database: Database[Document], query: Query, before: datetime, now: datetime) -> int:
    removed = 0
    for _ in range(_BATCHES):
        ids = [doc["_id"] for doc in query.some(database, limit=_BATCH, before=stamp(before))]
        if not ids:
            break
        still = {"answer": {"$exists": True}}
        found = database[query.collection].bulk_write(
            [UpdateOne({"_id": id_, **still}, without_answer(now)) for id_ in ids], ordered=False
        )
        removed += found.modified_count
    return removed


def without_answer(now: datetime) -> dict[str, Any]:
    """The update of a document that no longer holds its answer."""
    return {"$unset": {"answer": ""}, "$set": {"answerRemovedAt": now}}
