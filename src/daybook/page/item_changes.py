"""Queue items that others changed while the file of their day was delivered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pymongo.database import Database

from daybook.export.batch import export_log
from daybook.export.batch.export_log import LogAction
from daybook.export.model.ids import LENIENT
from daybook.export.model.profile import DAILY
from daybook.mongo.query import Query

_GONE, _ELSEWHERE = "goneCount", "completedElsewhereCount"
_CHANGED = Query(
    name="records_of_changed_items",
    collection=export_log.COLLECTION,
    filter=lambda days: {
        "metadata.batchDate": {"$in": days, "$type": "string"},
        "action": LogAction.CSV_GENERATED.value,
        "$or": [{f"metadata.{name}": {"$gt": 0}} for name in (_GONE, _ELSEWHERE)],
    },
    arguments=lambda doc: {"days": [doc["metadata"]["batchDate"]]},
    projection=dict.fromkeys(
        (f"metadata.{name}" for name in ("batchDate", "profile", _GONE, _ELSEWHERE)), 1
    ),
)
QUERIES = (_CHANGED,)


@dataclass(frozen=True, kw_only=True)
class ItemChanges:
    """How many items of a delivered day were changed meanwhile, by its record in `exportlogs`."""

    gone_count: int
    """Deleted, or changed to another entry."""
    completed_elsewhere_count: int


def read(
    database: Database[dict[str, Any]], profiles: Collection[str], days: Sequence[date]
) -> Mapping[str, Mapping[date, ItemChanges]]:
    """Of each profile by name, the days with such items. Raises `PyMongoError`."""
    records = database.get_collection(export_log.COLLECTION, codec_options=LENIENT)
    named = {day.isoformat(): day for day in days}
    found: dict[str, dict[date, ItemChanges]] = {}
    for doc in _CHANGED.find(records, days=list(named), batch_size=10_000):
        metadata = doc["metadata"]
        if not isinstance(metadata, Mapping):
            continue
        name, day = metadata.get("profile", DAILY), metadata.get("batchDate")
        if name in profiles and day in named:
            found.setdefault(str(name), {})[named[day]] = ItemChanges(
                gone_count=_count(metadata.get(_GONE)),
                completed_elsewhere_count=_count(metadata.get(_ELSEWHERE)),
            )
    return found


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
