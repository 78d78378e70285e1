"""The protocol's pure decisions: which seal a file matches, and where an upload may resume.

They are separate from MongoDB and Drive so that a model can explore them under every
interleaving of crashes and stale writers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from daybook.destinations.base import DeliveredFile, NewFile
from daybook.export.model.seal import Seal

FENCE_PROPERTY = "daybookFence"
DATE_PROPERTY = "daybookDate"


class SettlementAction(Enum):
    CONTINUE = auto()  # no file exists under the ID; keep the ID
    COMMIT = auto()  # the file matches a seal: commit it with that seal's figures
    TAMPERED = auto()  # a file that matches no seal: alert, and abandon the ID
    UNCLEAR = auto()  # its bytes match seals of several days: a person has to decide


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What to do about the slot's ID; `seal` is set with `SettlementAction.COMMIT`."""

    action: SettlementAction
    seal: Seal | None = None


def settlement_of(seals: Sequence[Seal], file: DeliveredFile | None) -> Settlement:
    """Decide from the stored seals and the file that the destination shows under the ID.

    Two days may seal the same bytes (a day that failed, then the next one, which takes over
    its entries). Which of them the file belongs to:

    - Its properties say so, if they are visible. They are set with the first request, and only
      the application that wrote them can change them, so they count even when the file was
      renamed.
    - Drive hides them from all other applications. Then the name decides, since it contains the
      date.
    - If a file whose properties are hidden was renamed, all seals of its bytes must have the
      same name.
    """
    if file is None:
        return Settlement(action=SettlementAction.CONTINUE)
    same = [seal for seal in seals if _same_content(seal, file)]
    if FENCE_PROPERTY in file.properties:
        same = [seal for seal in same if seal.batch_date == file.properties.get(DATE_PROPERTY)]
        fence = file.properties[FENCE_PROPERTY]
        same = [seal for seal in same if str(seal.opened_fence) == fence] or same
    else:
        same = [seal for seal in same if seal.filename == file.name] or same
    if not same:
        return Settlement(action=SettlementAction.TAMPERED)
    if len({seal.filename for seal in same}) > 1:
        return Settlement(action=SettlementAction.UNCLEAR)
    return Settlement(action=SettlementAction.COMMIT, seal=same[-1])


def is_as_sent(file: DeliveredFile | None, sent: NewFile, seal: Seal) -> bool:
    """Whether the response to the request that created a file describes it exactly as sealed.

    Only then need the ID not be looked up. Nobody can have renamed the file yet, and its
    properties are visible to the application that wrote them, so each of them has to agree.
    """
    return (
        file is not None
        and (file.id, file.name) == (sent.id, seal.filename)
        and file.properties == {**sent.properties, FENCE_PROPERTY: str(seal.opened_fence)}
        and _same_content(seal, file)
    )


def _same_content(seal: Seal, file: DeliveredFile) -> bool:
    return (
        seal.content.size_bytes == file.size_bytes
        and seal.content.md5 == file.md5
        and file.sha256 in (None, seal.content.sha256)
    )


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The start of a file up to the end of an acknowledged chunk."""

    size_bytes: int
    sha256: str


def resume_at(prefixes: Sequence[Prefix], held_bytes: int) -> Prefix | None:
    """Where a session that was handed back may be resumed, or None for a new session.

    Only at a boundary whose digest was stored: bytes that cannot be checked are never built
    upon.
    """
    if held_bytes == 0:
        return Prefix(size_bytes=0, sha256="")
    boundaries = (prefix for prefix in reversed(prefixes) if prefix.size_bytes == held_bytes)
    return next(boundaries, None)
