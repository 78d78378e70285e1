"""What should become of an entry, worked out value by value and without Daybook's code.

Slow and plain on purpose: the renderer reads whole columns at a time, this reads one
value after another as docs/csv.md describes it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from tests.fuzz.documents import SYMBOL, Deprecated, Pairs, RawText

ZONE = ZoneInfo("Asia/Bangkok")
_EXACT = Context(prec=7000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURRENCIES = {"THB": 2, "JPY": 0, "KWD": 3, "USD": 2, "INR": 2}
"""Those that the fuzzer writes; any other code it makes up is in no list."""


class Unacceptable(Exception):
    """The entry has to be rejected."""


class Undecided(Exception):
    """The documents leave open what should happen, for example with a field named twice."""


@dataclass(frozen=True)
class Cell:
    """A cell of the file: its text, and whether it came from text that may be guarded."""

    text: str
    guardable: bool = False

    def shows(self, cell: str) -> bool:
        """Whether a cell of the file is this one: with a guard exactly where one is due."""
        if not self.guardable or not self.text:
            return cell == self.text
        bare = "".join(
            sign
            for sign in self.text
            if not unicodedata.category(sign).startswith(("Z", "C")) or sign in "\t\r\n"
        )
        due = self.text.strip(" ")[:1] in set("=+-@\t\r\n＝＋－＠")
        possible = bare[:1] in set("=+-@\t\r\n＝＋－＠") or bare != self.text
        return (cell == "'" + self.text and possible) or (cell == self.text and not due)


def rows_of(entry: Any, entry_id: Any) -> list[list[Cell]]:
    """The entry's rows in the default layout. Raises `Unacceptable`, `Undecided`."""
    if _has_deprecated(entry):
        raise Undecided
    if entry_id == SYMBOL:  # a symbol is text: MongoDB compares them as such
        entry_id = "THB"
    doc = _fields(entry)
    currency, decimals = _currency(doc.get("currency"))
    printed = Cell("" if _is_missing(doc.get("currency")) else currency)
    lines = doc.get("lines")
    if isinstance(lines, list) and lines:
        date = _date(doc.get("date"), required=True)
        return _voucher(doc, entry_id, date, lines, printed, decimals)
    if lines is not None and lines != []:
        raise Unacceptable
    amount = _amount(doc.get("amount"), decimals)
    if amount is None:
        raise Unacceptable
    date = _date(doc.get("date"), required=False)
    head = [_text(entry_id), Cell(""), date, _text(doc.get("reference"))]
    head += [_text(doc.get("description")), Cell(""), Cell(""), Cell(""), Cell("")]
    return [[*head, Cell(_printed(amount, decimals)), printed]]


def _voucher(
    doc: Mapping[Any, Any],
    entry_id: Any,
    date: Cell,
    lines: Sequence[Any],
    currency: Cell,
    decimals: int,
) -> list[list[Cell]]:
    rows, balance = [], Decimal(0)
    for number, one in enumerate(lines, 1):
        line = _fields(one)
        debit = _amount(line.get("debit"), decimals)
        credit = _amount(line.get("credit"), decimals)
        account = _text(line.get("accountCode"))
        if (debit is None and credit is None) or not account.text.strip():
            raise Unacceptable
        net = _EXACT.subtract(debit or Decimal(0), credit or Decimal(0))
        balance = _EXACT.add(balance, net)
        rows.append(
            [
                *(_text(entry_id), Cell(str(number)), date, _text(doc.get("reference"))),
                *(_text(doc.get("description")), account, _text(line.get("accountName"))),
                Cell("" if debit is None else _printed(debit, decimals)),
                Cell("" if credit is None else _printed(credit, decimals)),
                *(Cell(_printed(net, decimals)), currency),
            ]
        )
    if balance:
        raise Unacceptable
    return rows


def _fields(doc: Any) -> Mapping[Any, Any]:
    if isinstance(doc, Pairs):
        names = [name for name, _ in doc.pairs]
        if len(set(names)) < len(names):
            raise Undecided
        doc = dict(doc.pairs)
    if not isinstance(doc, Mapping):
        raise Unacceptable
    return doc


def _has_deprecated(value: Any) -> bool:
    if isinstance(value, Pairs):
        return any(_has_deprecated(each) for _, each in value.pairs)
    if isinstance(value, Mapping):
        return any(map(_has_deprecated, value.values()))
    if isinstance(value, list):
        return any(map(_has_deprecated, value))
    return isinstance(value, Deprecated)


def _text(value: Any) -> Cell:
    if value is None:
        return Cell("")
    if isinstance(value, RawText):
        try:
            value = value.content.decode()
        except UnicodeDecodeError:
            raise Unacceptable from None
    if type(value) is str:
        if any((ord(sign) < 32 and sign not in "\t\r\n") or ord(sign) == 127 for sign in value):
            raise Unacceptable
        if any(0x80 <= ord(sign) < 0xA0 for sign in value):
            raise Unacceptable
        return Cell(value, guardable=True)
    if isinstance(value, float | Decimal128) and not Decimal(str(value)).is_finite():
        return Cell(str(value), guardable=True)  # a spreadsheet takes -inf for a formula
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return Cell(str(int(value)))
    if isinstance(value, bool | int | float | ObjectId | Decimal128):
        return Cell(str(value))
    if isinstance(value, Binary) and value.subtype == 4 and len(value) == 16:
        return Cell(str(value.as_uuid()))
    raise Unacceptable


def _currency(value: Any) -> tuple[str, int]:
    text = _text(value).text
    if type(value) not in (str, type(None), RawText) and value is not None:
        raise Unacceptable
    code = unicodedata.normalize("NFKC", text).strip().upper() or "THB"
    if code in _CURRENCIES:
        return code, _CURRENCIES[code]
    if len(code) == 3 and code.isascii() and code.isalpha():
        raise Undecided  # it may be one of ISO's other codes
    raise Unacceptable


def _is_missing(value: Any) -> bool:
    return value is None or (type(value) is str and not value.strip())


def _amount(value: Any, decimals: int) -> Decimal | None:
    """Exact, in major units; None when there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Int64 | Decimal128):
        raise Unacceptable
    exact = value.to_decimal() if isinstance(value, Decimal128) else Decimal(repr(value))
    if not exact.is_finite() or (exact and exact.adjusted() >= 18):
        raise Unacceptable
    if not exact:
        return Decimal(0)
    minor = _EXACT.scaleb(exact, decimals)
    whole = minor.to_integral_value()
    if minor != whole:
        if not isinstance(value, float) or abs(minor - whole) > Decimal("0.001"):
            raise Unacceptable
        minor = whole
    return _EXACT.scaleb(minor, -decimals)


def _printed(amount: Decimal, decimals: int) -> str:
    return format(_EXACT.quantize(amount, Decimal(1).scaleb(-decimals)) + 0, "f")


def _date(value: Any, *, required: bool) -> Cell:
    if value is None:
        if required:
            raise Unacceptable
        return Cell("")
    if not isinstance(value, DatetimeMS | datetime):
        raise Unacceptable
    milliseconds = int(value) if isinstance(value, DatetimeMS) else None
    try:
        moment = (
            _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds is not None else value
        )
        local = moment.astimezone(ZONE)
    except OverflowError:
        raise Unacceptable from None
    if not 2000 <= local.year <= 2100:
        raise Unacceptable
    return Cell(local.strftime("%Y-%m-%d"))
