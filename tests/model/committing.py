"""Look at what came of the last request, unless its answer said it, and commit it."""

from __future__ import annotations

from daybook.export.model.seal import SettlementAction

from . import real
from .moves import Step, go, holds, stop
from .planning import give_up, marked, tidy
from .scenario import Mutation, Scenario
from .world import Record, Run, Slot, World, with_batch


def verify(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Without an answer that describes the file, the id tells; without a file it is sent again."""
    run = world.runs[number]
    assert run.file_id is not None
    file = world.files[run.file_id]
    action, seal = real.settle(
        run.seals, file, scenario.breaks(Mutation.MATCH_BY_BYTES), private=scenario.private
    )
    if action is SettlementAction.CONTINUE:
        again = run._replace(at="last request")
        return [
            *stop(world, number, "look: no file, the attempt fails"),
            *go(world, number, again, "look: no file, once more"),
        ]
    if action is SettlementAction.TAMPERED or seal is None:
        return give_up(scenario, world, number, "look")
    text = f"look: a file, it is the seal of day {seal.day}"
    return go(world, number, run._replace(at="commit", seal=seal), text)


def commit(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Fence, record, items and slot in one transaction."""
    run = world.runs[number]
    if not holds(scenario, world, run, Mutation.COMMIT_UNFENCED):
        return stop(world, number, "commit: fenced out")
    assert run.seal is not None
    assert run.file_id is not None
    if world.refusing:
        return stop(world, number, "commit: MongoDB refuses")
    seal = run.seal
    batch = world.batches[seal.day]
    if batch.record is not None:  # the unique index
        return stop(world, number, f"commit: day {seal.day} has a record already")
    first = seal.manifest.items[: scenario.marked_in_transaction]
    whole = len(first) == len(seal.manifest.items)
    batch = batch._replace(
        record=Record(run.file_id, seal),
        commit_count=batch.commit_count + 1,
        rest_marked=whole,
        closed=whole,
    )
    slot = Slot(fence=world.slot.fence)
    if scenario.breaks(Mutation.MANIFEST_OUTLIVES_COMMIT):
        slot = slot._replace(manifest=world.slot.manifest)
    world = with_batch(world, seal.day, batch)._replace(
        items=marked(world.items, seal, first), slot=slot
    )
    after = Run(run.day, fence=run.fence, planned=run.planned, manifest=slot.manifest)
    return [(f"commit day {seal.day}", tidy(scenario, world, number, after))]
