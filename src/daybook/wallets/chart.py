"""The chart of accounts: between which accounts a movement of a type is booked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Direction(StrEnum):
    CREDIT = "credit"  # the balance grows
    DEBIT = "debit"  # the balance shrinks


@dataclass(frozen=True, kw_only=True)
class Account:
    code: str
    name: str


BANK = Account(code="1100", name="Bank")
CLEARING = Account(code="1190", name="Wallet clearing")
WALLETS = Account(code="2100", name="User wallets")
SALES = Account(code="4000", name="Sales")
FEES = Account(code="4100", name="Platform fees")
REWARDS = Account(code="5100", name="Rewards")
COMMISSIONS = Account(code="5200", name="Commissions")

DEFAULT_OPPOSITES: Mapping[str, Account] = MappingProxyType(
    {
        "topup": BANK,
        "deposit": BANK,
        "payout": BANK,
        "withdrawal": BANK,
        "purchase": SALES,
        "refund": SALES,
        "fee": FEES,
        "reward": REWARDS,
        "cashback": REWARDS,
        "commission": COMMISSIONS,
    }
)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What users hold is owed to them, so a wallet's credit is the account's credit."""

    wallets: Account = WALLETS
    opposites: Mapping[str, Account] = field(default_factory=lambda: DEFAULT_OPPOSITES)
    """Type of transaction → the account opposite the wallets'."""
    clearing: Account = CLEARING
    """Opposite the wallets for a type that `opposites` lacks, until an accountant decides."""

    def accounts(self, type_: str, direction: Direction) -> tuple[Account, Account]:
        """The account to debit and the account to credit, for one wallet's movement."""
        opposite = self.opposites.get(type_, self.clearing)
        if direction is Direction.CREDIT:
            return opposite, self.wallets
        return self.wallets, opposite

    def transfer(self) -> tuple[Account, Account]:
        """The same between two wallets: what is owed to the one is now owed to the other."""
        return self.wallets, self.wallets
