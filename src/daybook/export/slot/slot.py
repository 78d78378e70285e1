"""The slot of a profile: the one place through which all of its files go, one at a time.

Each new holder increments the fence. Every later write names the fence it was made under, so
a run that was superseded changes nothing, however late it wakes up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, ExecutionTimeout, PyMongoError

from daybook.errors import ConfigurationError, FencedOut
from daybook.export.batch import batches
from daybook.export.model.seal import ManifestRef, Prefix, Seal
from daybook.export.slot.state import COLLECTION as COLLECTION
from daybook.export.slot.state import EMPTIED, IdRefusals, SlotState, UploadState, end_abandoned
from daybook.mongo.sessions import transaction_in

TAKE_TIMEOUT_MS = 5000
FENCES_SKIPPED = 1000
"""A slot that is created again starts far above any fence that a run of the old one may hold."""
REHEARSAL = "rehearsal"


class _Rollback(Exception):
    """Aborts the transaction of a rehearsal by keeping its work from returning."""


class Slot:
    """A slot held under a fence. Every method raises `FencedOut` once another run takes it."""

    def __init__(
        self,
        collection: Collection[dict[str, Any]],
        slot_id: str,
        *,
        owner: str,
        session: ClientSession,
        lease_seconds: float,
        state: SlotState,
    ) -> None:
        self.id = slot_id
        self.owner = owner
        self.state = state
        self._session = session
        self._collection = collection
        self._lease_seconds = lease_seconds
        self._upload_untouched = True

    @classmethod
    def take(
        cls,
        collection: Collection[dict[str, Any]],
        slot_id: str,
        *,
        owner: str,
        lease_seconds: float,
    ) -> Self | None:
        """Take the slot and increment its fence; returns None while another run holds it.

        The lease names the session in which this run's transactions take place, so that the
        next holder can end one that a killed process left open. One that cannot be ended
        (because it is another user's) locks the document for up to a minute. That counts as
        holding the slot, since no caller should wait so long.

        An upload session survives only if the previous run handed it back, and it can be
        handed over only once.
        """
        insert_if_absent(collection, slot_id)  # a damaged slot is not written to
        end_abandoned(collection, slot_id)
        session = collection.database.client.start_session()
        free_or_expired = {
            "$or": [
                {"$eq": ["$lease", None]},
                {"$lt": ["$lease.expiresAt", "$$NOW"]},
            ]
        }
        take = {
            "$set": {
                "fence": {"$add": ["$fence", 1]},
                "seals": {"$ifNull": ["$seals", []]},
                "lease": _lease(owner, lease_seconds, session),
                "upload": {
                    "$cond": [
                        {"$eq": ["$upload.handedBack", True]},
                        {"$mergeObjects": ["$upload", {"handedBack": False}]},
                        None,
                    ]
                },
                "updatedAt": "$$NOW",
            }
        }
        try:
            doc = collection.find_one_and_update(
                {"_id": slot_id, "$expr": free_or_expired},
                [take],
                return_document=ReturnDocument.AFTER,
                maxTimeMS=TAKE_TIMEOUT_MS,
            )
        except ExecutionTimeout:
            doc = None
        if doc is None:
            session.end_session()
            return None
        return cls(
            collection,
            slot_id,
            owner=owner,
            session=session,
            lease_seconds=lease_seconds,
            state=SlotState.from_doc(doc),
        )

    @property
    def fence(self) -> int:
        return self.state.fence

    def renew(self) -> None:
        """Extend the lease. An expired one may be renewed as long as no other run has taken it."""
        self._update([{"$set": {"lease": self._lease()}}])

    def raise_fence(self) -> None:
        """Drop the plan and start over under a new fence."""
        self._update({"$inc": {"fence": 1}, "$set": {"upload": None, "manifest": None}})

    def release(self) -> None:
        """Release the lease, and hand back an upload session that this run received but left alone.

        The MongoDB session is returned for use by others in this process only when no lease
        names it any more: a run that finds such a lease expired ends the session.
        """
        change: dict[str, Any] = {"lease": None}
        if self._upload_untouched and self.state.upload is not None:
            change["upload.handedBack"] = True
        self._update({"$set": change})
        self._session.end_session()

    def touch_upload(self) -> None:
        """Note that a request is sent into the open session: its outcome may stay unknown."""
        self._upload_untouched = False

    def hand_back_session(self) -> None:
        """Let the next run continue the open session: all of its requests were answered."""
        self._update({"$set": {"upload.handedBack": True}})

    def store_file_id(self, file_id: str, identity: str) -> None:
        self._update({"$set": {"fileId": file_id, "identity": identity, "refusal": None}})

    def store_refusal(self) -> IdRefusals:
        """Count that the destination answers 409 for the ID while no file is visible under it."""
        self._update(
            [
                {
                    "$set": {
                        "refusal": {
                            "count": {"$add": [{"$ifNull": ["$refusal.count", 0]}, 1]},
                            "firstAt": {"$ifNull": ["$refusal.firstAt", "$$NOW"]},
                            "lastAt": "$$NOW",
                        }
                    }
                }
            ]
        )
        assert self.state.refusal is not None  # noqa: S101  (stored just now)
        return self.state.refusal

    def store_manifest(self, manifest: ManifestRef | None) -> None:
        doc = None if manifest is None else manifest.to_doc()
        self._update({"$set": {"manifest": doc, "upload": None}})

    def store_upload(self, upload: UploadState | None) -> None:
        self.touch_upload()
        self._update({"$set": {"upload": None if upload is None else upload.to_doc()}})

    def store_prefix(self, prefix: Prefix) -> None:
        """Record the digest of the bytes that the open session holds."""
        doc = {"sizeBytes": prefix.size_bytes, "sha256": prefix.sha256}
        self._update({"$push": {"upload.prefixes": doc}})

    def store_seal(self, seal: Seal) -> None:
        """Store the description of the file; only after this may it become visible."""
        self._update({"$push": {"seals": seal.to_doc()}})

    def transaction(
        self,
        work: Callable[[ClientSession], None],
        *,
        sets: Mapping[str, Any] | None = None,
        comment: str | None = None,
    ) -> None:
        """Run `work` and set slot fields in one transaction, unless the fence has changed.

        The first statement increments a counter, so a new holder and this transaction always
        conflict. `work` may run several times. MongoDB's log and profiler show the `comment`.
        """
        change: dict[str, Any] = {"$inc": {"writes": 1}}
        if sets:
            change["$set"] = dict(sets)

        def fenced(session: ClientSession) -> SlotState:
            doc = self._collection.find_one_and_update(
                {"_id": self.id, "fence": self.fence},
                change,
                session=session,
                return_document=ReturnDocument.AFTER,
                comment=comment,
            )
            if doc is None:
                raise self._fenced_out()
            state = SlotState.from_doc(doc)
            work(session)
            return state

        self.state = transaction_in(self._session, fenced)

    def rehearse(
        self, work: Callable[[ClientSession], None], *, sets: Mapping[str, Any] | None = None
    ) -> None:
        """Do what `transaction` would, then abort; raises what would keep it from committing."""

        def undone(session: ClientSession) -> None:
            work(session)
            raise _Rollback

        with suppress(_Rollback):
            self.transaction(undone, sets=sets, comment=REHEARSAL)

    @contextmanager
    def keep_lease(self, *, stop_after_seconds: float) -> Iterator[None]:
        """Renew the lease in the background while the block runs.

        Renewal stops after `stop_after_seconds`, so that a run that hangs loses its lease.
        """
        stopped = threading.Event()
        keeper = threading.Thread(
            target=self._renew_until_stopped,
            args=(stopped, stop_after_seconds),
            name="lease",
            daemon=True,
        )
        keeper.start()
        try:
            yield
        finally:
            stopped.set()
            keeper.join()

    def _renew_until_stopped(self, stopped: threading.Event, stop_after_seconds: float) -> None:
        interval = self._lease_seconds / 3
        for _ in range(max(1, int(stop_after_seconds / interval))):
            if stopped.wait(interval):
                return
            try:
                self._collection.update_one(
                    {"_id": self.id, "fence": self.fence},
                    [{"$set": {"lease": self._lease()}}],
                )
            except PyMongoError:
                continue  # the next tick tries again; the fence protects all writes

    def _update(self, change: Mapping[str, Any] | list[Mapping[str, Any]]) -> None:
        doc = self._collection.find_one_and_update(
            {"_id": self.id, "fence": self.fence},
            change,
            return_document=ReturnDocument.AFTER,
        )
        if doc is None:
            raise self._fenced_out()
        self.state = SlotState.from_doc(doc)

    def _lease(self) -> dict[str, Any]:
        return _lease(self.owner, self._lease_seconds, self._session)

    def _fenced_out(self) -> FencedOut:
        return FencedOut(f"slot {self.id}: another run took it over from fence {self.fence}")


def _lease(owner: str, lease_seconds: float, session: ClientSession) -> dict[str, Any]:
    return {
        "owner": owner,
        "session": session.session_id["id"],
        "expiresAt": {"$add": ["$$NOW", round(lease_seconds * 1000)]},
    }


def insert_if_absent(collection: Collection[dict[str, Any]], slot_id: str) -> None:
    """Create the slot's document, free and empty, when it is absent.

    Raises `ConfigurationError` when it was deleted by hand while a file may be visible that
    only its seals could identify: another file would be made of the same entries. Raises
    `DocumentDamaged` when the document exists and cannot be read.
    """
    stored = collection.find_one({"_id": slot_id})
    if stored is not None:
        SlotState.from_doc(stored)
        return
    begun = batches.started_in(collection.database[batches.COLLECTION], slot_id)
    if collection.find_one({"_id": slot_id}, {"_id": 1}) is not None:
        return  # created since: the batches that were found are those of its runs
    fence = max((batch.fence for batch in begun), default=-FENCES_SKIPPED) + FENCES_SKIPPED
    unsettled = batches.possibly_sealed(begun)
    if unsettled:
        names = ", ".join(batch.key.batch_date or "a manual export" for batch in unsettled)
        raise ConfigurationError(
            f"{COLLECTION} has no document {slot_id}, although runs have begun: it was deleted, "
            f"and a file without a record may be visible, of {names}. Nothing is exported "
            f"before that is known: look for the file, move it away, then insert "
            f'{{_id: "{slot_id}", fence: {fence}}} into {COLLECTION}'
        )
    try:
        collection.insert_one({"_id": slot_id, "fence": fence, "lease": None, **EMPTIED})
    except DuplicateKeyError:
        return  # another run inserted it at the same moment
