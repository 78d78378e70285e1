"""What the status page answers as JSON, as JSON Schemas."""

from __future__ import annotations

from daybook.export.batch.attempts import AttemptOutcome
from daybook.export.batch.export_log import LogAction
from daybook.export.model.figures import RejectionReason
from daybook.export.model.notice import AlertEvent
from daybook.export.queue.waiting import Unclaimed
from daybook.export.upload.breaker import BreakerState
from daybook.http.answers import AMOUNT, SECONDS, SHA256
from daybook.http.schema import (
    COUNT,
    DAY,
    TEXT,
    TIME,
    TRUTH,
    Schema,
    counted,
    listed,
    one_of,
    or_null,
    record,
)
from daybook.page.days import DayState
from daybook.page.headline import Level

_STATE = one_of(list(DayState))
_RECORD: dict[str, Schema] = {
    "batchId": TEXT,
    "attempt": COUNT,
    "entryCount": COUNT,
    "rowCount": COUNT,
    "rejectedCount": COUNT,
    "amounts": {"type": "object", "additionalProperties": AMOUNT},
    "filename": TEXT,
    "webViewLink": TEXT,
    "sha256": SHA256,
    "startedAt": TIME,
    "committedAt": TIME,
    "durationSeconds": SECONDS,
    "nextAttemptAt": TIME,
    "errorType": TEXT,
    "error": TEXT,
    "changeCount": COUNT,
    "auditedAt": TIME,
}
CELL = record(
    {
        "batchDate": DAY,
        "state": _STATE,
        "due": or_null(TIME),
        **{name: or_null(schema) for name, schema in _RECORD.items()},
    }
)
WORKING = record(
    {
        "slot": TEXT,
        "fence": COUNT,
        "leaseOwner": TEXT,
        "leaseExpiresAt": TIME,
        "plannedItems": or_null(COUNT),
        "sentBytes": or_null(COUNT),
        "sealedBytes": or_null(COUNT),
    }
)
REJECTED = record(
    {
        "profile": TEXT,
        "batchDate": DAY,
        "entryId": TEXT,
        "reference": or_null(TEXT),
        "waiting": TRUTH,
        "faultCount": COUNT,
        "faults": listed(
            record(
                {
                    "reason": one_of(list(RejectionReason)),
                    "line": or_null(COUNT),
                    "field": or_null(TEXT),
                    "value": TEXT,
                    "detail": TEXT,
                }
            )
        ),
    }
)
ATTENTION = record(
    {
        "event": one_of(list(AlertEvent)),
        "profile": TEXT,
        "batchDate": or_null(DAY),
        "facts": {"type": "object"},
    }
)
OVERVIEW = record(
    {
        "now": TIME,
        "summary": TEXT,
        "level": one_of(list(Level)),
        "profiles": listed(
            record(
                {
                    "profile": TEXT,
                    "state": _STATE,
                    "batchDate": or_null(DAY),
                    "lastDone": or_null(DAY),
                    "nextSlot": TIME,
                    "days": listed(CELL),
                }
            )
        ),
        "attention": listed(ATTENTION),
        "running": listed(WORKING),
        "rejected": listed(REJECTED),
        "unclaimed": counted(list(Unclaimed)),
        "damaged": listed(TEXT),
        "breakers": listed(
            record(
                {
                    "destination": TEXT,
                    "position": one_of(list(BreakerState)),
                    "failures": COUNT,
                    "openUntil": or_null(TIME),
                }
            )
        ),
        "medians": record(
            {
                "entryCount": or_null({"type": "number", "minimum": 0}),
                "durationSeconds": or_null({"type": "number", "minimum": 0}),
            }
        ),
        "fewEntries": listed(DAY),
        "mongodb": TEXT,
    }
)


DAY_PAGE = record(
    {
        "profile": TEXT,
        **CELL["properties"],
        "attention": listed(ATTENTION),
        "running": or_null(WORKING),
        "rejected": listed(REJECTED),
        "changes": listed(
            record({"kind": TEXT, "detail": TEXT, "entryId": or_null(TEXT), "row": or_null(COUNT)})
        ),
        "allFound": TRUTH,
        "attempts": listed(
            record(
                {
                    "generation": COUNT,
                    "attempt": COUNT,
                    "startedAt": or_null(TIME),
                    "endedAt": or_null(TIME),
                    "outcome": or_null(one_of(list(AttemptOutcome))),
                    "error": or_null(record({"type": TEXT, "message": TEXT})),
                    "nextAttemptAt": or_null(TIME),
                }
            )
        ),
        "records": listed(
            record({"action": TEXT, "message": TEXT, "performedBy": TEXT, "at": or_null(TIME)})
        ),
        "waiting": or_null(COUNT),
        "actions": listed(TEXT),
        "damaged": or_null(TEXT),
    }
)

_LINEAGE: dict[str, Schema] = {
    "entryId": TEXT,
    "exists": TRUTH,
    "reference": or_null(TEXT),
    "items": listed(
        record(
            {
                "queueId": TEXT,
                "exportPath": or_null(TEXT),
                "status": or_null(TEXT),
                "reason": or_null(TEXT),
                "unclaimed": or_null(one_of(list(Unclaimed))),
            }
        )
    ),
    "files": listed(
        record(
            {
                "profile": TEXT,
                "batchId": TEXT,
                "batchDate": or_null(DAY),
                "filename": TEXT,
                "fileId": TEXT,
                "webViewLink": TEXT,
                "committedAt": TIME,
                "firstRow": COUNT,
                "lastRow": COUNT,
                "certain": TRUTH,
            }
        )
    ),
    "events": listed(
        record(
            {
                "action": one_of(list(LogAction)),
                "at": or_null(TIME),
                "batchDate": or_null(TEXT),
                "detail": TEXT,
            }
        )
    ),
}
ENTRY_PAGE = record({**_LINEAGE, "others": listed(record(_LINEAGE))})
