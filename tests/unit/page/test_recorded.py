"""What a batch's document says of a day, also where it was altered by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId

from daybook.errors import DocumentDamaged
from daybook.page.recorded import RecordedDay


def _committed(**sums: str) -> dict[str, Any]:
    totals = {"THB": {"debit": "1.50", "credit": "1.50", "amount": "0", **sums}}
    return {
        "_id": ObjectId(),
        "profile": "daily",
        "batchDate": "2026-01-18",
        "state": "committed",
        "totals": totals,
    }


@pytest.mark.parametrize("text", ["0E-8", "-12.50", "1E+3", "9" * 30 + ".25"])
def test_a_total_is_read_exactly(text: str) -> None:
    (money,) = RecordedDay.from_doc(_committed(debit="0", credit="0", amount=text)).money
    assert (money.amount, money.difference) == (Decimal(text), 0)


@pytest.mark.parametrize("field", ["debit", "credit", "amount"])
@pytest.mark.parametrize(
    "text",
    ["", "x", "NaN", "sNaN", "Infinity", "-Infinity", "1E+999999999", "0E-999999999", "9" * 200],
)
def test_a_total_that_no_run_has_written_damages_its_day_alone(field: str, text: str) -> None:
    with pytest.raises(DocumentDamaged, match=rf"totals\.THB\.{field}"):
        RecordedDay.from_doc(_committed(**{field: text}))
