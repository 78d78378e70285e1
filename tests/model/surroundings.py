"""What happens without any run deciding it: Drive acting late, people and the other application."""

from __future__ import annotations

from collections.abc import Iterator

from . import drive, real
from .scenario import Mutation, Scenario
from .world import File, Request, World, replaced, with_run

Step = tuple[str, World]


def land(world: World, at: int, scenario: Scenario) -> Step:
    """The request takes effect, and its sender hears of it if it still waits."""
    request = world.requests[at]
    world = world._replace(requests=world.requests[:at] + world.requests[at + 1 :])
    before = world.files
    world = drive.land(world, request)
    made = "the file is visible" if world.files != before else "no new file"
    text = f"Drive takes the {_name(request)} for id {request.file_id}"
    if request.meant is not None:
        text += f": {made}"
    file = world.files[request.file_id] if world.files != before else None
    return text, _answered(world, request, scenario, doubtful=False, made=file)


def lose(world: World, at: int, scenario: Scenario) -> Step:
    """The sender stops waiting; the request may still take effect, now or never."""
    request = world.requests[at]
    world = world._replace(
        requests=replaced(world.requests, at, request._replace(sender=None)),
        budget=world.budget._replace(lost=world.budget.lost - 1),
    )
    text = f"no answer to the {_name(request)}"
    return text, _answered(world, request, scenario, doubtful=True)


def requests(world: World, scenario: Scenario) -> Iterator[Step]:
    for at, request in enumerate(world.requests):
        yield land(world, at, scenario)
        if request.sender is not None and world.budget.lost:
            yield lose(world, at, scenario)


def others(world: World) -> Iterator[Step]:
    """People and the other application, as far as the budget goes."""
    budget = world.budget
    if budget.edits:
        left = budget._replace(edits=budget.edits - 1)
        for entry, version in enumerate(world.entries):
            entries = replaced(world.entries, entry, version + 1)
            yield f"entry e{entry} is edited", world._replace(entries=entries, budget=left)
    for number, status in enumerate(world.items):
        if status == "queued" and budget.completions:
            left = budget._replace(completions=budget.completions - 1)
            yield _change(world._replace(budget=left), number, f"elsewhere {world.slot.fence}")
        if status == "queued" and budget.withdrawals:
            left = budget._replace(withdrawals=budget.withdrawals - 1)
            yield _change(world._replace(budget=left), number, "withdrawn")
        if status == "absent" and budget.arrivals:
            left = budget._replace(arrivals=budget.arrivals - 1)
            yield _change(world._replace(budget=left), number, "queued")
    if world.refusing and budget.repairs:
        left = budget._replace(repairs=budget.repairs - 1)
        yield "what refused commits is taken away", world._replace(refusing=False, budget=left)
    if budget.requeues:
        yield from _requeues(world)


def _requeues(world: World) -> Iterator[Step]:
    left = world.budget._replace(requeues=world.budget.requeues - 1)
    for number, status in enumerate(world.items):
        if status == "withdrawn":
            yield _change(world._replace(budget=left), number, "queued")
        if status.startswith("failed"):
            requeued = world.requeued | {(number, int(status.split()[1]))}
            yield _change(world._replace(budget=left, requeued=requeued), number, "queued")


def _change(world: World, number: int, status: str) -> Step:
    return f"item q{number} becomes {status}", world._replace(
        items=replaced(world.items, number, status)
    )


def _answered(
    world: World,
    request: Request,
    scenario: Scenario,
    *,
    doubtful: bool,
    made: File | None = None,
) -> World:
    """The sender reads the answer, which describes the file if the request made it."""
    if request.sender is None:
        return world
    run = world.runs[request.sender]
    if request.meant is not None:
        assert run.seal is not None
        refused = made is None and not doubtful
        ours = real.is_as_sent(run.seal, made, private=scenario.private)
        if scenario.breaks(Mutation.SEAL_AFTER_REQUEST):
            run = run._replace(at="seal")
        elif ours or (refused and scenario.breaks(Mutation.REFUSAL_TAKEN_FOR_SUCCESS)):
            run = run._replace(at="commit")
        else:
            run = run._replace(at="verify")
    else:
        run = run._replace(at="ask")
    return with_run(world, request.sender, run._replace(doubtful=run.doubtful or doubtful))


def _name(request: Request) -> str:
    owner = f"fence {request.fence}"
    if request.session is None:
        return f"whole file of {owner}"
    return f"{'last ' if request.meant else ''}chunk for the session of {owner}"
