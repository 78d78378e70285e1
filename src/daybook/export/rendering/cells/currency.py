"""Currencies: what an entry counts under, and how many decimals that has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.rendering.cells.cache import Cache
from daybook.export.rendering.cells.rejected_value import RejectedValue
from daybook.export.rendering.cells.text import plain_text
from daybook.text.visible import shown

_DEFAULT_DECIMALS = 2
# ISO 4217, list one (active codes) as published on 2026-01-01:
# https://www.six-group.com/en/products-services/financial-information/data-standards.html
_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {
    code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()
}
# Gold, drawing rights, test codes: ISO gives them no number of decimals, and a guess would
# reject or round what is recorded exactly. A profile that keeps books in them gives it.
_WITHOUT_DECIMALS = frozenset(
    ("XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX")
)
# Totals are stored under the code, where a dot or a `$` could not be queried.
_OWN_CODE = re.compile("[A-Z0-9]{1,16}")


class Currency(NamedTuple):
    """The currency of an entry."""

    code: str
    """What the entry counts under."""
    cell: str
    """The code again, or nothing for an entry that names none."""


NO_CURRENCY = Currency("", "")
"""Of an entry whose currency cannot be read."""


def decimals_of(currency: str, overrides: Mapping[str, int]) -> int:
    """How many decimals a currency has: the profile's word, else ISO 4217's, else two."""
    if currency in overrides:
        return overrides[currency]
    return _DECIMALS.get(currency.upper(), _DEFAULT_DECIMALS)


def is_currency(code: str, overrides: Mapping[str, int]) -> bool:
    """Whether amounts can be booked in it: an active ISO 4217 code, or one of the profile's."""
    return code in overrides or code in _DECIMALS


def normalised(text: str) -> str:
    """`" thb"` and full-width letters become `THB`; what is not ASCII then is left as it is."""
    text = unicodedata.normalize("NFKC", text).strip()
    return text.upper() if text.isascii() else text


class CurrencyReader:
    """Reads the currency that an entry counts under; `missing` where it names none."""

    def __init__(self, missing: str, decimals: Mapping[str, int]) -> None:
        """Raises `ConfigurationError` for codes that no entry could have."""
        self._own = decimals
        for code in decimals:
            if not _OWN_CODE.fullmatch(code):
                raise ConfigurationError(
                    f"decimals: {code!r} must be 1 to 16 capital letters or digits"
                )
        if not is_currency(missing, decimals):
            raise ConfigurationError(
                f"currency {missing!r} is neither an ISO 4217 code nor one of decimals"
            )
        self._missing = Currency(missing, "")
        self._cache = Cache(self.read, keep=(str, type(None)))
        self.trim = self._cache.trim

    def read(self, value: Any) -> Currency:
        """Raises `RejectedValue` for what is no currency code.

        White space, case and compatibility forms are `normalised`, nothing else is guessed.
        """
        code = normalised(plain_text(value))
        if not code:
            return self._missing
        if is_currency(code, self._own):
            return Currency(code, code)
        what = shown(value)
        why = f"{what} is no ISO 4217 currency code"
        if code in _WITHOUT_DECIMALS:
            why = f"ISO 4217 gives {code} no decimals; the profile's `decimals` must"
        raise RejectedValue(RejectionReason.UNKNOWN_CURRENCY, why, value=what)

    def column(self, values: list[Any]) -> list[Currency]:
        """The same of many values, quickly. Raises `RejectedValue` or TypeError."""
        return list(map(self._cache.__getitem__, values))
