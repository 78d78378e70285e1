"""Tasks: names that repeat for the same call and for no other, and what a call carries."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybook.export.model.batch_key import BatchKey
from daybook.export.model.fields import Fields
from daybook.export.model.task import Task, TaskKind

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


def test_a_day_and_a_manual_export_are_told_apart_by_their_bodies() -> None:
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
