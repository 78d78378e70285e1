"""What a reconciliation may find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class LedgerDifferenceKind(StrEnum):
    DOCUMENT = "document"  # a stored document that no request can use
    BALANCE = "balance"  # a wallet differs from its transactions
    TRANSACTION = "transaction"  # a transaction that cannot be added up
    ENTRY_MISSING = "entry_missing"  # a transaction without its journal entry
    ENTRY_UNBALANCED = "entry_unbalanced"  # debit and credit differ
    ENTRY_AMOUNT = "entry_amount"  # the entry's amount differs from its transaction's
    ENTRY_WALLETS = "entry_wallets"  # the entry and the wallets differ on the wallets' account
    ENTRY_UNBOOKED = "entry_unbooked"  # an entry of the ledger's form that no transaction names
    QUEUE_ITEM = "queue_item"  # not exactly one scheduled item, or one that no run takes
    NOT_DELIVERED = "not_delivered"  # the item is completed, but no delivered file has the entry
    NOT_COMPLETED = "not_completed"  # a delivered file has the entry, but the item is not completed
    FILE = "file"  # a file or its manifest is missing or was changed
    RECORD = "record"  # a file's record is missing or differs from the batch
    TOTALS = "totals"  # a file's control totals differ from its entries


@dataclass(frozen=True, kw_only=True)
class LedgerDifference:
    """One difference, in a sentence that names what differs."""

    kind: LedgerDifferenceKind
    detail: str

    def to_doc(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "detail": self.detail}
