"""Currencies: what an entry counts under, and how many decimals that has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from daybook.export.figures import Reason
from daybook.export.sheet.memo import Memo
from daybook.export.sheet.text import plain_text
from daybook.export.sheet.unfit import Unfit, shown

_DEFAULT_DECIMALS = 2
# Active ISO 4217 codes with another number of decimals than two:
# https://www.six-group.com/en/products-services/financial-information/data-standards.html
_DECIMALS = {
    "BIF": 0,
    "CLP": 0,
    "DJF": 0,
    "GNF": 0,
    "ISK": 0,
    "JPY": 0,
    "KMF": 0,
    "KRW": 0,
    "PYG": 0,
    "RWF": 0,
    "UGX": 0,
    "UYI": 0,
    "VND": 0,
    "VUV": 0,
    "XAF": 0,
    "XOF": 0,
    "XPF": 0,
    "BHD": 3,
    "IQD": 3,
    "JOD": 3,
    "KWD": 3,
    "LYD": 3,
    "OMR": 3,
    "TND": 3,
    "CLF": 4,
    "UYW": 4,
}
_CURRENCY = re.compile(r"\w[\w -]{0,15}")


def decimals_of(currency: str, overrides: Mapping[str, int]) -> int:
    """How many decimals a currency has: the profile's word, else ISO 4217's, else two."""
    if currency in overrides:
        return overrides[currency]
    return _DECIMALS.get(currency.upper(), _DEFAULT_DECIMALS)


class CurrencyReader:
    """Reads the currency that an entry counts under; `missing` where it names none."""

    def __init__(self, missing: str) -> None:
        self._missing = missing
        self._memo = Memo(self.read, keep=(str, type(None)))
        self.trim = self._memo.trim

    def read(self, value: Any) -> str:
        """Raises `Unfit` for what cannot be the name of a control total.

        Totals are stored under the currency's name, where a dot, a `$` or a NUL
        would keep the whole record from being stored.
        """
        text = plain_text(value) or self._missing
        if not _CURRENCY.fullmatch(text):
            raise Unfit(Reason.INVALID_TEXT, f"{shown(text)} is no currency code")
        return text

    def column(self, values: list[Any]) -> list[str]:
        """The same of many values, quickly. Raises `Unfit` or TypeError."""
        return list(map(self._memo.__getitem__, values))
