"""The chart of accounts: between which accounts a movement of a type is booked."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}", re.ASCII)
"""What the type of a transaction looks like."""


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

    @classmethod
    def parse(cls, text: str) -> Chart:
        """The default with what the JSON object names in its place.

        It may hold `wallets` and `others`, each an account `{"code", "name"}`, and `types`, an
        object of type → account, which joins the default's types. Raises `ValueError`.
        """
        given = _object(_json(text), "it", allowed={"wallets", "others", "types"})
        types = _object(given.get("types", {}), "types")
        for type_ in types:
            if not TYPE.fullmatch(type_):
                raise ValueError(
                    f"must have types of 1 to 40 letters, digits, _ . -; {type_!r} is none"
                )
        return cls(
            wallets=_account(given["wallets"], "wallets") if "wallets" in given else WALLETS,
            opposites=MappingProxyType(
                {
                    **DEFAULT_OPPOSITES,
                    **{type_: _account(doc, f"types.{type_}") for type_, doc in types.items()},
                }
            ),
            clearing=_account(given["others"], "others") if "others" in given else CLEARING,
        )

    def accounts(self, type_: str, direction: Direction) -> tuple[Account, Account]:
        """The account to debit and the account to credit, for one wallet's movement."""
        opposite = self.opposites.get(type_, self.clearing)
        if direction is Direction.CREDIT:
            return opposite, self.wallets
        return self.wallets, opposite

    def transfer(self) -> tuple[Account, Account]:
        """The same between two wallets: what is owed to the one is now owed to the other."""
        return self.wallets, self.wallets


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"must name {twice!r} only once")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"must be a JSON object ({error})") from error


def _object(value: Any, where: str, allowed: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object; {where} is none")  # noqa: TRY004  (as the other values)
    unknown = sorted(value.keys() - allowed) if allowed is not None else []
    if unknown:
        raise ValueError(
            f"must hold only {', '.join(sorted(allowed or ()))} in {where}; "
            f"{unknown[0]!r:.60} is unknown"
        )
    return value


def _account(value: Any, where: str) -> Account:
    doc = _object(value, where, allowed={"code", "name"})
    return Account(
        code=_text(doc.get("code"), f"{where}.code", longest=64),
        name=_text(doc.get("name"), f"{where}.name", longest=200),
    )


def _text(value: Any, where: str, *, longest: int) -> str:
    """One line, as it will stand in the accountant's file."""
    if (
        isinstance(value, str)
        and 0 < len(value.strip()) == len(value) <= longest
        and not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value)
    ):
        return value
    raise ValueError(f"must have text of 1 to {longest} characters as {where}")
