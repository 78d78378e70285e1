"""What a reconciliation may find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class LedgerDifferenceKind(StrEnum):
    DOCUMENT = "document"  # one that no request can use as it is
    BALANCE = "balance"  # a wallet and its transactions
    TRANSACTION = "transaction"  # one that cannot be added up
    ENTRY_MISSING = "entry_missing"  # a transaction without its journal entry
    ENTRY_UNBALANCED = "entry_unbalanced"  # debit and credit differ
    ENTRY_AMOUNT = "entry_amount"  # the entry is over another amount than its transaction
    ENTRY_WALLETS = "entry_wallets"  # it moves the wallets' account otherwise than the wallets
    ENTRY_UNBOOKED = "entry_unbooked"  # an entry of the ledger's form that no transaction names
    QUEUE_ITEM = "queue_item"  # not exactly one scheduled item, or one that nobody understands
    NOT_DELIVERED = "not_delivered"  # completed, but in no delivered file
    NOT_COMPLETED = "not_completed"  # in a delivered file, but not completed
    FILE = "file"  # a file, or its manifest, is gone or altered
    RECORD = "record"  # a file's record is gone, or says something else
    TOTALS = "totals"  # a file's control totals and the entries in it


@dataclass(frozen=True, kw_only=True)
class LedgerDifference:
    """One difference, in a sentence that names what differs."""

    kind: LedgerDifferenceKind
    detail: str

    def to_doc(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "detail": self.detail}
