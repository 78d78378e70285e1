"""Amounts: read exactly, kept as whole minor units, printed in plain fixed-point."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from math import isfinite
from operator import itemgetter, sub
from sys import float_info
from typing import Any, NamedTuple

from daybook.display import shown
from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.rendering.cells.text import plain_text
from daybook.export.rendering.cells.values import Cache, RejectedValue, unwrapped

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
CURRENCIES = frozenset(_DECIMALS)
"""The active ISO 4217 codes."""
# Gold, drawing rights, test codes: ISO gives them no number of decimals, and a guess would reject
# or round exact amounts. A profile that keeps books in them has to define their decimals.
_WITHOUT_DECIMALS = frozenset(
    ("XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX")
)
# Totals are stored under the code, where a dot or a `$` could not be queried.
_OWN_CODE = re.compile("[A-Z0-9]{1,16}")


class Currency(NamedTuple):
    """The currency of an entry."""

    code: str
    """The code that the entry is counted under."""
    cell: str
    """The same code, or empty for an entry without a currency."""


NO_CURRENCY = Currency("", "")
"""For an entry whose currency cannot be read."""


def decimals_of(currency: str, overrides: Mapping[str, int]) -> int:
    """The number of decimals of a currency: the profile's, else ISO 4217's, else two."""
    if currency in overrides:
        return overrides[currency]
    return _DECIMALS.get(currency.upper(), _DEFAULT_DECIMALS)


def is_currency(code: str, overrides: Mapping[str, int]) -> bool:
    """Whether amounts can be in this currency: an active ISO 4217 code, or one of the profile's."""
    return code in overrides or code in _DECIMALS


def is_own_code(code: str) -> bool:
    """Whether a profile may define the decimals of this code."""
    return _OWN_CODE.fullmatch(code) is not None


def normalised(text: str) -> str:
    """`" thb"` and full-width letters become `THB`; text that is then not ASCII is not changed."""
    text = unicodedata.normalize("NFKC", text).strip()
    return text.upper() if text.isascii() else text


class CurrencyReader:
    """Reads the currency that an entry is counted under; `missing` is used when it has none."""

    def __init__(self, missing: str, decimals: Mapping[str, int]) -> None:
        """Raises `ConfigurationError` for codes that no entry can have."""
        self._own = decimals
        for code in decimals:
            if not is_own_code(code):
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
        """Raises `RejectedValue` for an invalid currency code.

        White space, case and compatibility forms are `normalised`; nothing else is guessed.
        """
        code = normalised(plain_text(value))
        if not code:
            return self._missing
        if is_currency(code, self._own):
            return Currency(code, code)
        what = shown(value)
        why = f"{what} is not an ISO 4217 currency code"
        if code in _WITHOUT_DECIMALS:
            why = f"ISO 4217 gives {code} no decimals; the profile's `decimals` must"
        raise RejectedValue(RejectionReason.UNKNOWN_CURRENCY, why, value=what)

    def column(self, values: list[Any]) -> list[Currency]:
        """Read many values fast. Raises `RejectedValue` or TypeError."""
        return list(map(self._cache.__getitem__, values))


_TOLERANCE = Decimal("0.001")
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_MOST_DIGITS = 18
"""Before the decimal point. More must be an error, such as 1E+6000, not an amount of money."""


class Amount(NamedTuple):
    """An amount in minor units, with its text in major units."""

    minor: int
    text: str
    normalised: bool = False
    """True for a double that was within `_TOLERANCE` of a whole minor unit."""


BLANK = Amount(0, "")


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """A column of amounts."""

    minor: list[int]
    text: list[str]
    normalised_count: int = 0

    @classmethod
    def of(cls, amounts: Sequence[Amount]) -> Amounts:
        return cls(
            minor=[amount.minor for amount in amounts],
            text=[amount.text for amount in amounts],
            normalised_count=sum(amount.normalised for amount in amounts),
        )


