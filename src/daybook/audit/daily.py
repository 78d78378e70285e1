"""The daily audit: stores what it finds with each batch, and alerts the operator once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from daybook import log
from daybook.audit.audit import FILE_KINDS, AuditedDay, AuditFinding, audit
from daybook.destinations.base import Destination
from daybook.display import number
from daybook.errors import Interrupted
from daybook.export.batch import batches
from daybook.export.batch.batch import Batch
from daybook.export.model.notice import Alert, AlertEvent, Messenger
from daybook.export.model.profile import Profile

_TOLD = 5
"""Findings that an alert quotes."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One call of the audit."""

    profile: str
    days: tuple[AuditedDay, ...]
    remaining: int
    """Days left for another call, since this one had used up its time."""

    @property
    def status(self) -> str:
        if self.remaining:
            return "continued"
        return "differs" if any(day.differs for day in self.days) else "unchanged"

    def to_doc(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "profile": self.profile,
            "checkedCount": len(self.days),
            "remainingCount": self.remaining,
            "days": [day.to_doc() for day in self.days],
        }


def audit_daily(
    database: Database[dict[str, Any]],
    destination: Destination,
    profile: Profile,
    days: list[Batch],
    *,
    messenger: Messenger,
    now: Callable[[], datetime],
    check: Callable[[], None],
) -> Audit:
    """Audit the days, those first that were audited, or at least begun, longest ago.

    A day at which an invocation was killed, or its destination failed, so comes last in the next.
    Before each day but the first, `check` may raise `Interrupted`: then the rest remains.
    Raises `DestinationError`; what was found until then is stored.
    """
    waiting = sorted(days, key=_tried_at)
    begun = _begun(database, waiting, now)
    done: list[AuditedDay] = []
    for day in _until_interrupted(audit(database, destination, profile, begun, now=now), check):
        store(database, day, messenger)
        done.append(day)
    found = Audit(profile=profile.name, days=tuple(done), remaining=len(waiting) - len(done))
    log.event(
        logging.INFO,
        "audited",
        f"Audited: {number(len(done), 'delivered file')}; left: {found.remaining:,}.",
        profile=profile.name,
        status=found.status,
        checked_count=len(done),
        remaining_count=found.remaining,
    )
    return found


def audit_task_name(body: Mapping[str, Any], remaining: int) -> str:
    """The ID of the task for the rest of the days; the same call again gives the same."""
    stated = json.dumps({**body, "remaining": remaining}, sort_keys=True)
    return f"audit-{hashlib.sha256(stated.encode()).hexdigest()[:32]}"


def not_since(days: list[Batch], moment: datetime) -> list[Batch]:
    """The days that no call has audited since then."""
    return [day for day in days if _audited_at(day) < moment]


def _audited_at(batch: Batch) -> datetime:
    stored = batch.doc.get("audit")
    return _moment(stored.get("auditedAt") if isinstance(stored, dict) else None)


def _tried_at(batch: Batch) -> datetime:
    return max(_audited_at(batch), _moment(batch.doc.get("auditStartedAt")))


def _moment(stored: object) -> datetime:
    return stored if isinstance(stored, datetime) else _LONG_AGO


def _begun(
    database: Database[dict[str, Any]], days: list[Batch], now: Callable[[], datetime]
) -> Iterator[Batch]:
    """The days, each stored as begun before it is taken."""
    for batch in days:
        database[batches.COLLECTION].update_one(
            {"_id": batch.id}, {"$set": {"auditStartedAt": now()}}
        )
        yield batch


def _until_interrupted(
    days: Iterator[AuditedDay], check: Callable[[], None]
) -> Iterator[AuditedDay]:
    for day in days:
        yield day
        try:
            check()
        except Interrupted:
            return


def store(database: Database[dict[str, Any]], day: AuditedDay, messenger: Messenger | None) -> None:
    """Store the findings, and alert if they are not those of the last time.

    The digest is stored after the alert: after a crash in between, the alert is sent again.
    Without a `messenger` findings keep the last digest, so that the next audit with one alerts.
    """
    found = day.batch.doc.get("audit")
    stored = found if isinstance(found, dict) else {}
    digest = _digest(day.findings)
    if day.note is not None and stored.get("note") != day.note:
        log.event(
            logging.WARNING,
            "file_not_checked",
            f"{day.note}, since DAYBOOK_DESTINATION names another place now.",
            profile=day.batch.key.profile,
            batch_date=day.batch.key.batch_date,
            batch_id=str(day.batch.id),
        )
    if messenger is None:
        digest = str(stored.get("digest")) if day.findings else digest
    elif stored.get("digest") != digest:
        of_file = [finding for finding in day.findings if finding.kind in FILE_KINDS]
        of_entries = [finding for finding in day.findings if finding.kind not in FILE_KINDS]
        if of_file:
            messenger.alert(_alert(day, AlertEvent.FILE_CHANGED, logging.CRITICAL, of_file))
        if of_entries:
            messenger.alert(
                _alert(day, AlertEvent.ENTRIES_CHANGED_AFTER_EXPORT, logging.ERROR, of_entries)
            )
    doc = day.to_doc()
    database[batches.COLLECTION].update_one(
        {"_id": day.batch.id},
        {
            "$set": {
                "audit": {
                    name: doc[name]
                    for name in ("auditedAt", "findingCount", "allFound", "findings", "note")
                }
                | {"digest": digest, "fileVersion": day.file_version}
            }
        },
    )


def _alert(
    day: AuditedDay, event: AlertEvent, severity: int, findings: list[AuditFinding]
) -> Alert:
    doc = day.batch.doc
    return Alert(
        event=event,
        severity=severity,
        profile=day.batch.key.profile,
        batch_date=day.batch.key.batch_date,
        batch_id=str(day.batch.id),
        facts={
            "filename": doc["filename"],
            "file_id": doc["fileId"],
            "link": doc["webViewLink"],
            "finding_count": len(findings),
            "entry_count": len({f.entry_id for f in findings if f.entry_id is not None}),
            "cut_short": not day.complete,
            "findings": "; ".join(finding.detail for finding in findings[:_TOLD]),
        },
    )


def _digest(findings: tuple[AuditFinding, ...]) -> str:
    stated = json.dumps([finding.to_doc() for finding in findings], sort_keys=True)
    return hashlib.sha256(stated.encode()).hexdigest()
