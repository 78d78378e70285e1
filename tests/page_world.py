"""A database with every state that the status page can show, as the export core leaves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from tests import books

Db = Database[dict[str, Any]]

NOW = datetime(2026, 1, 19, 13, 14, tzinfo=UTC)
"""2026-01-19, 20:14 in Bangkok."""
TODAY = date(2026, 1, 19)
HOSTILE = "\"><img src=x onerror=alert(1)><script>alert('x')</script>"
LINK = "https://drive.google.com/file/d/x/view"
DIGEST = "ab" * 32


def at(day: date, hour: int = 18, minute: int = 0, second: int = 1) -> datetime:
    """A time in Bangkok on the day."""
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC) - timedelta(
        hours=7
    )


def day_before(days: int, today: date = TODAY) -> date:
    return today - timedelta(days=days)


def put(database: Db, day: date, state: str, *, profile: str = "daily", **fields: Any) -> ObjectId:
    """A batch as it is stored; `fields` replace or add some."""
    began = at(day)
    doc: dict[str, Any] = {
        "_id": ObjectId(),
        "profile": profile,
        "batchDate": day.isoformat(),
        "state": state,
        "generation": 1,
        "attempt": 1,
        "endedAttempt": 0 if state == "open" else 1,
        "attemptCount": 1,
        "continuations": 0,
        "fence": 3,
        "nextAttemptAt": None,
        "pendingTask": None,
        "alertedAt": began,
        "createdAt": began,
        "startedAt": began,
        "updatedAt": began + timedelta(seconds=3),
    }
    if state == "failed":
        doc["error"] = {
            "type": "google_drive",
            "message": "Drive files.create: answered 403 storageQuotaExceeded",
            "at": began,
        }
        doc["errorCounts"] = {"google_drive": 4}
        doc |= {"attempt": 4, "endedAttempt": 4, "attemptCount": 4}
    database["exportbatches"].insert_one({**doc, **fields})
    return doc["_id"]


def delivered(day: date, entries: int, **fields: Any) -> dict[str, Any]:
    """The fields of a committed batch."""
    done = at(day) + timedelta(seconds=1.5 + entries / 900)
    total = f"{entries * 3748.25:.2f}"
    return {
        "entryCount": entries,
        "rowCount": entries * 2,
        "rejectedCount": 0,
        "normalisedCount": 0,
        "otherMonthCount": 0,
        "totals": {"THB": {"debit": total, "credit": total, "amount": "0.00"}},
        "filename": f"batch_{day.isoformat()}.csv",
        "fileId": f"id-{day.isoformat()}",
        "webViewLink": LINK,
        "md5": "cd" * 16,
        "sha256": DIGEST,
        "sizeBytes": entries * 260,
        "manifest": {
            "batchId": str(ObjectId()),
            "generation": 1,
            "fence": 3,
            "partCount": 1,
            "itemCount": entries,
            "digest": DIGEST,
        },
        "recordId": ObjectId(),
        "hiddenAt": None,
        "committedAt": done,
        "markedAt": done,
        **fields,
    }


def empty(day: date) -> dict[str, Any]:
    done = at(day) + timedelta(seconds=0.4)
    return {
        "entryCount": 0,
        "rowCount": 0,
        "rejectedCount": 0,
        "totals": {},
        "committedAt": done,
        "markedAt": None,
    }


def rejection(
    database: Db, reference: str, *faults: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """A rejected entry, in the journal and in the queue, as a batch lists it.

    `fields` are further ones of the queue item.
    """
    entry = books.entry(reference)
    error = {"reason": faults[0]["reason"]}
    item = books.queue_item(entry["_id"], status="failed", error=error, **fields)
    database["journalentries"].insert_one(entry)
    database["exportqueues"].insert_one(item)
    return {
        "queueId": item["_id"],
        "entryId": entry["_id"],
        "reason": faults[0]["reason"],
        "detail": faults[0]["detail"],
        "faults": list(faults),
        "faultCount": len(faults),
    }


UNBALANCED = {
    "reason": "unbalanced",
    "line": None,
    "field": None,
    "value": "0.01 THB",
    "detail": "debit 0.01 is not credit 3,516.20",
}
AS_TEXT = {
    "reason": "stored_as_text",
    "line": 2,
    "field": "credit",
    "value": "'1,200.00'",
    "detail": "is stored as text",
}


def usual_days(
    database: Db, *, profile: str = "daily", first: int = 1, today: date = TODAY
) -> None:
    """Eighty-nine days of deliveries, and Sundays without entries."""
    for number in range(first, 90):
        day = day_before(number, today)
        if day.weekday() == 6:
            put(database, day, "empty", profile=profile, **empty(day))
        else:
            count = 1000 + (number * 7919) % 420
            put(database, day, "committed", profile=profile, **delivered(day, count))


def quiet(database: Db, today: date = TODAY) -> None:
    """Today is done, and nothing needs attention."""
    usual_days(database, today=today)
    put(database, today, "committed", **delivered(today, 1284))


def every_state(database: Db, today: date = TODAY) -> None:
    """Each state at least once, and each thing that needs attention, as of an evening."""
    now = at(today, 20, 14, 0) if today == TODAY else datetime.now(UTC)
    usual_days(database, today=today)
    batches = database["exportbatches"]

    def replace(days: int, state: str, **fields: Any) -> ObjectId:
        day = day_before(days, today)
        batches.delete_one({"profile": "daily", "batchDate": day.isoformat()})
        return put(database, day, state, **fields)

    put(
        database,
        today,
        "open",
        attempt=2,
        endedAttempt=2,
        attemptCount=2,
        error={"type": "google_drive", "message": f"Drive answered 503 {HOSTILE}", "at": now},
        errorCounts={"google_drive": 2},
        pendingTask={
            "kind": "retry",
            "generation": 1,
            "attempt": 3,
            "due": now + timedelta(minutes=6),
            "fence": 3,
            "after": "",
        },
        nextAttemptAt=now + timedelta(minutes=6),
    )
    replace(1, "failed")
    replace(10, "failed")
    replace(3, "committed", **delivered(day_before(3, today), 210, audit=audit(today)))
    replace(
        5,
        "committed",
        **delivered(
            day_before(5, today),
            1100,
            rejectedCount=2,
            rejected=[
                rejection(database, "RV-202601-0000417", UNBALANCED),
                rejection(database, HOSTILE, AS_TEXT, UNBALANCED),
            ],
            rejectedReasons={"unbalanced": 1, "stored_as_text": 1},
            attempt=3,
            endedAttempt=3,
            attemptCount=3,
        ),
    )
    replace(6, "committed", **delivered(day_before(6, today), 990, markedAt=None))
    replace(9, "failed", releasedAt=at(day_before(8, today)))
    batches.delete_one({"batchDate": day_before(12, today).isoformat()})
    replace(13, "committed", **delivered(day_before(13, today), 1200))
    items_changed(database, day_before(13, today), gone=2)
    batches.delete_one({"batchDate": day_before(15, today).isoformat()})
    database["exportlogs"].insert_one(
        {
            "action": "csv_generated",
            "message": "by the Node application",
            "performedBy": "system",
            "metadata": {"batchDate": day_before(15, today).isoformat(), "filename": "old.csv"},
            "createdAt": at(day_before(15, today)),
        }
    )
    batches.update_one(
        {"batchDate": day_before(20, today).isoformat()}, {"$set": {"state": "nonsense"}}
    )
    _abandon(database, day_before(4, today), "orphan-1", reason="unsealed", now=now)
    database["circuitbreakers"].insert_one(
        {
            "_id": "google_drive",
            "failures": 3,
            "openUntil": now + timedelta(minutes=9),
            "openedAt": now - timedelta(minutes=6),
            "trial": None,
            "updatedAt": now,
        }
    )
    database["exportqueues"].insert_one(books.queue_item(ObjectId(), exportPath="elsewhere"))


def audit(today: date = TODAY) -> dict[str, Any]:
    """What the audit stores with a day that was changed since."""
    return {
        "auditedAt": at(today, 6, 30),
        "findingCount": 2,
        "allFound": True,
        "findings": [
            {
                "kind": "file_renamed",
                "detail": "batch.csv is now named old.csv",
                "entryId": None,
                "row": None,
            },
            {
                "kind": "entry_changed",
                "detail": f"row 7: Description: the file says 'a', the entry gives '{HOSTILE}'",
                "entryId": "65a1f0c2e4b0a1a2b3c4d5e6",
                "row": 7,
            },
        ],
        "digest": DIGEST,
    }


TOO_MANY = (
    "12 of 20 entries would be rejected, which is more than 10000, or more than half of a day "
    "with more than 10; something is wrong where they come from. The first: entry S-1: debit "
    "0.01 is not credit 3,516.20"
)
NO_INDEX = (
    "no valid unique index idx_batch_daily_unique on exportlogs (one csv_generated record per "
    "profile and date): run `daybook migrate`"
)


def every_alert(database: Db, today: date) -> None:
    """Each alert about a state is current at once: of `daily`, and of a second profile `sales`.

    `today` is the day that was due last. `sales` has a failed day that can be run, and a
    rejected entry that is corrected by now.
    """
    now = datetime.now(UTC)
    usual_days(database, first=12, today=today)
    put_day = _putting(database, today)
    put_day(
        *(0, "open"),
        attempt=2,
        endedAttempt=2,
        attemptCount=2,
        error=_error("google_drive", "Drive files.create: answered 503 backendError", now),
        pendingTask={
            "kind": "retry",
            "generation": 1,
            "attempt": 3,
            "fence": 3,
            "after": "",
            "due": now + timedelta(minutes=6),
        },
        nextAttemptAt=now + timedelta(minutes=6),
    )
    put_day(1, "failed")
    # Nothing has called for day 2, and the call for day 3 was refused.
    file = {"filename": f"batch_{day_before(4, today)}.csv", "fileId": "1seen", "webViewLink": LINK}
    refusal = "E11000 duplicate key error collection: daybook.exportlogs index: by_another"
    put_day(4, "failed", unrecorded=file, error=_error("mongodb", refusal, now))
    put_day(5, "committed", audit=audit(today))
    put_day(6, "committed", markedAt=None)
    invalid = "Document failed validation: exportqueues, additionalProperties completedBy"
    put_day(7, "committed", markedAt=None, error=_error("mongodb", invalid, now))
    taken = f"batch_{day_before(8, today)}.csv exists already, and is another file"
    put_day(
        *(8, "committed"),
        markedAt=None,
        recordId=ObjectId(),
        hiddenAt="file:///delivered",
        error=_error("local_folder", taken, now),
    )
    put_day(9, "committed")
    items_changed(database, day_before(9, today), gone=1, elsewhere=2)
    put_day(10, "committed", **_rejecting(rejection(database, "RV-417", UNBALANCED)))
    put_day(11, "committed", startedAt="yesterday")
    for days, reason in ((12, "unsealed"), (13, "day_recorded_elsewhere")):
        _abandon(database, day_before(days, today), f"1{reason}", reason=reason, now=now)
    database["circuitbreakers"].insert_one(
        {
            "_id": "google_drive",
            "failures": 3,
            "trial": None,
            "updatedAt": now,
            "openedAt": now - timedelta(minutes=6),
            "openUntil": now + timedelta(minutes=9),
        }
    )
    database["exportslots"].insert_many(
        [
            {
                "_id": "daily",
                "fence": 3,
                "refused": {
                    "batchDate": day_before(3, today).isoformat(),
                    "type": "configuration",
                    "message": NO_INDEX,
                    "firstAt": now,
                    "lastAt": now,
                    "count": 2,
                    "alertedAt": now,
                },
            },
            {"_id": "sales", "fence": 3},
        ]
    )
    usual_days(database, profile="sales", first=3, today=today)
    error = _error("too_many_rejected", TOO_MANY, now)
    put(database, today, "failed", profile="sales", attempt=1, endedAttempt=1, error=error)
    corrected = _rejecting(rejection(database, "S-88", AS_TEXT, profile="sales"))
    before = day_before(1, today)
    put(database, before, "committed", profile="sales", **delivered(before, 900, **corrected))


def _putting(database: Db, today: date) -> Callable[..., ObjectId]:
    def put_day(days: int, state: str, **fields: Any) -> ObjectId:
        day = day_before(days, today)
        done = delivered(day, 1000 + days, **fields) if state == "committed" else fields
        return put(database, day, state, **done)

    return put_day


def _error(kind: str, message: str, at: datetime) -> dict[str, Any]:
    return {"type": kind, "message": message, "at": at}


def _rejecting(*listed: dict[str, Any]) -> dict[str, Any]:
    reasons = Counter(one["reason"] for one in listed)
    return {"rejectedCount": len(listed), "rejected": listed, "rejectedReasons": dict(reasons)}


def _abandon(database: Db, day: date, file_id: str, *, reason: str, now: datetime) -> None:
    """An ID under which a file may be that is not the day's."""
    seal = {"batchDate": day.isoformat(), "filename": f"batch_{day}.csv", "sizeBytes": 10}
    database["exportorphans"].insert_one(
        {
            "_id": file_id,
            "profile": "daily",
            "identity": "robot@example.com",
            "reason": reason,
            "seals": [{**seal, "md5": "cd" * 16, "sha256": DIGEST, "entryCount": 3}],
            "seenAt": None,
            "alertedAt": now,
            "watchUntil": now + timedelta(days=5),
            "createdAt": at(day),
            "updatedAt": now,
        }
    )


