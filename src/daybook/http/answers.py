"""What the export answers, as JSON Schemas. Fields may be added; none is renamed or removed."""

from __future__ import annotations

from daybook.audit.audit import AuditKind
from daybook.audit.difference import VerifyKind
from daybook.audit.verify import RECORDED
from daybook.export.model.figures import Corrector, RejectionReason
from daybook.export.model.lifecycle import BatchState
from daybook.export.outcome import FACTS, Status
from daybook.export.queue.waiting import Unclaimed
from daybook.http.schema import (
    ADDRESS,
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
from daybook.mongo.objects import ObjectKind
from daybook.ops.watchdog import WatchStatus

AMOUNT: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
TOTALS: Schema = {
    "type": "object",
    "description": "Currency → control totals.",
    "additionalProperties": record({"debit": AMOUNT, "credit": AMOUNT, "amount": AMOUNT}),
}
MONTHS: Schema = {
    "type": "object",
    "description": "Month → entries dated in it, the most frequent ones.",
    "propertyNames": {"pattern": "^[0-9]{4}-[0-9]{2}$"},
    "additionalProperties": COUNT,
}
SECONDS: Schema = {"type": "number", "minimum": 0}
MD5: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ANYTHING: Schema = {}

_FACTS = {
    "filename": TEXT,
    "fileId": TEXT,
    "webViewLink": ADDRESS,
    "entryCount": COUNT,
    "rowCount": COUNT,
    "rejectedCount": COUNT,
    "normalisedCount": COUNT,
    "otherMonthCount": COUNT,
    "otherMonths": MONTHS,
    "noCurrencyCount": COUNT,
    "totals": TOTALS,
    "md5": MD5,
    "sha256": SHA256,
    "sizeBytes": COUNT,
}
FACTS_OR_NULL = {name: or_null(_FACTS[name]) for name in FACTS}

ERROR = record({"type": TEXT, "message": TEXT})

REJECTED = record(
    {
        "queueId": or_null(TEXT),
        "entryId": TEXT,
        "reference": or_null(TEXT),
        "reason": one_of(list(RejectionReason)),
        "detail": TEXT,
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
        "faultCount": COUNT,
        "correctedBy": listed(one_of(list(Corrector))),
    }
)

RUN = record(
    {
        "status": one_of(list(Status)),
        "profile": TEXT,
        "batchDate": or_null(DAY),
        "batchId": or_null(TEXT),
        "attempt": or_null(COUNT),
        **FACTS_OR_NULL,
        "durationSeconds": SECONDS,
        "rejected": listed(REJECTED),
        "error": ERROR,
        "nextAttemptAt": TIME,
    },
    optional={"rejected", "error", "nextAttemptAt"},
)

FANNED_OUT = record(
    {
        "status": one_of(["fanned_out"]),
        "profiles": listed(TEXT),
        "answers": listed({"type": "object"}),
        "missing": listed(TEXT),
        "error": ERROR,
    },
    optional={"answers", "missing", "error"},
)

REFUSED = record({"type": TEXT, "message": TEXT, "firstAt": TIME, "lastAt": TIME, "count": COUNT})

BATCH = record(
    {
        "batchDate": or_null(DAY),
        "batchId": TEXT,
        "state": one_of(list(BatchState)),
        "nextAttemptAt": or_null(TIME),
        "generation": or_null(COUNT),
        "attempt": or_null(COUNT),
        **FACTS_OR_NULL,
        "error": or_null(record({"type": TEXT, "message": TEXT, "at": TIME})),
        "createdAt": or_null(TIME),
        "startedAt": or_null(TIME),
        "committedAt": or_null(TIME),
        "markedAt": or_null(TIME),
        "recordedElsewhere": or_null(TRUTH),
        "releasedAt": or_null(TIME),
    }
)

RELEASED = {
    **BATCH,
    "properties": {"status": one_of(["released"]), **BATCH["properties"]},
    "required": ["status", *BATCH["required"]],
}

WATCH = record(
    {
        "status": one_of(list(WatchStatus)),
        "profile": TEXT,
        "batchDate": DAY,
        "due": TIME,
        "state": or_null(one_of(list(BatchState))),
        "nextAttemptAt": or_null(TIME),
        "leaseExpiresAt": or_null(TIME),
        "unclaimed": counted(list(Unclaimed)),
        "refused": or_null(REFUSED),
    }
)

SWEPT = record(
    {
        "status": one_of(["swept", "in_progress"]),
        "slots": listed(
            record(
                {
                    "slot": TEXT,
                    "inProgress": TRUTH,
                    "circuitOpen": TRUTH,
                    "settled": COUNT,
                    "marked": COUNT,
                    "partsDeleted": COUNT,
                }
            )
        ),
        "orphans": record({"watched": COUNT, "unreachable": COUNT, "seen": listed(TEXT)}),
    }
)

REQUEUED = record(
    {
        "status": one_of(["requeued"]),
        "queueId": TEXT,
        "entryId": TEXT,
        "reference": or_null(TEXT),
        "reason": or_null(TEXT),
    }
)

VERIFIED = record(
    {
        "status": one_of(["verified", "differs", "empty"]),
        "profile": TEXT,
        "batchDate": or_null(DAY),
        "batchId": TEXT,
        **{name: FACTS_OR_NULL[name] for name in RECORDED},
        "differenceCount": COUNT,
        "differences": listed(
            record(
                {
                    "kind": one_of(list(VerifyKind)),
                    "detail": TEXT,
                    "entryId": ANYTHING,
                    "row": or_null(COUNT),
                }
            )
        ),
        "notes": listed(TEXT),
    }
)

AUDITED = record(
    {
        "status": one_of(["unchanged", "differs", "continued"]),
        "profile": TEXT,
        "checkedCount": COUNT,
        "remainingCount": COUNT,
        "days": listed(
            record(
                {
                    "status": one_of(["unchanged", "differs", "not_checked"]),
                    "profile": TEXT,
                    "batchDate": DAY,
                    "batchId": TEXT,
                    "filename": TEXT,
                    "fileId": TEXT,
                    "webViewLink": ADDRESS,
                    "auditedAt": TIME,
                    "findingCount": COUNT,
                    "allFound": TRUTH,
                    "note": or_null(TEXT),
                    "findings": listed(
                        record(
                            {
                                "kind": one_of(list(AuditKind)),
                                "detail": TEXT,
                                "entryId": or_null(TEXT),
                                "row": or_null(COUNT),
                            }
                        )
                    ),
                }
            )
        ),
    }
)

EXAMINED = record(
    {
        "status": one_of(["ok", "not_ok"]),
        "findings": listed(
            record(
                {"name": TEXT, "ok": TRUTH, "detail": TEXT, "warning": {"const": True}},
                optional={"warning"},
            )
        ),
    }
)

MIGRATED = record(
    {
        "database": TEXT,
        "migrations": listed(record({"version": COUNT, "name": TEXT, "changed": TRUTH})),
        "obstacles": listed(
            record({"collection": TEXT, "kind": one_of(list(ObjectKind)), "detail": TEXT})
        ),
    }
)

HEALTH = record(
    {
        "status": one_of(["ok", "degraded"]),
        "timestamp": TIME,
        "database": record(
            {
                "status": one_of(["connected", "disconnected"]),
                "readyState": {"type": "integer", "enum": [0, 1]},
            }
        ),
    }
)

SCHEDULE_HEALTH = record(
    {
        "status": one_of(["healthy", "unhealthy"]),
        "lastRun": or_null(TIME),
        "hoursSinceLastRun": or_null({"type": "number", "minimum": 0}),
        "nextRun": TIME,
        "unhealthy": listed(TEXT),
    },
    optional={"unhealthy"},
)

METRICS: Schema = {"type": "string", "description": "Prometheus' text format."}

DESCRIPTION: Schema = {"type": "object", "required": ["openapi", "info", "paths"]}
