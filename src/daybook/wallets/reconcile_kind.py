"""What a reconciliation may find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class DifferenceKind(StrEnum):
    BALANCE = "balance"  # a wallet and its transactions
    TRANSACTION = "transaction"  # one that cannot be added up
    ENTRY_MISSING = "entry_missing"  # a transaction without its journal entry
    ENTRY_UNBALANCED = "entry_unbalanced"  # debit and credit differ
    ENTRY_AMOUNT = "entry_amount"  # the entry is over another amount than its transaction
    QUEUE_ITEM = "queue_item"  # not exactly one scheduled item for an entry
    NOT_DELIVERED = "not_delivered"  # completed, but in no delivered file
    FILE = "file"  # a file's manifest is gone or altered
    TOTALS = "totals"  # a file's control totals and the entries in it


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference, in a sentence that names what differs."""

    kind: DifferenceKind
    detail: str

    def to_doc(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "detail": self.detail}
