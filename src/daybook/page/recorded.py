"""A day as stored in `exportbatches`, as far as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

from daybook.export.batch.batch import COLLECTION, has_ended
from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.seal import totals_from
from daybook.export.rendering.entry_id import displayed

FIELDS = (
    *("profile", "batchDate", "state", "generation", "attempt", "attemptCount"),
    *("fence", "entryCount", "rowCount", "rejectedCount", "totals", "filename", "fileId"),
    *("webViewLink", "sha256", "startedAt", "committedAt", "markedAt", "releasedAt"),
    *("pendingTask.due", "pendingTask.kind", "error.type", "error.message", "errorCounts"),
    *("recordedElsewhere", "hiddenAt", "rejectedManifest.batchId"),
    *("unrecorded.filename", "unrecorded.fileId", "unrecorded.webViewLink"),
    *("audit.auditedAt", "audit.findingCount", "audit.allFound", "audit.findings"),
)
"""The fields of a batch that `RecordedDay.from_doc` reads."""


@dataclass(frozen=True, kw_only=True)
class Money:
    """A file's control total in one currency."""

    currency: str
    amount: Decimal
    """The debits, or the amounts of entries without lines."""
    difference: Decimal
    """Debits minus credits: 0 unless the record was altered."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One finding of the audit."""

    kind: str
    """An `AuditKind`, or the word of another version."""
    detail: str
    entry_id: str | None
    row: int | None


@dataclass(frozen=True, kw_only=True)
class UnrecordedFile:
    filename: str
    file_id: str
    link: str | None


@dataclass(frozen=True, kw_only=True)
class RecordedDay:
    """A day as stored in `exportbatches`, as far as the page shows it."""

    profile: str
    day: date
    batch_id: str
    state: BatchState
    generation: int
    attempt: int
    attempt_count: int
    """Attempts of all generations."""
    fence: int
    entry_count: int | None
    row_count: int | None
    rejected_count: int
    money: tuple[Money, ...]
    filename: str | None
    file_id: str | None
    link: str | None
    sha256: str | None
    started_at: datetime | None
    done_at: datetime | None
    released_at: datetime | None
    unmarked: bool
    """Delivered, but not all items are marked; `published` says whether the file has its name."""
    published: bool
    follow_up_due: datetime | None
    follow_up: str | None
    """`TaskKind` of the call that is due."""
    error_type: str | None
    error: str | None
    error_counts: Mapping[str, int]
    unrecorded: UnrecordedFile | None
    """A file that is visible at the destination, and that MongoDB refuses to record."""
    elsewhere: bool
    audited_at: datetime | None
    change_count: int
    """How many changes the last audit found."""
    changes: tuple[Change, ...]
    """All of them if `all_changes`, otherwise the first ones."""
    all_changes: bool

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`."""
        fields = Fields.of(doc, COLLECTION)
        state = fields.one_of("state", BatchState)
        task = None if has_ended(doc) else fields.inner_or_none("pendingTask")
        error, audit = fields.inner_or_none("error"), fields.inner_or_none("audit")
        unmarked = fields.time_or_none("markedAt") is None and (
            state is BatchState.COMMITTED
            or (state is BatchState.EMPTY and fields.has("rejectedManifest"))
        )
        return cls(
            profile=fields.text("profile"),
            day=date.fromisoformat(fields.day("batchDate")),
            batch_id=str(doc["_id"]),
            state=state,
            generation=fields.whole("generation", 1),
            attempt=fields.whole("attempt", 0),
            attempt_count=fields.whole("attemptCount", 0),
            fence=fields.whole("fence", 0),
            entry_count=fields.whole("entryCount") if fields.has("entryCount") else None,
            row_count=fields.whole("rowCount") if fields.has("rowCount") else None,
            rejected_count=fields.whole("rejectedCount", 0),
            money=_money(fields) if state is BatchState.COMMITTED else (),
            filename=fields.text_or_none("filename"),
            file_id=fields.text_or_none("fileId"),
            link=fields.text_or_none("webViewLink"),
            sha256=fields.text_or_none("sha256"),
            started_at=fields.time_or_none("startedAt"),
            done_at=fields.time_or_none("committedAt"),
            released_at=fields.time_or_none("releasedAt"),
            unmarked=unmarked,
            published=not fields.has("hiddenAt"),
            follow_up_due=None if task is None else task.time_or_none("due"),
            follow_up=None if task is None else task.text_or_none("kind"),
            error_type=None if error is None else error.text_or_none("type"),
            error=None if error is None else error.text_or_none("message"),
            error_counts=_counts(fields),
            unrecorded=None if state is BatchState.COMMITTED else _unrecorded(fields),
            elsewhere=fields.has("recordedElsewhere"),
            audited_at=None if audit is None else audit.time_or_none("auditedAt"),
            change_count=0 if audit is None else audit.whole("findingCount", 0),
            changes=_changes(doc.get("audit")),
            all_changes=(doc.get("audit") or {}).get("allFound") is not False,
        )

    @property
    def seconds(self) -> float | None:
        """From the start of the last attempt to the end; None when it is not known."""
        if self.started_at is None or self.done_at is None:
            return None
        return max(0.0, (self.done_at - self.started_at).total_seconds())


def _unrecorded(fields: Fields) -> UnrecordedFile | None:
    file = fields.inner_or_none("unrecorded")
    if file is None:
        return None
    return UnrecordedFile(
        filename=file.text("filename"),
        file_id=file.text("fileId"),
        link=file.text_or_none("webViewLink"),
    )


def _changes(audit: Any) -> tuple[Change, ...]:
    findings = audit.get("findings") if isinstance(audit, Mapping) else None
    return tuple(
        Change(
            kind=_text(one.get("kind")) or "",
            detail=_text(one.get("detail")) or "",
            entry_id=_text(one.get("entryId")),
            row=one["row"] if isinstance(one.get("row"), int) else None,
        )
        for one in (findings if isinstance(findings, list) else ())
        if isinstance(one, Mapping)
    )


def _text(value: Any) -> str | None:
    return None if value is None else displayed(value)


def _money(fields: Fields) -> tuple[Money, ...]:
    if not fields.has("totals"):
        return ()
    return tuple(
        Money(
            currency=currency,
            amount=sums.debit or sums.credit or sums.amount,
            difference=sums.debit - sums.credit,
        )
        for currency, sums in sorted(totals_from(fields).items())
    )


def _counts(fields: Fields) -> Mapping[str, int]:
    if not fields.has("errorCounts"):
        return {}
    counts = fields.inner("errorCounts")
    return {name: counts.whole(name) for name in fields.names("errorCounts")}
