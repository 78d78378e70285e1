"""Jobs, built from a day, from a request, or from a stored batch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pymongo.database import Database

from daybook.export.batch.batch import Batch
from daybook.export.context import Job
from daybook.export.model.profile import BatchKey, Profile
from daybook.export.queue import manual as requests
from daybook.export.queue import plan
from daybook.export.queue.manual import ManualRequest

NO_REQUEST: Mapping[str, Any] = {"entryIds": []}


def daily(
    database: Database[dict[str, Any]],
    profile: Profile,
    day: date,
    schedule_time: datetime | None = None,
) -> Job:
    """The day's job. `schedule_time` is the trigger's, if it has one."""
    return Job(
        key=BatchKey(profile=profile.name, batch_date=day.isoformat()),
        filename=profile.file_name(day),
        scan=lambda: plan.scan(database, profile),
        schedule_time=schedule_time,
    )


def manual(database: Database[dict[str, Any]], profile: Profile, request: ManualRequest) -> Job:
    """The job of a manual export, which copies chosen entries."""
    return Job(
        key=BatchKey(profile=profile.name, manual_key=request.key),
        filename=request.file_name(profile),
        scan=lambda: requests.scan(database, profile, request),
        request=request.to_doc(),
    )


def of_batch(database: Database[dict[str, Any]], profile: Profile, batch: Batch) -> Job:
    """The job that a stored batch was made for."""
    if batch.key.batch_date is not None:
        return daily(database, profile, date.fromisoformat(batch.key.batch_date))
    assert batch.key.manual_key is not None  # noqa: S101  (one of the two is set)
    return manual(
        database,
        profile,
        # A batch that was restored from its seal has no request; its file already exists.
        ManualRequest.from_doc(batch.doc.get("request", NO_REQUEST), key=batch.key.manual_key),
    )
