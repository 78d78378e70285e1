"""What must hold in every state, and what must hold once everything has come to rest."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from .world import Batch, File, Record, SealKey, World


class Invariant(Enum):
    """What the guarantee and the three rules come to in terms of the model."""

    SEALED = "rule 1: every file visible at the slot's id matches a stored seal"
    NO_ORPHAN = "every visible file is recorded once, or can still be committed through the slot"
    REHEARSED = "no file becomes visible that MongoDB refuses to record"
    CONTENT = "a committed file is the one that its seal describes, made for that day"
    ONE_COMMIT = "a day is committed at most once"
    ENTRY_ONCE = "no entry is in two committed files"
    ITEMS = "an item is completed if and only if it is in a committed file"
    ELSEWHERE = "a run exports nothing that was completed elsewhere before it took the slot"
    MANIFEST = "the manifest behind a batch or a seal is in the database, unchanged"
    REQUEUE = "an item that an operator put back is not failed again for the same day"
    PROGRESS = "a run that meets no further fault finishes its day and empties the queue"


def violated(world: World) -> Invariant | None:
    """The first invariant that the state breaks, in the order in which they depend."""
    for invariant, holds in (
        (Invariant.REHEARSED, not world.refusing or not any(world.files)),
        (Invariant.MANIFEST, _manifests_stand(world)),
        (Invariant.ONE_COMMIT, all(batch.commit_count <= 1 for batch in world.batches)),
        (Invariant.ENTRY_ONCE, _entries_stand_once(world)),
        (Invariant.REQUEUE, _requeues_last(world)),
        (Invariant.ITEMS, _items_agree(world)),
        (Invariant.ELSEWHERE, _elsewhere_respected(world)),
    ):
        if not holds:
            return invariant
    return next(_files(world), None)


def at_rest(world: World) -> Invariant | None:
    """After clean runs: nothing is left that only the slot knows of, and nothing is queued."""
    recorded = [batch.record.file_id for batch in world.batches if batch.record]
    visible = [file_id for file_id, file in enumerate(world.files) if file is not None]
    if sorted(recorded) != visible:
        return Invariant.NO_ORPHAN
    if "queued" in world.items or not all(batch.closed for batch in world.batches):
        return Invariant.PROGRESS
    return None


def _files(world: World) -> Iterator[Invariant]:
    records: dict[int, list[Record]] = {}
    for batch in world.batches:
        if batch.record is not None:
            records.setdefault(batch.record.file_id, []).append(batch.record)
    for file_id, file in enumerate(world.files):
        if file is None:
            if file_id in records:
                yield Invariant.CONTENT
            continue
        known = records.get(file_id, [])
        if len(known) > 1:
            yield Invariant.NO_ORPHAN
        elif known:
            if not _is(known[0].seal, file):
                yield Invariant.CONTENT
        elif file_id != world.slot.file_id:
            yield Invariant.NO_ORPHAN
        else:
            seals = [seal for seal in world.slot.seals if _is(seal, file)]
            if not seals:
                yield Invariant.SEALED
            elif all(world.batches[seal.day].record for seal in seals):
                yield Invariant.NO_ORPHAN


def _is(seal: SealKey, file: File) -> bool:
    """Whether the seal tells the truth about the file, by what its sender meant."""
    same = (seal.day, seal.content) == (file.day, file.content)
    meant = file.meant
    return same and (seal.manifest, seal.rejected) == (meant.manifest, meant.rejected)


def _manifests_stand(world: World) -> bool:
    promised = {seal.manifest for seal in world.slot.seals}
    promised |= {batch.record.seal.manifest for batch in world.batches if batch.record}
    if world.slot.manifest is not None:
        promised.add(world.slot.manifest)
    return promised <= set(world.parts)


def _entries_stand_once(world: World) -> bool:
    entries = [
        entry
        for batch in world.batches
        if batch.record is not None
        for entry, _ in batch.record.seal.content[1:]
    ]
    return len(entries) == len(set(entries))


def _elsewhere_respected(world: World) -> bool:
    """Looked at as long as the seal is in the slot; a commit writes over the status."""
    return not any(
        world.items[item.queue] == f"elsewhere {fence}"
        for seal in world.slot.seals
        for item in seal.manifest.items
        for fence in range(seal.opened_fence)
    )


def _requeues_last(world: World) -> bool:
    return all(world.items[number] != f"failed {day}" for number, day in world.requeued)


def _items_agree(world: World) -> bool:
    return all(_batch_agrees(world, day, batch) for day, batch in enumerate(world.batches))


def _batch_agrees(world: World, day: int, batch: Batch) -> bool:
    done = {number for number, status in enumerate(world.items) if status == f"done {day}"}
    if batch.record is None:
        return not done
    seal = batch.record.seal
    exported = {item.queue for item in seal.manifest.items} - set(seal.rejected)
    return done == exported if batch.rest_marked else done <= exported
