"""Take the slot, settle it, finish another's marking, and store a manifest."""

from __future__ import annotations

from daybook.export.model.seal import SettlementAction

from . import real, sending
from .moves import Step, go, holds, items_text, stop
from .scenario import Mutation, Scenario
from .world import (
    Item,
    Manifest,
    Run,
    SealKey,
    World,
    replaced,
    with_batch,
    with_run,
)


def take(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Always possible: the lease may have expired, or been given back."""
    slot, upload = world.slot, world.slot.upload
    if upload is not None:
        kept = upload.handed_back or scenario.breaks(Mutation.SESSION_AFTER_CRASH)
        flag = upload.handed_back and scenario.breaks(Mutation.HANDOVER_KEPT)
        upload = upload._replace(handed_back=flag) if kept else None
    slot = slot._replace(fence=slot.fence + 1, upload=upload)
    world = world._replace(slot=slot)
    run = Run(
        world.runs[number].day,
        fence=slot.fence,
        file_id=slot.file_id,
        seals=slot.seals,
        upload=upload,
        manifest=slot.manifest,
    )
    text = f"take, fence {slot.fence}"
    return [*_sweep_only(world, number, run), *_settle_first(scenario, world, number, run, text)]


def _sweep_only(world: World, number: int, run: Run) -> list[Step]:
    """A sweep while the breaker is open, for a destination that publishes; no run of the day."""
    if not world.budget.outages:
        return []
    left = world.budget._replace(outages=world.budget.outages - 1)
    world = world._replace(budget=left)
    text = f"take for a sweep, fence {run.fence}: the breaker is open"
    return go(world, number, run._replace(at="sweep only"), text)


def _settle_first(scenario: Scenario, world: World, number: int, run: Run, text: str) -> list[Step]:
    slot = world.slot
    if slot.seals and not scenario.breaks(Mutation.SETTLE_SKIPPED):
        return go(world, number, run._replace(at="settle"), text)
    return [(text, tidy(scenario, world, number, run))]


def settle(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    file = None if run.file_id is None else world.files[run.file_id]
    action, seal = real.settle(
        run.seals, file, scenario.breaks(Mutation.MATCH_BY_BYTES), private=scenario.private
    )
    if action is SettlementAction.COMMIT:
        assert seal is not None
        text = f"settle: a file, it is the seal of day {seal.day}"
        return go(world, number, run._replace(at="commit", seal=seal), text)
    if action is SettlementAction.TAMPERED:
        return give_up(scenario, world, number, "settle")
    if scenario.breaks(Mutation.SEALS_DROPPED) and holds(scenario, world, run):
        world = world._replace(slot=world.slot._replace(seals=()))
        run = run._replace(seals=())
    return [("settle: no file", tidy(scenario, world, number, run))]


def give_up(scenario: Scenario, world: World, number: int, text: str) -> list[Step]:
    """Rule 2, for a file that no seal explains; only a broken rule 1 leads here."""
    if not holds(scenario, world, world.runs[number]):
        return stop(world, number, f"{text}: fenced out")
    slot = world.slot._replace(file_id=None, seals=(), upload=None)
    return stop(world._replace(slot=slot), number, f"{text}: unknown file, the id is given up")


def tidy(scenario: Scenario, world: World, number: int, run: Run) -> World:
    """Decide what comes before planning; reads only."""
    for day, batch in enumerate(world.batches):
        if not batch.closed:
            done = batch.rest_marked and not scenario.breaks(Mutation.MARKED_TWICE)
            at = "close marking" if done else "complete"
            return with_run(world, number, run._replace(at=at, marking=day))
    if world.batches[run.day].record is not None:
        return with_run(world, number, Run(run.day, at="done"))
    if run.planned:
        return with_run(world, number, run._replace(at="plan again"))
    return _with_plan(scenario, world, number, run)


def complete(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Outside of any transaction, the items that the commit left, if the file has them."""
    run = world.runs[number]
    batch = world.batches[run.marking]
    assert batch.record is not None
    seal = batch.record.seal
    left = tuple(
        item
        for item in seal.manifest.items[scenario.marked_in_transaction :]
        if world.items[item.queue] == "queued"
        and (item.queue not in seal.rejected or scenario.breaks(Mutation.REJECTED_COMPLETED_TOO))
    )
    world = world._replace(items=completed(world.items, seal, left))
    return go(world, number, run._replace(at="mark"), f"complete {items_text(left)}")


def mark(scenario: Scenario, world: World, number: int) -> list[Step]:
    """What is left of the items, and that all of them are marked, in one transaction."""
    run = world.runs[number]
    if not holds(scenario, world, run, Mutation.MARKING_UNFENCED):
        return stop(world, number, "mark the rest: fenced out")
    batch = world.batches[run.marking]
    assert batch.record is not None
    seal = batch.record.seal
    rest = seal.manifest.items[scenario.marked_in_transaction :]
    world = with_batch(world, run.marking, batch._replace(rest_marked=True))
    world = world._replace(items=marked(world.items, seal, rest))
    return go(world, number, run._replace(at="close marking"), "mark the rest")


def close_marking(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    if not holds(scenario, world, run):
        return stop(world, number, "store markedAt: fenced out")
    world = with_batch(world, run.marking, world.batches[run.marking]._replace(closed=True))
    return [("store markedAt", tidy(scenario, world, number, run._replace(marking=-1)))]


def marked(statuses: tuple[str, ...], seal: SealKey, items: tuple[Item, ...]) -> tuple[str, ...]:
    """After the seal the manifest wins: whatever the status was."""
    for item in items:
        word = "failed" if item.queue in seal.rejected else "done"
        statuses = replaced(statuses, item.queue, f"{word} {seal.day}")
    return statuses


def completed(statuses: tuple[str, ...], seal: SealKey, items: tuple[Item, ...]) -> tuple[str, ...]:
    """An item that is completed outside of a transaction counts as one of the file."""
    for item in items:
        statuses = replaced(statuses, item.queue, f"done {seal.day}")
    return statuses


def plan_again(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Forget the plan, and write the next one's parts where no other's can lie."""
    run = world.runs[number]._replace(manifest=None, upload=None, planned=False)
    if scenario.breaks(Mutation.TWO_PLANS_ONE_FENCE):
        return [("plan again", _with_plan(scenario, world, number, run))]
    if not holds(scenario, world, run):
        return stop(world, number, "raise the own fence: fenced out")
    slot = world.slot._replace(fence=run.fence + 1, upload=None, manifest=None)
    run = run._replace(fence=slot.fence)
    world = _with_plan(scenario, world._replace(slot=slot), number, run)
    return [(f"raise the own fence to {slot.fence}", world)]


def _with_plan(scenario: Scenario, world: World, number: int, run: Run) -> World:
    if run.manifest is not None and run.manifest.day == run.day:
        return sending.begin(scenario, world, number, run)
    return with_run(world, number, run._replace(at="sweep"))


def sweep(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Delete what crashes have left; no fence can stop a plain delete, so it looks at theirs."""
    run = world.runs[number]
    kept = set() if scenario.breaks(Mutation.SWEEP_FORGETS_SEALS) else _sealed(run)
    if run.manifest is not None and not scenario.breaks(Mutation.SWEEP_FORGETS_PLAN):
        kept.add(run.manifest)
    forgets = scenario.breaks(Mutation.SWEEP_FORGETS_UNMARKED)
    kept |= {
        batch.record.seal.manifest
        for batch in world.batches
        if batch.record and (batch.rest_marked or not forgets)
    }
    later = scenario.breaks(Mutation.SWEEP_UNFENCED)
    parts = tuple(p for p in world.parts if p in kept or (p.fence >= run.fence and not later))
    text = f"sweep {len(world.parts) - len(parts)} manifests"
    world = world._replace(parts=parts)
    if run.at == "sweep only":
        return go(world, number, Run(run.day), text)
    return go(world, number, run._replace(at="write parts"), text)


def _sealed(run: Run) -> set[Manifest]:
    return {seal.manifest for seal in run.seals}


def write_parts(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    items = _queued(world, scenario.queue)
    if not items:
        if not holds(scenario, world, run):
            return stop(world, number, "nothing queued: fenced out")
        return stop(world, number, "nothing queued: empty", at="done")
    manifest = Manifest(run.day, run.fence, items)
    others = (part for part in world.parts if part[:2] != manifest[:2])
    world = world._replace(parts=(*others, manifest))
    run = run._replace(at="store manifest", manifest=manifest, planned=True)
    return go(world, number, run, f"write manifest parts: {items_text(items)}")


def store_manifest(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    if not holds(scenario, world, run, Mutation.MANIFEST_UNFENCED):
        return stop(world, number, "store the manifest: fenced out")
    if not scenario.breaks(Mutation.SESSION_OF_ANOTHER_DAY):
        run = run._replace(upload=None)
    slot = world.slot._replace(manifest=run.manifest, upload=run.upload)
    world = world._replace(slot=slot)
    return [("store the manifest", sending.begin(scenario, world, number, run))]


def _queued(world: World, queue: tuple[int, ...]) -> tuple[Item, ...]:
    """What is queued now; an entry that appears earlier or was exported is a duplicate."""
    exported = {
        queue[number]
        for number, status in enumerate(world.items)
        if status.startswith(("elsewhere", "done"))
    }
    items: list[Item] = []
    for number, status in enumerate(world.items):
        if status == "queued":
            items.append(Item(number, queue[number], queue[number] in exported))
            exported.add(queue[number])
    return tuple(items)
