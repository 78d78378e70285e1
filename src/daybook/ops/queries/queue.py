"""The queries of queue items and of their entries, as `catalogue.py` lists them."""

from __future__ import annotations

from typing import Any

from daybook.export.model.profile import Profile
from daybook.export.queue import plan, waiting
from daybook.ops.queries.query import DeclaredQuery, Document

FEW_OF_AN_ENTRY = "sorts the few documents of one entry"
_BY_ID = {"_id": 1}


def of_the_queue(profile: Profile) -> list[DeclaredQuery]:
    queued, queue = plan.queued(profile), profile.source.queue

    def of_queued(doc: Document) -> dict[str, Any]:
        if doc.get("status") != queued["status"]:
            raise LookupError("not queued")
        return {}

    def of_entry(doc: Document) -> dict[str, Any]:
        return {"entry_ids": [doc["entryId"]]}

    def named(name: str, found: Any, **more: Any) -> DeclaredQuery:
        return DeclaredQuery(
            name=name, collection=queue, filter=found, **{"arguments": of_entry, **more}
        )

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
        *(
            named(
                f"items_of_{reason.value}",
                lambda found=found: found,
                arguments=lambda _: {},
                small="the index holds nothing but such items"
                if reason is waiting.Unclaimed.UNKNOWN_STATUS
                else "",
            )
            for reason, found in waiting.filters(profile).items()
        ),
        named("items_of_entries", lambda entry_ids: {"entryId": {"$in": entry_ids}}),
        named(
            "items_of_entry_in_order",
            lambda entry_ids: {"entryId": {"$in": entry_ids}},
            sort=(("_id", 1),),
            excused=FEW_OF_AN_ENTRY,
        ),
        named(
            "scheduled_items_of_entry",
            lambda entry_ids: {"entryId": {"$in": entry_ids}, "exportPath": "scheduled"},
            sort=(("_id", 1),),
            excused=FEW_OF_AN_ENTRY,
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


def of_entries(profile: Profile) -> list[DeclaredQuery]:
    date = profile.source.date
    return [
        DeclaredQuery(
            name="entries_of_dates",
            collection=profile.source.entries,
            filter=lambda day: {date: {"$gte": day, "$lte": day}},
            arguments=lambda doc: {"day": doc[date]},
            sort=((date, 1), ("_id", 1)),
            projection={"_id": 1},
        )
    ]
