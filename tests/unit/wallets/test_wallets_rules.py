"""What the ledger decides without a database: accounts, lines, digests, cursors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from daybook.chart_of_accounts import Account, Chart, Direction
from daybook.errors import BadRequest
from daybook.wallets import journal
from daybook.wallets.context import MAX_PAISE, stamp
from daybook.wallets.history import Cursor
from daybook.wallets.idempotency import IdempotencyKey
from daybook.wallets.stored import DocumentInvalid

A, B = Account(code="1", name="a"), Account(code="2", name="b")
NOW = datetime(2026, 1, 18, 5, 0, 0, 7000, tzinfo=UTC)

bodies = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4)


@given(st.integers(1, MAX_PAISE), st.sampled_from([("INR", 2), ("JPY", 0), ("KWD", 3)]))
def test_lines_balance_and_carry_the_exact_amount(amount: int, currency: tuple[str, int]) -> None:
    code, decimals = currency
    first, second = journal.balanced(A, B, amount, code)
    exact = Decimal(amount).scaleb(-decimals)
    assert (first["accountCode"], second["accountCode"]) == ("1", "2")
    assert first["debit"].to_decimal() == second["credit"].to_decimal() == exact
    assert first["credit"].to_decimal() == second["debit"].to_decimal() == 0
    assert str(first["debit"]) == format(exact, "f")


@given(st.integers(1, MAX_PAISE))
def test_a_counter_entry_of_a_counter_entry_is_the_entry(amount: int) -> None:
    lines = journal.balanced(A, B, amount, "INR")
    opposed = journal.opposed({"lines": lines, "currency": "INR"}, amount, "INR")
    assert opposed != lines
    assert journal.opposed({"lines": opposed, "currency": "INR"}, amount, "INR") == lines


@pytest.mark.parametrize(
    "odd",
    [
        {"debit": Decimal128("2.50")},
        {"debit": "2.51"},
        {"debit": None},
        {"debit": Decimal128("NaN")},
        {"debit": Decimal128("-2.51")},
        {"accountName": "caf\udce9"},
    ],
)
def test_an_entry_that_was_changed_since_has_no_counter_entry(odd: dict[str, Any]) -> None:
    first, second = journal.balanced(A, B, 251, "INR")
    entry = {"_id": 1, "currency": "INR", "lines": [first | odd, second]}
    with pytest.raises(DocumentInvalid, match="journalentries 1: lines"):
        journal.opposed(entry, 251, "INR")


def test_what_users_hold_is_owed_to_them() -> None:
    chart = Chart()
    for type_ in (*chart.opposites, "something-else"):
        opposite = chart.opposites.get(type_, chart.clearing)
        assert chart.accounts(type_, Direction.CREDIT) == (opposite, chart.wallets)
        assert chart.accounts(type_, Direction.DEBIT) == (chart.wallets, opposite)
        assert opposite != chart.wallets
    assert chart.transfer() == (chart.wallets, chart.wallets)


def test_accounts_have_one_name_each() -> None:
    chart = Chart()
    accounts = {chart.wallets, chart.clearing, *chart.opposites.values()}
    assert len({account.code for account in accounts}) == len(accounts)


@pytest.mark.parametrize("profile", ["daily", "wallets"])
def test_only_the_daily_profile_is_left_out_of_an_item(profile: str) -> None:
    item = journal.queue_item(ObjectId(), ObjectId(), profile=profile, now=NOW)
    assert item.get("profile") == (None if profile == "daily" else profile)
    assert (item["exportPath"], item["status"]) == ("scheduled", "queued")


@given(bodies, st.randoms())
def test_a_request_is_the_same_in_any_order_of_its_fields(body: dict[str, Any], dice: Any) -> None:
    shuffled = list(body.items())
    dice.shuffle(shuffled)
    assert IdempotencyKey.of("k", "/", body) == IdempotencyKey.of("k", "/", dict(shuffled))


@given(bodies, bodies)
def test_different_requests_have_different_digests(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (IdempotencyKey.of("k", "/", one) == IdempotencyKey.of("k", "/", other)) is same
    assert IdempotencyKey.of("k", "/a", one) != IdempotencyKey.of("k", "/b", one)


@given(
    st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)),  # noqa: DTZ001
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=12, max_size=12),
)
def test_a_cursor_survives_its_text(naive: datetime, id_: bytes, wallet_id: bytes) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    cursor = Cursor(wallet_id=ObjectId(wallet_id), created_at=moment, transaction_id=ObjectId(id_))
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text(max_size=40))
def test_any_other_text_is_no_cursor(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except BadRequest as error:
        where = error.where
    else:
        where = "cursor" if str(cursor) == text else "lost"
    assert where == "cursor"


def test_times_in_answers_are_utc_in_milliseconds() -> None:
    assert stamp(NOW) == "2026-01-18T05:00:00.007Z"
    bangkok = NOW.astimezone(tz=None)
    assert stamp(bangkok) == stamp(NOW)
    assert stamp(NOW + timedelta(microseconds=999)) == "2026-01-18T05:00:00.007Z"
