"""Every query that the exporter and those who watch over it issue, updates by their filters.

Declared for `explain`, from the functions that the code asks with where there are such;
tests/integration/test_explain.py compares the others with what goes over the wire. Not
among them: `migrate` and `reconcile`, which read whole collections because that is their work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybook.export import batch, breaker, manifest, orphans, plan, records, slot
from daybook.export.batch_key import BatchKey
from daybook.export.profile import Profile
from daybook.export.query import Document, Query
from daybook.export.records import LogAction
from daybook.export.retry import BatchState
from daybook.export.task import TaskKind

_FEW_OF_AN_ENTRY = "sorts the few documents of one entry"
_STRING = {"$type": "string"}
_BY_ID = {"_id": 1}


def queries(profile: Profile) -> Sequence[Query]:
    """Those of the profile."""
    return (
        *_by_id(profile),
        *_of_the_queue(profile),
        *_of_entries(profile),
        *_of_batches(profile.name),
        *_of_manifests(profile.name),
        *_of_records(),
        *_of_orphans(profile.name),
        Query(
            name="breakers",
            collection=breaker.COLLECTION,
            filter=dict,
            arguments=lambda _: {},
            excused="there is one document per kind of destination",
        ),
    )


def _by_id(profile: Profile) -> list[Query]:
    collections = {
        "batch": batch.COLLECTION,
        "breaker": breaker.COLLECTION,
        "entry": profile.source.entries,
        "manifest_part": manifest.COLLECTION,
        "orphan": orphans.COLLECTION,
        "queue_item": profile.source.queue,
        "record": records.COLLECTION,
        "slot": slot.COLLECTION,
    }
    one = [
        Query(
            name=name,
            collection=collection,
            filter=lambda wanted: {"_id": wanted},
            arguments=lambda doc: {"wanted": doc["_id"]},
        )
        for name, collection in collections.items()
    ]
    some = [
        Query(
            name=f"{name}_among",
            collection=collections[name],
            filter=lambda wanted: {"_id": {"$in": wanted}},
            arguments=lambda doc: {"wanted": [doc["_id"]]},
        )
        for name in ("entry", "manifest_part", "queue_item")
    ]
    return one + some


def _of_the_queue(profile: Profile) -> list[Query]:
    queued, queue = plan.queued(profile), profile.source.queue

    def of_queued(doc: Document) -> dict[str, Any]:
        if doc.get("status") != queued["status"]:
            raise LookupError("not queued")
        return {}

    def of_entry(doc: Document) -> dict[str, Any]:
        return {"entry_ids": [doc["entryId"]]}

    def named(name: str, found: Any, **more: Any) -> Query:
        return Query(name=name, collection=queue, filter=found, **{"arguments": of_entry, **more})

    return [
        named("plan", lambda: queued, arguments=of_queued, sort=(("_id", 1),), among=queued),
        named("queued", lambda: queued, arguments=of_queued, among=queued),
        named(
            "queued_still",
            lambda wanted: {"_id": {"$in": wanted}, **queued},
            arguments=lambda doc: {"wanted": [doc["_id"]]},
            sort=(("_id", 1),),
            hint=_BY_ID,
        ),
        named("items_of_entries", lambda entry_ids: {"entryId": {"$in": entry_ids}}),
        named(
            "items_of_entry_in_order",
            lambda entry_ids: {"entryId": {"$in": entry_ids}},
            sort=(("_id", 1),),
            excused=_FEW_OF_AN_ENTRY,
        ),
        named(
            "scheduled_items_of_entry",
            lambda entry_ids: {"entryId": {"$in": entry_ids}, "exportPath": "scheduled"},
            sort=(("_id", 1),),
            excused=_FEW_OF_AN_ENTRY,
        ),
        named(
            "first_items_of_doubles",
            lambda entry_ids: {**queued, "entryId": {"$in": entry_ids}},
            sort=(("_id", 1),),
            excused="sorts the items of entries that a part has twice",
        ),
        named(
            "completed_items_of_doubles",
            lambda entry_ids: {
                **queued,
                "entryId": {"$in": entry_ids},
                "status": "completed",
            },
        ),
        named(
            "copies_of_entries",
            lambda entry_ids: {
                "entryId": {"$in": entry_ids},
                "exportPath": "manual",
                "status": "queued",
            },
        ),
        named(
            "copies_of_entry",
            lambda entry_id: {"entryId": entry_id, "exportPath": "manual", "status": "queued"},
            arguments=lambda doc: {"entry_id": doc["entryId"]},
        ),
    ]


def _of_entries(profile: Profile) -> list[Query]:
    date = profile.source.date
    return [
        Query(
            name="entries_of_dates",
            collection=profile.source.entries,
            filter=lambda day: {date: {"$gte": day, "$lte": day}},
            arguments=lambda doc: {"day": doc[date]},
            sort=((date, 1), ("_id", 1)),
            projection={"_id": 1},
        )
    ]


def _of_batches(profile: str) -> list[Query]:
    def of_day(doc: Document) -> dict[str, Any]:
        return {"day": doc["batchDate"]}

    def of_manual(doc: Document) -> dict[str, Any]:
        return {"key": doc["manualKey"]}

    def always(_: Document) -> dict[str, Any]:
        return {}

    def named(name: str, found: Any, arguments: Any = always, **more: Any) -> Query:
        return Query(
            name=name, collection=batch.COLLECTION, filter=found, arguments=arguments, **more
        )

    ended = [
        {"state": {"$in": [BatchState.EMPTY.value, BatchState.FAILED.value]}},
        {"state": BatchState.COMMITTED.value, "markedAt": {"$ne": None}},
    ]
    unmarked = {"profile": profile, "state": BatchState.COMMITTED.value, "markedAt": None}
    untold = {"profile": profile, "alertedAt": {"$type": "null"}, "$or": ended}
    days = {"profile": profile, "batchDate": _STRING}
    newest_first = (("batchDate", -1),)
    continued = {
        "profile": profile,
        "pendingTask.due": {"$type": "date"},
        "pendingTask.kind": TaskKind.CONTINUATION.value,
    }

    def continued_since(since: Any, **later: Any) -> Document:
        return {**continued, "pendingTask.due": {"$type": "date", "$gte": since}, **later}

    return [
        named("day", lambda day: BatchKey(profile=profile, batch_date=day).filter(), of_day),
        named(
            "manual_export",
            lambda key: BatchKey(profile=profile, manual_key=key).filter(),
            of_manual,
            among={"profile": profile, "manualKey": _STRING},
        ),
        named("days_unannounced", lambda: {**untold, "batchDate": _STRING}),
        named("manual_exports_unannounced", lambda: {**untold, "manualKey": _STRING}),
        named("days_unmarked", lambda: {**unmarked, "batchDate": _STRING}),
        named("manual_exports_unmarked", lambda: {**unmarked, "manualKey": _STRING}),
        named("batches_pending", lambda: {"profile": profile, "pendingTask.due": _DATE}),
        named(
            "days_continued_later",
            lambda day, since: continued_since(since, batchDate={"$gt": day, **_STRING}),
            lambda doc: {"day": doc["batchDate"], "since": doc["createdAt"]},
        ),
        named(
            "manual_exports_continued_later",
            lambda batch_id, since: continued_since(
                since, _id={"$gt": batch_id}, manualKey=_STRING
            ),
            lambda doc: {"batch_id": doc["_id"], "since": doc["createdAt"]},
        ),
        named("days", lambda: days),
        named("history", lambda: days, sort=newest_first),
        named(
            "days_until",
            lambda day: {**days, "batchDate": {"$lte": day, **_STRING}},
            of_day,
            sort=newest_first,
        ),
        named(
            "batches_of_files",
            lambda batch_ids: {"_id": {"$in": batch_ids}, "profile": profile},
            lambda doc: {"batch_ids": [doc["_id"]]},
            sort=(("committedAt", 1),),
            excused="sorts the few files that one entry stands in",
        ),
    ]


_DATE = {"$type": "date"}


def _of_manifests(profile: str) -> list[Query]:
    delivered = {"markedAt": {"$exists": True}}

    def of_delivered(doc: Document) -> dict[str, Any]:
        if "markedAt" not in doc:
            raise LookupError("not delivered")
        return {"entry_ids": doc["entryIds"][:1]}

    def named(name: str, found: Any, arguments: Any) -> Query:
        return Query(name=name, collection=manifest.COLLECTION, filter=found, arguments=arguments)

    return [
        named(
            "delivered_before",
            lambda entry_ids: {"entryIds": {"$in": entry_ids}, **delivered, "profile": profile},
            of_delivered,
        ),
        named(
            "files_of_entry",
            lambda entry_ids: {"entryIds": {"$in": entry_ids}, **delivered},
            of_delivered,
        ),
        named(
            "stray_parts",
            lambda: {"profile": profile, "markedAt": {"$exists": False}},
            lambda _: {},
        ),
        named(
            "parts_of_manifest",
            lambda prefix: {"_id": {"$gte": prefix, "$lt": f"{prefix}~"}},
            lambda doc: {"prefix": doc["_id"].rpartition(":")[0]},
        ),
    ]


def _of_records() -> list[Query]:
    def of_entry(doc: Document) -> dict[str, Any]:
        return {"entry_ids": [doc["metadata"]["entryId"]]}

    told = [LogAction.ENTRY_REJECTED.value, LogAction.ENTRY_REQUEUED.value]
    return [
        Query(
            name="records_of_day",
            collection=records.COLLECTION,
            filter=lambda day, action, profile: {
                **records.day_filter("", day, action),
                "metadata.profile": profile,
            },
            arguments=lambda doc: {
                "day": doc["metadata"]["batchDate"],
                "action": LogAction(doc["action"]),
                "profile": doc["metadata"].get("profile"),
            },
        ),
        Query(
            name="records_of_entry",
            collection=records.COLLECTION,
            filter=lambda entry_ids: {
                "metadata.entryId": {"$in": entry_ids},
                "action": {"$in": told},
            },
            arguments=of_entry,
            sort=(("createdAt", 1),),
            excused=_FEW_OF_AN_ENTRY,
        ),
    ]


def _of_orphans(profile: str) -> list[Query]:
    def before(doc: Document) -> dict[str, Any]:
        return {"now": doc["createdAt"]}

    def named(name: str, found: Any, arguments: Any) -> Query:
        return Query(name=name, collection=orphans.COLLECTION, filter=found, arguments=arguments)

    return [
        named(
            "orphans_unannounced",
            lambda: {"profile": profile, "alertedAt": {"$type": "null"}},
            lambda _: {},
        ),
        named(
            "orphans_watched",
            lambda now: {"profile": profile, "watchUntil": {"$gt": now}, "seenAt": None},
            before,
        ),
        named(
            "orphans_of_late",
            lambda now: {"watchUntil": {"$gt": now}, "profile": profile},
            before,
        ),
    ]
