"""The receipt of a day, to be shown or sent again."""

from __future__ import annotations

from datetime import date
from typing import Any

from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook.errors import DatabaseError
from daybook.export.announce import NoReceipt, receipt_of
from daybook.export.batch import batches
from daybook.export.model.lifecycle import Schedule
from daybook.export.model.notice import Receipt
from daybook.export.model.profile import BatchKey, Profile


def receipt_of_day(
    database: Database[dict[str, Any]],
    profile: Profile,
    day: date,
    *,
    schedule: Schedule | None = None,
    every: bool = False,
) -> Receipt:
    """The day's receipt, which names `every` rejected entry or the first ones.

    Raises `NoReceipt` for a day that is neither delivered nor signed off, `DatabaseError`.
    """
    key = BatchKey(profile=profile.name, batch_date=day.isoformat())
    try:
        batch = batches.find(database[batches.COLLECTION], key)
        if batch is None:
            raise NoReceipt(f"{day} has no receipt: no run yet")
        return receipt_of(database, profile, batch, schedule=schedule, every=every)
    except PyMongoError as error:
        raise DatabaseError.of(f"receipt of {day}", error) from error
