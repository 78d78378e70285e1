"""When a batch is tried, tried again, and given up: every decision, without anything else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import (
    BatchState,
    Next,
    Step,
    Task,
    TaskCall,
    TaskKind,
    attempt_to_recheck,
    next_attempt_at,
    next_step,
    task_applies,
)
from daybook.export.model.profile import BatchKey

NOW = datetime(2026, 1, 18, 11, tzinfo=UTC)
MOST = 4
DELAYS = (300, 900, 2700)


def step(state: BatchState | None, attempt: int, ended: int, **more: Any) -> Step:
    situation = {"continued": False, "same_delivery": False, "max_attempts": MOST, **more}
    return next_step(state=state, attempt=attempt, ended_attempt=ended, **situation)


@pytest.mark.parametrize(
    ("attempt", "permanent", "wait_seconds"),
    [
        (1, False, 300),
        (2, False, 900),
        (3, False, 2700),
        (4, False, None),
        (5, False, None),
        (1, True, None),
        (3, True, None),
    ],
)
def test_delays_are_taken_in_order_and_then_it_is_given_up(
    attempt: int, permanent: bool, wait_seconds: int | None
) -> None:
    due = next_attempt_at(attempt=attempt, permanent=permanent, delays_seconds=DELAYS, now=NOW)

    assert due == (None if wait_seconds is None else NOW + timedelta(seconds=wait_seconds))


def test_without_delays_the_first_failure_is_the_last() -> None:
    assert next_attempt_at(attempt=1, permanent=False, delays_seconds=(), now=NOW) is None


@pytest.mark.parametrize("state", [BatchState.COMMITTED, BatchState.FAILED])
@pytest.mark.parametrize(("attempt", "ended"), [(0, 0), (1, 1), (2, 1), (4, 4)])
@pytest.mark.parametrize("same_delivery", [True, False])
def test_a_batch_that_has_ended_is_only_reported(
    state: BatchState, attempt: int, ended: int, same_delivery: bool
) -> None:
    found = step(state, attempt, ended, same_delivery=same_delivery, continued=True)

    assert found == Step(next=Next.REPORT, attempt=attempt)


@pytest.mark.parametrize(
    ("attempt", "ended", "more", "expected"),
    [
        (0, 0, {}, (Next.START, 1)),
        (0, 0, {"same_delivery": True}, (Next.START, 1)),
        (1, 1, {}, (Next.START, 2)),
        (1, 1, {"same_delivery": True}, (Next.REPORT, 1)),
        (2, 1, {}, (Next.START, 3)),  # a crash counts
        (2, 1, {"same_delivery": True}, (Next.START, 3)),
        (2, 1, {"continued": True}, (Next.RESUME, 2)),
        (2, 1, {"continued": True, "same_delivery": True}, (Next.RESUME, 2)),
        (2, 2, {"continued": True}, (Next.START, 3)),  # interrupted before it began
        (3, 3, {}, (Next.START, 4)),
        (4, 3, {}, (Next.GIVE_UP, 4)),
        (4, 3, {"same_delivery": True}, (Next.GIVE_UP, 4)),
        (4, 3, {"continued": True}, (Next.RESUME, 4)),
        (9, 9, {}, (Next.GIVE_UP, 9)),  # the delays were shortened meanwhile
    ],
)
def test_an_open_batch_takes_its_next_step(
    attempt: int, ended: int, more: dict[str, bool], expected: tuple[Next, int]
) -> None:
    found = step(BatchState.OPEN, attempt, ended, **more)

    assert (found.next, found.attempt) == expected


def test_an_empty_day_starts_again_for_a_new_call_and_not_for_a_repeated_one() -> None:
    assert step(BatchState.EMPTY, 3, 3) == Step(next=Next.START, attempt=1)
    assert step(BatchState.EMPTY, 3, 3, same_delivery=True) == Step(next=Next.REPORT, attempt=3)
    assert step(None, 0, 0) == Step(next=Next.START, attempt=1)


def applies(call: TaskCall, **more: Any) -> bool:
    situation = {
        "state": BatchState.OPEN,
        "finished": False,
        "generation": 1,
        "attempt": 2,
        "ended_attempt": 2,
        **more,
    }
    return task_applies(call, **situation)


@pytest.mark.parametrize(
    ("attempt", "ended", "called", "expected"),
    [
        (2, 2, 3, True),  # its own begins
        (2, 2, 2, False),  # repeated
        (2, 2, 1, False),
        (2, 2, 4, False),
        (2, 2, 99, False),
        (2, 1, 2, True),  # it runs, was continued, or crashed
        (2, 1, 3, True),
        (2, 1, 1, False),
        (0, 0, 1, True),
        (0, 0, 2, False),
    ],
)
def test_a_task_applies_to_the_attempt_at_hand_and_to_the_next(
    attempt: int, ended: int, called: int, expected: bool
) -> None:
    call = TaskCall(generation=1, attempt=called)

    assert applies(call, attempt=attempt, ended_attempt=ended) is expected


@pytest.mark.parametrize("state", list(BatchState))
@pytest.mark.parametrize("generation", [2, 99])
def test_a_task_of_another_generation_never_applies(state: BatchState, generation: int) -> None:
    assert not applies(TaskCall(generation=generation, attempt=3), state=state)


@pytest.mark.parametrize(
    ("state", "finished", "expected"),
    [
        (BatchState.COMMITTED, True, False),
        (BatchState.COMMITTED, False, True),  # its items are still to be marked
        (BatchState.EMPTY, False, True),  # asked for again after it was signed off
        (BatchState.FAILED, False, False),
    ],
)
def test_a_batch_that_has_ended_wants_no_task_but_to_finish_it(
    state: BatchState, finished: bool, expected: bool
) -> None:
    call = TaskCall(generation=1, attempt=3)

    assert applies(call, state=state, finished=finished) is expected


@pytest.mark.parametrize(
    ("attempt", "ended", "about"), [(0, 0, 1), (1, 0, 1), (1, 1, 2), (4, 3, 4)]
)
def test_a_look_is_about_the_attempt_that_runs_else_the_next(
    attempt: int, ended: int, about: int
) -> None:
    assert attempt_to_recheck(attempt=attempt, ended_attempt=ended) == about
    assert applies(TaskCall(generation=1, attempt=about), attempt=attempt, ended_attempt=ended)


# Any evening at all


@dataclass(frozen=True)
class Evening:
    """A batch as these decisions alone would move it."""

    state: BatchState = BatchState.OPEN
    attempt: int = 0
    ended: int = 0
    continued: bool = False
    began: tuple[int, ...] = ()


def call(evening: Evening, found: Step, end: str) -> Evening:
    """Take the step, and let it come to an `end`."""
    match found.next:
        case Next.REPORT:
            return evening
        case Next.GIVE_UP:
            return replace(evening, state=BatchState.FAILED, ended=evening.attempt)
        case Next.START:
            began = (*evening.began, found.attempt)
            evening = replace(evening, attempt=found.attempt, ended=found.attempt - 1, began=began)
    if end == "continued":
        return replace(evening, continued=True)
    evening = replace(evening, continued=False)
    if end == "killed":
        return evening
    due = next_attempt_at(
        attempt=evening.attempt, permanent=end == "refused", delays_seconds=DELAYS, now=NOW
    )
    state = BatchState.FAILED if due is None else BatchState.OPEN
    return replace(evening, state=state, ended=evening.attempt)


ends = st.sampled_from(["failed", "killed", "continued", "refused"])
deliveries = st.one_of(
    st.tuples(st.just("run"), st.booleans(), ends),
    st.tuples(st.just("task"), st.integers(0, 6), ends),
)


@given(st.lists(deliveries, max_size=40))
def test_whatever_is_delivered_each_attempt_begins_once_and_there_are_four_at_most(
    delivered: list[tuple[str, Any, str]],
) -> None:
    evening = Evening()
    for kind, value, end in delivered:
        if kind == "task" and not applies(
            TaskCall(generation=1, attempt=value),
            state=evening.state,
            attempt=evening.attempt,
            ended_attempt=evening.ended,
        ):
            continue
        found = step(
            evening.state,
            evening.attempt,
            evening.ended,
            continued=evening.continued,
            same_delivery=kind == "run" and value and evening.attempt > 0,
        )
        before = evening
        evening = call(evening, found, end)
        if before.state is BatchState.FAILED:
            assert evening == before
    assert evening.began == tuple(range(1, len(evening.began) + 1))
    assert len(evening.began) <= MOST


@given(st.integers(0, 4), st.booleans())
def test_a_crashed_evening_ends_by_calls_alone(attempt: int, crashed: bool) -> None:
    evening = Evening(attempt=attempt, ended=max(attempt - crashed, 0))
    for _ in range(MOST + 1):
        evening = call(evening, step(evening.state, evening.attempt, evening.ended), "killed")
    assert evening.state is BatchState.FAILED


DUE = datetime(2026, 1, 18, 11, 5, tzinfo=UTC)
TASK = Task(
    key=BatchKey(profile="daily", batch_date="2026-01-18"),
    kind=TaskKind.RETRY,
    generation=1,
    attempt=2,
    fence=7,
    due=DUE,
)
MANUAL = replace(TASK, key=BatchKey(profile="daily", manual_key="k"))

keys = st.one_of(
    st.builds(BatchKey, profile=st.sampled_from(["daily", "weekly"]), batch_date=st.just("d")),
    st.builds(BatchKey, profile=st.just("daily"), manual_key=st.sampled_from(["d", "manual:d"])),
)
small = st.integers(1, 3)
tasks = st.builds(
    Task,
    key=keys,
    kind=st.sampled_from(TaskKind),
    generation=small,
    attempt=small,
    fence=small,
    due=st.just(DUE),
    after=st.sampled_from(["", "a", "b"]),
)


def test_a_name_is_a_hash_that_a_queue_accepts() -> None:
    assert re.fullmatch("[0-9a-f]{64}", TASK.name)
    assert "2026" not in TASK.name


@given(tasks, tasks)
def test_two_tasks_have_one_name_only_when_they_are_the_same_call(one: Task, other: Task) -> None:
    assert (one.name == other.name) == (one == other)


def test_the_time_of_a_call_is_no_part_of_its_name() -> None:
    assert replace(TASK, due=DUE + timedelta(hours=1)).name == TASK.name


def test_a_name_does_not_change_from_one_release_to_the_next() -> None:
    assert TASK.name == "954d45ff87fa0e3f26050a82ea8beaffff754678f6cb51be5e0a23279578738d"


def test_a_day_and_a_manual_export_have_different_bodies() -> None:
    rest = {"profile": "daily", "generation": 1, "attempt": 2, "kind": "retry"}
    assert TASK.body() == {**rest, "batchDate": "2026-01-18"}
    assert MANUAL.body() == {**rest, "manualKey": "k"}


@pytest.mark.parametrize("task", [TASK, MANUAL], ids=["day", "manual export"])
@pytest.mark.parametrize("kind", [TaskKind.RETRY, TaskKind.CONTINUATION, TaskKind.HALF_OPEN])
def test_what_a_batch_remembers_is_the_same_task_again(task: Task, kind: TaskKind) -> None:
    kept = replace(task, kind=kind)

    found = Task.from_fields(
        Fields.of(kept.to_doc(), "exportbatches"), key=kept.key, generation=kept.generation
    )

    assert found == kept
    assert found.name == kept.name


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (TaskKind.RETRY, "retry"),
        (TaskKind.CONTINUATION, "continuation"),
        (TaskKind.HALF_OPEN, "half_open"),
        (TaskKind.RECHECK, "look_again"),
    ],
)
def test_the_words_on_the_wire_stay(kind: TaskKind, word: str) -> None:
    assert replace(TASK, kind=kind).body()["kind"] == word
