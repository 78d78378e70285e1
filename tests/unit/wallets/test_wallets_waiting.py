"""Requests that wait for the same wallet: one leads, and none is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from daybook.wallets.striped_locks import TooContended
from daybook.wallets.waiting import MAX_MEMBERS, Waiting

LINE = "a wallet's debits"
LONG_SECONDS = 30.0


class Served(Exception):
    """The leader's own fault."""


@pytest.fixture
def waiting() -> Waiting[int, str]:
    return Waiting()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MAX_MEMBERS + 10) as pool:
        yield pool


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def come(waiting: Waiting[int, str], number: int, *, key: int | None = None, size: int = 1) -> str:
    """A request's way: as a leader it serves its whole group; what it was given, or "alone"."""
    with waiting.place(
        LINE,
        number if key is None else key,
        number,
        size=size,
        max_wait_seconds=LONG_SECONDS,
    ) as place:
        if place.leads:
            with waiting.group(place) as members:
                for member in members:
                    member.response = f"{member.request} by {number} of {len(members)}"
        return place.response or "alone"


@contextmanager
def led(waiting: Waiting[int, str]) -> Iterator[None]:
    """Someone leads the line until the block ends, and then leaves."""
    with waiting.place(LINE, -1, -1, max_wait_seconds=LONG_SECONDS) as place:
        assert place.leads
        yield


def behind(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor, count: int, **more: int
) -> list[Future[str]]:
    """So many requests that wait in the line, in this order."""
    jobs = []
    for number in range(count):
        jobs.append(pool.submit(come, waiting, number, **more))
        until(lambda number=number: waiting.count() == number + 1)
    return jobs


def test_the_first_leads_and_waits_for_no_other(waiting: Waiting[int, str]) -> None:
    assert come(waiting, 7) == "7 by 7 of 1"
    assert come(waiting, 8) == "8 by 8 of 1"
    assert waiting.count() == 0


