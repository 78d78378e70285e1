"""Past and present: a day's batch, the slot, the queue. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pymongo.database import Database

from daybook import display
from daybook.export.batch import batches, export_log
from daybook.export.batch.batch import Batch
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.notice import RejectedEntry
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.outcome import FACTS
from daybook.export.queue import named_entries, waiting
from daybook.export.queue.waiting import Unclaimed
from daybook.export.slot import refused_run, slot
from daybook.export.slot.refused_run import RefusedRun
from daybook.export.slot.state import SlotState

_FACTS = (
    "generation",
    "attempt",
    *FACTS,
    "error",
    "createdAt",
    "startedAt",
    "committedAt",
    "markedAt",
    "recordedElsewhere",
    "releasedAt",
)


@dataclass(frozen=True, kw_only=True)
class SlotStatus:
    """A slot as stored now, without the upload session's address."""

    fence: int
    held: bool
    """Whether a lease is live, by the server's clock."""
    lease_owner: str | None
    lease_expires_at: datetime | None
    file_id: str | None
    seals: tuple[Mapping[str, Any], ...]
    """Files that may be under the ID, until the next run has settled."""
    planned_items: int | None
    """Items in the stored manifest; None without one."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "fence": self.fence,
            "held": self.held,
            "leaseOwner": self.lease_owner,
            "leaseExpiresAt": self.lease_expires_at,
            "fileId": self.file_id,
            "seals": list(self.seals),
            "plannedItems": self.planned_items,
        }


@dataclass(frozen=True, kw_only=True)
class DayStatus:
    """A day's batch with the slot and the queue."""

    profile: str
    batch_date: str
    batch: Batch | None
    slot: SlotStatus | None
    """None before the first run."""
    refused: RefusedRun | None
    """Calls for the day's run that failed, if no attempt has started since."""
    recorded_elsewhere: Mapping[str, str | None] | None
    """The file that another application has recorded for the day, until a run adopts it."""
    rejected: tuple[RejectedEntry, ...]
    """The first ones, or every one if asked for; the batch has the number of all."""
    queued: int
    """Items that the next run would take."""
    unclaimed: Mapping[Unclaimed, int]
    """Items that no run ever takes, by reason."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "batchDate": self.batch_date,
            "batch": None if self.batch is None else summary(self.batch),
            "rejected": [one.to_doc() for one in self.rejected],
            "refused": None if self.refused is None else self.refused.to_doc(),
            "recordedElsewhere": self.recorded_elsewhere,
            "slot": None if self.slot is None else self.slot.to_doc(),
            "queued": self.queued,
            "unclaimed": {reason.value: count for reason, count in self.unclaimed.items()},
        }


def status(
    database: Database[dict[str, Any]], profile: Profile, day: date, *, every: bool = False
) -> DayStatus:
    """The state of the day, with the first rejected entries or `every` one."""
    key = BatchKey(profile=profile.name, batch_date=day.isoformat())
    batch = batches.find(database[batches.COLLECTION], key)
    return DayStatus(
        profile=profile.name,
        batch_date=day.isoformat(),
        batch=batch,
        refused=_refused(database, profile, day, batch),
        slot=slot_status(database, key.slot_id),
        recorded_elsewhere=_recorded_elsewhere(database, profile, day, batch),
        rejected=()
        if batch is None
        else named_entries.rejected_entries(database, profile, batch, every=every),
        queued=waiting.count(database, profile),
        unclaimed=waiting.unclaimed(database, profile),
    )


def is_delivered(database: Database[dict[str, Any]], profile: Profile, day: date) -> bool:
    """Whether the day has its file, by Daybook or by another application."""
    key = BatchKey(profile=profile.name, batch_date=day.isoformat())
    batch = batches.find(database[batches.COLLECTION], key)
    if batch is not None and batch.state is BatchState.COMMITTED:
        return True
    return _recorded_elsewhere(database, profile, day, batch) is not None


def _refused(
    database: Database[dict[str, Any]], profile: Profile, day: date, batch: Batch | None
) -> RefusedRun | None:
    found = refused_run.of_day(database, profile.name, day.isoformat())
    done = batch is not None and batch.state in (BatchState.COMMITTED, BatchState.EMPTY)
    started_at = None if batch is None else batch.doc.get("startedAt")
    return found if found and found.still_applies(started_at=started_at, done=done) else None


def _recorded_elsewhere(
    database: Database[dict[str, Any]], profile: Profile, day: date, batch: Batch | None
) -> Mapping[str, str | None] | None:
    """None when Daybook has delivered the day, or has already adopted the record."""
    if batch is not None and batch.state is BatchState.COMMITTED:
        return None
    metadata = export_log.generated(database, profile.name, day.isoformat())
    if metadata is None or not export_log.by_another(
        metadata, None if batch is None else str(batch.id)
    ):
        return None
    return {
        name: None if metadata.get(name) is None else display.text(str(metadata[name]))
        for name in ("filename", "fileId", "webViewLink")
    }


def history(database: Database[dict[str, Any]], profile: Profile, *, limit: int) -> list[Batch]:
    """The latest days' batches, newest first."""
    found = batches.NEWEST_DAYS.find(
        database, profile=profile.name, limit=limit, projection={"rejected": 0}
    )
    return list(batches.own(found))


def slot_status(database: Database[dict[str, Any]], slot_id: str) -> SlotStatus | None:
    found = database[slot.COLLECTION].aggregate(
        [
            {"$match": {"_id": slot_id}},
            {"$set": {"held": {"$gte": ["$lease.expiresAt", "$$NOW"]}}},
        ]
    )
    return next((_slot_status(doc) for doc in found), None)


def summary(batch: Batch) -> dict[str, Any]:
    """A batch for commands and responses: every field is present, null when unknown."""
    return {
        "batchDate": batch.key.batch_date,
        "batchId": str(batch.id),
        "state": batch.state.value,
        "nextAttemptAt": batch.next_attempt_at,
        **{name: batch.doc.get(name) for name in _FACTS},
    }


def _slot_status(doc: Mapping[str, Any]) -> SlotStatus:
    state, lease = SlotState.from_doc(doc), doc.get("lease") or {}
    return SlotStatus(
        fence=state.fence,
        held=doc["held"],
        lease_owner=lease.get("owner"),
        lease_expires_at=lease.get("expiresAt"),
        file_id=state.file_id,
        seals=tuple(
            {
                "batchDate": seal.batch_date,
                "filename": seal.filename,
                "sizeBytes": seal.content.size_bytes,
                "sealedAt": seal.sealed_at,
            }
            for seal in state.seals
        ),
        planned_items=None if state.manifest is None else state.manifest.item_count,
    )