def fixed_point(minor: int, decimals: int) -> str:
    """Minor units as text in major units: no exponent, no separators, no negative zero."""
    sign = "-" if minor < 0 else ""
    size = abs(minor)
    digits = str(size)
    if not decimals:
        return sign + digits
    digits = digits.rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def to_decimal(minor: int, decimals: int) -> Decimal:
    """Minor units as an exact Decimal in major units, with the currency's decimals."""
    return Decimal(minor).scaleb(-decimals, _EXACT)


def difference(debit: Amounts, credit: Amounts, decimals: Iterable[int]) -> Amounts:
    """Debit minus credit, row by row; a blank amount counts as zero."""
    rows = zip(debit.minor, credit.minor, debit.text, credit.text, decimals, strict=True)
    # If only one of the two has an amount, its text can be used as it is.
    text = [
        debit_text
        if not credit_minor and debit_text
        else "-" + credit_text
        if not debit_minor and credit_minor > 0
        else fixed_point(debit_minor - credit_minor, places)
        for debit_minor, credit_minor, debit_text, credit_text, places in rows
    ]
    return Amounts(minor=list(map(sub, debit.minor, credit.minor)), text=text)


class AmountReader:
    """Reads amounts in the form of `layout`."""

    def __init__(self, decimals: int, *, most_digits: int | None = None) -> None:
        """`most_digits` are those that the file keeps of an amount, in all; None: of any."""
        self.decimals = decimals
        self._most_digits = most_digits
        self._places = -decimals - 1
        self._point = itemgetter(self._places)
        self._print = f"%.{decimals}f".__mod__
        self._short = 10 ** (float_info.dig - decimals)
        self._zero = fixed_point(0, decimals)
        self._negative_zero = "-0." + "0" * decimals
        self._longest = _MOST_DIGITS + 1 + decimals
        # Equal numbers are equal amounts; a boolean arrives wrapped, and is never a key.
        self._cache = Cache(self.read, keep=(str, int, float, type(None)))
        self.read_cached = self._cache.__getitem__
        self.trim = self._cache.trim

    def read(self, value: Any) -> Amount:
        """Raises `RejectedValue` for a number that is not finite, too large or too fine."""
        amount = self._read(value)
        if not self.fits(amount.minor):
            raise self.too_many_digits(amount.minor)
        return amount

    def fits(self, minor: int) -> bool:
        """Whether the file keeps all digits of the amount."""
        return self._most_digits is None or abs(minor) < 10**self._most_digits

    def too_many_digits(self, minor: int) -> RejectedValue:
        """The rejection of an amount that does not fit."""
        text = fixed_point(minor, self.decimals)
        return RejectedValue(
            RejectionReason.TOO_LARGE,
            f"{text} has more than the {self._most_digits} digits that a spreadsheet keeps",
            value=text,
        )

    def _read(self, value: Any) -> Amount:
        if isinstance(value, str):
            return self._from_decimal128(value)
        if value is None:
            return BLANK
        if isinstance(value, float):
            return self._from_double(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) >= 10**_MOST_DIGITS:
                raise _too_large(str(value))
            return self.of(int(value) * 10**self.decimals)
        what = shown(unwrapped(value))
        if isinstance(unwrapped(value), str):
            raise RejectedValue(
                RejectionReason.STORED_AS_TEXT,
                f"{what} is stored as text, not as a number",
                value=what,
            )
        raise RejectedValue(RejectionReason.INVALID_AMOUNT, f"{what} is not a number", value=what)

    def of(self, minor: int) -> Amount:
        """The amount of a whole number of minor units."""
        return Amount(minor, fixed_point(minor, self.decimals))

    def column(self, values: list[Any]) -> Amounts:
        """Read many values fast. Raises `RejectedValue` or TypeError when one is invalid."""
        return (
            self._canonical(values)
            or self._short_doubles(values)
            or self._mixed(values)
            or Amounts.of(list(map(self.read_cached, values)))
        )

    def _short_doubles(self, values: list[Any]) -> Amounts | None:
        """Numbers whose decimal text identifies them exactly; else None."""
        try:
            texts = list(map(self._print, values))
            if list(map(float, texts)) != values or max(map(abs, values)) >= self._short:
                return None
        except TypeError:
            return None
        return self._canonical(texts)

    def _mixed(self, values: list[Any]) -> Amounts | None:
        """Texts as they print, with numbers and blanks among them, which alone are read; else None.

        Raises `RejectedValue` or TypeError.
        """
        others = [(at, value) for at, value in enumerate(values) if type(value) is not str]
        if len(others) == len(values):
            return None
        read = [(at, self.read_cached(value)) for at, value in others]
        texts = values.copy()
        for at, amount in read:
            texts[at] = amount.text or self._zero
        found = self._canonical(texts)
        if found is None:
            return None
        for at, amount in read:
            texts[at] = amount.text
        normalised_count = sum(amount.normalised for _, amount in read)
        return Amounts(minor=found.minor, text=texts, normalised_count=normalised_count)

    def _canonical(self, values: list[Any]) -> Amounts | None:
        """Values that are texts exactly as they print, the usual case; else None."""
        try:
            if (
                not self.decimals
                or set(map(self._point, values)) != {"."}
                or max(map(len, values)) > self._longest
            ):
                return None
            joined = "\n".join(values)
            if self._negative_zero in joined:
                return None
            minor = list(map(int, joined.replace(".", "").split("\n")))
        except (TypeError, LookupError, ValueError):
            return None
        if not self.fits(max(map(abs, minor))):
            return None
        return Amounts(minor=minor, text=values)

    def _from_decimal128(self, text: str) -> Amount:
        places = self._places
        if (
            self.decimals
            and text[places : places + 1] == "."
            and "E" not in text
            and len(text) <= self._longest
        ):
            minor = int(text[:places] + text[places + 1 :])
            if minor:
                # MongoDB writes no leading zeros or plus signs, so the text is already canonical.
                return Amount(minor, text)
        return self._exactly(Decimal(text), text)

    def _exactly(self, amount: Decimal, text: str) -> Amount:
        minor = self._minor(amount, text)
        if minor is None:
            raise self._too_fine(text)
        return self.of(minor)

    def _from_double(self, value: float) -> Amount:
        text = repr(value)
        if not isfinite(value):
            raise RejectedValue(RejectionReason.NOT_FINITE, f"{text} is not finite", value=text)
        amount = Decimal(text)
        minor = self._minor(amount, text)
        if minor is not None:
            return self.of(minor)
        scaled = amount.scaleb(self.decimals, _EXACT)
        whole = scaled.to_integral_value(ROUND_HALF_EVEN)
        if _EXACT.subtract(scaled, whole).copy_abs() > _TOLERANCE:
            raise self._too_fine(text)
        return self.of(int(whole))._replace(normalised=True)

    def _minor(self, amount: Decimal, text: str) -> int | None:
        """Whole minor units, or None when the amount is not a whole number of them."""
        sign, digits, exponent = amount.as_tuple()
        if not isinstance(exponent, int):
            raise RejectedValue(RejectionReason.NOT_FINITE, f"{text} is not finite", value=text)
        if not amount:
            return 0
        if amount.adjusted() >= _MOST_DIGITS:
            raise _too_large(text)
        shift = exponent + self.decimals
        size = int("".join(map(str, digits)))
        if shift >= 0:
            size *= int(10**shift)
        elif -shift > len(digits):
            return None
        else:
            size, finer = divmod(size, 10**-shift)
            if finer:
                return None
        return -size if sign else size

    def _too_fine(self, text: str) -> RejectedValue:
        places = "decimal" if self.decimals == 1 else "decimals"
        return RejectedValue(
            RejectionReason.TOO_MANY_DECIMALS,
            f"{text} has more than the {self.decimals} {places} of its currency",
            value=text,
        )


def _too_large(text: str) -> RejectedValue:
    return RejectedValue(
        RejectionReason.TOO_LARGE,
        f"{text} has more than {_MOST_DIGITS} digits before the decimal point",
        value=text,
    )
