"""A day's batch as the watchdog and the health checks see it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from daybook.export.batch.batch import COLLECTION, has_ended
from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.profile import BatchKey
from daybook.mongo.query import Query

_FIELDS = (
    *("batchDate", "state", "createdAt", "startedAt", "committedAt", "markedAt", "releasedAt"),
    *("pendingTask.due", "error.type", "error.message"),
)
_UNTIL = Query(
    name="days_until",
    collection=COLLECTION,
    filter=lambda profile, until: {
        "profile": profile,
        "batchDate": {"$lte": until, "$type": "string"},
    },
    arguments=lambda doc: {"profile": doc["profile"], "until": doc["batchDate"]},
    sort=(("batchDate", -1),),
    projection=dict.fromkeys(_FIELDS, 1),
)
QUERIES = (_UNTIL,)


@dataclass(frozen=True, kw_only=True)
class Day:
    """What `exportbatches` holds of a day."""

    batch_id: str
    date: date
    state: BatchState
    created_at: datetime | None
    started_at: datetime | None
    """Start of the latest attempt; None before the first."""
    done_at: datetime | None
    """When it was committed or signed off as empty."""
    marked_at: datetime | None
    released_at: datetime | None
    follow_up_due: datetime | None
    """When the next call is due: a retry, a continuation or a half-open trial."""
    error: Mapping[str, str]
    """`type` and `message` of the last failed attempt's error, or empty."""

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        if not isinstance(doc["_id"], ObjectId):
            raise fields.damaged("_id", "must be an ObjectId")
        task = None if has_ended(doc) else fields.inner_or_none("pendingTask")
        error = fields.inner_or_none("error")
        return cls(
            batch_id=str(doc["_id"]),
            date=date.fromisoformat(fields.day("batchDate")),
            state=fields.one_of("state", BatchState),
            created_at=fields.time_or_none("createdAt"),
            started_at=fields.time_or_none("startedAt"),
            done_at=fields.time_or_none("committedAt"),
            marked_at=fields.time_or_none("markedAt"),
            released_at=fields.time_or_none("releasedAt"),
            follow_up_due=None if task is None else task.time_or_none("due"),
            error={}
            if error is None
            else {"type": error.text("type"), "message": error.text("message")},
        )

    @property
    def done(self) -> bool:
        """Delivered and recorded, by Daybook or elsewhere, or signed off as empty."""
        return self.state in (BatchState.COMMITTED, BatchState.EMPTY)

    @property
    def released(self) -> bool:
        """Closed for good by an operator: no file of this day is expected."""
        return self.state is BatchState.FAILED and self.released_at is not None

    @property
    def unmarked(self) -> bool:
        """Delivered, but the next run or a sweep has to finish marking its items."""
        return self.state is BatchState.COMMITTED and self.marked_at is None


def find_day(
    database: Database[dict[str, Any]], profile_name: str, day: date, session: ClientSession
) -> Day | None:
    key = BatchKey(profile=profile_name, batch_date=day.isoformat())
    doc = database[COLLECTION].find_one(key.filter(), _FIELDS, session=session)
    return None if doc is None else Day.from_doc(doc)


def days_since_done(
    database: Database[dict[str, Any]], profile_name: str, until: date
) -> list[Day]:
    """The days up to and including `until`, newest first, back to the latest done one.

    If no day is done, these are all days.
    """
    days: list[Day] = []
    with _UNTIL.find(database, profile=profile_name, until=until.isoformat()) as found:
        for doc in found:
            if not isinstance(doc["_id"], ObjectId):
                continue  # not written by Daybook
            days.append(Day.from_doc(doc))
            if days[-1].done:
                break
    return days
