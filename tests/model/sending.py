"""From a stored manifest to the request that makes the file visible."""

from __future__ import annotations

from . import drive, real
from .moves import Step, go, holds, rows_text, stop
from .scenario import Mutation, Scenario
from .world import HEADER, Request, Run, SealKey, Session, Upload, World, session_of, with_run


def begin(scenario: Scenario, world: World, number: int, run: Run) -> World:
    """Start the file of the run's manifest: with an id, then with the bytes."""
    if run.file_id is None or scenario.breaks(Mutation.ID_GIVEN_UP_WHILE_FREE):
        return with_run(world, number, run._replace(at="new id"))
    return _begin_sending(scenario, world, number, run)


def new_id(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    if not holds(scenario, world, run, Mutation.ID_UNFENCED):
        return stop(world, number, "store a new id: fenced out")
    new = len(world.files)
    slot = world.slot._replace(file_id=new, seals=())
    world = world._replace(files=(*world.files, None), slot=slot)
    run = run._replace(file_id=new, seals=())
    return [(f"store a new id, {new}", _begin_sending(scenario, world, number, run))]


def _begin_sending(scenario: Scenario, world: World, number: int, run: Run) -> World:
    manifest = run.manifest
    assert manifest is not None
    run = run._replace(
        session=None,
        content=(),
        sent=0,
        rendered=0,
        rejected=(),
        opened_fence=run.fence,
        seal=None,
        doubtful=False,
    )
    if sum(not item.duplicate for item in manifest.items) < 2:
        return with_run(world, number, run._replace(at="render"))
    theirs = run.upload is not None and (
        (run.upload.day, run.upload.manifest.items) == (run.day, manifest.items)
        or scenario.breaks(Mutation.SESSION_OF_ANOTHER_DAY)
    )
    return with_run(world, number, run._replace(at="resume" if theirs else "open"))


def resume(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Carry a session on, if what it holds is what would be rendered again."""
    run = world.runs[number]
    assert run.upload is not None
    session = session_of(world, run.upload.session)
    if session is None:
        return go(world, number, run._replace(at="open"), "the session is gone")
    held = len(session.content)
    found = real.resume_at(run.upload.prefixes, held)
    again = _rendered_to(scenario, world, run, held)
    unchecked = scenario.breaks(Mutation.PREFIX_UNCHECKED)
    if found is None or again is None or (found[1] != real.sha256(again.content) and not unchecked):
        return go(world, number, run._replace(at="open"), "the session holds another prefix")
    run = again._replace(
        session=session.fence, opened_fence=session.fence, upload=None, sent=held, at="chunk"
    )
    return go(world, number, run, f"carry the session on at {rows_text(again.content)}")


def _rendered_to(scenario: Scenario, world: World, run: Run, size: int) -> Run | None:
    """The run with `size` rendered, or None when no row ends there."""
    assert run.manifest is not None
    while len(run.content) < size and run.rendered < len(run.manifest.items):
        run = _one_more(scenario, world, run)
    return run if len(run.content) == size else None


def _one_more(scenario: Scenario, world: World, run: Run) -> Run:
    """Render the next item's row from the entry as it is now, or reject it."""
    assert run.manifest is not None
    item = run.manifest.items[run.rendered]
    row = (item.entry, world.entries[item.entry])
    content, rejected = run.content or (HEADER,), run.rejected
    if item.duplicate or row in scenario.spoiled:
        rejected = (*rejected, item.queue)
    else:
        content = (*content, row)
    return run._replace(content=content, rejected=rejected, rendered=run.rendered + 1)


def open_session(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    assert run.file_id is not None
    assert run.manifest is not None
    if scenario.refused_at_open and world.files[run.file_id] is not None:
        return go(world, number, run._replace(at="verify"), "open a session: 409")
    if not holds(scenario, world, run):
        return stop(world, number, "store the session: fenced out")
    world = drive.open_session(world, Session(run.fence, run.file_id, run.day))
    upload = Upload(run.fence, run.day, run.manifest)
    world = world._replace(slot=world.slot._replace(upload=upload))
    run = run._replace(at="chunk", session=run.fence, upload=None)
    return go(world, number, run, "open a session and store it")


def chunk(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Send an item's row, or hand the session back; the last row is left for the last request."""
    run = world.runs[number]
    assert run.manifest is not None
    handed_back = hand_back(scenario, world, number)
    while run.sent == len(run.content) and run.rendered < len(run.manifest.items) - 1:
        run = _one_more(scenario, world, run)
    if run.sent == len(run.content):
        return [*_render(scenario, world, number, run), *handed_back]
    return [*_send(world, number, run, None), *handed_back]


def ask(scenario: Scenario, world: World, number: int) -> list[Step]:
    """What Drive answers to a chunk, or to the question how much it holds.

    What it has acknowledged, no late request can write again.
    """
    run = world.runs[number]
    session = session_of(world, run.session)
    held = min(len(session.content) if session else 0, len(run.content))
    if held < len(run.content):
        steps = go(world, number, run._replace(at="chunk", sent=held), f"{held} held")
    else:
        run = run._replace(at="store prefix", sent=held, doubtful=False)
        steps = go(world, number, run, f"all {held} held")
    if scenario.breaks(Mutation.HANDED_BACK_IN_DOUBT):
        steps += hand_back(scenario, world, number)
    return steps


def store_prefix(scenario: Scenario, world: World, number: int) -> list[Step]:
    run, upload = world.runs[number], world.slot.upload
    if upload is None or not holds(scenario, world, run):
        return stop(world, number, "store the prefix: fenced out")
    upload = upload._replace(prefixes=(*upload.prefixes, run.content))
    world = world._replace(slot=world.slot._replace(upload=upload))
    return go(world, number, run._replace(at="chunk"), "store the prefix")


def hand_back(scenario: Scenario, world: World, number: int) -> list[Step]:
    """At a chunk boundary, with nothing in doubt; there is no step otherwise."""
    run, upload = world.runs[number], world.slot.upload
    doubtful = run.doubtful and not scenario.breaks(Mutation.HANDED_BACK_IN_DOUBT)
    if run.session is None or upload is None or doubtful or not world.budget.handbacks:
        return []
    if not holds(scenario, world, run):
        return []
    world = world._replace(
        slot=world.slot._replace(upload=upload._replace(handed_back=True)),
        budget=world.budget._replace(handbacks=world.budget.handbacks - 1),
    )
    return stop(world, number, "hand the session back")


def render(scenario: Scenario, world: World, number: int) -> list[Step]:
    return _render(scenario, world, number, world.runs[number])


def _render(scenario: Scenario, world: World, number: int, run: Run) -> list[Step]:
    """The rest of the rows, and whether the items are still queued."""
    manifest = run.manifest
    assert manifest is not None
    gone = [item.queue for item in manifest.items if world.items[item.queue] != "queued"]
    if gone and not scenario.breaks(Mutation.QUEUE_UNCHECKED):
        text = f"items {gone} are not queued any more"
        return go(world, number, run._replace(at="plan again"), text)
    while run.rendered < len(manifest.items):
        run = _one_more(scenario, world, run)
    late = scenario.breaks(Mutation.SEAL_AFTER_REQUEST)
    # A rehearsal changes nothing, so it is a step of its own only where it may be refused.
    rehearsed = scenario.refusing and not scenario.breaks(Mutation.REHEARSAL_SKIPPED)
    run = run._replace(
        at="last request" if late else "rehearse" if rehearsed else "seal",
        seal=SealKey(run.day, manifest, run.content, run.rejected, run.opened_fence),
    )
    return go(world, number, run, f"render {rows_text(run.content)}")


def rehearse(scenario: Scenario, world: World, number: int) -> list[Step]:
    """Try the commit's writes and undo them."""
    run = world.runs[number]
    if not holds(scenario, world, run):
        return stop(world, number, "rehearse: fenced out")
    if world.refusing:
        return stop(world, number, "rehearse: MongoDB refuses, the day fails")
    return go(world, number, run._replace(at="seal"), "rehearse the commit")


def seal(scenario: Scenario, world: World, number: int) -> list[Step]:
    run = world.runs[number]
    if not holds(scenario, world, run, Mutation.SEAL_UNFENCED):
        return stop(world, number, "store the seal: fenced out")
    assert run.seal is not None
    if run.seal not in run.seals:
        seals = (*world.slot.seals, run.seal)
        world = world._replace(slot=world.slot._replace(seals=seals))
        run = run._replace(seals=(*run.seals, run.seal))
    late = scenario.breaks(Mutation.SEAL_AFTER_REQUEST)
    run = run._replace(at="verify" if late else "last request")
    return go(world, number, run, f"store the seal of day {run.day}")


def last_request(scenario: Scenario, world: World, number: int) -> list[Step]:
    """The request that can make the file visible; before it the session may be handed back."""
    run = world.runs[number]
    steps = _send(world, number, run, run.seal)
    return [*steps, *hand_back(scenario, world, number)]


def _send(world: World, number: int, run: Run, meant: SealKey | None) -> list[Step]:
    assert run.file_id is not None
    request = Request(
        sender=number,
        file_id=run.file_id,
        session=run.session,
        day=run.day,
        fence=run.opened_fence,
        offset=run.sent,
        content=run.content[run.sent :],
        meant=meant,
    )
    world = world._replace(requests=(*world.requests, request))
    what = "the whole file" if run.session is None else "the last chunk" if meant else "a chunk"
    text = f"send {what} {rows_text(request.content)} for id {run.file_id}"
    return go(world, number, run._replace(at="wait"), text)
