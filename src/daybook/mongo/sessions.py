"""Sessions on connections that support them: transactions, and reads as of one moment.

PyMongo decides at a connection's handshake whether the connection supports sessions. A
member that is stepping down or up reports for a few milliseconds that it is neither
primary nor secondary; a connection opened then is pooled like any other, and each use of a
session on it raises `ConfigurationError` until it is closed. This module closes it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

import pymongo
from bson import CodecOptions
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from daybook import write_errors
from daybook.write_errors import Cause

Client = MongoClient[dict[str, Any]]
T = TypeVar("T")

UNSUPPORTED = "Sessions are not supported by this MongoDB deployment"
"""PyMongo's whole message; it raises the same class for wrong settings."""
TRANSIENT = "TransientTransactionError"
"""MongoDB's label for an error that a repeated transaction may not meet again."""
MAX_RENEWALS = 20
"""Tries besides a transaction's own retries. The driver waits half a second after each."""
UNKNOWN_RESULT = "UnknownTransactionCommitResult"
"""The driver's label for the error of a commit that may have happened."""
END_SECONDS = 2.0
"""Limit on ending a transaction that has failed, on top of the transaction's own limit."""


def transaction(
    client: Client,
    work: Callable[[ClientSession], T],
    *,
    read_concern: ReadConcern | None = None,
) -> T:
    """Run `work` in one transaction, in a session of its own; see `transaction_in`.

    A transaction that may or may not be committed keeps no locks, unless MongoDB is out of reach.
    """
    with client.start_session() as session:
        try:
            return transaction_in(session, work, read_concern=read_concern)
        except PyMongoError as error:
            if error.has_error_label(UNKNOWN_RESULT):
                _run_without_limit(_end, session)
            raise


def transaction_in(
    session: ClientSession,
    work: Callable[[ClientSession], T],
    *,
    read_concern: ReadConcern | None = None,
) -> T:
    """Run `work` in one transaction of the session; all of it counts, or nothing does.

    `work` is repeated while MongoDB calls the error transient, for two minutes or until the
    limit of `pymongo.timeout`, but not if a capped collection caused it. So it must do nothing
    but its reads and writes in the session. Raises what `work` raises, or `PyMongoError`; then
    the commit may have happened, and only the stored documents show whether it did.
    """
    client = session.client
    returned: list[T] = []

    def tried(session: ClientSession) -> T:
        returned.clear()
        try:
            result = _worked(session, work)
        except BaseException:
            _run_without_limit(_abort, session)
            raise
        returned.append(result)
        return result

    try:
        return session.with_transaction(tried, read_concern=read_concern)
    except ConfigurationError as error:
        if not returned:
            raise
        _renew_if_unsupported(client, error)
    # The commit got such a connection. An earlier one may have reached MongoDB, so the
    # work must not be repeated; committing again is harmless.
    _repeated(client, session.commit_transaction)
    return returned[0]


def snapshot(client: Client, work: Callable[[ClientSession], T]) -> T:
    """Run `work`, which only reads, in a session that shows one moment throughout.

    `work` starts again, at another moment, if a connection does not support sessions.
    """

    def read() -> T:
        with client.start_session(snapshot=True) as session:
            return work(session)

    return _repeated(client, read)


def _worked(session: ClientSession, work: Callable[[ClientSession], T]) -> T:
    try:
        return work(session)
    except ConfigurationError as error:
        _renew_if_unsupported(session.client, error)
        # The label makes the driver repeat the transaction.
        raise AutoReconnect(str(error), {"errorLabels": [TRANSIENT]}) from error
    except OperationFailure as error:
        if write_errors.describe(error).cause is not Cause.CAPPED:
            raise
        # MongoDB labels the read of a capped collection transient, but repeating does not help.
        details = {**(error.details or {}), "errorLabels": []}
        raise OperationFailure(details.get("errmsg", str(error)), error.code, details) from error


def _run_without_limit(end: Callable[[ClientSession], None], session: ClientSession) -> None:
    """Run `end`, also when the limit of `pymongo.timeout` is over.

    The driver would send nothing then, and MongoDB would keep the transaction's locks for a minute.
    """

    def ended() -> None:
        with pymongo.timeout(END_SECONDS):
            end(session)

    Context().run(ended)  # in which no limit is set


def _abort(session: ClientSession) -> None:
    """Abort like the driver, which ignores errors, but do not leave locks for a minute."""
    try:
        session.abort_transaction()
    except ConfigurationError as error:
        _renew_if_unsupported(session.client, error)
        # The driver aborts a transaction only once.
        _kill(session)


def _end(session: ClientSession) -> None:
    """Abort what is not committed. The driver aborts nothing after a commit that it has sent."""
    with suppress(PyMongoError):  # the caller gets the error of the commit
        _kill(session)


def _kill(session: ClientSession) -> None:
    """A user may always end their own sessions."""
    session.client.admin.command("killSessions", [session.session_id])


def _repeated(client: Client, work: Callable[[], T]) -> T:
    for _ in range(MAX_RENEWALS):
        try:
            return work()
        except ConfigurationError as error:
            _renew_if_unsupported(client, error)
    return work()


def _renew_if_unsupported(client: Client, error: ConfigurationError) -> None:
    """Close the client's connections if one does not support sessions; raise any other error."""
    if str(error) != UNSUPPORTED:
        raise error
    renew_connections(client)


def renew_connections(client: Client) -> None:
    """Make the driver clear the primary's pool; connections in use are closed once returned.

    The driver clears a pool after a network error, such as an `OSError` that is raised while it
    reads a reply. It checks the member again before it opens connections.
    """
    try:
        client.admin.command("ping", codec_options=_UNREADABLE)
    except AutoReconnect:
        return  # the pool is cleared, or was empty


class _Unreadable(dict[str, Any]):
    """A reply that raises the error of a lost connection when it is read."""

    def __init__(self) -> None:
        raise ConnectionAbortedError(
            "connections are renewed, since one of them supports no sessions"
        )


_UNREADABLE: CodecOptions[dict[str, Any]] = CodecOptions(document_class=_Unreadable)
