"""The production code's own rules, asked with real seals and files made from the model's."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from functools import cache

from daybook.destinations.base import DeliveredFile, NewFile
from daybook.export.model import seal
from daybook.export.model.figures import Figures
from daybook.export.model.seal import Content as RealContent
from daybook.export.model.seal import ManifestRef, Seal, settlement_of

from .world import Content, File, Manifest, SealKey


@cache
def settle(
    seals: tuple[SealKey, ...], file: File | None, by_bytes: bool, *, private: bool = False
) -> tuple[seal.SettlementAction, SealKey | None]:
    """`settlement_of`; `private` hides the file's properties from it.

    `by_bytes` breaks the rule: the file then passes for the last seal of its bytes.
    """
    if by_bytes and file is not None:
        alike = [key for key in seals if key.content == file.content]
        file = file._replace(day=alike[-1].day, fence=alike[-1].opened_fence) if alike else file
    delivered = None if file is None else _delivered(file, private)
    settled = settlement_of([_seal(key) for key in seals], delivered)
    return settled.action, _key_of(seals, settled.seal)


@cache
def is_as_sent(key: SealKey, file: File | None, *, private: bool) -> bool:
    """`seal.is_as_sent`, for a file that was made by the request that the seal describes."""
    sent = NewFile(
        id="id", name=_filename(key.day), properties={seal.DATE_PROPERTY: _date(key.day)}
    )
    delivered = None if file is None else _delivered(file, private)
    return seal.is_as_sent(delivered, sent, _seal(key))


@cache
def resume_at(prefixes: tuple[Content, ...], held: int) -> tuple[int, str] | None:
    """`rules.resume_at`: the size and digest to go on from, or None."""
    stored = [seal.Prefix(size_bytes=len(prefix), sha256=sha256(prefix)) for prefix in prefixes]
    found = seal.resume_at(stored, held)
    return None if found is None else (found.size_bytes, found.sha256)


@cache
def sha256(content: Content) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest() if content else ""


def _key_of(seals: tuple[SealKey, ...], seal: Seal | None) -> SealKey | None:
    return next((key for key in seals if _seal(key) is seal), None)


@cache
def _seal(key: SealKey) -> Seal:
    return Seal(
        batch_date=_date(key.day),
        filename=_filename(key.day),
        manifest=_manifest_ref(key.manifest),
        content=_content(key.content),
        figures=Figures(
            entry_count=len(key.content) - 1,
            row_count=len(key.content) - 1,
            normalised_count=0,
            other_month_count=0,
            totals={},
            rejected_count=len(key.rejected),
        ),
        opened_fence=key.opened_fence,
        sealed_at=datetime(2026, 1, 18, 11, tzinfo=UTC),
    )


@cache
def _delivered(file: File, private: bool) -> DeliveredFile:
    content = _content(file.content)
    properties = {
        seal.FENCE_PROPERTY: str(file.fence),
        seal.DATE_PROPERTY: _date(file.day),
    }
    return DeliveredFile(
        id="id",
        name=_filename(file.day),
        size_bytes=content.size_bytes,
        md5=content.md5,
        sha256=content.sha256,
        link="",
        properties={} if private else properties,
    )


def _content(content: Content) -> RealContent:
    digest = sha256(content)
    return RealContent(size_bytes=len(content), md5=digest[:32], sha256=digest)


def _manifest_ref(manifest: Manifest) -> ManifestRef:
    return ManifestRef(
        batch_id=f"{manifest.day:024x}",
        generation=0,
        fence=manifest.fence,
        part_count=1,
        item_count=len(manifest.items),
        digest=hashlib.sha256(repr(manifest.items).encode()).hexdigest(),
    )


def _date(day: int) -> str:
    return (date(2026, 1, 18) + timedelta(days=day)).isoformat()


def _filename(day: int) -> str:
    return f"batch_{_date(day)}.csv"
