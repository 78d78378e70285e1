"""Requeueing: an operator puts a corrected entry, which a run had set aside, back in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.errors import DaybookError
from daybook.export import records
from daybook.export.profile import Profile
from daybook.mongo.sessions import transaction


class NotRequeued(DaybookError):
    """The entry is not one that a run has set aside, or no longer."""

    type = "not_requeued"
    permanent = True


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """A queue item that the next run takes along again."""

    queue_id: Any
    entry_id: Any
    reason: str | None
    """Why it had been set aside, if that was recorded."""

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": "requeued",
            "queueId": self.queue_id,
            "entryId": self.entry_id,
            "reason": self.reason,
        }


def candidates(entry_id: str) -> list[Any]:
    """What a typed entry id may be in the database: the text itself, or an ObjectId."""
    return [entry_id, ObjectId(entry_id)] if ObjectId.is_valid(entry_id) else [entry_id]


def requeue(
    database: Database[dict[str, Any]], profile: Profile, entry_id: str, *, now: datetime
) -> Requeued:
    """Queue a rejected entry again and record it, in one transaction.

    Raises `NotRequeued`, with nothing changed, when there is no scheduled queue item for
    the entry, or one is queued already, or was exported.
    """

    def work(session: ClientSession) -> Requeued:
        queue = database[profile.source.queue]
        items = queue.find(
            {"entryId": {"$in": candidates(entry_id)}, "exportPath": "scheduled"}, session=session
        )
        item = _rejected(entry_id, items.sort("_id", 1).to_list())
        changed = queue.update_one(
            {"_id": item["_id"], "status": "failed"},
            {"$set": {"status": "queued", "updatedAt": now}, "$unset": {"error": ""}},
            session=session,
        )
        if changed.matched_count == 0:
            raise NotRequeued(f"entry {entry_id} was changed at this moment; look again")
        database[records.COLLECTION].insert_one(
            records.requeued(item["_id"], item["entryId"], now=now), session=session
        )
        error = item.get("error")
        return Requeued(
            queue_id=item["_id"],
            entry_id=item["entryId"],
            reason=error.get("reason") if isinstance(error, dict) else None,
        )

    return transaction(database.client, work)


def _rejected(entry_id: str, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The item to queue again: the only one that can be, or the first of several."""
    if not items:
        raise NotRequeued(f"entry {entry_id} has no scheduled queue item")
    for item in items:
        if item.get("status") == "queued":
            raise NotRequeued(f"entry {entry_id} is queued already (queue item {item['_id']})")
        if item.get("status") == "completed":
            metadata = item.get("metadata") or {}
            file = metadata.get("fileId", "unknown")
            raise NotRequeued(
                f"entry {entry_id} was exported already with file {file} "
                f"(queue item {item['_id']}); exporting it again would make a duplicate"
            )
    failed = next((item for item in items if item.get("status") == "failed"), None)
    if failed is None:
        statuses = ", ".join(repr(item.get("status")) for item in items)
        raise NotRequeued(f"entry {entry_id} was not set aside by a run: its status is {statuses}")
    return failed
