"""Where a run stops: at a boundary, once the process has to end or the time is used up."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from daybook.errors import (
    DestinationError,
    DestinationRefused,
    Interrupted,
    RunTimeout,
    UncertainResponse,
)
from daybook.export.model.budgets import TOTAL_SECONDS, RetryBudget, StopToken, TimeBudget

LONG = 3600.0
OVER = -1.0
"""A deadline that has passed already."""


class Process:
    """Whether it has been told to end, for a `StopToken` to ask."""

    def __init__(self, *, told: bool = False) -> None:
        self.told = told

    def stopping(self) -> bool:
        return self.told


def test_a_run_with_time_left_goes_on() -> None:
    stop_token = StopToken(Process().stopping, deadline_seconds=LONG)
    stop_token.check_process()
    stop_token.check()


def test_the_deadline_stops_a_run_only_where_it_is_asked_about() -> None:
    stop_token = StopToken(Process().stopping, deadline_seconds=OVER)
    stop_token.check_process()
    with pytest.raises(Interrupted, match=r"DAYBOOK_RUN_DEADLINE_SECONDS \(-1 s\)"):
        stop_token.check()


def test_a_process_that_has_to_end_stops_a_run_at_every_boundary() -> None:
    process = Process()
    stop_token = StopToken(process.stopping, deadline_seconds=LONG)
    process.told = True
    for check in (stop_token.check_process, stop_token.check):
        with pytest.raises(Interrupted, match="asked to end"):
            check()


def test_the_process_is_named_when_both_are_true() -> None:
    stop_token = StopToken(Process(told=True).stopping, deadline_seconds=OVER)
    with pytest.raises(Interrupted, match="asked to end"):
        stop_token.check()


class Waits:
    """Takes the place of `sleep`; tells the process to end during the wait of that number."""

    def __init__(self, process: Process, *, told_in: int | None = None) -> None:
        self.seconds: list[float] = []
        self._process = process
        self._told_in = told_in

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._told_in:
            self._process.told = True


def test_the_retry_budget_ends_with_the_wait_in_which_sigterm_came() -> None:
    process = Process()
    waits = Waits(process, told_in=2)
    retry_budget = RetryBudget(waits, StopToken(process.stopping, deadline_seconds=LONG))
    retry_budget.wait(DestinationError("503"))
    retry_budget.wait(DestinationError("503"))

    with pytest.raises(Interrupted):
        retry_budget.wait(DestinationError("503"))

    assert len(waits.seconds) == 2


@pytest.mark.parametrize("error", [UncertainResponse("no answer"), DestinationRefused("no access")])
def test_whatever_the_error_a_process_that_has_to_end_does_not_wait(
    error: DestinationError,
) -> None:
    process = Process(told=True)
    waits = Waits(process)
    with pytest.raises(Interrupted):
        RetryBudget(waits, StopToken(process.stopping, deadline_seconds=LONG)).wait(error)
    assert waits.seconds == []


def test_no_single_wait_is_long_enough_to_matter_to_a_process_that_has_to_end() -> None:
    """It is killed ten seconds after it was told, and asks only after the wait."""
    process = Process()
    waits = Waits(process)
    _use_up(RetryBudget(waits, StopToken(process.stopping, deadline_seconds=LONG)))
    assert max(waits.seconds) <= TOTAL_SECONDS / 2
    assert sum(waits.seconds) <= TOTAL_SECONDS


def _use_up(retry_budget: RetryBudget) -> None:
    for _ in range(100):
        try:
            retry_budget.wait(DestinationError("503"))
        except DestinationError:
            return
    pytest.fail("the retry budget has no end")


def test_the_deadline_does_not_cut_the_retry_budget_short() -> None:
    """Each invocation is to get a chunk across, also one whose time is short."""
    process = Process()
    waits = Waits(process)
    RetryBudget(waits, StopToken(process.stopping, deadline_seconds=OVER)).wait(
        DestinationError("503")
    )
    assert len(waits.seconds) == 1


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _time_budget(clock: Clock, process: Process) -> TimeBudget:
    stop_token = StopToken(process.stopping, deadline_seconds=LONG)
    return TimeBudget(30, stop_token, clock=clock)


def test_the_time_budget_adds_up_its_blocks_and_nothing_between_them() -> None:
    clock = Clock()
    budget = _time_budget(clock, Process())
    for _ in range(3):
        with budget:
            clock.seconds += 10
        clock.seconds += LONG

    with pytest.raises(RunTimeout, match=r"DAYBOOK_CSV_TIMEOUT_SECONDS \(30 s\)"), budget:
        clock.seconds += 0.1


def test_an_error_in_a_block_is_not_hidden_by_the_time_that_it_took() -> None:
    clock = Clock()
    budget = _time_budget(clock, Process())

    def refused_late() -> None:
        with budget:
            clock.seconds += 31
            raise DestinationRefused("no access")

    with pytest.raises(DestinationRefused):
        refused_late()


def test_a_read_is_not_awaited_beyond_the_time_budget_nor_by_a_process_that_has_to_end() -> None:
    clock, process = Clock(), Process()
    budget = _time_budget(clock, process)
    never = Future[None]()
    with budget:
        clock.seconds += 30
    with pytest.raises(RunTimeout), budget:
        budget.result(never)
    process.told = True
    with pytest.raises(Interrupted), _time_budget(clock, process) as fresh:
        fresh.result(never)
