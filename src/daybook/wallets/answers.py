"""Removing stored answers: the first answer to a key is deleted once it is old enough.

The document that the request created stays, with key and digest: a repeated request is
refused, not carried out a second time.
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
"""The most that one call removes per collection, so that the first call does not take hours."""


def remove_before(database: Database[Document], before: datetime, *, now: datetime) -> int:
    """Remove the answers given before that time; return how many. Safe to repeat, also at once.

    Raises `ConfigurationError` when the database user lacks the rights.
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
    """The update that removes a document's answer."""
    return {"$unset": {"answer": ""}, "$set": {"answerRemovedAt": now}}
