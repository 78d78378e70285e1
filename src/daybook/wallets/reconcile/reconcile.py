"""Reconciliation: do wallets, transactions, journal, queue and delivered files agree?

Each comparison is an aggregation; only what differs leaves MongoDB. All of them see the
database as it was at one moment, so that money which moves meanwhile is no difference.
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
    """Compare everything; `profile` is whose files the ledger's entries go to. Reads only.

    `chart` names the wallets' account; the default one otherwise. With a `destination` each
    delivered file is read there as well. `progress` is told what comes next.

    Raises `DatabaseError` when it took longer than MongoDB keeps the moment
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
        # MongoDB has no moment at all of a capped collection, under the same code.
        if error.code not in _SNAPSHOT_GONE or write_errors.describe(error).permanent:
            raise
        raise DatabaseError(
            "reconciling: MongoDB no longer has the moment at which it began, since it took "
            "longer than minSnapshotHistoryWindowInSeconds, or an index was built meanwhile; "
            "try again, or raise that parameter"
        ) from error


@dataclass(kw_only=True)
class _Comparison:
    """What is compared, and what was seen on the way."""

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


def _differences(of: _Comparison) -> Iterator[LedgerDifference]:
    database, session = of.database, of.session
    of.progress("what wallets, transactions, invites and users hold")
    yield from documents(database, session)
    of.progress("wallets and their transactions")
    yield from balances(database, session)
    of.progress("transactions, journal entries and queue items")
    expected = Expected()
    currencies = ledger_currencies(database, session)
    for entry in entries(database, session, of.profile, of.chart, currencies):
        yield from entry.differences()
        if not entry.is_named:
            continue
        of.entries += 1
        if entry.is_exported:
            expected.exported[hashable(entry.file_id)].add(hashable(entry.id))
        elif entry.is_queued:
            expected.unexported.add(hashable(entry.id))
    yield from unbooked(database, session)
    of.progress("delivered files")
    for file in files(database, session, of.profile, expected, of.destination):
        of.files += file.delivered
        yield from file.differences
