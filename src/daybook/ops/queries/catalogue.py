"""Every query that the exporter and those who watch over it issue, updates by their filters.

Declared for `explain`, from the functions that the code asks with where there are such;
tests/integration/test_explain.py compares the others with what goes over the wire. Not
among them: `migrate` and `reconcile`, which read whole collections because that is their work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybook.export.batch import batch, export_log
from daybook.export.batch.export_log import LogAction
from daybook.export.model.profile import Profile
from daybook.export.queue import manifest
from daybook.export.slot import orphans, slot
from daybook.export.upload import breaker
from daybook.ops.queries.batches import of_batches
from daybook.ops.queries.query import DeclaredQuery, Document
from daybook.ops.queries.queue import FEW_OF_AN_ENTRY, of_entries, of_the_queue


def queries(profile: Profile) -> Sequence[DeclaredQuery]:
    """Those of the profile."""
    return (
        *_by_id(profile),
        *of_the_queue(profile),
        *of_entries(profile),
        *of_batches(profile.name),
        *_of_manifests(profile.name),
        *_of_records(),
        *_of_orphans(profile.name),
        DeclaredQuery(
            name="breakers",
            collection=breaker.COLLECTION,
            filter=dict,
            arguments=lambda _: {},
            small="there is one document per kind of destination",
        ),
    )


def _by_id(profile: Profile) -> list[DeclaredQuery]:
    collections = {
        "batch": batch.COLLECTION,
        "breaker": breaker.COLLECTION,
        "entry": profile.source.entries,
        "manifest_part": manifest.COLLECTION,
        "orphan": orphans.COLLECTION,
        "queue_item": profile.source.queue,
        "record": export_log.COLLECTION,
        "slot": slot.COLLECTION,
    }
    one = [
        DeclaredQuery(
            name=name,
            collection=collection,
            filter=lambda wanted: {"_id": wanted},
            arguments=lambda doc: {"wanted": doc["_id"]},
        )
        for name, collection in collections.items()
    ]
    some = [
        DeclaredQuery(
            name=f"{name}_among",
            collection=collections[name],
            filter=lambda wanted: {"_id": {"$in": wanted}},
            arguments=lambda doc: {"wanted": [doc["_id"]]},
        )
        for name in ("entry", "manifest_part", "queue_item")
    ]
    return one + some


def _of_manifests(profile: str) -> list[DeclaredQuery]:
    delivered = {"markedAt": {"$exists": True}}

    def of_delivered(doc: Document) -> dict[str, Any]:
        if "markedAt" not in doc:
            raise LookupError("not delivered")
        return {"entry_ids": doc["entryIds"][:1]}

    def named(name: str, found: Any, arguments: Any) -> DeclaredQuery:
        return DeclaredQuery(
            name=name, collection=manifest.COLLECTION, filter=found, arguments=arguments
        )

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


def _of_records() -> list[DeclaredQuery]:
    def of_entry(doc: Document) -> dict[str, Any]:
        return {"entry_ids": [doc["metadata"]["entryId"]]}

    told = [LogAction.ENTRY_REJECTED.value, LogAction.ENTRY_REQUEUED.value]
    return [
        DeclaredQuery(
            name="records_of_day",
            collection=export_log.COLLECTION,
            filter=lambda day, action, profile: {
                **export_log.day_filter("", day, action),
                "metadata.profile": profile,
            },
            arguments=lambda doc: {
                "day": doc["metadata"]["batchDate"],
                "action": LogAction(doc["action"]),
                "profile": doc["metadata"].get("profile"),
            },
        ),
        DeclaredQuery(
            name="requeued_entries",
            collection=export_log.COLLECTION,
            filter=lambda entry_ids: {
                "metadata.entryId": {"$in": entry_ids},
                "action": LogAction.ENTRY_REQUEUED.value,
            },
            arguments=of_entry,
        ),
        DeclaredQuery(
            name="records_of_entry",
            collection=export_log.COLLECTION,
            filter=lambda entry_ids: {
                "metadata.entryId": {"$in": entry_ids},
                "action": {"$in": told},
            },
            arguments=of_entry,
            sort=(("createdAt", 1),),
            excused=FEW_OF_AN_ENTRY,
        ),
    ]


def _of_orphans(profile: str) -> list[DeclaredQuery]:
    def before(doc: Document) -> dict[str, Any]:
        return {"now": doc["createdAt"]}

    def named(name: str, found: Any, arguments: Any) -> DeclaredQuery:
        return DeclaredQuery(
            name=name, collection=orphans.COLLECTION, filter=found, arguments=arguments
        )

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
