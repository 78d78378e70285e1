"""What the steps of a run have in common: how they end, and how they are described."""

from __future__ import annotations

from .scenario import Mutation, Scenario
from .world import Content, Item, Run, World, with_run

Step = tuple[str, World]


def go(world: World, number: int, run: Run, text: str) -> list[Step]:
    """The one step that leads on to `run`."""
    return [(text, with_run(world, number, run))]


def stop(world: World, number: int, text: str, *, at: str = "stopped") -> list[Step]:
    """The run ends; a crash needs no step, it is a run that is never scheduled again."""
    return go(world, number, Run(world.runs[number].day, at=at), text)


def holds(scenario: Scenario, world: World, run: Run, unless: Mutation | None = None) -> bool:
    """Whether a fenced write of the run takes effect; a mutation leaves the fence out."""
    return run.fence == world.slot.fence or (unless is not None and scenario.breaks(unless))


def items_text(items: tuple[Item, ...]) -> str:
    return " ".join(f"q{i.queue}:e{i.entry}{'(duplicate)' if i.duplicate else ''}" for i in items)


def rows_text(content: Content) -> str:
    names = (entry if entry == "header" else f"e{entry}v{version}" for entry, version in content)
    return f"[{' '.join(names)}]"
