"""Seals, and the decisions that depend on them.

A seal is the description of a file, stored before the request that can make it visible. Which seal
a file matches and where an upload may resume are pure decisions, separate from MongoDB and Drive,
so that a model can explore them under every interleaving of crashes and stale writers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from itertools import islice
from typing import Any

from daybook.destinations.base import DeliveredFile, NewFile
from daybook.display import number
from daybook.export.model.fields import Fields
from daybook.export.model.figures import CurrencyTotals, Figures
from daybook.export.model.profile import Profile, before_profiles

_BATCH_ID = re.compile(r"[0-9a-f]{24}")

_DESCRIBED = 10
FENCE_PROPERTY = "daybookFence"
DATE_PROPERTY = "daybookDate"


@dataclass(frozen=True, kw_only=True)
class ManifestRef:
    """A stored manifest: the batch it was planned for and the IDs of its parts."""

    batch_id: str
    """ID of the batch document, as hex."""
    generation: int
    fence: int
    """Fence of the run that planned it."""
    part_count: int
    item_count: int
    digest: str
    """SHA-256 over the digests of the parts, hex."""
    profile_digest: str | None = None
    """`Profile.digest` of the profile it was planned for; None in those of earlier versions."""

    def part_id(self, number: int) -> str:
        return f"{self.prefix}{number:06d}"

    @property
    def prefix(self) -> str:
        return f"{self.batch_id}:{self.generation}:{self.fence}:"

    def is_of(self, batch_id: str, generation: int) -> bool:
        return (self.batch_id, self.generation) == (batch_id, generation)

    def fits(self, profile: Profile) -> bool:
        """Whether it was planned for the profile as it is now."""
        if self.profile_digest is None:
            return profile == before_profiles(profile)
        return self.profile_digest == profile.digest

    def to_doc(self) -> dict[str, Any]:
        return {
            "batchId": self.batch_id,
            "generation": self.generation,
            "fence": self.fence,
            "partCount": self.part_count,
            "itemCount": self.item_count,
            "digest": self.digest,
            "profileDigest": self.profile_digest,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> ManifestRef:
        batch_id = fields.text("batchId")
        if not _BATCH_ID.fullmatch(batch_id):
            raise fields.damaged("batchId", "must be 24 hexadecimal digits")
        return cls(
            batch_id=batch_id,
            generation=fields.whole("generation"),
            fence=fields.whole("fence"),
            part_count=fields.whole("partCount"),
            item_count=fields.whole("itemCount"),
            digest=fields.text("digest"),
            profile_digest=fields.text_or_none("profileDigest"),
        )


@dataclass(frozen=True, kw_only=True)
class Content:
    """Size and digests of a file's bytes."""

    size_bytes: int
    md5: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Everything that a commit of the file will record."""

    batch_date: str | None
    """ISO date; None for a manual export."""
    filename: str
    manifest: ManifestRef
    content: Content
    figures: Figures
    opened_fence: int
    """Fence of the run that started the upload, as in the file's properties."""
    sealed_at: datetime
    attempt: int = 1
    rejected_id: str | None = None
    """ID of the parts in `exportmanifests` that list the rejected items."""
    manual_key: str | None = None
    """The key of a manual export; None for a day, and in seals of earlier versions."""

    @property
    def description(self) -> str:
        return description(self.figures.entry_count, self.figures.totals, self.content.sha256)

    def to_doc(self) -> dict[str, Any]:
        return {
            "batchDate": self.batch_date,
            "manualKey": self.manual_key,
            "filename": self.filename,
            "manifest": self.manifest.to_doc(),
            "sizeBytes": self.content.size_bytes,
            "md5": self.content.md5,
            "sha256": self.content.sha256,
            "openedFence": self.opened_fence,
            "sealedAt": self.sealed_at,
            "attempt": self.attempt,
            "rejectedId": self.rejected_id,
            **figures_to_doc(self.figures),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Seal:
        return cls(
            batch_date=fields.day("batchDate") if fields.has("batchDate") else None,
            filename=fields.text("filename"),
            manifest=ManifestRef.from_fields(fields.inner("manifest")),
            content=Content(
                size_bytes=fields.whole("sizeBytes"),
                md5=fields.text("md5"),
                sha256=fields.text("sha256"),
            ),
            figures=figures_from(fields),
            opened_fence=fields.whole("openedFence"),
            sealed_at=fields.time("sealedAt"),
            attempt=fields.whole("attempt"),
            rejected_id=fields.text_or_none("rejectedId"),
            manual_key=fields.text_or_none("manualKey"),
        )


def description(entry_count: int, totals: Mapping[str, CurrencyTotals], sha256: str) -> str:
    """Entries, totals and digest in one line, for a person who looks at the file's details.

    It is part of the request that creates the file, and Google publishes no limit for it, so it
    has the totals of `_DESCRIBED` currencies at most.
    """
    sums = "".join(
        f" {code}: debit {of.debit:f}, credit {of.credit:f}, amount {of.amount:f}."
        for code, of in islice(totals.items(), _DESCRIBED)
    )
    left = len(totals) - _DESCRIBED
    more = f" And {number(left, 'more currency', 'more currencies')}." if left > 0 else ""
    return f"{number(entry_count, 'entry', 'entries')}.{sums}{more} SHA-256 {sha256}"


def figures_to_doc(figures: Figures) -> dict[str, Any]:
    """The counts and totals, without the rejected items themselves."""
    return {
        "entryCount": figures.entry_count,
        "rowCount": figures.row_count,
        "rejectedCount": figures.rejected_count,
        "normalisedCount": figures.normalised_count,
        "otherMonthCount": figures.other_month_count,
        "otherMonths": dict(figures.other_months),
        "noCurrencyCount": figures.no_currency_count,
        "totals": {code: totals.to_doc() for code, totals in figures.totals.items()},
    }


def figures_from(fields: Fields) -> Figures:
    return Figures(
        entry_count=fields.whole("entryCount"),
        row_count=fields.whole("rowCount"),
        normalised_count=fields.whole("normalisedCount"),
        other_month_count=fields.whole("otherMonthCount"),
        other_months=months_from(fields),
        no_currency_count=fields.whole("noCurrencyCount", 0),
        totals=totals_from(fields),
        rejected_count=fields.whole("rejectedCount"),
    )


def months_from(fields: Fields) -> dict[str, int]:
    """How many entries are dated in which other month; empty in what earlier versions stored."""
    months = fields.inner_or_none("otherMonths")
    if months is None:
        return {}
    return {name: months.whole(name) for name in fields.names("otherMonths")}


def totals_from(fields: Fields) -> dict[str, CurrencyTotals]:
    """The totals by currency."""
    totals = fields.inner("totals")
    return {code: _of_currency(totals.inner(code)) for code in fields.names("totals")}


def _of_currency(sums: Fields) -> CurrencyTotals:
    return CurrencyTotals(
        debit=sums.decimal("debit"), credit=sums.decimal("credit"), amount=sums.decimal("amount")
    )


class SettlementAction(Enum):
    CONTINUE = auto()  # no file exists under the ID; keep the ID
    COMMIT = auto()  # the file matches a seal: commit it with that seal's figures
    TAMPERED = auto()  # a file that matches no seal: alert, and abandon the ID
    UNCLEAR = auto()  # its bytes match seals of several days: a person has to decide


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What to do about the slot's ID; `seal` is set with `SettlementAction.COMMIT`."""

    action: SettlementAction
    seal: Seal | None = None


def settlement_of(seals: Sequence[Seal], file: DeliveredFile | None) -> Settlement:
    """Decide from the stored seals and the file that the destination shows under the ID.

    Two days may seal the same bytes (a day that failed, then the next one, which takes over
    its entries). Which of them the file belongs to:

    - Its properties say so, if they are visible. They are set with the first request, and only
      the application that wrote them can change them, so they count even when the file was
      renamed.
    - Drive hides them from all other applications. Then the name decides, since it contains the
      date.
    - If a file whose properties are hidden was renamed, all seals of its bytes must have the
      same name.
    """
    if file is None:
        return Settlement(action=SettlementAction.CONTINUE)
    same = [seal for seal in seals if _same_content(seal, file)]
    if FENCE_PROPERTY in file.properties:
        same = [seal for seal in same if seal.batch_date == file.properties.get(DATE_PROPERTY)]
        fence = file.properties[FENCE_PROPERTY]
        same = [seal for seal in same if str(seal.opened_fence) == fence] or same
    else:
        same = [seal for seal in same if seal.filename == file.name] or same
    if not same:
        return Settlement(action=SettlementAction.TAMPERED)
    if len({seal.filename for seal in same}) > 1:
        return Settlement(action=SettlementAction.UNCLEAR)
    return Settlement(action=SettlementAction.COMMIT, seal=same[-1])


def is_as_sent(file: DeliveredFile | None, sent: NewFile, seal: Seal) -> bool:
    """Whether the response to the request that created a file describes it exactly as sealed.

    If it does, the ID need not be looked up. The file cannot have been renamed yet, and its
    properties are visible to the application that wrote them, so each of them has to agree.
    """
    return (
        file is not None
        and (file.id, file.name) == (sent.id, seal.filename)
        and file.properties == {**sent.properties, FENCE_PROPERTY: str(seal.opened_fence)}
        and _same_content(seal, file)
    )


def _same_content(seal: Seal, file: DeliveredFile) -> bool:
    return (
        seal.content.size_bytes == file.size_bytes
        and seal.content.md5 == file.md5
        and file.sha256 in (None, seal.content.sha256)
    )


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The start of a file up to the end of an acknowledged chunk."""

    size_bytes: int
    sha256: str


def resume_at(prefixes: Sequence[Prefix], held_bytes: int) -> Prefix | None:
    """Where a session that was handed back may be resumed, or None for a new session.

    Only at a boundary whose digest was stored: bytes that cannot be checked are never built
    upon.
    """
    if held_bytes == 0:
        return Prefix(size_bytes=0, sha256="")
    boundaries = (prefix for prefix in reversed(prefixes) if prefix.size_bytes == held_bytes)
    return next(boundaries, None)
