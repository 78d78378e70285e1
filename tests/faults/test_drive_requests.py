"""How many requests a day makes to Drive: each costs an evening a quarter to half a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pymongo.database import Database

from daybook.export.outcome import Status
from daybook.export.queue.manual import ManualRequest
from tests import books, commands
from tests.emulators.drive import DriveEmulator
from tests.faults.steps import COMMIT, LAST_CHUNK, SEAL, WHOLE, Stage, Step
from tests.faults.world import DAY, NEXT_DAY, World, profiles

Db = Database[dict[str, Any]]
MakeWorld = Callable[..., World]
Requests = Mapping[str, int]

TWO = {"generateIds": 1, "create_multipart": 1}
IN_CHUNKS = {"generateIds": 1, "session_open": 1, "chunk": 4, "chunk_last": 1, "update": 1}
NONE: Requests = {}


def since(drive: DriveEmulator, before: int) -> Requests:
    return Counter(request.operation for request in drive.requests[before:])


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of day, and what it asks of Drive."""

    requests: Requests
    small: bool = True
    file_format: str = "csv"
    queued: int = 6
    rejected: int = 0
    status: str = "exported"


KINDS = {
    "csv": Kind(requests=TWO),
    "csv in chunks": Kind(requests=IN_CHUNKS, small=False),
    "xlsx": Kind(requests=TWO, file_format="xlsx"),
    "some rejected": Kind(requests=TWO, rejected=2),
    "all rejected": Kind(requests={"generateIds": 1}, rejected=6, status="empty"),
    "nothing queued": Kind(requests=NONE, queued=0, status="empty"),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_day_makes_no_more_requests_than_it_needs(make_world: MakeWorld, kind: Kind) -> None:
    world = make_world(small=kind.small, file_format=kind.file_format)
    entries = world.seed(kind.queued) if kind.queued else []
    for entry in entries[: kind.rejected]:
        world.set_debit(entry, "999.00")

    assert world.run().statuses == [kind.status]

    assert since(world.drive, 0) == kind.requests
    described = [file.description for file in world.drive.files()]
    assert all(text and "SHA-256" in text for text in described)


def test_a_second_call_and_an_ordinary_next_day(world: World) -> None:
    world.seed()
    world.run()
    asked = len(world.drive.requests)

    assert world.run().statuses == ["already_exported"]
    assert since(world.drive, asked) == NONE

    world.seed(2, start=6)
    assert world.run(NEXT_DAY).statuses == ["exported"]
    assert since(world.drive, asked) == TWO


def test_an_id_that_a_day_without_a_file_left_is_the_next_days(world: World) -> None:
    for entry in world.seed():
        world.set_debit(entry, "999.00")
    assert world.run().statuses == ["empty"]
    asked = len(world.drive.requests)
    world.seed(2, start=6)

    assert world.run(NEXT_DAY).statuses == ["exported"]

    assert since(world.drive, asked) == {"create_multipart": 1}


CRASHES: Mapping[str, tuple[bool, str, Stage, Requests]] = {
    "before the seal": (True, SEAL, "before", {"create_multipart": 1}),
    "before the file": (True, WHOLE, "before", {"get": 1, "create_multipart": 1}),
    "after the file": (True, WHOLE, "after", {"get": 1}),
    "before the commit": (True, COMMIT, "before", {"get": 1}),
    "after the last chunk": (False, LAST_CHUNK, "after", {"get": 1}),
}


@pytest.mark.parametrize(("small", "kind", "stage", "requests"), CRASHES.values(), ids=CRASHES)
def test_after_a_crash_the_id_is_looked_up_once_if_a_file_may_be_there(
    make_world: MakeWorld, small: bool, kind: str, stage: Stage, requests: Requests
) -> None:
    world = make_world(small=small)
    entries = world.seed()
    assert world.killed(Step(kind=kind), stage)
    asked = len(world.drive.requests)

    assert world.run().statuses in (["exported"], ["already_exported"])

    assert since(world.drive, asked) == requests
    assert world.check() == {DAY: entries}


DOUBTS: Mapping[str, tuple[bool, str, str, Requests]] = {
    "lost": (True, "create_multipart", "answer_lost", {**TWO, "get": 1}),
    "empty": (True, "create_multipart", "empty_json", {**TWO, "get": 1}),
    "other digest": (True, "create_multipart", "lying_md5", {**TWO, "get": 1}),
    "lost in chunks": (False, "chunk_last", "answer_lost", {**IN_CHUNKS, "get": 1}),
    "other digest in chunks": (False, "chunk_last", "lying_md5", {**IN_CHUNKS, "get": 1}),
}


@pytest.mark.parametrize(("small", "on", "fault", "requests"), DOUBTS.values(), ids=DOUBTS)
def test_a_response_in_doubt_costs_one_lookup(
    make_world: MakeWorld, small: bool, on: str, fault: str, requests: Requests
) -> None:
    world = make_world(small=small)
    world.seed()
    world.drive.fault(fault, on=on)

    assert world.run().statuses == ["exported"]

    assert since(world.drive, 0) == requests


@pytest.fixture
def drive() -> Iterator[DriveEmulator]:
    with DriveEmulator() as drive:
        yield drive


def test_a_manual_export_makes_two(database: Db, mongo_uri: str, drive: DriveEmulator) -> None:
    app = books.make_app(
        mongo_uri,
        database.name,
        f"drive://{drive.folder_id}",
        DAYBOOK_DRIVE_ENDPOINT=drive.url,
        DAYBOOK_PROFILES=profiles(),
    )
    books.put(database, books.entry())
    request = ManualRequest(key="k", first=date(2026, 1, 1), last=date(2026, 1, 31))

    assert commands.run_manual(app, request).status is Status.EXPORTED

    assert since(drive, 0) == TWO
    app.client.close()
