"""Marking: setting the queue items of a committed manifest to `completed` or `failed`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from daybook.export.batch import batches, export_log
from daybook.export.model.fields import Fields
from daybook.export.model.figures import Rejected
from daybook.export.model.ids import BY_ID, hashable
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.part import Part
from daybook.export.model.profile import Profile
from daybook.export.model.seal import ManifestRef, Seal
from daybook.export.queue import manifest as manifests
from daybook.mongo.query import Query


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What marking needs to know about a committed file.

    Or about a day that is signed off as empty because all of its items are rejected.
    """

    profile: Profile
    batch_date: str | None
    """None for a manual export, which never touches scheduled items."""
    file_id: str | None
    """None, like `link`, for an empty day."""
    link: str | None
    manifest: ManifestRef
    rejected: tuple[Rejected, ...]

    @classmethod
    def of_seal(
        cls,
        seal: Seal,
        *,
        profile: Profile,
        rejected: tuple[Rejected, ...],
        file_id: str,
        link: str,
    ) -> Self:
        return cls(
            profile=profile,
            batch_date=seal.batch_date,
            file_id=file_id,
            link=link,
            manifest=seal.manifest,
            rejected=rejected,
        )

    @classmethod
    def of_batch(
        cls, doc: Mapping[str, Any], *, profile: Profile, rejected: tuple[Rejected, ...]
    ) -> Self:
        """For a committed batch, or for an empty one whose items are all rejected."""
        empty = doc["state"] == BatchState.EMPTY.value
        fields = Fields.of(doc, batches.COLLECTION)
        manifest = fields.inner("rejectedManifest" if empty else "manifest")
        return cls(
            profile=profile,
            batch_date=doc.get("batchDate"),
            file_id=None if empty else doc["fileId"],
            link=None if empty else doc["webViewLink"],
            manifest=ManifestRef.from_fields(manifest),
            rejected=rejected,
        )

    @property
    def closing_field(self) -> str:
        """The field of a part that says that its items are marked.

        An entry of a part with `markedAt` counts as delivered, so a part of an empty day gets
        another field.
        """
        return "closedAt" if self.file_id is None else "markedAt"

    def rejected_of(self, part: Part) -> list[Rejected]:
        """The rejected items in the part, in its order."""
        if not self.rejected:
            return []
        keys = zip(map(hashable, part.queue_ids), map(hashable, part.entry_ids), strict=True)
        return [self._by_key[key] for key in keys if key in self._by_key]

    @cached_property
    def _by_key(self) -> dict[tuple[Hashable, Hashable], Rejected]:
        return {(hashable(item.queue_id), hashable(item.entry_id)): item for item in self.rejected}


@dataclass(frozen=True, kw_only=True)
class Discrepancies:
    """Items that another application changed although a file already contained them."""

    gone: tuple[Any, ...] = ()
    """Deleted, or changed to another entry, which will be exported later."""
    completed_elsewhere: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gone or self.completed_elsewhere)

    def __add__(self, other: Discrepancies) -> Discrepancies:
        return Discrepancies(
            gone=self.gone + other.gone,
            completed_elsewhere=self.completed_elsewhere + other.completed_elsewhere,
        )


def complete_queued(
    database: Database[dict[str, Any]], delivery: Delivery, part: Part, *, now: datetime
) -> int:
    """Complete those of the part's items that are in the file and still queued; returns how many.

    It runs outside of any transaction and checks no fence, so it may take effect at any time:
    late, twice, for some of the items only, or after another run has marked the part. It only
    completes items of entries that are in the delivered file, for which nothing else is right; see
    docs/decisions/0021-completing-outside-of-the-transaction.md. `mark_part` marks the others.
    """
    queue = database[delivery.profile.source.queue]
    exported = _exported(part, delivery.rejected_of(part))
    return queue.update_many(
        {**exported, "status": "queued"}, _completed(delivery, now), hint=BY_ID
    ).matched_count


def mark_part(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    now: datetime,
    completed: int | None = None,
) -> Discrepancies:
    """Mark the part's items whatever their status: the file exists, so the manifest is right.

    Runs inside the caller's transaction; a part is marked once. `completed` is how many items
    `complete_queued` has completed, if it was called.
    """
    queue = database[delivery.profile.source.queue]
    rejected = delivery.rejected_of(part)
    exported = _exported(part, rejected)
    change = _completed(delivery, now)
    if completed is None:
        completed = queue.update_many(
            {**exported, "status": "queued"}, change, session=session, hint=BY_ID
        ).matched_count
    found = Discrepancies()
    if completed < len(exported["_id"]["$in"]):
        found = _discrepancies(queue, session, delivery, exported)
        queue.update_many(
            {**exported, **_not_marked(delivery)}, change, session=session, hint=BY_ID
        )
    if rejected:
        failed = queue.bulk_write(
            [UpdateOne(_rejected_item(item), _failed(delivery, item, now)) for item in rejected],
            session=session,
        )
        if failed.matched_count < len(rejected):
            found += _rejected_discrepancies(queue, session, rejected)
        _insert_rejected(database, session, delivery, rejected, now)
    _close_part(database, session, delivery, part, now)
    return found


