"""Wallet rights: whose wallets an account may move and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from daybook.settings.parsers import EMAIL

_OWNERS = re.compile(r"[0-9a-f]{24}|[0-9a-f]{0,23}\*")


@dataclass(frozen=True, kw_only=True)
class WalletRights:
    """Account → the users whose wallets it may move and read. An account not named has none."""

    owners: Mapping[str, tuple[str, ...]]
    """An ID of 24 hexadecimal digits, or its beginning and `*`; `*` alone is every user."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `ACCOUNT=OWNER,…`; raises `ValueError` saying what the text must be."""
        owners: dict[str, tuple[str, ...]] = {}
        for pair in (pair.strip() for pair in text.split(",")):
            account, _, owner = pair.partition("=")
            account, owner = account.lower(), owner.lower()
            if not EMAIL.fullmatch(account) or not _OWNERS.fullmatch(owner):
                raise ValueError(
                    "must list ACCOUNT=OWNER, separated by commas; OWNER is a user's ID of 24 "
                    "hexadecimal digits, or its beginning and *"
                )
            owners[account] = (*owners.get(account, ()), owner)
        return cls(owners=MappingProxyType(owners))

    def allow(self, account: str | None, owner: str) -> bool:
        """Whether the account may move and read the wallet of the user with that ID."""
        return any(
            owner.startswith(one[:-1]) if one.endswith("*") else owner == one
            for one in self.owners.get(account or "", ())
        )

    def allow_all(self, account: str | None) -> bool:
        return "*" in self.owners.get(account or "", ())
