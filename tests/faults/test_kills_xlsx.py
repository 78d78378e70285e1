"""Exactly once over xlsx: no byte of the file is known before its last row, and it is one file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.steps import COMMIT, LAST_CHUNK, SEAL, WHOLE, Stage, Step
from tests.faults.world import CHUNK_BYTES, DAY, World

MakeWorld = Callable[..., World]


def _seed(world: World) -> list[str]:
    """Six entries, one of which is rejected; returns the others."""
    entries = world.seed()
    world.set_debit(entries[2], "999.00")
    return entries[:2] + entries[3:]


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "small"),
    [
        *((SEAL, True), (WHOLE, True), (COMMIT, True)),
        *(("drive session_open", False), ("drive chunk", False), (LAST_CHUNK, False)),
    ],
)
def test_killed_and_run_again_there_is_one_file(
    make_world: MakeWorld, kind: str, small: bool, stage: Stage
) -> None:
    world = make_world(small=small, file_format="xlsx")
    entries = _seed(world)

    assert world.killed(Step(kind=kind), stage)
    world.run_until_done()

    assert world.check() == {DAY: entries}
    (file,) = world.drive.files()
    assert file.name == f"batch_{DAY}.xlsx"
    assert small or len(file.content) > 3 * CHUNK_BYTES


@pytest.mark.parametrize("kind", [WHOLE, LAST_CHUNK])
def test_a_run_that_is_woken_after_another_makes_no_second_file(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(small=kind == WHOLE, file_format="xlsx")
    entries = _seed(world)
    frozen = world.frozen(Step(kind=kind))
    world.expire_lease()
    world.run_until_done()

    assert frozen.wake().statuses[0] in {"in_progress", "already_exported"}

    assert world.check() == {DAY: entries}


def test_invocations_too_brief_for_the_file_send_each_chunk_once(make_world: MakeWorld) -> None:
    world = make_world(small=False, file_format="xlsx")
    entries = _seed(world)

    statuses: list[str] = []
    while len(statuses) < 20 and set(statuses) <= {"continued"}:
        statuses += world.start(DAYBOOK_RUN_DEADLINE_SECONDS="0.001").go().wait().statuses

    assert statuses[-1] == "exported"
    assert len(statuses) > 3
    assert world.check() == {DAY: entries}
    sent = [request.operation for request in world.drive.requests]
    chunks = -(-len(world.drive.files()[0].content) // CHUNK_BYTES)
    assert [sent.count(name) for name in ("session_open", "chunk", "chunk_last")] == [
        *(1, chunks - 1, 1)
    ]
