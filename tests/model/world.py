"""The model's state: everything that two processes, MongoDB and Drive can disagree about.

All of it is immutable and hashable, so that a state reached twice is explored once.
A row of a file is (entry, version); a file's content is a tuple of rows, and its
length represents its size in bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

HEADER = ("header", 0)

Row = tuple[Any, int]
Content = tuple[Row, ...]


class Item(NamedTuple):
    """One line of a manifest."""

    queue: int
    entry: int
    duplicate: bool


class Manifest(NamedTuple):
    """What a stored reference promises; `items` represents the digest over its parts."""

    day: int
    fence: int
    items: tuple[Item, ...]


class SealKey(NamedTuple):
    """The part of a seal in which two of the model's seals can differ."""

    day: int
    manifest: Manifest
    content: Content
    rejected: tuple[int, ...]
    opened_fence: int


class Upload(NamedTuple):
    """The session in the slot, with the prefixes that were acknowledged."""

    session: int
    day: int
    manifest: Manifest
    prefixes: tuple[Content, ...] = ()
    handed_back: bool = False


class Slot(NamedTuple):
    fence: int = 0
    file_id: int | None = None
    seals: tuple[SealKey, ...] = ()
    upload: Upload | None = None
    manifest: Manifest | None = None


class Record(NamedTuple):
    """The `csv_generated` record of a day."""

    file_id: int
    seal: SealKey


class Batch(NamedTuple):
    record: Record | None = None
    commit_count: int = 0
    rest_marked: bool = True
    """False between the commit and the marking of what it did not mark itself."""
    closed: bool = True
    """False until `markedAt` is stored."""


class File(NamedTuple):
    """A visible file: its content, and the day and fence that its properties carry."""

    content: Content
    day: int
    fence: int
    meant: SealKey
    """What its sender took it for; the protocol never sees this."""


class Session(NamedTuple):
    """An upload session, named by the fence under which it was opened."""

    fence: int
    file_id: int
    day: int
    content: Content = ()


class Request(NamedTuple):
    """A request on its way; it may take effect long after its sender is gone."""

    sender: int | None
    """The run that waits for the answer, or None when it no longer does."""
    file_id: int
    session: int | None
    """None for a file sent whole."""
    day: int
    fence: int
    offset: int
    content: Content
    meant: SealKey | None
    """With a request that can make the file visible: what its sender takes it for."""


class Run(NamedTuple):
    """What one process remembers, and the step it takes next."""

    day: int
    at: str = "take"
    fence: int = 0
    file_id: int | None = None
    seals: tuple[SealKey, ...] = ()
    upload: Upload | None = None
    """A session that the run before handed back."""
    manifest: Manifest | None = None
    session: int | None = None
    content: Content = ()
    """Rendered so far."""
    sent: int = 0
    """How much of it Drive is known to hold."""
    rendered: int = 0
    """How many of the manifest's items stand in it, or were rejected."""
    rejected: tuple[int, ...] = ()
    opened_fence: int = 0
    seal: SealKey | None = None
    """What is to be sealed, sent or committed."""
    marking: int = -1
    planned: bool = False
    """Whether parts were written under this fence."""
    doubtful: bool = False
    """Whether a request of it may still be under way."""


class Budget(NamedTuple):
    """How often each event outside of Daybook's control may still happen."""

    edits: int = 0
    """Entries changed in place."""
    arrivals: int = 0
    """Queue items that come late."""
    completions: int = 0
    """Queue items completed by the other application."""
    withdrawals: int = 0
    """Queue items failed by the other application."""
    requeues: int = 0
    """Failed queue items put back by an operator."""
    lost: int = 0
    """Answers that never reach the run that waits for them."""
    repairs: int = 0
    """Objects that refuse a commit, taken away by an operator."""
    handbacks: int = 0
    """Runs that hand their session back at a chunk boundary."""
    outages: int = 0
    """Sweeps that find the breaker open, so that they neither settle nor publish and mark."""


class World(NamedTuple):
    entries: tuple[int, ...]
    """Version of each entry."""
    items: tuple[str, ...]
    """Status of each queue item: absent, queued, withdrawn (failed by the other application),
    `elsewhere F` (completed by it while the slot's fence was F), `done D`, `failed D`.
    """
    slot: Slot
    batches: tuple[Batch, ...]
    parts: tuple[Manifest, ...]
    """Manifest parts as they lie in the database, whatever a reference promises."""
    files: tuple[File | None, ...]
    """By id, for each id ever issued."""
    sessions: tuple[Session, ...]
    requests: tuple[Request, ...]
    runs: tuple[Run, ...]
    budget: Budget
    refusing: bool = False
    """Whether an object of another application makes MongoDB refuse every commit."""
    requeued: frozenset[tuple[int, int]] = frozenset()
    """(queue item, day that had rejected it), put back by an operator since."""


def replaced(items: tuple[Any, ...], at: int, new: object) -> tuple[Any, ...]:
    return (*items[:at], new, *items[at + 1 :])


def with_run(world: World, number: int, run: Run) -> World:
    return world._replace(runs=replaced(world.runs, number, run))


def with_batch(world: World, day: int, batch: Batch) -> World:
    return world._replace(batches=replaced(world.batches, day, batch))


def session_of(world: World, name: int | None) -> Session | None:
    return next((session for session in world.sessions if session.fence == name), None)
