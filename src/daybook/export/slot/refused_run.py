"""Refused runs: calls for a day's run that were answered with an error that no batch records.

Most failed before the run started; MongoDB may also have failed in the middle of one. They are
stored in the profile's slot, whose `_id` is always unique. No batch is created for them: without
the batches' unique index, whose absence is one of the causes, the repeated call would create a
second one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self

import pymongo
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError

from daybook import log
from daybook.errors import ConfigurationError, DocumentDamaged
from daybook.export.batch import batches
from daybook.export.model.fields import Fields
from daybook.export.model.lifecycle import BatchState
from daybook.export.model.notice import Alert, AlertEvent, Messenger
from daybook.export.model.profile import BatchKey
from daybook.export.slot import slot
from daybook.export.slot.state import may_be_visible

STORING_SECONDS = 3.0
"""How long storing may take: the caller is waiting, and MongoDB may be the cause."""


@dataclass(frozen=True, kw_only=True)
class RefusedRun:
    """The latest day of a profile whose run was refused."""

    batch_date: str
    type: str
    """An error's `type`."""
    message: str
    first_at: datetime
    last_at: datetime
    count: int
    alerted_at: datetime | None
    """When this type of error was alerted for this day."""

    @classmethod
    def from_slot(cls, doc: Mapping[str, Any]) -> Self | None:
        """None when nothing was refused; raises `DocumentDamaged`."""
        fields = Fields.of(doc, slot.COLLECTION).inner_or_none("refused")
        if fields is None:
            return None
        return cls(
            batch_date=fields.day("batchDate"),
            type=fields.text("type"),
            message=fields.text("message"),
            first_at=fields.time("firstAt"),
            last_at=fields.time("lastAt"),
            count=fields.whole("count"),
            alerted_at=fields.time_or_none("alertedAt"),
        )

    def to_doc(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "message": self.message,
            "firstAt": self.first_at,
            "lastAt": self.last_at,
            "count": self.count,
        }

    def still_applies(self, *, started_at: datetime | None, done: bool) -> bool:
        """False once an attempt of the day has started after it, or the day is done."""
        return not done and (started_at is None or started_at < self.last_at)


def record(
    database: Database[dict[str, Any]],
    profile: str,
    day: date,
    *,
    kind: str,
    message: str,
    now: datetime,
) -> tuple[RefusedRun, bool]:
    """Count a refused call; returns what is stored, and whether a file of the day may be visible.

    A file may be visible that an earlier run could not record, or one that is recorded.
    """
    same_day = {"$eq": ["$refused.batchDate", day.isoformat()]}
    same = {"$and": [same_day, {"$eq": ["$refused.type", kind]}]}
    refused = {
        "batchDate": day.isoformat(),
        "type": {"$literal": kind},
        "message": {"$literal": message},
        "firstAt": {"$cond": [same_day, "$refused.firstAt", now]},
        "lastAt": now,
        "count": {"$add": [1, {"$cond": [same_day, "$refused.count", 0]}]},
        "alertedAt": {"$cond": [same, "$refused.alertedAt", None]},
    }
    slots = database[slot.COLLECTION]
    slot_id = _slot_id(profile)
    with pymongo.timeout(STORING_SECONDS):
        slot.insert_if_absent(slots, slot_id)
        doc = slots.find_one_and_update(
            {"_id": slot_id},
            [{"$set": {"refused": refused}}],
            return_document=ReturnDocument.AFTER,
        )
        stored = None if doc is None else RefusedRun.from_slot(doc)
        batch = batches.find(
            database[batches.COLLECTION], BatchKey(profile=profile, batch_date=day.isoformat())
        )
        delivered = batch is not None and batch.state is BatchState.COMMITTED
        file_possible = delivered or may_be_visible(slots, slot_id, day.isoformat())
    assert stored is not None  # noqa: S101  (inserted above, and never deleted)
    return stored, file_possible


def record_alerted(
    database: Database[dict[str, Any]], profile: str, refused: RefusedRun, *, now: datetime
) -> None:
    alerted = {"refused.batchDate": refused.batch_date, "refused.type": refused.type}
    with pymongo.timeout(STORING_SECONDS):
        database[slot.COLLECTION].update_one(
            {"_id": _slot_id(profile), **alerted}, {"$set": {"refused.alertedAt": now}}
        )


@dataclass(frozen=True, kw_only=True)
class RefusedRuns:
    """Alerts refused runs: each type of error once for each day."""

    database: Callable[[], Database[dict[str, Any]]]
    """May raise `ConfigurationError`, which can be the very error to alert."""
    messenger: Messenger
    _alerted: set[tuple[str, date, str]] = field(default_factory=set, init=False)
    """What this process has alerted, for when it cannot be stored: profile, day, type of error."""
    _unstored: dict[tuple[str, date], tuple[str, str, datetime]] = field(
        default_factory=dict, init=False
    )
    """The last refusal of each day that could not be stored: type, message, time."""

    def announce(self, profile: str, day: date, *, kind: str, message: str, now: datetime) -> None:
        """Alert that a call for the day's run failed, and store it for `status`.

        It alerts once for each type of error and day, however often the call is repeated.
        """
        stored: RefusedRun | None = None
        file_possible = True  # without MongoDB it cannot be ruled out
        try:
            stored, file_possible = record(
                self.database(), profile, day, kind=kind, message=message, now=now
            )
        except (PyMongoError, ConfigurationError, DocumentDamaged) as error:
            log.event(
                logging.WARNING,
                "refusal_not_stored",
                "The refused run is alerted, but not stored.",
                error=str(error),
            )
            self._unstored[profile, day] = (kind, message, now)
        seen = (profile, day, kind)
        if seen in self._alerted or (stored is not None and stored.alerted_at is not None):
            return
        self.messenger.alert(
            Alert(
                event=AlertEvent.RUN_REFUSED,
                severity=logging.CRITICAL,
                profile=profile,
                batch_date=day.isoformat(),
                facts={
                    "at": now,
                    "error_type": kind,
                    "error": message,
                    "file_possible": file_possible,
                },
            )
        )
        self._alerted.add(seen)
        if stored is None:
            return
        try:
            record_alerted(self.database(), profile, stored, now=now)
        except PyMongoError as error:
            log.event(
                logging.WARNING,
                "refusal_not_stored",
                "It is not stored that the refused run was alerted; it may be alerted again.",
                error=str(error),
            )

    def store_missed(self, profile: str, day: date) -> None:
        """Store what could not be stored when the day was refused, before its next run begins.

        So that the run's success is announced as a recovery. Does nothing while MongoDB is
        still away: the run will say so itself.
        """
        missed = self._unstored.get((profile, day))
        if missed is None:
            return
        kind, message, at = missed
        with suppress(PyMongoError, ConfigurationError, DocumentDamaged), pymongo.timeout(1):
            stored, _ = record(self.database(), profile, day, kind=kind, message=message, now=at)
            record_alerted(self.database(), profile, stored, now=at)
            self._unstored.pop((profile, day), None)


def of_day(
    database: Database[dict[str, Any]],
    profile: str,
    day: str,
    *,
    session: ClientSession | None = None,
) -> RefusedRun | None:
    """What is stored about the day's refused runs; None when there were none."""
    doc = database[slot.COLLECTION].find_one(
        {"_id": _slot_id(profile)}, {"refused": 1}, session=session
    )
    found = None if doc is None else RefusedRun.from_slot(doc)
    return found if found is not None and found.batch_date == day else None


def _slot_id(profile: str) -> str:
    return BatchKey(profile=profile).slot_id