def items_changed(database: Db, day: date, *, gone: int = 0, elsewhere: int = 0) -> None:
    """The record of a delivered day during whose delivery others changed items of the queue."""
    database["exportlogs"].insert_one(
        {
            "queueId": None,
            "action": "csv_generated",
            "message": f"batch_{day}.csv: delivered",
            "performedBy": "system",
            "metadata": {
                "batchDate": day.isoformat(),
                "filename": f"batch_{day}.csv",
                "goneCount": gone,
                "goneItems": [ObjectId() for _ in range(gone)],
                "completedElsewhereCount": elsewhere,
                "completedElsewhereItems": [ObjectId() for _ in range(elsewhere)],
            },
            "createdAt": at(day),
        }
    )


def hold_slot(database: Db, *, days_before: int = 0) -> None:
    """A run is sending the file of that day."""
    day = day_before(days_before)
    database["exportbatches"].update_one(
        {"batchDate": day.isoformat()},
        {"$set": {"fence": 318, "pendingTask": None, "attempt": 2, "endedAttempt": 1}},
    )
    database["exportslots"].insert_one(
        {
            "_id": "daily",
            "fence": 318,
            "lease": {
                "owner": "run-1",
                "expiresAt": datetime.now(UTC) + timedelta(days=365),
            },
            "fileId": "id-today",
            "identity": "robot@example.com",
            "seals": [],
            "manifest": {
                "batchId": str(ObjectId()),
                "generation": 1,
                "fence": 318,
                "partCount": 1,
                "itemCount": 1200,
                "digest": DIGEST,
            },
            "upload": {
                "sessionUri": "https://upload.example/secret-session",
                "manifestDigest": DIGEST,
                "openedFence": 318,
                "filename": f"batch_{day.isoformat()}.csv",
                "prefixes": [{"sizeBytes": 4_404_019, "sha256": DIGEST}],
                "handedBack": False,
            },
        }
    )
