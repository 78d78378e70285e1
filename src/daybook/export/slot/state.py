"""The slot's document: its state under the fence that was taken, and its lease."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from daybook import log
from daybook.export.model.fields import Fields
from daybook.export.model.seal import ManifestRef, Prefix, Seal

COLLECTION = "exportslots"


@dataclass(frozen=True, kw_only=True)
class UploadState:
    """An upload session that this run opened, or that the previous run handed over."""

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
    def from_fields(cls, fields: Fields) -> Self:
        return cls(
            session=fields.text("sessionUri"),
            manifest_digest=fields.text("manifestDigest"),
            opened_fence=fields.whole("openedFence"),
            filename=fields.text("filename"),
            prefixes=tuple(
                Prefix(size_bytes=prefix.whole("sizeBytes"), sha256=prefix.text("sha256"))
                for prefix in fields.inner_list("prefixes")
            ),
        )


@dataclass(frozen=True, kw_only=True)
class IdRefusals:
    """How often, and from when to when by MongoDB's clock, an ID was refused with no file seen."""

    count: int
    first_at: datetime
    last_at: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        return cls(
            count=fields.whole("count"),
            first_at=fields.time("firstAt"),
            last_at=fields.time("lastAt"),
        )


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """The slot as read under the fence that was taken."""

    fence: int
    file_id: str | None
    identity: str | None
    """The identity that the ID was issued to."""
    refusal: IdRefusals | None
    """Set once the destination says the ID is taken while it shows no file under it."""
    seals: tuple[Seal, ...]
    upload: UploadState | None
    manifest: ManifestRef | None

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self:
        """Raises `DocumentDamaged`; a slot that was inserted by hand has only its fence."""
        fields = Fields.of(doc, COLLECTION)
        lease = fields.inner_or_none("lease")
        if lease is not None:  # read by MongoDB, and by `lease_of`
            lease.text("owner")
            lease.time("expiresAt")
        of_days = not str(doc.get("_id")).endswith("/manual")
        for seal in fields.inner_list("seals") if of_days else ():
            seal.day("batchDate")  # without it the file would be recorded as a copy
        seals = tuple(map(Seal.from_fields, fields.inner_list("seals")))
        if seals or fields.has("fileId"):  # without one of them a second file could be made
            fields.text("fileId")
            fields.text("identity")
            fields.array("seals")
        upload = fields.inner_or_none("upload")
        manifest = fields.inner_or_none("manifest")
        refusal = fields.inner_or_none("refusal")
        return cls(
            fence=fields.whole("fence"),
            file_id=fields.text_or_none("fileId"),
            identity=fields.text_or_none("identity"),
            refusal=None if refusal is None else IdRefusals.from_fields(refusal),
            seals=seals,
            upload=None if upload is None else UploadState.from_fields(upload),
            manifest=None if manifest is None else ManifestRef.from_fields(manifest),
        )

    def may_show(self, day: str | None) -> bool:
        """Whether a file of the day may be visible under the ID: a seal of it is stored."""
        return any(seal.batch_date == day for seal in self.seals)


ABANDONED: Mapping[str, Any] = {
    "fileId": None,
    "identity": None,
    "refusal": None,
    "seals": [],
    "upload": None,
}
"""The slot's fields after its ID was used or abandoned."""

EMPTIED: Mapping[str, Any] = {**ABANDONED, "manifest": None}
"""The slot's fields after a commit: a stored manifest may name items that were just marked."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who holds a slot, and for how much longer."""

    fence: int
    owner: str | None
    left: timedelta
    """Until it expires, by the server's clock; zero or less when no run holds it."""
    session: Any = None
    """ID of the MongoDB session in which the holder runs its transactions."""

    @property
    def abandoned(self) -> bool:
        """Whether the holder let it expire instead of releasing it."""
        return self.owner is not None and self.left <= timedelta()


def lease_of(slots: Collection[dict[str, Any]], slot_id: str) -> Lease | None:
    """The slot's lease, or None when the slot was never taken. Raises `DocumentDamaged`."""
    timed = {"$eq": [{"$type": "$lease.expiresAt"}, "date"]}
    left = {"$cond": [timed, {"$subtract": ["$lease.expiresAt", "$$NOW"]}, 0]}
    found = slots.aggregate(
        [
            {"$match": {"_id": slot_id}},
            {"$project": {"fence": 1, "lease.owner": 1, "lease.session": 1, "left": left}},
        ]
    )
    return next(map(_lease, found), None)


def _lease(doc: Mapping[str, Any]) -> Lease:
    fields = Fields.of(doc, COLLECTION)
    lease = fields.inner_or_none("lease")
    return Lease(
        fence=fields.whole("fence"),
        owner=None if lease is None else lease.text_or_none("owner"),
        left=timedelta(milliseconds=doc["left"]),
        session=(doc.get("lease") or {}).get("session"),
    )


def may_be_visible(
    slots: Collection[dict[str, Any]],
    slot_id: str,
    day: str,
    *,
    session: ClientSession | None = None,
) -> bool:
    """Whether a file of the day may be visible without a record: the slot has a seal of it."""
    sealed = {"_id": slot_id, "seals.batchDate": day}
    return slots.find_one(sealed, {"_id": 1}, session=session) is not None


def end_abandoned(slots: Collection[dict[str, Any]], slot_id: str) -> None:
    """End the session of a holder whose lease has expired, and with it its open transaction.

    A process that was killed inside a transaction would otherwise keep the slot, its
    batch and its items locked for `transactionLifetimeLimitSeconds` (a minute). If the process
    was only frozen, its commit is refused when it wakes up; it depends on the session for
    nothing else. Sessions belong to a user: MongoDB has to end another user's itself.
    """
    lease = lease_of(slots, slot_id)
    if lease is None or not lease.abandoned or lease.session is None:
        return
    try:
        slots.database.client.admin.command("killSessions", [{"id": lease.session}])
    except OperationFailure as error:
        # Some hosted clusters lack the command; the transaction then ends on its own.
        log.event(
            logging.WARNING,
            "session_not_ended",
            f"The session of the process that held slot {slot_id} could not be ended: if it was "
            f"killed inside a transaction, the slot is locked for up to a minute: {error}",
        )
