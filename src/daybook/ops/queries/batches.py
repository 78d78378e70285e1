"""The queries of batches, as `catalogue.py` lists them."""

from __future__ import annotations

from typing import Any

from daybook.export.batch import batch
from daybook.export.model.batch_key import BatchKey
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.task import TaskKind
from daybook.ops.queries.query import DeclaredQuery, Document

_STRING = {"$type": "string"}
_DATE = {"$type": "date"}


def of_batches(profile: str) -> list[DeclaredQuery]:
    def of_day(doc: Document) -> dict[str, Any]:
        return {"day": doc["batchDate"]}

    def of_manual(doc: Document) -> dict[str, Any]:
        return {"key": doc["manualKey"]}

    def always(_: Document) -> dict[str, Any]:
        return {}

    def named(name: str, found: Any, arguments: Any = always, **more: Any) -> DeclaredQuery:
        return DeclaredQuery(
            name=name, collection=batch.COLLECTION, filter=found, arguments=arguments, **more
        )

    ended = [
        {"state": {"$in": [BatchState.EMPTY.value, BatchState.FAILED.value]}},
        {"state": BatchState.COMMITTED.value, "markedAt": {"$ne": None}},
    ]
    left_behind = [
        {"state": BatchState.OPEN.value, "$expr": {"$gt": ["$attempt", 0]}},
        {"state": BatchState.COMMITTED.value, "markedAt": None},
    ]
    unmarked = {"profile": profile, "markedAt": None, "$or": batch.UNMARKED}
    untold = {"profile": profile, "alertedAt": {"$type": "null"}, "$or": ended}
    days = {"profile": profile, "batchDate": _STRING}
    newest_first = (("batchDate", -1),)
    continued = {
        "profile": profile,
        "pendingTask.due": {"$type": "date"},
        "pendingTask.kind": TaskKind.CONTINUATION.value,
    }

    def continued_since(since: Any, **later: Any) -> Document:
        due = {"$type": "date", "$gte": since, "$lte": since}
        return {**continued, "pendingTask.due": due, **later}

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
        named(
            "batches_left_behind",
            lambda: {"profile": profile, "pendingTask": None, "$or": left_behind},
        ),
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
        named("manual_exports", lambda: {"profile": profile, "manualKey": _STRING}),
        named("history", lambda: days, sort=newest_first),
        named(
            "days_until",
            lambda day: {**days, "batchDate": {"$lte": day, **_STRING}},
            of_day,
            sort=newest_first,
        ),
        named(
            "batch_of_manifest",
            lambda batch_id: {"profile": profile, "manifest.batchId": batch_id},
            lambda doc: {"batch_id": str(doc["_id"])},
            among={"profile": profile},
        ),
    ]
