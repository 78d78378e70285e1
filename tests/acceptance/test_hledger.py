"""The default file in hledger, by the rules that are shipped: balances equal control totals."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128

from daybook.export.model.figures import Figures
from tests import pages
from tests.acceptance.test_libreoffice import HOSTILE, THAI
from tests.rendering import entry, render

RULES = pages.DOCS / "import" / "daybook.csv.rules"
_AMOUNT = re.compile(r"([A-Z]{3})(-?[0-9.]+)")

Balances = dict[str, dict[str, Decimal]]
"""Account → currency → balance; hledger leaves out what is zero."""


@pytest.fixture(scope="module")
def hledger() -> str:
    found = shutil.which("hledger")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no hledger in CI: install hledger")
        pytest.skip("no hledger here")
    return found


def ask(hledger: str, content: bytes, folder: Path, *arguments: str) -> str:
    file = folder / "batch_2026-01-18.csv"
    file.write_bytes(content)
    done = subprocess.run(
        [hledger, "--rules-file", str(RULES), "-f", str(file), *arguments],
        capture_output=True,
        encoding="utf-8",
        env={"LANG": "C.UTF-8", "PATH": os.environ["PATH"]},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def balances(hledger: str, content: bytes, folder: Path, *arguments: str) -> Balances:
    answer = ask(hledger, content, folder, "balance", "-O", "csv", *arguments)
    found: Balances = {}
    for account, text in list(csv.reader(io.StringIO(answer)))[1:]:
        if account != "total":
            found[account] = {code: Decimal(amount) for code, amount in _AMOUNT.findall(text)}
    return found


def sums(found: Mapping[str, Mapping[str, Decimal]]) -> dict[str, Decimal]:
    total: Counter[str] = Counter()
    for amounts in found.values():
        for code, amount in amounts.items():
            total[code] += amount  # type: ignore[assignment]
    return {code: Decimal(amount) for code, amount in total.items() if amount}


def lines(code: str, amount: str, *, other: str = "4000") -> list[dict[str, Any]]:
    value = Decimal128(amount)
    return [
        {"accountCode": code, "accountName": "เงินสด", "debit": value, "credit": Decimal128("0")},
        {"accountCode": other, "accountName": "Revenue:  x", "credit": value},
    ]


ENTRIES = [
    entry(*lines("0110", "100.10"), reference="INV-1"),
    entry(*lines("1100", "1234567.89"), reference="INV-2", currency=None),
    entry(*lines("1100", "1500", other="5:2000"), reference="INV-3", currency="JPY"),
    entry(*lines("1100", "2.125"), reference="INV-4", currency="KWD"),
    entry(*lines("1/2", "99999999999.99"), reference="INV-5"),
    entry(*lines("1100", "-40.00"), reference="INV-6"),
    entry(lines=[], amount=Decimal128("980.00"), reference="A-1", date=None),
    entry(lines=[], amount=Decimal128("-7.25"), reference="A-2", currency="USD"),
]


def rendered(entries: list[Any]) -> tuple[bytes, Figures]:
    content, figures = render(entries)
    assert (figures.rejected_count, figures.entry_count) == (0, len(entries))
    return content, figures


def test_the_balances_are_the_control_totals(hledger: str, tmp_path: Path) -> None:
    content, figures = rendered(ENTRIES)
    found = balances(hledger, content, tmp_path)
    clearing = found.pop("clearing")
    amounts = {code: totals.amount for code, totals in figures.totals.items() if totals.amount}
    assert sums(found) == amounts == {"THB": Decimal("980.00"), "USD": Decimal("-7.25")}
    assert {code: -amount for code, amount in clearing.items()} == amounts
    accounts = balances(hledger, content, tmp_path, "not:clearing", "not:unassigned", "amt:>0")
    negative = balances(hledger, content, tmp_path, "not:clearing", "not:unassigned", "amt:<0")
    # A debit of -40.00 is among the negative amounts, and its credit among the positive ones.
    moved = {"THB": 2 * Decimal("40.00")}
    for code, totals in figures.totals.items():
        more = moved.get(code, Decimal())
        assert sums(accounts).get(code, Decimal()) == totals.debit + more
        assert -sums(negative).get(code, Decimal()) == totals.credit + more


def test_each_account_has_what_the_entries_give_it(hledger: str, tmp_path: Path) -> None:
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in ENTRIES:
        for line in one["lines"]:
            net = line.get("debit", Decimal128("0")).to_decimal()
            net -= line.get("credit", Decimal128("0")).to_decimal()
            expected[line["accountCode"]][one["currency"] or "THB"] += net
    found = balances(hledger, rendered(ENTRIES)[0], tmp_path, "not:clearing", "not:unassigned")
    assert found == {name: dict(amounts) for name, amounts in expected.items()}


def test_text_of_any_kind_changes_no_amount(hledger: str, tmp_path: Path) -> None:
    texts = [*HOSTILE, *THAI]
    content, figures = rendered(
        [
            entry(*lines("1100", "100.00"), reference=text, description=text, date=_day(number))
            for number, text in enumerate(texts)
        ]
    )
    total = 100 * len(texts)
    assert figures.totals["THB"].debit == total
    assert balances(hledger, content, tmp_path) == {
        "1100": {"THB": Decimal(total)},
        "4000": {"THB": Decimal(-total)},
    }
    assert ask(hledger, content, tmp_path, "stats").count("Transactions") >= 1


def _day(number: int) -> datetime:
    return datetime(2026, 1, 1 + number % 28, 5, tzinfo=UTC)


def test_dates_references_and_ids_are_kept(hledger: str, tmp_path: Path) -> None:
    one = entry(*lines("1100", "100.00"), reference="INV-1", description="ค่าบริการ; a | b")
    printed = ask(hledger, rendered([one])[0], tmp_path, "print")
    assert printed.count("2026-01-17 (INV-1) ค่าบริการ; a | b") == 2
    assert printed.count(f"entry:{one['_id']}") == 2
