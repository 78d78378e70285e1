"""Breadth-first search through every interleaving of a scenario, within its budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from . import drive, protocol, surroundings
from .invariants import Invariant, at_rest, violated
from .scenario import Scenario
from .world import Budget, Run, World, replaced

CLEAN_RUN_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A shortest way into a state that breaks an invariant."""

    invariant: Invariant
    trace: tuple[str, ...]
    world: World

    def __str__(self) -> str:
        steps = "\n".join(f"{number:3}. {text}" for number, text in enumerate(self.trace, 1))
        return (
            f"{self.invariant.name}: {self.invariant.value}\n{steps}\n"
            f"     slot    {self.world.slot}\n     files   {self.world.files}\n"
            f"     items   {self.world.items}\n"
            f"     records {[batch.record for batch in self.world.batches]}"
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How much was explored, and what was found first, if anything."""

    states: int
    steps: int
    rests: int
    """Different stored states from which clean runs were tried."""
    commits: int
    """States in which some batch is committed; an exploration without them shows nothing."""
    violation: Violation | None


def explore(scenario: Scenario) -> Outcome:
    """Visit every reachable state once; stop at the first that breaks an invariant."""
    return _Search(scenario).outcome()


class _Search:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        start = scenario.start()
        self._came: dict[World, tuple[World, str] | None] = {start: None}
        self._waiting = deque([start])
        self._rested: set[World] = set()
        self._steps = 0
        self._commits = 0

    def outcome(self) -> Outcome:
        violation = None
        while self._waiting and violation is None:
            violation = self._visit(self._waiting.popleft())
        if violation is None:
            violation = next(filter(None, map(self._rest, self._came)), None)
        return Outcome(
            states=len(self._came),
            steps=self._steps,
            rests=len(self._rested),
            commits=self._commits,
            violation=violation,
        )

    def _visit(self, world: World) -> Violation | None:
        invariant = violated(world)
        if invariant is not None:
            return Violation(invariant=invariant, trace=self._trace(world), world=world)
        self._commits += any(batch.record for batch in world.batches)
        for text, following in self._successors(world):
            self._steps += 1
            after = self._canonical(self._without_fenced_out(following))
            if after not in self._came:
                self._came[after] = (world, text)
                self._waiting.append(after)
        return None

    def _successors(self, world: World) -> Iterator[tuple[str, World]]:
        for number, run in enumerate(world.runs):
            if run.at == "take" and self._another_first(world, number):
                continue
            for text, following in protocol.steps(self._scenario, world, number):
                yield f"{_name(number, run)}: {text}", following
        yield from surroundings.requests(world, self._scenario)
        yield from surroundings.others(world)

    def _another_first(self, world: World, number: int) -> bool:
        """Runs of one day are alike until they start, so only one order is explored."""
        return any(
            run.at == "take" and run.day == world.runs[number].day for run in world.runs[:number]
        )

    def _without_fenced_out(self, world: World) -> World:
        """Stop at once each run that can only find out that it was fenced out.

        Such a run can do nothing else, now or later, since an old fence never comes
        back; exploring when exactly it notices would only repeat the same states.
        """
        for number, run in enumerate(world.runs):
            if run.fence not in (0, world.slot.fence):
                match protocol.steps(self._scenario, world, number):
                    case [(_, after)] if after.runs[number].at == "stopped":
                        runs = replaced(world.runs, number, after.runs[number])
                        if after == world._replace(runs=runs):
                            world = after
        return world

    def _canonical(self, world: World) -> World:
        """The same state without what no run can reach any more."""
        requests = tuple({r: None for r in world.requests if drive.can_matter(world, r)})
        if len(requests) > 1:
            requests = tuple(sorted(requests, key=repr))
        named = {request.session for request in requests} | {run.session for run in world.runs}
        for upload in (world.slot.upload, *(run.upload for run in world.runs)):
            if upload is not None:
                named.add(upload.session)
        return world._replace(
            requests=requests,
            sessions=tuple(session for session in world.sessions if session.fence in named),
            parts=tuple(sorted(world.parts)),
            runs=tuple(
                Run(run.day, at="ended") if run.at in ("done", "stopped") else run
                for run in world.runs
            ),
        )

    # coming to rest

    def _rest(self, world: World) -> Violation | None:
        """Every process dies here; clean runs follow, requests landing late or early or never.

        Nothing refuses a commit any more: an operator has seen to that.
        """
        stored = world._replace(
            runs=(),
            budget=Budget(),
            refusing=False,
            requests=tuple(r._replace(sender=None) for r in world.requests),
        )
        if stored in self._rested:
            return None
        self._rested.add(stored)
        days = sorted({*self._scenario.run_days, later := self._scenario.day_count - 2})
        for before in ((), days) if stored.requests else ((),):
            trace: list[str] = []
            resting, finished = stored, True
            for day in before:
                resting, ended = self._clean_run(resting, day, trace)
                finished &= ended
            resting = self._land_all(resting, trace)
            for day in (*days, later + 1):
                resting, ended = self._clean_run(resting, day, trace)
                finished &= ended
            invariant = violated(resting) or at_rest(resting)
            if invariant is None and not finished:
                invariant = Invariant.PROGRESS
            if invariant is not None:
                return Violation(
                    invariant=invariant, trace=(*self._trace(world), *trace), world=resting
                )
        return None

    def _land_all(self, world: World, trace: list[str]) -> World:
        while world.requests:
            text, world = surroundings.land(world, 0, self._scenario)
            trace.append(f"late: {text}")
        return world

    def _clean_run(self, world: World, day: int, trace: list[str]) -> tuple[World, bool]:
        """One run without faults, and whether it came to its end; others' requests stay."""
        others = world.requests
        world = world._replace(runs=(Run(day),), requests=())
        for _ in range(CLEAN_RUN_STEPS):
            if world.requests:
                text, world = surroundings.land(world, 0, self._scenario)
            else:
                steps = protocol.steps(self._scenario, world, 0)
                if not steps:
                    break
                text, world = steps[0]
            trace.append(f"clean run for day {day}: {text}")
        finished = world.runs[0].at == "done"
        return world._replace(runs=(), requests=others), finished

    def _trace(self, world: World) -> tuple[str, ...]:
        texts = []
        came = self._came[world]
        while came is not None:
            world, text = came
            texts.append(text)
            came = self._came[world]
        return tuple(reversed(texts))


def _name(number: int, run: Run) -> str:
    return f"{'ABCD'[number]} (day {run.day})"
