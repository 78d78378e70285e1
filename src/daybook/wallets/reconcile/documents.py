"""Whether the ledger can use what is stored: other applications write these collections too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.chart_of_accounts import Direction
from daybook.mongo.client import LENIENT
from daybook.wallets import invites, queries, users
from daybook.wallets.booking import single_answer
from daybook.wallets.context import Document
from daybook.wallets.idempotency import check_remembered
from daybook.wallets.move import BookedMovement
from daybook.wallets.queries import USERS
from daybook.wallets.reconcile.kind import LedgerDifference, LedgerDifferenceKind
from daybook.wallets.stored import DocumentInvalid, Stored
from daybook.wallets.wallet import Wallet

_PAGE = 1000
"""Documents that are held in memory at a time."""


def documents(database: Database[Document], session: ClientSession) -> Iterator[LedgerDifference]:
    """Each document that a request would answer `DOCUMENT_INVALID` for, with its first fault.

    They are read by the functions that the requests use.
    """
    for collection, read in _READ_BY.items():
        stored = database.get_collection(collection, codec_options=LENIENT)
        for doc in stored.find(session=session, batch_size=_PAGE):
            try:
                check_remembered(collection, doc)
                if not _is_deleted(collection, doc):
                    read(doc)
            except DocumentInvalid as error:
                yield LedgerDifference(kind=LedgerDifferenceKind.DOCUMENT, detail=str(error))


def _is_deleted(collection: str, doc: Document) -> bool:
    return Stored(collection=collection, doc=doc).optional_moment("deletedAt") is not None


def _transaction(doc: Document) -> None:
    single_answer(doc)
    # Unknown directions are reported with the balances, since they cannot be added up.
    if doc.get("direction") in list(Direction) and doc.get("journalEntryId") is not None:
        BookedMovement.from_doc(doc)


_READ_BY: Mapping[str, Callable[[Document], Any]] = {
    queries.WALLETS: Wallet.from_doc,
    queries.TRANSACTIONS: _transaction,
    queries.INVITES: invites.to_answer,
    USERS: users.to_answer,
}
