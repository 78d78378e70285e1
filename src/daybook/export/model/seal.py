"""Seals: the description of a file, stored before the request that can make it visible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from daybook.export.model.fields import Fields
from daybook.export.model.figures import CurrencyTotals, Figures
from daybook.export.model.profile import Profile, before_profiles
from daybook.text.display import number

_BATCH_ID = re.compile(r"[0-9a-f]{24}")


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


_DESCRIBED = 10


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
