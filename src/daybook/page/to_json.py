"""The page's data as JSON: the same as people see, under the names that the API uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybook.export.operations.corrections import StillRejected
from daybook.page.attention import AttentionItem
from daybook.page.day import DayPage
from daybook.page.days import CalendarDay
from daybook.page.headline import Headline
from daybook.page.overview import Overview
from daybook.page.recorded import RecordedDay
from daybook.page.slots import Working


def overview_to_doc(found: Overview, top: Headline) -> dict[str, Any]:
    return {
        "now": found.now,
        "summary": top.text,
        "level": top.level.value,
        "profiles": [
            {
                "profile": verdict.profile,
                "state": verdict.state.value,
                "batchDate": None if verdict.cell is None else verdict.cell.day,
                "lastDone": verdict.last_good,
                "nextSlot": verdict.next_slot,
                "days": [cell_to_doc(cell) for cell in found.calendars[verdict.profile]],
            }
            for verdict in found.verdicts
        ],
        "attention": [item_to_doc(item) for item in found.items],
        "running": [working_to_doc(work) for work in found.working],
        "rejected": rejected_to_docs(found.rejected),
        "unclaimed": {reason.value: count for reason, count in found.unclaimed.items()},
        "damaged": list(found.damaged),
        "breakers": [
            {
                "destination": circuit.destination,
                "position": circuit.state.value,
                "failures": circuit.failures,
                "openUntil": circuit.open_until,
            }
            for circuit in found.circuits
        ],
        "medians": {
            "entryCount": found.chart.entries_median,
            "durationSeconds": found.chart.seconds_median,
        },
        "fewEntries": [point.day for point in found.chart.points if point.few],
        "mongodb": found.mongodb,
    }


def cell_to_doc(cell: CalendarDay) -> dict[str, Any]:
    record = cell.record
    return {
        "batchDate": cell.day,
        "state": cell.state.value,
        "due": cell.due,
        **record_to_doc(record),
    }


def record_to_doc(record: RecordedDay | None) -> dict[str, Any]:
    """Every field is there, null without a batch."""
    if record is None:
        return dict.fromkeys(_OF_RECORD)
    values = (
        record.batch_id,
        record.attempt,
        record.entry_count,
        record.row_count,
        record.rejected_count,
        {sums.currency: f"{sums.amount:f}" for sums in record.money},
        record.filename,
        record.link,
        record.sha256,
        record.started_at,
        record.done_at,
        record.seconds,
        record.follow_up_due,
        record.error_type,
        record.error,
        record.change_count,
        record.audited_at,
    )
    return dict(zip(_OF_RECORD, values, strict=True))


_OF_RECORD = (
    *("batchId", "attempt", "entryCount", "rowCount", "rejectedCount", "amounts", "filename"),
    *("webViewLink", "sha256", "startedAt", "committedAt", "durationSeconds", "nextAttemptAt"),
    *("errorType", "error", "changeCount", "auditedAt"),
)


def item_to_doc(item: AttentionItem) -> dict[str, Any]:
    return {
        "event": item.alert.event.value,
        "profile": item.alert.profile,
        "batchDate": item.alert.batch_date,
        "facts": dict(item.alert.facts),
    }


def working_to_doc(work: Working) -> dict[str, Any]:
    return {
        "slot": work.slot,
        "fence": work.fence,
        "leaseOwner": work.owner,
        "leaseExpiresAt": work.expires_at,
        "plannedItems": work.planned_items,
        "sentBytes": work.sent_bytes,
        "sealedBytes": work.sealed_bytes,
    }


def rejected_to_docs(entries: Sequence[StillRejected]) -> list[dict[str, Any]]:
    return [
        {
            "profile": entry.profile,
            "batchDate": entry.day,
            "entryId": entry.entry_id,
            "reference": entry.reference,
            "waiting": entry.waiting,
            "faultCount": entry.fault_count,
            "faults": [fault.to_doc() for fault in entry.faults],
        }
        for entry in entries
    ]


def day_to_doc(found: DayPage) -> dict[str, Any]:
    record = found.cell.record
    return {
        "profile": found.profile,
        **cell_to_doc(found.cell),
        "attention": [item_to_doc(item) for item in found.items],
        "running": None if found.working is None else working_to_doc(found.working),
        "rejected": rejected_to_docs(found.rejected),
        "changes": [
            {
                "kind": change.kind,
                "detail": change.detail,
                "entryId": change.entry_id,
                "row": change.row,
            }
            for change in (() if record is None else record.changes)
        ],
        "allFound": record is None or record.all_changes,
        "attempts": [one.to_doc() for one in found.attempts],
        "records": [
            {
                "action": one.action,
                "message": one.message,
                "performedBy": one.performed_by,
                "at": one.at,
            }
            for one in found.records
        ],
        "waiting": found.waiting,
        "actions": list(found.offered),
        "damaged": found.damaged,
    }
