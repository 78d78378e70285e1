"""The profiles' slots as the page shows them: who works on what, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.database import Database

from daybook.errors import DocumentDamaged
from daybook.export.slot.refused_run import RefusedRun
from daybook.export.slot.state import COLLECTION, SlotState


@dataclass(frozen=True, kw_only=True)
class Working:
    """A slot that a run holds now, by MongoDB's clock."""

    slot: str
    fence: int
    owner: str
    expires_at: datetime
    planned_items: int | None
    """Items of the stored manifest; None while the run is still planning."""
    sent_bytes: int | None
    """What the destination has confirmed of the file; None before an upload session."""
    sealed_bytes: int | None
    """The size of the file, once it is known: it is being made visible."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Of each profile by name."""

    working: Mapping[str, Working]
    refused: Mapping[str, RefusedRun]
    """The latest calls that were answered with an error that no batch records."""
    sealed: Mapping[str, frozenset[str]]
    """The days of which a file may be visible without a record."""
    damaged: tuple[str, ...]


def read(database: Database[dict[str, Any]], profiles: Sequence[str]) -> Slots:
    """The slots of the days, in one request by `_id`. Raises `PyMongoError`."""
    found = database[COLLECTION].aggregate(
        [
            {"$match": {"_id": {"$in": list(profiles)}}},
            # null compares lower than any time
            {"$set": {"held": {"$gte": ["$lease.expiresAt", "$$NOW"]}}},
        ]
    )
    working: dict[str, Working] = {}
    refused: dict[str, RefusedRun] = {}
    sealed: dict[str, frozenset[str]] = {}
    damaged: list[str] = []
    for doc in found:
        try:
            refusal = RefusedRun.from_slot(doc)
            if refusal is not None:
                refused[doc["_id"]] = refusal
            state = SlotState.from_doc(doc)
        except DocumentDamaged as error:
            damaged.append(str(error))
            continue
        sealed[doc["_id"]] = frozenset(seal.batch_date or "" for seal in state.seals)
        if doc["held"]:
            working[doc["_id"]] = _working(doc, state)
    return Slots(working=working, refused=refused, sealed=sealed, damaged=tuple(damaged))


def _working(doc: Mapping[str, Any], state: SlotState) -> Working:
    upload = state.upload
    sizes = [prefix.size_bytes for prefix in upload.prefixes] if upload is not None else []
    current = [seal for seal in state.seals if seal.manifest == state.manifest]
    return Working(
        slot=str(doc["_id"]),
        fence=state.fence,
        owner=doc["lease"]["owner"],
        expires_at=doc["lease"]["expiresAt"],
        planned_items=None if state.manifest is None else state.manifest.item_count,
        sent_bytes=None if upload is None else max(sizes, default=0),
        sealed_bytes=current[-1].content.size_bytes if current else None,
    )
