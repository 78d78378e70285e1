"""A transaction that is repeated after conflicts, for a limited time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import pymongo
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from daybook.mongo.sessions import transaction
from daybook.wallets.striped_locks import HeldStripes, TooContended

MAX_WAIT_SECONDS = 15.0
"""Limit on all tries, their pauses and the commit together, whatever the client's own limits."""
MAX_TRIES = 200
WRITE_CONFLICT = 112

T = TypeVar("T")


def atomically(
    client: MongoClient[dict[str, Any]],
    work: Callable[[ClientSession], T],
    *,
    held_stripes: HeldStripes,
    max_wait_seconds: float = MAX_WAIT_SECONDS,
) -> T:
    """Run `work` in one transaction; all of it counts, or nothing does.

    `work` is repeated, after growing random pauses, while MongoDB calls the error
    transient: a conflict with another transaction, a primary that stepped down. So it
    must do nothing but its reads and writes in the session. Raises what `work` raises,
    `TooContended`, or `PyMongoError` when time ran out; then the commit may have happened,
    and only the stored documents show whether it did.
    """
    tries = count(1)

    def bounded(session: ClientSession) -> T:
        if next(tries) > MAX_TRIES:
            raise TooContended(f"gave up after {MAX_TRIES} tries: others kept changing the same")
        held_stripes.take()
        try:
            return work(session)
        except OperationFailure as error:
            if error.code == WRITE_CONFLICT:
                held_stripes.conflicted()
            raise

    with pymongo.timeout(max_wait_seconds):
        return transaction(client, bounded, read_concern=ReadConcern("snapshot"))
