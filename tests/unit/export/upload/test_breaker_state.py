"""The circuit breaker's pure part: its position, and how a failure changes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.export.upload.breaker import BreakerRecord, BreakerState, after_failure

NOW = datetime(2026, 1, 18, 11, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RESET_SECONDS = 900.0
UNTIL = NOW + timedelta(seconds=RESET_SECONDS)


def failed(state: BreakerRecord, *, now: datetime = NOW, failures: int = 3) -> BreakerRecord:
    return after_failure(state, now=now, failures=failures, reset_seconds=RESET_SECONDS)


@pytest.mark.parametrize(
    ("open_until", "position"),
    [
        (None, BreakerState.CLOSED),
        (NOW + SECOND, BreakerState.OPEN),
        (NOW, BreakerState.HALF_OPEN),
        (NOW - SECOND, BreakerState.HALF_OPEN),
        (NOW - timedelta(days=30), BreakerState.HALF_OPEN),
    ],
)
def test_it_is_open_until_its_time_and_half_open_from_then_on(
    open_until: datetime | None, position: BreakerState
) -> None:
    assert BreakerRecord(failures=3, open_until=open_until).state_at(NOW) is position


def test_the_third_failure_in_a_row_opens_it() -> None:
    first = failed(BreakerRecord())
    second = failed(first)
    third = failed(second)

    assert [state.failures for state in (first, second, third)] == [1, 2, 3]
    assert [state.open_until for state in (first, second, third)] == [None, None, UNTIL]


def test_with_a_limit_of_one_the_first_failure_opens_it() -> None:
    assert failed(BreakerRecord(), failures=1).open_until == UNTIL


@pytest.mark.parametrize("opened", [NOW - SECOND, NOW, NOW + SECOND])
def test_a_failure_of_a_trial_or_of_a_late_run_opens_it_again(opened: datetime) -> None:
    state = failed(BreakerRecord(failures=3, open_until=opened, trial={"slot": "daily"}))

    assert (state.failures, state.open_until, state.trial) == (4, UNTIL, None)


@pytest.mark.parametrize("before", [3, 4, 100])
def test_a_lowered_limit_opens_it_at_the_next_failure(before: int) -> None:
    assert failed(BreakerRecord(failures=before)).open_until == UNTIL


@given(st.lists(st.booleans(), max_size=20), st.integers(1, 5))
def test_it_opens_exactly_when_so_many_attempts_failed_in_a_row(
    outcomes: list[bool], limit: int
) -> None:
    state, in_a_row = BreakerRecord(), 0
    for succeeded in outcomes:
        in_a_row = 0 if succeeded else in_a_row + 1
        state = BreakerRecord() if succeeded else failed(state, failures=limit)
        assert (state.state_at(NOW) is BreakerState.OPEN) == (in_a_row >= limit)
        assert state.failures == in_a_row


@pytest.mark.parametrize(
    ("doc", "state"),
    [
        (None, BreakerRecord()),
        ({"_id": "s3", "failures": 2}, BreakerRecord(failures=2)),
        (
            {"_id": "s3", "failures": 3, "openUntil": UNTIL, "trial": {"slot": "a", "owner": "b"}},
            BreakerRecord(failures=3, open_until=UNTIL, trial={"slot": "a", "owner": "b"}),
        ),
    ],
)
def test_a_stored_breaker_is_read_as_it_is(
    doc: dict[str, Any] | None, state: BreakerRecord
) -> None:
    assert BreakerRecord.from_doc(doc) == state
