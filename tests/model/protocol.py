"""The protocol as runs live it: each step is one request to MongoDB or to Drive.

What a run reads and what it concludes from that is one step; that is exact, since
between two steps of one run only others act. A crash is a run that is never
scheduled again, and an expired lease is another run's `take`: both are possible at
every moment without being steps. A request to Drive takes effect in a step of its
own, and the run that waits for it may be told, or not (`surroundings.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from . import committing, planning, sending
from .moves import Step
from .scenario import Scenario
from .world import World

_STEPS: dict[str, Callable[[Scenario, World, int], list[Step]]] = {
    "take": planning.take,
    "settle": planning.settle,
    "complete": planning.complete,
    "mark": planning.mark,
    "close marking": planning.close_marking,
    "plan again": planning.plan_again,
    "sweep": planning.sweep,
    "sweep only": planning.sweep,
    "write parts": planning.write_parts,
    "store manifest": planning.store_manifest,
    "new id": sending.new_id,
    "resume": sending.resume,
    "open": sending.open_session,
    "chunk": sending.chunk,
    "ask": sending.ask,
    "store prefix": sending.store_prefix,
    "render": sending.render,
    "rehearse": sending.rehearse,
    "seal": sending.seal,
    "last request": sending.last_request,
    "verify": committing.verify,
    "commit": committing.commit,
}


def steps(scenario: Scenario, world: World, number: int) -> list[Step]:
    """What the run may do next; nothing while it waits for Drive or when it has ended."""
    step = _STEPS.get(world.runs[number].at)
    return [] if step is None else step(scenario, world, number)