def test_those_that_wait_are_served_by_one_of_them(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    with led(waiting):
        jobs = behind(waiting, pool, 5)
    assert [job.result(LONG_SECONDS) for job in jobs] == [f"{n} by 0 of 5" for n in range(5)]


def test_a_group_has_a_limit_and_the_next_in_line_leads_the_rest(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    with led(waiting):
        jobs = behind(waiting, pool, MAX_MEMBERS + 3)
    served = [job.result(LONG_SECONDS) for job in jobs]
    assert served[:MAX_MEMBERS] == [f"{n} by 0 of {MAX_MEMBERS}" for n in range(MAX_MEMBERS)]
    assert {line.partition(" by ")[0] for line in served} == set(map(str, range(MAX_MEMBERS + 3)))
    assert waiting.count() == 0


def test_the_limit_of_a_group_counts_movements_and_none_is_passed_over_for_long(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    sizes = {0: 20, 1: 20, 2: 5, 3: 7, 4: 1}
    jobs = []
    with led(waiting):
        for number, size in sizes.items():
            jobs.append(pool.submit(come, waiting, number, size=size))
            until(lambda number=number: waiting.count() == number + 1)
    served = [job.result(LONG_SECONDS) for job in jobs]
    assert [served[number] for number in (0, 2, 3)] == [f"{n} by 0 of 3" for n in (0, 2, 3)]
    assert [served[number] for number in (1, 4)] == ["1 by 1 of 2", "4 by 1 of 2"]


def test_no_group_has_two_with_one_key(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    with led(waiting):
        jobs = behind(waiting, pool, 3, key=1)
    assert sorted(job.result(LONG_SECONDS) for job in jobs) == [
        "0 by 0 of 1",
        "1 by 1 of 1",
        "2 by 2 of 1",
    ]


def test_lines_do_not_wait_for_each_other(waiting: Waiting[int, str]) -> None:
    with ExitStack() as open_:
        for line in ("a", "b"):
            place = open_.enter_context(waiting.place(line, 1, 1, max_wait_seconds=0))
            assert place.leads


@pytest.mark.parametrize("fault", [Served, KeyboardInterrupt, SystemExit])
def test_members_continue_alone_when_their_leader_fails(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor, fault: type[BaseException]
) -> None:
    with ExitStack() as open_:
        first = open_.enter_context(led(waiting))
        assert first is None
        leader = pool.submit(lead_and_fail, waiting, fault)
        until(lambda: waiting.count() == 1)
        jobs = [pool.submit(come, waiting, number) for number in range(4)]
        until(lambda: waiting.count() == 5)
    assert isinstance(leader.exception(LONG_SECONDS), fault)
    assert [job.result(LONG_SECONDS) for job in jobs] == ["alone"] * 4
    assert come(waiting, 9) == "9 by 9 of 1"


def lead_and_fail(waiting: Waiting[int, str], fault: type[BaseException]) -> None:
    with waiting.place(LINE, -2, -2, max_wait_seconds=LONG_SECONDS) as place:
        assert place.leads
        with waiting.group(place) as members:
            assert len(members) == 5
            raise fault


@pytest.mark.parametrize("fault", [Served, KeyboardInterrupt])
def test_the_lead_is_handed_over_by_one_that_fails_before_it_has_a_group(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor, fault: type[BaseException]
) -> None:
    jobs: list[Future[str]] = []

    def fail() -> None:
        with led(waiting):
            jobs.extend(behind(waiting, pool, 3))
            raise fault

    with pytest.raises(fault):
        fail()
    assert [job.result(LONG_SECONDS) for job in jobs] == [f"{n} by 0 of 3" for n in range(3)]


def test_a_request_whose_time_is_over_leaves_the_line(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    with led(waiting):
        with (
            pytest.raises(TooContended),
            waiting.place(LINE, 1, 1, max_wait_seconds=0.01),
        ):
            pytest.fail("it has neither the lead nor a response")
        assert waiting.count() == 0
        jobs = behind(waiting, pool, 2)
    assert [job.result(LONG_SECONDS) for job in jobs] == ["0 by 0 of 2", "1 by 0 of 2"]


def test_a_member_may_leave_while_its_group_is_booked(
    waiting: Waiting[int, str], pool: ThreadPoolExecutor
) -> None:
    taken, left = threading.Event(), threading.Event()

    def lead() -> str | None:
        with waiting.place(LINE, 1, 1, max_wait_seconds=LONG_SECONDS) as place:
            assert place.leads
            until(lambda: waiting.count() == 2)
            with waiting.group(place) as members:
                taken.set()
                assert left.wait(LONG_SECONDS)
                for member in members:
                    member.response = "booked"
        return place.response

    def leave() -> None:
        with (
            pytest.raises(TooContended),
            waiting.place(LINE, 2, 2, max_wait_seconds=0.3),
        ):
            pytest.fail("its group was not booked yet")
        left.set()

    leader = pool.submit(lead)
    until(lambda: LINE in waiting._lines)
    leaving = pool.submit(leave)
    until(lambda: waiting.count() == 1)
    other = pool.submit(come, waiting, 3)
    assert taken.wait(LONG_SECONDS)
    leaving.result(LONG_SECONDS)
    assert leader.result(LONG_SECONDS) == other.result(LONG_SECONDS) == "booked"
    assert come(waiting, 9) == "9 by 9 of 1"


def test_none_is_left_behind_however_they_come_and_go(waiting: Waiting[int, str]) -> None:
    """Many at once, some with hardly any time; everyone ends, and no line is left."""

    def hurried(number: int) -> str:
        try:
            with waiting.place(
                number % 3, number % 50, number, max_wait_seconds=0.0005 * (number % 7)
            ) as place:
                if place.leads and number % 5:
                    with waiting.group(place) as members:
                        for member in members:
                            member.response = "booked"
                return place.response or "alone"
        except TooContended:
            return "left"

    with ThreadPoolExecutor(24) as pool:
        ended = list(pool.map(hurried, range(4000)))
    assert set(ended) <= {"booked", "alone", "left"}
    assert "booked" in ended
    assert waiting.count() == 0
    assert waiting._lines == {}
