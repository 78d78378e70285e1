"""Reconciliation: do wallets, transactions, journal, queue and delivered files agree?

Each comparison is an aggregation that returns only what differs. All of them read the database
as of one moment, so money that moves meanwhile is not a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from daybook import write_errors
from daybook.chart_of_accounts import Chart
from daybook.destinations.base import Destination
from daybook.errors import DatabaseError
from daybook.export.model.ids import hashable
from daybook.export.model.profile import Profile
from daybook.mongo.rights import permitted
from daybook.mongo.sessions import snapshot
from daybook.wallets import queries
from daybook.wallets.reconcile.balances import balances
from daybook.wallets.reconcile.documents import documents
from daybook.wallets.reconcile.files import Expected, files
from daybook.wallets.reconcile.journal import entries, ledger_currencies, unbooked
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind
from daybook.wallets.stored import SHOWABLE

NAMED = 100
"""How many differences of one kind are named; the others are counted."""

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
    counts: dict[LedgerDifferenceKind, int]
    differences: tuple[LedgerDifference, ...]
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


def reconcile(
    database: Database[dict[str, Any]],
    profile: Profile,
    *,
    chart: Chart | None = None,
    destination: Destination | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Reconciliation:
    """Compare everything; the ledger's entries go to files of `profile`. Reads only.

    `chart` names the wallets' account; without it, it is the default one. With a `destination`
    each delivered file is read there as well. `progress` is called with the name of each step.

    Raises `DatabaseError` when it took longer than MongoDB keeps the snapshot
    (https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.minSnapshotHistoryWindowInSeconds),
    `ConfigurationError` when the user may not read it, `DestinationError`.
    """

    def compared(session: ClientSession) -> Reconciliation:
        return _reconcile(
            _Comparison(
                database=database.with_options(codec_options=SHOWABLE),
                session=session,
                profile=profile,
                chart=chart or Chart(),
                destination=destination,
                progress=progress,
            )
        )

    try:
        with permitted("reconcile"):
            return snapshot(database.client, compared)
    except OperationFailure as error:
        # MongoDB cannot read a capped collection at a snapshot, and answers with the same code.
        if error.code not in _SNAPSHOT_GONE or write_errors.describe(error).permanent:
            raise
        raise DatabaseError(
            "reconciling: MongoDB no longer has the moment at which it began, since it took "
            "longer than minSnapshotHistoryWindowInSeconds, or an index was built meanwhile; "
            "try again, or raise that parameter"
        ) from error


@dataclass(kw_only=True)
class _Comparison:
    """What is compared, and what has been counted so far."""

    database: Database[dict[str, Any]]
    session: ClientSession
    profile: Profile
    chart: Chart
    destination: Destination | None
    progress: Callable[[str], None]
    entries: int = 0
    files: int = 0

    def count(self, collection: str) -> int:
        return self.database[collection].count_documents({}, session=self.session)


def _reconcile(comparison: _Comparison) -> Reconciliation:
    counts: Counter[LedgerDifferenceKind] = Counter()
    named: list[LedgerDifference] = []
    for difference in _differences(comparison):
        counts[difference.kind] += 1
        if counts[difference.kind] <= NAMED:
            named.append(difference)
    return Reconciliation(
        wallets=comparison.count(queries.WALLETS),
        transactions=comparison.count(queries.TRANSACTIONS),
        entries=comparison.entries,
        files=comparison.files,
        counts=dict(counts),
        differences=tuple(named),
    )


def _differences(comparison: _Comparison) -> Iterator[LedgerDifference]:
    database, session = comparison.database, comparison.session
    comparison.progress("what wallets, transactions, invites and users hold")
    yield from documents(database, session)
    comparison.progress("wallets and their transactions")
    yield from balances(database, session)
    comparison.progress("transactions, journal entries and queue items")
    expected = Expected()
    currencies = ledger_currencies(database, session)
    for entry in entries(database, session, comparison.profile, comparison.chart, currencies):
        yield from entry.differences()
        if not entry.is_named:
            continue
        comparison.entries += 1
        if entry.is_exported:
            expected.exported[hashable(entry.file_id)].add(hashable(entry.id))
        elif entry.is_queued:
            expected.unexported.add(hashable(entry.id))
    yield from unbooked(database, session)
    comparison.progress("delivered files")
    for file in files(database, session, comparison.profile, expected, comparison.destination):
        comparison.files += file.delivered
        yield from file.differences