def mark_copies(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    *,
    now: datetime,
) -> None:
    """Mark the queue items of manual exports of the part's entries, never scheduled items."""
    queue = database[delivery.profile.source.queue]
    rejected = delivery.rejected_of(part)
    rejected_entries = {hashable(item.entry_id) for item in rejected}
    copied = [
        entry_id
        for entry_id in part.entry_ids
        if entry_id is not None and hashable(entry_id) not in rejected_entries
    ]
    queue.update_many(
        _waiting_for_copy({"$in": copied}), _completed(delivery, now), session=session
    )
    for item in rejected:
        if item.entry_id is None:
            continue  # the filter would match every item that has no entryId
        queue.update_many(
            _waiting_for_copy(item.entry_id), _failed(delivery, item, now), session=session
        )
    _close_part(database, session, delivery, part, now)


def _waiting_for_copy(entry: Any) -> dict[str, Any]:
    """The filter for items that ask for a manual export; `entry` is an ID or a condition."""
    return {"entryId": entry, "exportPath": "manual", "status": "queued"}


def queries(profile: Profile) -> Sequence[Query]:
    """Of the updates that do not name `_id`."""
    return (
        Query(
            name="copies_of_entries",
            collection=profile.source.queue,
            filter=lambda entry_ids: _waiting_for_copy({"$in": entry_ids}),
            arguments=lambda doc: {"entry_ids": [doc["entryId"]]},
        ),
        Query(
            name="copies_of_entry",
            collection=profile.source.queue,
            filter=_waiting_for_copy,
            arguments=lambda doc: {"entry": doc["entryId"]},
        ),
    )


def _close_part(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    part: Part,
    now: datetime,
) -> None:
    part_id = delivery.manifest.part_id(part.number)
    found = database[manifests.COLLECTION].update_one(
        {"_id": part_id}, {"$set": {delivery.closing_field: now}}, session=session
    )
    if not found.matched_count:
        raise manifests.missing(part_id)


def _rejected_item(item: Rejected) -> dict[str, Any]:
    """The filter for an item whose entry was rejected, unless it has been completed since."""
    filters = {"_id": item.queue_id, "status": {"$ne": "completed"}}
    return filters if item.entry_id is None else {**filters, "entryId": item.entry_id}


def _rejected_discrepancies(
    queue: Collection[dict[str, Any]], session: ClientSession, rejected: Sequence[Rejected]
) -> Discrepancies:
    ids = [item.queue_id for item in rejected]
    stored = queue.find({"_id": {"$in": ids}}, {"status": 1}, session=session).to_list()
    statuses = {hashable(item["_id"]): item.get("status") for item in stored}
    return Discrepancies(
        gone=tuple(x for x in ids if statuses.get(hashable(x)) not in ("failed", "completed")),
        completed_elsewhere=tuple(x for x in ids if statuses.get(hashable(x)) == "completed"),
    )


def _not_marked(delivery: Delivery) -> dict[str, Any]:
    """The filter for items that do not name the delivery's file yet."""
    marked = {"status": "completed", "metadata.fileId": delivery.file_id}
    return {"$nor": [marked]}


def _completed(delivery: Delivery, now: datetime) -> list[dict[str, Any]]:
    # A pipeline, because metadata may be null or absent, and its other fields must be kept.
    facts = {"fileId": delivery.file_id, "webViewLink": delivery.link}
    if delivery.batch_date is not None:
        facts["batchDate"] = delivery.batch_date
    metadata = {"$cond": [{"$eq": [{"$type": "$metadata"}, "object"]}, "$metadata", {}]}
    return [
        {
            "$set": {
                "status": "completed",
                "metadata": {"$mergeObjects": [metadata, {"$literal": facts}]},
                "updatedAt": now,
            }
        }
    ]


def _failed(delivery: Delivery, item: Rejected, now: datetime) -> dict[str, Any]:
    error = item.why()
    if delivery.batch_date is not None:
        error["batchDate"] = delivery.batch_date
    return {"$set": {"status": "failed", "error": error, "updatedAt": now}}


def _insert_rejected(
    database: Database[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    rejected: Sequence[Rejected],
    now: datetime,
) -> None:
    database[export_log.COLLECTION].insert_many(
        [
            export_log.rejected(
                item, profile=delivery.profile.name, batch_date=delivery.batch_date, now=now
            )
            for item in rejected
        ],
        session=session,
    )


def _exported(part: Part, rejected: Sequence[Rejected]) -> dict[str, Any]:
    """The filter for the part's items whose entries are in the file."""
    rejected_ids = {hashable(item.queue_id) for item in rejected}
    pairs = [
        (queue_id, entry_id)
        for queue_id, entry_id in zip(part.queue_ids, part.entry_ids, strict=True)
        if not rejected_ids or hashable(queue_id) not in rejected_ids
    ]
    return {
        "_id": {"$in": [queue_id for queue_id, _ in pairs]},
        "entryId": {"$in": [entry_id for _, entry_id in pairs]},
    }


def _discrepancies(
    queue: Collection[dict[str, Any]],
    session: ClientSession,
    delivery: Delivery,
    exported: Mapping[str, Any],
) -> Discrepancies:
    stored = queue.find(
        exported, {"status": 1, "metadata.fileId": 1}, session=session, hint=BY_ID
    ).to_list()
    stored_ids = {hashable(item["_id"]) for item in stored}
    return Discrepancies(
        gone=tuple(item for item in exported["_id"]["$in"] if hashable(item) not in stored_ids),
        completed_elsewhere=tuple(
            item["_id"]
            for item in stored
            if item.get("status") == "completed" and _file_id(item) != delivery.file_id
        ),
    )


def _file_id(item: Mapping[str, Any]) -> Any:
    metadata = item.get("metadata")
    return metadata.get("fileId") if isinstance(metadata, Mapping) else None
