"""What a slot holds, as its document says under the fence that was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from daybook.export.rules import Prefix
from daybook.export.seal import ManifestRef, Seal


@dataclass(frozen=True, kw_only=True)
class UploadState:
    """An upload session that this run opened, or was handed by the run before."""

    session: str
    manifest_digest: str
    opened_fence: int
    filename: str
    prefixes: tuple[Prefix, ...] = ()

    def to_doc(self) -> dict[str, Any]:
        return {
            "sessionUri": self.session,
            "manifestDigest": self.manifest_digest,
            "openedFence": self.opened_fence,
            "filename": self.filename,
            "prefixes": [{"sizeBytes": p.size_bytes, "sha256": p.sha256} for p in self.prefixes],
            "handedBack": False,
        }

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        return cls(
            session=doc["sessionUri"],
            manifest_digest=doc["manifestDigest"],
            opened_fence=doc["openedFence"],
            filename=doc["filename"],
            prefixes=tuple(
                Prefix(size_bytes=p["sizeBytes"], sha256=p["sha256"]) for p in doc["prefixes"]
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """How often, and by the server's clock from when to when, an id was refused unseen."""

    count: int
    first_at: datetime
    last_at: datetime

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        return cls(count=doc["count"], first_at=doc["firstAt"], last_at=doc["lastAt"])


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """The slot as it stands under the fence that was taken."""

    fence: int
    file_id: str | None
    identity: str | None
    """Whom the id was issued to."""
    refusal: Refusal | None
    """Set once the destination called the id taken while it showed no file there."""
    seals: tuple[Seal, ...]
    upload: UploadState | None
    manifest: ManifestRef | None

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        upload, manifest, refusal = doc.get("upload"), doc.get("manifest"), doc.get("refusal")
        return cls(
            fence=doc["fence"],
            file_id=doc.get("fileId"),
            identity=doc.get("identity"),
            refusal=None if refusal is None else Refusal.from_doc(refusal),
            seals=tuple(Seal.from_doc(seal) for seal in doc.get("seals", ())),
            upload=None if upload is None else UploadState.from_doc(upload),
            manifest=None if manifest is None else ManifestRef.from_doc(manifest),
        )


GIVEN_UP: Mapping[str, Any] = {
    "fileId": None,
    "identity": None,
    "refusal": None,
    "seals": [],
    "upload": None,
}
"""The slot's fields once its id was used or given up."""

EMPTIED: Mapping[str, Any] = {**GIVEN_UP, "manifest": None}
"""The slot's fields after a commit: a stored manifest may name items just marked."""
