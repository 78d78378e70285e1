"""Whether a process has been told to end, and whether requests under way are given up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from daybook import shutdown as module
from daybook.shutdown import CUT_AFTER_SECONDS, Shutdown

KILLED_AFTER_SECONDS = 10.0
"""https://cloud.google.com/run/docs/container-contract#instance-shutdown"""


class Clock:
    """Takes the place of `time.monotonic`."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Worker:
    """As gunicorn's: it handles the signal, and says whether it came."""

    def __init__(self) -> None:
        self.alive = True

    def handle_exit(self, _number: int, _frame: object) -> None:
        self.alive = False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture(autouse=True)
def _handlers_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_running_process_need_not_end() -> None:
    shutdown = Shutdown()
    assert not shutdown.requested()
    assert not shutdown.cuts()


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN, lambda *_: None])
def test_a_handler_that_belongs_to_no_worker_says_nothing(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    assert not Shutdown().requested()


def test_the_worker_that_handles_the_signal_is_asked() -> None:
    worker, shutdown = Worker(), Shutdown()
    signal.signal(signal.SIGTERM, worker.handle_exit)
    assert not shutdown.requested()

    signal.raise_signal(signal.SIGTERM)

    assert shutdown.requested()


def test_it_can_be_asked_from_any_thread() -> None:
    worker, shutdown = Worker(), Shutdown()
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.raise_signal(signal.SIGTERM)
    answers: list[bool] = []

    thread = threading.Thread(target=lambda: answers.append(shutdown.requested()))
    thread.start()
    thread.join()

    assert answers == [True]


def test_it_stays_told_when_another_worker_takes_the_signal_over() -> None:
    worker, shutdown = Worker(), Shutdown()
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.raise_signal(signal.SIGTERM)
    assert shutdown.requested()

    signal.signal(signal.SIGTERM, Worker().handle_exit)

    assert shutdown.requested()


def test_requests_under_way_have_a_while_to_be_answered(clock: Clock) -> None:
    shutdown = Shutdown()
    shutdown.request()
    assert not shutdown.cuts()
    clock.seconds += CUT_AFTER_SECONDS
    assert not shutdown.cuts()
    clock.seconds += 0.001
    assert shutdown.cuts()


def test_the_while_leaves_time_for_the_rest_before_the_process_is_killed() -> None:
    """What was done is recorded, the lease given back and a task created after the cut."""
    assert CUT_AFTER_SECONDS <= KILLED_AFTER_SECONDS / 2


def test_the_while_begins_when_a_request_that_is_under_way_first_asks(clock: Clock) -> None:
    worker, shutdown = Worker(), Shutdown()
    signal.signal(signal.SIGTERM, worker.handle_exit)
    signal.raise_signal(signal.SIGTERM)
    assert not shutdown.cuts()
    clock.seconds += CUT_AFTER_SECONDS + 0.001
    assert shutdown.cuts()


def test_being_told_again_does_not_lengthen_the_while(clock: Clock) -> None:
    shutdown = Shutdown()
    shutdown.request()
    clock.seconds += CUT_AFTER_SECONDS
    shutdown.request()
    clock.seconds += 0.001
    assert shutdown.cuts()


def test_sigterm_reaches_a_command_that_listens() -> None:
    shutdown = Shutdown()
    shutdown.listen()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert shutdown.requested()


def test_one_ctrl_c_reaches_a_command_that_listens_and_two_interrupt_it() -> None:
    shutdown = Shutdown()
    shutdown.listen()
    signal.raise_signal(signal.SIGINT)
    assert shutdown.requested()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_listening_alone_tells_nothing() -> None:
    shutdown = Shutdown()
    shutdown.listen()
    assert not shutdown.requested()
