"""The obvious way to write the file, as a yardstick: everything in memory, `csv`, `strftime`.

It prints what the default profile prints, for well-formed entries only.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from bson.decimal128 import Decimal128

from daybook.export.model.profile import DEFAULT_COLUMNS

_ZONE = ZoneInfo("Asia/Bangkok")
_CENT = Decimal("0.01")


def naive_csv(database: Any, entry_ids: Sequence[Any]) -> tuple[bytes, dict[str, Decimal]]:
    """The file's bytes and its control totals."""
    found = database.journalentries.find({"_id": {"$in": list(entry_ids)}})
    entries = {entry["_id"]: entry for entry in found}
    totals = {"debit": Decimal(0), "credit": Decimal(0), "amount": Decimal(0)}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.title for column in DEFAULT_COLUMNS])
    for entry_id in entry_ids:
        entry = entries[entry_id]
        date = entry["date"].replace(tzinfo=UTC).astimezone(_ZONE).strftime("%Y-%m-%d")
        for number, line in enumerate(entry["lines"], 1):
            debit, credit = _decimal(line["debit"]), _decimal(line["credit"])
            totals["debit"] += debit
            totals["credit"] += credit
            totals["amount"] += debit - credit
            writer.writerow(
                [
                    str(entry_id),
                    number,
                    date,
                    _safe(entry["reference"]),
                    _safe(entry["description"]),
                    _safe(line["accountCode"]),
                    _safe(line["accountName"]),
                    debit.quantize(_CENT),
                    credit.quantize(_CENT),
                    (debit - credit).quantize(_CENT),
                    entry["currency"],
                ]
            )
    return text.getvalue().encode("utf-8-sig"), totals


def _decimal(amount: Any) -> Decimal:
    return amount.to_decimal() if isinstance(amount, Decimal128) else Decimal(amount)


def _safe(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
