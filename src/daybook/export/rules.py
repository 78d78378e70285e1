"""The protocol's decisions, pure: which seal a file is, what settling does, what may be resumed.

They are kept apart from MongoDB and Drive so that a model can explore them under
every interleaving of crashes and stale writers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from daybook.destinations.base import DeliveredFile
from daybook.export.seal import Seal

FENCE_PROPERTY = "daybookFence"
DATE_PROPERTY = "daybookDate"


class Action(Enum):
    GO_ON = auto()  # no file exists under the id; keep the id
    COMMIT = auto()  # the file is a sealed one: commit it with that seal's figures
    TAMPERED = auto()  # a file that nobody sealed: alert, and give the id up


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What to do about the slot's id; `seal` comes with `Action.COMMIT`."""

    action: Action
    seal: Seal | None = None


def settle(seals: Sequence[Seal], file: DeliveredFile | None) -> Settlement:
    """Decide from the stored seals and what the destination shows under the id."""
    if file is None:
        return Settlement(action=Action.GO_ON)
    seal = match(seals, file)
    if seal is None:
        return Settlement(action=Action.TAMPERED)
    return Settlement(action=Action.COMMIT, seal=seal)


def match(seals: Sequence[Seal], file: DeliveredFile) -> Seal | None:
    """The seal that the file is, or None.

    Two days may seal the same bytes (a day that failed, then the next one taking
    its entries along). The properties, which a file has from its first request
    on, then tell which of them it is.
    """
    fence, date = file.properties.get(FENCE_PROPERTY), file.properties.get(DATE_PROPERTY)
    same = [
        seal
        for seal in seals
        if seal.content.size_bytes == file.size_bytes
        and seal.content.md5 == file.md5
        and (file.sha256 is None or seal.content.sha256 == file.sha256)
        and date in (None, seal.batch_date)
    ]
    exact = [seal for seal in same if str(seal.opened_fence) == fence]
    return next(reversed(exact or same), None)


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The start of a file as far as a chunk was acknowledged."""

    size_bytes: int
    sha256: str


def resume_at(prefixes: Sequence[Prefix], held_bytes: int) -> Prefix | None:
    """Where a session that was handed back may go on, or None for a new session.

    Only at a boundary whose digest was stored: bytes that nobody can vouch for
    are never built upon.
    """
    if held_bytes == 0:
        return Prefix(size_bytes=0, sha256="")
    boundaries = (prefix for prefix in reversed(prefixes) if prefix.size_bytes == held_bytes)
    return next(boundaries, None)
