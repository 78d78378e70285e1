"""Reconciliation: do wallets, transactions, journal, queue and delivered files agree?

Each comparison is an aggregation; only what differs leaves MongoDB. All of them see the
database as it was at one moment, so that money which moves meanwhile is no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook.errors import DatabaseError
from daybook.export.keys import hashable
from daybook.export.profile import Profile
from daybook.wallets import queries
from daybook.wallets.reconcile_balances import balances
from daybook.wallets.reconcile_files import files
from daybook.wallets.reconcile_journal import entries, ledger_currencies
from daybook.wallets.reconcile_kind import Difference, DifferenceKind

NAMED = 100
"""Differences of one kind that are named; the others are counted."""

_SNAPSHOT_GONE = {239, 246}  # SnapshotTooOld, SnapshotUnavailable


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What was compared, and where it differs."""

    wallets: int
    transactions: int
    entries: int
    """Journal entries that transactions name."""
    files: int
    """Delivered files that were compared."""
    counts: dict[DifferenceKind, int]
    differences: tuple[Difference, ...]
    """Up to `NAMED` of each kind."""

    @property
    def agrees(self) -> bool:
        return not self.counts

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "reconciled" if self.agrees else "differs",
            "wallets": self.wallets,
            "transactions": self.transactions,
            "entries": self.entries,
            "files": self.files,
            "differenceCount": sum(self.counts.values()),
            "differenceCounts": {kind.value: count for kind, count in self.counts.items()},
            "differences": [difference.to_doc() for difference in self.differences],
        }


def reconcile(database: Database[dict[str, Any]], profile: Profile) -> Reconciliation:
    """Compare everything; `profile` is whose files the ledger's entries go to. Reads only.

    Raises `DatabaseError` when it took longer than MongoDB keeps the moment
    (https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.minSnapshotHistoryWindowInSeconds).
    """
    try:
        with database.client.start_session(snapshot=True) as session:
            return _reconcile(database, profile, session)
    except OperationFailure as error:
        if error.code not in _SNAPSHOT_GONE:
            raise
        raise DatabaseError(
            "reconciling: MongoDB no longer has the moment at which it began, since it took "
            "longer than minSnapshotHistoryWindowInSeconds, or an index was built meanwhile; "
            "try again, or raise that parameter"
        ) from error


def _reconcile(
    database: Database[dict[str, Any]], profile: Profile, session: ClientSession
) -> Reconciliation:
    counts: Counter[DifferenceKind] = Counter()
    named: list[Difference] = []
    tally = _Tally()
    for difference in _differences(database, profile, session, tally):
        counts[difference.kind] += 1
        if counts[difference.kind] <= NAMED:
            named.append(difference)
    return Reconciliation(
        wallets=_count(database, session, queries.WALLETS),
        transactions=_count(database, session, queries.TRANSACTIONS),
        entries=tally.entries,
        files=tally.files,
        counts=dict(counts),
        differences=tuple(named),
    )


class _Tally:
    """What was seen on the way."""

    entries = 0
    files = 0


def _differences(
    database: Database[dict[str, Any]], profile: Profile, session: ClientSession, tally: _Tally
) -> Iterator[Difference]:
    yield from balances(database, session)
    exported: dict[str | None, set[Any]] = {}
    currencies = ledger_currencies(database, session)
    for entry in entries(database, session, profile, currencies):
        tally.entries += 1
        yield from entry.differences()
        if entry.is_exported:
            exported.setdefault(entry.file_id, set()).add(hashable(entry.id))
    for file in files(database, session, profile, exported):
        tally.files += file.delivered
        yield from file.differences


def _count(database: Database[dict[str, Any]], session: ClientSession, collection: str) -> int:
    return database[collection].count_documents({}, session=session)
