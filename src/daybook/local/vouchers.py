"""Vouchers of a Thai trading company, and their balanced journal lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bson.decimal128 import Decimal128

_Amount = Decimal128 | int | float
_Account = tuple[str, str]

_CASH: _Account = ("1110", "เงินสด")
_BANK: _Account = ("1120", "เงินฝากธนาคาร")
_RECEIVABLE: _Account = ("1130", "ลูกหนี้การค้า")
_INPUT_VAT: _Account = ("1154", "ภาษีซื้อ")
_PAYABLE: _Account = ("2110", "เจ้าหนี้การค้า")
_OUTPUT_VAT: _Account = ("2155", "ภาษีขาย")
_SALES: _Account = ("4100", "รายได้จากการขาย")
_SERVICES: _Account = ("4200", "รายได้ค่าบริการ")
_PURCHASES: _Account = ("5110", "ซื้อสินค้า")
_RENT: _Account = ("5310", "ค่าเช่าสำนักงาน")
_UTILITIES: _Account = ("5320", "ค่าไฟฟ้าและน้ำประปา")
_CLOUD: _Account = ("5340", "Cloud services")

_VAT_PERCENT = 7


class _Side(Enum):
    """The side of the single line with the whole sum."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """One kind of business transaction."""

    prefix: str
    description: str
    whole: _Account
    """The account of the one line with the whole sum."""
    side: _Side
    parts: _Account
    """The account of the other lines, except the last of several, which is VAT."""
    vat: _Account


def _sale(description: str, *, into: _Account, revenue: _Account) -> Voucher:
    return Voucher(
        prefix="RV",
        description=description,
        whole=into,
        side=_Side.DEBIT,
        parts=revenue,
        vat=_OUTPUT_VAT,
    )


def _purchase(description: str, *, out_of: _Account, expense: _Account) -> Voucher:
    return Voucher(
        prefix="PV",
        description=description,
        whole=out_of,
        side=_Side.CREDIT,
        parts=expense,
        vat=_INPUT_VAT,
    )


_VOUCHERS = (
    _sale("ขายสินค้าเงินสด", into=_CASH, revenue=_SALES),
    _sale("Sale on credit, 30 days", into=_RECEIVABLE, revenue=_SALES),
    _sale("รับชำระค่าบริการ (โอนผ่านธนาคาร)", into=_BANK, revenue=_SERVICES),
    _sale('Consulting, "phase 2"', into=_RECEIVABLE, revenue=_SERVICES),
    _purchase("ซื้อสินค้าเข้าคลัง", out_of=_PAYABLE, expense=_PURCHASES),
    _purchase("ค่าเช่าสำนักงาน เดือนนี้", out_of=_BANK, expense=_RENT),
    _purchase("ค่าไฟฟ้า", out_of=_BANK, expense=_UTILITIES),
    _purchase("Cloud hosting", out_of=_PAYABLE, expense=_CLOUD),
    _purchase("- ค่าธรรมเนียมย้อนหลัง", out_of=_CASH, expense=_UTILITIES),
)


def pick_voucher(chance: random.Random) -> Voucher:
    return _VOUCHERS[int(chance.random() * len(_VOUCHERS))]


def decimal(satang: int) -> Decimal128:
    """An amount with two decimals, never negative."""
    return Decimal128(f"{satang // 100}.{satang % 100:02}")


def _baht(satang: int) -> int:
    return satang // 100


def _double(satang: int) -> float:
    return satang / 100


def journal_lines(voucher: Voucher, lines: int, chance: random.Random) -> list[dict[str, Any]]:
    """`lines` (2 or more) lines whose debits equal their credits.

    Amounts are Decimal128; in one entry out of twenty they are doubles, in another whole baht as
    int.
    """
    as_type, unit = _amount_type(chance.random())
    sums = [unit * part for part in _split(lines - 1, chance)]
    whole = (*voucher.whole, sum(sums))
    parts = [(*voucher.parts, part) for part in sums]
    if len(parts) > 1:
        parts[-1] = (*voucher.vat, sums[-1])
    debtors, creditors = ([whole], parts) if voucher.side is _Side.DEBIT else (parts, [whole])
    zero = as_type(0)
    return [
        {"accountCode": code, "accountName": name, "debit": as_type(part), "credit": zero}
        for code, name, part in debtors
    ] + [
        {"accountCode": code, "accountName": name, "debit": zero, "credit": as_type(part)}
        for code, name, part in creditors
    ]


def _amount_type(share: float) -> tuple[Callable[[int], _Amount], int]:
    """The type of an entry's amounts, and the number of satang that they are multiples of."""
    if share < 0.05:
        return _double, 1
    if share < 0.10:
        return _baht, 100
    return decimal, 1


def _split(parts: int, chance: random.Random) -> list[int]:
    """Positive numbers; the last of several is 7 % of the sum of the others."""
    if parts == 1:
        return [100 + int(chance.random() * 500_000)]
    net = [100 + int(chance.random() * 500_000) for _ in range(parts - 1)]
    return [*net, sum(net) * _VAT_PERCENT // 100]
